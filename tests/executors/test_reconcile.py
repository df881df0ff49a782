"""Flow runs that no row knows: made for an attempt whose executor died, or gave up, before it noted them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import UUID

import httpx
import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelling, Crashed, Pending, Running

from executors.prefect.client import PrefectLink, PrefectUnreachableError
from executors.prefect.flow_runs import FlowRunRequest, Origin
from executors.prefect.reconcile import close_leftover_flow_runs
from qdash_queue.client.database import Database
from qdash_queue.domain import JobState
from qdash_queue.embedded.prefect_server import PrefectServer
from qdash_queue.stopping import Wakeup
from tests.executors.fleet import Fleet
from tests.executors.flows import NOOP, noop
from tests.support.databases import CalibDatabase
from tests.support.queue_world import QueueWorld, open_queue_world
from tests.support.waiting import until

CHIP = "STRAGGLING"


def test_an_unknown_flow_run_follows_its_attempt(fleet: Fleet) -> None:
    fleet.need(1)
    job_id = fleet.submit("noop")
    job = fleet.ended(job_id)
    ours = Origin(job_id, 1, str(job.executor_id))
    another = Origin(job_id, 1, "an executor of another queue")
    chip = f"chip:{fleet.chip_id}"
    left, foreign = (
        fleet.prefect.create_flow_run(noop, parameters={}, state=Pending(), tags=[chip, *origin.tags])
        for origin in (ours, another)
    )

    def state_of(run: UUID) -> str:
        state = fleet.prefect.read_flow_run(run).state
        assert state is not None
        return state.type.value

    until(lambda: state_of(left.id) == "COMPLETED", "the abandoned flow run to be closed")
    assert state_of(foreign.id) == "PENDING"
    assert set(ours.tags) < set(fleet.flow_run(job_id).tags)


class Meddler(ThreadingHTTPServer):
    """Stands before Prefect's server, and meddles when the states of some flow runs are set."""

    def __init__(self, target: str) -> None:
        super().__init__(("127.0.0.1", 0), Passing)
        self.target = target
        self.tricks: dict[UUID, Callable[[], httpx.Response | None]] = {}

    def instead(self, path: str) -> httpx.Response | None:
        """What is answered in Prefect's place."""
        for run, trick in self.tricks.items():
            if path.endswith(f"{run}/set_state"):
                return trick()
        return None


class Passing(BaseHTTPRequestHandler):
    server: Meddler

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = self.server.instead(self.path) or httpx.request(
            self.command, self.server.target + self.path, content=body, headers=dict(self.headers)
        )
        self.send_response(answer.status_code)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        with suppress(BrokenPipeError):  # The link's watchers leave as they like.
            self.wfile.write(answer.content)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def prefect(prefect_server: PrefectServer) -> Iterator[SyncPrefectClient]:
    with temporary_settings({PREFECT_API_URL: prefect_server.url}), get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def meddler(prefect_server: PrefectServer) -> Iterator[Meddler]:
    with Meddler(f"http://127.0.0.1:{prefect_server.port}") as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def link(meddler: Meddler) -> Iterator[PrefectLink]:
    url = f"http://127.0.0.1:{meddler.server_port}/api"
    with temporary_settings({PREFECT_API_URL: url}), PrefectLink(CHIP, Wakeup()) as link:
        yield link


@pytest.fixture
def world(database: CalibDatabase) -> Iterator[QueueWorld]:
    with open_queue_world(database) as world:
        yield world


@pytest.fixture
def owner(world: QueueWorld) -> Database:
    return world.database


@pytest.fixture
def stragglers(world: QueueWorld, prefect: SyncPrefectClient) -> list[FlowRun]:
    """Five open flow runs of one attempt that is over, in the order in which Prefect tells of them."""
    world.add_chip(CHIP)
    executor = world.ready(CHIP)
    executor.register_catalogue([NOOP.entry()], [])
    claimed, lease = world.claim(executor, world.submit(CHIP, flow="noop", parameters={}))
    lease.conclude(JobState.COMPLETED)
    lease.finish()
    tags = FlowRunRequest.of(claimed, executor.executor_id).tags
    made = [prefect.create_flow_run(noop, parameters={}, state=Pending(), tags=tags) for _ in range(5)]
    order = [run.id for run in prefect.read_flow_runs()]
    return sorted(made, key=lambda run: order.index(run.id))


def test_one_that_prefect_will_not_close_keeps_no_other_open(
    owner: Database,
    prefect: SyncPrefectClient,
    meddler: Meddler,
    link: PrefectLink,
    stragglers: list[FlowRun],
) -> None:
    refused, broken, deleted, *others = [run.id for run in stragglers]
    meddler.tricks = {
        refused: lambda: httpx.Response(422, text="not this one"),
        broken: lambda: httpx.Response(500, text="not now"),
        deleted: lambda: prefect.delete_flow_run(deleted),
    }

    def rest_is_closed() -> bool:
        with suppress(PrefectUnreachableError):
            close_leftover_flow_runs(link, owner, [CHIP])
        return {run.id for run in link.open_flow_runs([CHIP])} == {refused, broken}

    until(rest_is_closed, "all others to be closed")
    states = [prefect.read_flow_run(run).state for run in others]
    assert [state.type.value for state in states if state] == ["COMPLETED", "COMPLETED"]


def test_one_deleted_under_our_hands_needs_nothing_more(
    prefect: SyncPrefectClient, meddler: Meddler, link: PrefectLink
) -> None:
    run = prefect.create_flow_run(noop, parameters={}, state=Pending()).id
    meddler.tricks = {run: lambda: prefect.delete_flow_run(run)}
    link.set_final_state(run, JobState.COMPLETED, "")
    assert link.healthy()
    with pytest.raises(ObjectNotFound):
        prefect.read_flow_run(run)


def _type(prefect: SyncPrefectClient, run: UUID) -> str:
    state = prefect.read_flow_run(run).state
    assert state is not None
    return state.type.value


def test_a_run_that_is_given_up_shows_its_cancel(prefect: SyncPrefectClient, link: PrefectLink) -> None:
    """Though Prefect's own engine has overwritten it, as it does when the flow's process is terminated."""
    lost, cancelled = (prefect.create_flow_run(noop, parameters={}, state=Running()).id for _ in range(2))
    prefect.set_flow_run_state(cancelled, Cancelling())
    prefect.set_flow_run_state(cancelled, Crashed(), force=True)
    assert [link.close_abandoned(run, "") for run in (lost, cancelled)] == [False, True]
    assert [_type(prefect, run) for run in (lost, cancelled)] == ["CRASHED", "CANCELLED"]


def test_a_cancel_beside_the_giving_up_is_seen(
    prefect: SyncPrefectClient, meddler: Meddler, link: PrefectLink
) -> None:
    run = prefect.create_flow_run(noop, parameters={}, state=Running()).id

    def cancel_first() -> None:
        prefect.set_flow_run_state(run, Cancelling())

    meddler.tricks = {run: cancel_first}
    assert link.close_abandoned(run, "")
    link.set_final_state(run, JobState.SCHEDULED, "")
    assert _type(prefect, run) == "CANCELLED"
