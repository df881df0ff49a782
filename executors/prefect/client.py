"""The supervisor's connection to Prefect: makes flow runs, sees cancels, sets final states as the row says.

All traffic runs on one thread of its own; nothing here can hold up the supervisor for longer than the timeout
that it names, and an unreachable Prefect is a :class:`PrefectUnreachableError`, whatever the client raises.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Generic, Self, TypeVar
from uuid import UUID

import httpx
from prefect import Flow
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import TERMINAL_STATES, FlowRun
from prefect.client.schemas.objects import State as PrefectState
from prefect.events.clients import get_events_subscriber
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Cancelled, Completed, Crashed, Failed, Pending

from executors.job.failures import storable
from executors.prefect.flow_runs import FlowRunRequest, chip_tag
from executors.prefect.runtime import was_cancelled
from qdash_queue.domain import JobState
from qdash_queue.errors import QdashQueueError
from qdash_queue.stopping import Wakeup

logger = logging.getLogger(__name__)

_T = TypeVar("_T")
_POLL_SECONDS = 2.0
_RETRY_SECONDS = 1.0
_MARGIN_SECONDS = 1.0
_RUNS_LIMIT = 100
_WORDS_LIMIT = 500
_CANCEL_EVENTS = ["prefect.flow-run.Cancelling", "prefect.flow-run.Cancelled"]
# Status codes of a request that the server would refuse again, whenever it is repeated.
_FINAL_REFUSALS = {400, 409, 413, 422}


class PrefectError(QdashQueueError):
    """Prefect's server did not carry out a request."""


class PrefectUnreachableError(PrefectError):
    """Prefect's server did not answer, or not in time, or not as Prefect does."""


class PrefectRefusedError(PrefectError):
    """Prefect's server answered, and refuses the request, now and later."""


class Answer(Generic[_T]):
    """The pending answer of Prefect's server."""

    def __init__(self, future: Future[_T], patience: float) -> None:
        self._future = future
        self._patience = patience

    @property
    def is_there(self) -> bool:
        """Whether :meth:`value` waits no more."""
        return self._future.done()

    def value(self) -> _T:
        """The answer.

        Raises:
            PrefectUnreachableError: the server did not answer in time.
            PrefectRefusedError: the server refuses the request.
        """
        try:
            return self._future.result(self._patience)
        except Exception as error:
            # Prefect's client fails in many ways at a server in trouble, of another version, or no Prefect.
            if (words := _final_refusal(error)) is not None:
                raise PrefectRefusedError(words) from error
            raise PrefectUnreachableError(f"Prefect did not answer: {error!r}"[:_WORDS_LIMIT]) from error

    def forget(self) -> None:
        """Wait for it no longer; the server may carry out the request all the same."""
        self._future.cancel()


class PrefectLink:
    """The connection to Prefect's server; a context manager that owns its thread.

    Args:
        chip_id: names the deployments to which flow runs are linked.
        wakeup: set when the watched flow run was found cancelled.
        with_deployment: link each flow run to a deployment without a work pool. Prefect's UI offers Cancel
            only for runs that have one; no runner can take them.
    """

    def __init__(self, chip_id: str, wakeup: Wakeup, *, with_deployment: bool = True) -> None:
        self._chip_id = chip_id
        self._wakeup = wakeup
        self._with_deployment = with_deployment
        self._loop = asyncio.new_event_loop()
        # With the Prefect settings of the creating thread.
        here = contextvars.copy_context()
        self._thread = threading.Thread(target=here.run, args=(self._serve,), name="prefect", daemon=True)
        self._client: PrefectClient | None = None
        self._deployments: dict[str, UUID] = {}
        self._watched: UUID | None = None
        self._cancelled = threading.Event()
        self._connected = threading.Event()
        self._in_doubt = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_POLL_SECONDS)

    # ------------------------------------------------------------------ called by the supervisor

    def healthy(self, timeout: float = 2.0) -> bool:
        """Whether Prefect answers now."""
        if self._connected.is_set() and not self._in_doubt.is_set():
            return True
        try:
            self._call(self._hello(), timeout)
        except PrefectError:
            return False
        return True

    def create_flow_run(
        self, flow: Flow[Any, Any], request: FlowRunRequest, timeout: float
    ) -> Answer[FlowRun]:
        """Ask for the flow run of a job, Pending so that no runner takes it; the same one for the same key.

        Does not wait: the wake-up is set when the answer is there.
        """
        return self._ask(self._create(flow, request), timeout, self._wakeup.set)

    def watch(self, flow_run_id: UUID) -> None:
        """Watch for a cancel of this flow run, instead of the one watched so far."""
        self._cancelled.clear()
        self._watched = flow_run_id

    def unwatch(self) -> None:
        """Watch no flow run."""
        self._watched = None
        self._cancelled.clear()

    def was_cancelled(self) -> bool:
        """Whether the watched flow run was cancelled in Prefect."""
        return self._cancelled.is_set()

    @property
    def is_following(self) -> bool:
        """Whether cancels are pushed to us; if not, they are noticed within two seconds."""
        return self._connected.is_set()

    def check(self, timeout: float = 2.0) -> None:
        """Ask now whether the watched flow run was cancelled.

        Raises:
            PrefectUnreachableError: the server did not answer in time.
        """
        self._call(self._check(), timeout)

    def set_final_state(self, flow_run_id: UUID, state: JobState, message: str, timeout: float = 3.0) -> None:
        """Bring the flow run's state in line with the job's; ``scheduled``: see :meth:`close_abandoned`.

        Raises:
            PrefectUnreachableError: the server did not answer in time.
            PrefectRefusedError: the server refuses the state.
        """
        self._call(self._set_final_state(flow_run_id, state, message), timeout)

    def close_abandoned(self, flow_run_id: UUID, message: str, timeout: float = 3.0) -> bool:
        """Close the flow run of an attempt that was given up; whether it had been cancelled.

        Raises:
            PrefectUnreachableError: the server did not answer in time.
            PrefectRefusedError: the server refuses the state.
        """
        return self._call(self._close_abandoned(flow_run_id, message), timeout)

    def flow_runs(self, tags: Sequence[str], timeout: float = 3.0) -> list[FlowRun]:
        """Flow runs with all these tags, at most a hundred.

        Raises:
            PrefectUnreachableError: the server did not answer in time.
        """
        return self._call(self._flow_runs(FlowRunFilter(tags=FlowRunFilterTags(all_=list(tags)))), timeout)

    def open_flow_runs(self, chip_ids: Sequence[str], timeout: float = 5.0) -> list[FlowRun]:
        """Flow runs of these chips that have not ended, at most a hundred.

        Raises:
            PrefectUnreachableError: the server did not answer in time.
        """
        wanted = FlowRunFilter(
            tags=FlowRunFilterTags(any_=[chip_tag(chip_id) for chip_id in chip_ids]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(not_any_=list(TERMINAL_STATES))),
        )
        return self._call(self._flow_runs(wanted), timeout)

    # ------------------------------------------------------------------ on the thread

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        watchers = [self._loop.create_task(self._follow_events()), self._loop.create_task(self._poll())]
        self._loop.run_forever()
        for watcher in watchers:
            watcher.cancel()
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(asyncio.gather(*watchers, return_exceptions=True))
        self._loop.run_until_complete(self._drop_client())
        self._loop.close()

    def _call(self, coroutine: Coroutine[Any, Any, _T], timeout: float) -> _T:
        return self._ask(coroutine, timeout).value()

    def _ask(
        self, coroutine: Coroutine[Any, Any, _T], timeout: float, then: Callable[[], None] = lambda: None
    ) -> Answer[_T]:
        def note(future: Future[_T]) -> None:
            if not future.cancelled():
                self._note(future.exception())
                then()

        future = asyncio.run_coroutine_threadsafe(asyncio.wait_for(coroutine, timeout), self._loop)
        future.add_done_callback(note)
        return Answer(future, timeout + _MARGIN_SECONDS)

    def _note(self, error: BaseException | None) -> None:
        if error is None:
            self._in_doubt.clear()
        elif _final_refusal(error) is None:
            self._in_doubt.set()
            asyncio.run_coroutine_threadsafe(self._drop_client(), self._loop)

    async def _open_client(self) -> PrefectClient:
        if self._client is None:
            self._client = await get_client().__aenter__()
        return self._client

    async def _drop_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(httpx.HTTPError, RuntimeError, OSError):
                await client.__aexit__(None, None, None)

    async def _hello(self) -> None:
        (await (await self._open_client()).hello()).json()  # A proxy's web page is no answer.

    async def _create(self, flow: Flow[Any, Any], request: FlowRunRequest) -> FlowRun:
        client = await self._open_client()
        if not self._with_deployment:
            return await client.create_flow_run(
                flow,
                parameters=request.parameters,
                state=Pending(),
                name=request.name,
                tags=request.tags,
            )
        try:
            return await self._create_linked(client, flow, request)
        except ObjectNotFound:
            self._deployments.clear()  # The server has lost its database since.
            return await self._create_linked(client, flow, request)

    async def _create_linked(
        self, client: PrefectClient, flow: Flow[Any, Any], request: FlowRunRequest
    ) -> FlowRun:
        return await client.create_flow_run_from_deployment(
            await self._deployment(client, flow),
            parameters=request.parameters,
            state=Pending(),
            name=request.name,
            tags=request.tags,
            idempotency_key=request.idempotency_key,
        )

    async def _deployment(self, client: PrefectClient, flow: Flow[Any, Any]) -> UUID:
        if flow.name not in self._deployments:
            self._deployments[flow.name] = await client.create_deployment(
                await client.create_flow(flow),
                name=self._chip_id,
                description=f"Jobs on {self._chip_id}; they are queued in the database, not here.",
                tags=[chip_tag(self._chip_id)],
                enforce_parameter_schema=False,
            )
        return self._deployments[flow.name]

    async def _check(self) -> None:
        watched = self._watched
        if watched is not None and await self._was_cancelled(watched):
            self._note_cancelled(watched)

    async def _was_cancelled(self, flow_run_id: UUID) -> bool:
        return was_cancelled(await (await self._open_client()).read_flow_run_states(flow_run_id))

    async def _read_state(self, flow_run_id: UUID) -> PrefectState[Any] | None:
        client = await self._open_client()
        try:
            return (await client.read_flow_run(flow_run_id)).state
        except ObjectNotFound:
            return None

    async def _set_final_state(self, flow_run_id: UUID, state: JobState, message: str) -> None:
        if state is JobState.SCHEDULED and await self._was_cancelled(flow_run_id):
            state = JobState.CANCELLED
        present = await self._read_state(flow_run_id)
        if present is None or _agrees(present, state):
            return
        client = await self._open_client()
        with suppress(ObjectNotFound):  # Deleted since it was read: nothing is left to do.
            await client.set_flow_run_state(flow_run_id, _prefect_state(state, message), force=True)

    async def _close_abandoned(self, flow_run_id: UUID, message: str) -> bool:
        await self._set_final_state(flow_run_id, JobState.SCHEDULED, message)
        return await self._was_cancelled(flow_run_id)  # From now on Prefect refuses to cancel it.

    async def _flow_runs(self, wanted: FlowRunFilter) -> list[FlowRun]:
        return await (await self._open_client()).read_flow_runs(flow_run_filter=wanted, limit=_RUNS_LIMIT)

    def _note_cancelled(self, flow_run_id: UUID) -> None:
        if flow_run_id == self._watched:
            self._cancelled.set()
            self._wakeup.set()

    async def _follow_events(self) -> None:
        wanted = EventFilter(event=EventNameFilter(name=_CANCEL_EVENTS))
        while True:
            try:
                async with get_events_subscriber(filter=wanted, reconnection_attempts=0) as events:
                    self._connected.set()
                    self._wakeup.set()
                    async for event in events:
                        with suppress(ValueError):
                            self._note_cancelled(UUID(event.resource.id.removeprefix("prefect.flow-run.")))
            except Exception as error:  # noqa: BLE001 - the websocket fails in many ways; the poll goes on
                logger.debug("Prefect's events could not be followed: %r", error)
            self._connected.clear()
            await asyncio.sleep(_RETRY_SECONDS)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            try:
                await self._check()
            except Exception as error:  # noqa: BLE001 - asked again in two seconds
                logger.debug("the flow run's state could not be read: %r", error)


def _final_refusal(error: BaseException) -> str | None:
    if isinstance(error, PrefectHTTPStatusError) and error.response.status_code in _FINAL_REFUSALS:
        words = storable(error.response.text[:_WORDS_LIMIT])
        return f"Prefect answered {error.response.status_code}: {words}"
    return None


def _agrees(present: PrefectState[Any], wanted: JobState) -> bool:
    match wanted:
        case JobState.COMPLETED:
            return present.is_completed()
        case JobState.CANCELLED:
            return present.is_cancelled()
        case JobState.FAILED | JobState.SCHEDULED:
            return present.is_failed() or present.is_crashed()
        case JobState.RUNNING:
            return True


def _prefect_state(wanted: JobState, message: str) -> PrefectState[Any]:
    match wanted:
        case JobState.COMPLETED:
            return Completed(message=message)
        case JobState.CANCELLED:
            return Cancelled(message=message)
        case JobState.FAILED:
            return Failed(message=message)
        case JobState.SCHEDULED | JobState.RUNNING:
            return Crashed(message=message)
