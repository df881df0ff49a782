"""A clean history to be damaged, and, if asked by ``--planted``, a table of what the auditor found in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

import psycopg
import pytest

from qdash_queue.client.database import Database
from qdash_queue.embedded.prefect_server import PrefectServer
from qdash_queue.mirror import Mirror
from qdash_queue.mirror.connection import connect_mongo, open_qdash
from qdash_queue.mirror.documents.layout import Layout
from qdash_queue.mirror.qdash_setup import ChipPlan, QDashSetup
from tests.chaos.auditor import Violation
from tests.chaos.damaged import Copy, Mirrored, Note
from tests.chaos.installation import QUBITS, USER
from tests.chaos.job_history import CHIP, FlowRuns, JobHistory
from tests.support.databases import CalibDatabase, Cluster
from tests.support.queue_world import FULL_CHIP, PROJECT, open_queue_world

FOUND = pytest.StashKey[dict[str, list[Violation]]]()
_SHOWN = 3


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer the table."""
    parser.addoption(
        "--planted", action="store_true", help="show each planted violation and what the auditor found"
    )


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Note:
    """Remembers what the auditor found in this test."""
    found = request.config.stash.setdefault(FOUND, {})
    name = request.node.name.removeprefix("test_").replace("_", " ")

    def remember(violations: Iterable[Violation]) -> None:
        found.setdefault(name, []).extend(violations)

    return remember


@pytest.fixture(scope="module")
def flow_runs(prefect_server: PrefectServer) -> Iterator[FlowRuns]:
    runs = FlowRuns(prefect_server.url)
    yield runs
    runs.close()


@pytest.fixture(scope="module")
def clean(postgres_server: Cluster, flow_runs: FlowRuns) -> Iterator[CalibDatabase]:
    """A database with the clean history and no connections, to be copied."""
    with postgres_server.database() as database:
        with open_queue_world(database) as world:
            world.add_chip(CHIP)
            JobHistory(world, flow_runs.make).run_all()
            world.owner.execute("SELECT calib.store_png(figure_id, '\\x89504e47') FROM calib.figures")
            world.owner.execute("DELETE FROM calib_private.outbox")  # What is mirrored here is rebuilt.
        yield database


@pytest.fixture
def copy(postgres_server: Cluster, clean: CalibDatabase, flow_runs: FlowRuns, note: Note) -> Iterator[Copy]:
    with (
        postgres_server.database(template=clean.name) as database,
        psycopg.connect(database.overseer.url, autocommit=True) as connection,
        open_queue_world(database, bare=True) as world,
    ):
        world.admin.allow_executor(world.machine.name, CHIP)
        history = JobHistory(world, flow_runs.make)
        history.register()
        yield Copy(history, connection, note)


@pytest.fixture
def mirrored(copy: Copy, mongo_url: str, mongo_database: str, tmp_path: Path) -> Iterator[Mirrored]:
    mongo = connect_mongo(mongo_url)
    qdash = open_qdash(mongo, mongo_database)
    setup = QDashSetup(qdash)
    setup.make_indexes()
    setup.make_project(PROJECT, USER)
    qids = [str(number) for number in range(QUBITS)]
    plan = ChipPlan(chip_id=CHIP, topology_id=FULL_CHIP, qids=qids, edges=[])
    setup.make_chip(PROJECT, USER, plan)
    data_path = tmp_path / "calib_data"
    layout = Layout(base=data_path, base_in_qdash=PurePosixPath("/app/calib_data"))
    with Mirror(Database(str(copy.history.world.database.conninfo)), mongo, mongo_database, layout) as mirror:
        mirror.rebuild()
        yield Mirrored(copy.connection, qdash, data_path, mirror, copy.note)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table."""
    if not config.getoption("--planted", default=False):
        return
    terminalreporter.section("planted, and what the auditor found")
    for name, violations in config.stash.get(FOUND, {}).items():
        terminalreporter.write_line(f"{name}: {len(violations)} violations")
        for violation in violations[:_SHOWN]:
            terminalreporter.write_line(f"    {violation}"[:200])
        if len(violations) > _SHOWN:
            terminalreporter.write_line(f"    and {len(violations) - _SHOWN} more")
