"""Running a flow inside a job's child; the only module that uses names Prefect does not promise to keep."""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import FlowRunUpdate, LogCreate
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext, SettingsContext, SyncClientContext, get_settings_context
from prefect.events.worker import EventsWorker
from prefect.exceptions import (
    ParameterBindError,
    ParameterTypeError,
    SignatureMismatchError,
    TerminationSignal,
)
from prefect.filesystems import LocalFileSystem
from prefect.flow_engine import run_flow
from prefect.logging.handlers import APILogWorker
from prefect.settings import (
    PREFECT_API_REQUEST_TIMEOUT,
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_LOCAL_STORAGE_PATH,
)
from prefect.states import Cancelled, Cancelling, Failed
from rich.emoji import Emoji

logger = logging.getLogger(__name__)

_WARM_UP_SECONDS = 2.0

FlowBody = Callable[..., Any]
"""A flow's function: whatever it takes, whatever it returns."""

INVALID_PARAMETERS = (ParameterBindError, ParameterTypeError, SignatureMismatchError)
"""What a flow run raises before its body starts when the parameters do not fit."""

INTERRUPTIONS = (TerminationSignal, KeyboardInterrupt)
"""What a signal from outside raises in a flow's body."""


@dataclass(frozen=True)
class _ChildSettings:
    """Prefect's settings as children have them; each copy of them takes Prefect a tenth of a second."""

    calm: SettingsContext
    """Without the heartbeat: it costs a second at the end of each flow run, and the lease does its work."""
    hasty: SettingsContext
    """And without a minute's timeout: a server that hangs may not hold up what needs no Prefect."""


@functools.cache
def _child_settings(_api_url: str | None) -> _ChildSettings:
    calm = _changed(get_settings_context(), {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})
    hasty = {PREFECT_API_REQUEST_TIMEOUT: _WARM_UP_SECONDS, PREFECT_CLIENT_MAX_RETRIES: 0}
    return _ChildSettings(calm, _changed(calm, hasty))


def _changed(context: SettingsContext, updates: Mapping[Any, Any]) -> SettingsContext:
    changed = context.settings.copy_with_update(updates=updates)
    return SettingsContext(profile=context.profile, settings=changed)


def preload() -> None:
    """Do once, in the forkserver, what would cost each child a tenth of a second and more."""
    _child_settings(PREFECT_API_URL.value())
    for model in (FlowRun, FlowRunUpdate, LogCreate):
        model.model_rebuild()  # Prefect leaves that to the first use.
    Emoji.replace(":sparkles:")  # Rich looks for them in all it prints; their names are a large module.


@contextmanager
def warm_client() -> Iterator[None]:
    """Open Prefect's client before the job arrives, and run the flows in the block with our settings.

    Without a server the block is entered all the same: the flow run opens its own client, or fails by itself.
    """
    settings = _child_settings(PREFECT_API_URL.value())
    with ExitStack() as stack:
        stack.enter_context(settings.calm)
        try:
            _open_client(stack, settings)
        except Exception as error:  # noqa: BLE001 - whatever it is, the flow run will fail by it too
            logger.debug("Prefect is not reachable while warming up: %r", error)
        yield


def _open_client(stack: ExitStack, settings: _ChildSettings) -> None:
    with settings.hasty:
        client = stack.enter_context(SyncClientContext.get_or_create()).client
        client.read_flows(limit=1)  # A client's first POST requests a CSRF token too.
    APILogWorker.instance()  # Opens a client of its own, on a thread of its own.
    patience = httpx.Timeout(PREFECT_API_REQUEST_TIMEOUT.value())
    client._client.timeout = patience  # noqa: SLF001 - of this very client, from now on


def run_guarded(
    flow: Flow[Any, Any],
    flow_run: FlowRun,
    parameters: Mapping[str, Any],
    guard: Callable[[FlowBody], FlowBody],
) -> None:
    """Run ``flow`` as the existing ``flow_run``, its body wrapped by ``guard``, in the calling (main) thread.

    Raises:
        Whatever the flow raises, and Prefect's own errors when the run cannot start.
    """
    guarded = copy.copy(flow)
    guarded.fn = _wrapped(flow.fn, guard)
    _keep_results_here(guarded)
    # Without its deployment's id the engine opens no websocket of its own to watch for a suspension; the
    # server's row keeps the link, so that the UI still offers Cancel.
    lean = flow_run.model_copy(update={"deployment_id": None, "parameters": dict(parameters)})
    run_flow(guarded, flow_run=lean)


def _wrapped(body: FlowBody, guard: Callable[[FlowBody], FlowBody]) -> FlowBody:
    """The guarded body, with its parameters' types as they read in the body's own module.

    Prefect looks up names of types in the module of the function that it calls, here the guard's.
    """
    wrapper = functools.wraps(body)(guard(body))
    # A type that is imported for type checkers only cannot be looked up; Prefect says so.
    with suppress(NameError):
        wrapper.__signature__ = inspect.signature(body, eval_str=True)  # type: ignore[attr-defined]
    return wrapper


def _keep_results_here(flow: Flow[Any, Any]) -> None:
    # A job's results are rows. A flow that sets nothing gets the default, but without Prefect asking its
    # server for another default, twice and by a new client each time.
    if flow.result_storage is None:
        flow.result_storage = LocalFileSystem(basepath=str(PREFECT_LOCAL_STORAGE_PATH.value()))
    if flow.persist_result is None:
        flow.persist_result = False


def was_cancelled(history: Iterable[State[Any]]) -> bool:
    """Whether a person cancelled a flow run, by all the states that it has had.

    Not by the last one: Prefect's own engine overwrites Cancelling when the flow's process is terminated, and
    when it starts the flow. The queue itself sets Cancelled only after the row's verdict, or after a person.
    """
    return any(state.is_cancelling() or state.is_cancelled() for state in history)


def is_cancelled(seconds: float) -> bool:
    """Whether the present flow run was cancelled in Prefect; no, if it does not answer within ``seconds``.

    Prefect's client repeats what fails, for longer than a verdict can wait.
    """
    run, context = FlowRunContext.get(), SyncClientContext.get()
    if run is None or run.flow_run is None or context is None:
        return False
    found: list[bool] = []

    def look(client: SyncPrefectClient, flow_run_id: UUID) -> None:
        try:
            found.append(was_cancelled(client.read_flow_run_states(flow_run_id)))
        except Exception as error:  # noqa: BLE001 - it fails in many ways; no verdict depends on them
            logger.warning("Prefect could not be checked for a cancel before the verdict: %r", error)

    thread = threading.Thread(target=look, args=(context.client, run.flow_run.id), name="look", daemon=True)
    thread.start()
    thread.join(seconds)
    return found == [True]


def cancelled_state(message: str) -> State[Any]:
    """The state that a cancelled flow returns, so that Prefect records Cancelled and not Crashed."""
    return Cancelled(message=message)


def timed_out_state(message: str) -> State[Any]:
    """The state that a flow returns when its deadline has passed."""
    return Failed(name="TimedOut", message=message)


def run_cancellation_hooks(flow: Flow[Any, Any], flow_run: FlowRun) -> None:
    """Call the flow's ``on_cancellation`` hooks as Prefect's own runner would."""
    state: State[Any] = Cancelling(message="Cancelled on request")
    for hook in flow.on_cancellation_hooks:
        outcome = hook(flow, flow_run, state)
        if inspect.iscoroutine(outcome):
            asyncio.run(outcome)


def flush(seconds: float) -> bool:
    """Send the remaining logs and events, for ``seconds`` at most; whether all were sent.

    Prefect's own drain at exit has no bound: it took 171 s when the server was unreachable.
    """
    thread = threading.Thread(target=_drain, args=(seconds,), name="flush", daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()


def _drain(seconds: float) -> None:
    for worker in (APILogWorker, EventsWorker):
        try:
            worker.drain_all(timeout=seconds, at_exit=True)
        except Exception as error:  # noqa: BLE001 - the row is the truth; a lost log line is no reason to wait
            logger.debug("%s was not drained: %r", worker.__name__, error)
