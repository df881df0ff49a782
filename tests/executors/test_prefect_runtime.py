"""Prefect's behaviour that the executor leans on, and every name that Prefect does not promise to keep."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import StrEnum
from typing import Any

import pytest
from prefect import Flow, flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.events.worker import EventsWorker
from prefect.exceptions import Abort, Pause
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelled, Cancelling, Pending

from executors.prefect import runtime
from executors.prefect.runtime import FlowBody, flush, run_cancellation_hooks, run_guarded, warm_client
from qdash_queue.embedded.prefect_server import PrefectServer
from tests.support.waiting import PATIENCE


class Shade(StrEnum):
    LIGHT = "light"


HOOKS_SWITCH = "PREFECT__ENABLE_CANCELLATION_AND_CRASHED_HOOKS"


@pytest.fixture
def prefect(prefect_server: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[SyncPrefectClient]:
    monkeypatch.setenv(HOOKS_SWITCH, "false")
    with temporary_settings({PREFECT_API_URL: prefect_server.url}), get_client(sync_client=True) as client:
        yield client


def make_run(client: SyncPrefectClient, body: Flow[..., Any], parameters: dict[str, Any]) -> FlowRun:
    """A flow run that belongs to a deployment, as the executor makes them."""
    deployment = client.create_deployment(
        client.create_flow(body), name="SIM", enforce_parameter_schema=False
    )
    return client.create_flow_run_from_deployment(deployment, parameters=parameters, state=Pending())


def as_it_is(body: FlowBody) -> FlowBody:
    def same(*arguments: Any, **named: Any) -> Any:
        return body(*arguments, **named)

    return same


def state_of(client: SyncPrefectClient, flow_run: FlowRun) -> str:
    state = client.read_flow_run(flow_run.id).state
    assert state is not None
    return state.name or ""


def test_types_of_parameters_are_those_of_the_flows_own_module(prefect: SyncPrefectClient) -> None:
    """As with ``from __future__ import annotations``, and a guard that knows none of their names."""
    seen: list[Shade] = []

    @flow
    def paint(shade: Shade) -> None:
        seen.append(shade)

    def guard(body: FlowBody) -> FlowBody:
        unaware: FlowBody = eval("lambda *given, **named: body(*given, **named)", {"body": body})
        return unaware

    run_guarded(paint, make_run(prefect, paint, {"shade": "light"}), {"shade": "light"}, guard)
    assert seen == [Shade.LIGHT]


def test_runs_in_this_thread_with_the_parameters_given(prefect: SyncPrefectClient) -> None:
    seen: list[int] = []

    @flow
    def adds(number: int) -> None:
        seen.append(number)

    flow_run = make_run(prefect, adds, {"number": 1, "project_id": "for Prefect only"})
    with warm_client():
        run_guarded(adds, flow_run, {"number": 2}, as_it_is)
    assert seen == [2]
    assert state_of(prefect, flow_run) == "Completed"
    assert prefect.read_flow_run(flow_run.id).deployment_id is not None, "Prefect's UI offers Cancel"


def test_no_heartbeat_runs_beside_a_flow(prefect: SyncPrefectClient) -> None:
    """Its thread sleeps for whole seconds, and every flow run would wait for it at the end."""
    beside: list[str] = []

    @flow
    def looks() -> None:
        beside.extend(thread.name for thread in threading.enumerate())

    with warm_client():
        run_guarded(looks, make_run(prefect, looks, {}), {}, as_it_is)
    assert beside
    assert not [name for name in beside if name.endswith("(run)")], beside


@pytest.mark.parametrize(
    ("state", "name"),
    [
        (runtime.cancelled_state("on request"), "Cancelled"),
        (runtime.timed_out_state("too long"), "TimedOut"),
    ],
)
def test_a_returned_state_is_the_final_one_despite_sigterm(
    prefect: SyncPrefectClient, state: Any, name: str
) -> None:
    @flow
    def interrupted() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(PATIENCE)  # the flow's work, which the signal ends

    def guard(body: FlowBody) -> Callable[..., Any]:
        def guarded() -> Any:
            try:
                return body()
            except runtime.INTERRUPTIONS:
                return state

        return guarded

    flow_run = make_run(prefect, interrupted, {})
    with warm_client(), suppress(Exception):  # Prefect raises a state that is returned.
        run_guarded(interrupted, flow_run, {}, guard)
    assert state_of(prefect, flow_run) == name


def test_invalid_parameters_never_reach_the_body(prefect: SyncPrefectClient) -> None:
    @flow
    def counts(number: int) -> None:
        raise AssertionError("the body was reached")

    for given in ({"number": "many"}, {}, {"number": 1, "other": 2}):
        flow_run = make_run(prefect, counts, {})
        with warm_client(), pytest.raises(runtime.INVALID_PARAMETERS):
            run_guarded(counts, flow_run, given, as_it_is)


@pytest.mark.parametrize(("state", "starts_all_the_same"), [(Cancelling(), False), (Cancelled(), True)])
def test_a_run_that_was_cancelled_before_its_start(
    prefect: SyncPrefectClient, state: Any, starts_all_the_same: bool
) -> None:
    """Prefect starts a run that is Cancelled already: the executor has to see it by itself."""
    started: list[bool] = []

    @flow
    def starts() -> None:
        started.append(True)

    flow_run = make_run(prefect, starts, {})
    prefect.set_flow_run_state(flow_run.id, state)
    with warm_client(), suppress(Exception, Abort, Pause):
        run_guarded(starts, flow_run, {}, as_it_is)
    assert bool(started) is starts_all_the_same


def test_hooks_run_by_hand_and_only_so(prefect: SyncPrefectClient) -> None:
    ran: list[str] = []

    def hook(flow: Flow[..., Any], flow_run: FlowRun, state: Any) -> None:
        ran.append(state.name)

    @flow(on_cancellation=[hook])
    def cancelled() -> Any:
        return runtime.cancelled_state("on request")

    flow_run = make_run(prefect, cancelled, {})
    with warm_client(), suppress(Exception):
        run_guarded(cancelled, flow_run, {}, as_it_is)
    assert state_of(prefect, flow_run) == "Cancelled"
    assert ran == []
    run_cancellation_hooks(cancelled, flow_run)
    assert ran == ["Cancelling"]


def test_warming_up_does_not_wait_for_a_server_that_hangs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # takes connections, never answers
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/api"
        begun = time.monotonic()
        with temporary_settings({PREFECT_API_URL: url}), warm_client():
            # Prefect's own patience is a minute for each of several tries.
            assert time.monotonic() - begun < 60


def test_the_flush_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(EventsWorker, "drain_all", lambda **_: release.wait(PATIENCE))
    assert not flush(0.1)
    release.set()
