"""A transaction left open after anything that a role may call: the queue goes on, or the server ends it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from qdash_queue.cli.doctor.findings import Level
from qdash_queue.cli.doctor.transactions import transaction_findings
from qdash_queue.errors import DatabaseBusyError
from qdash_queue.migrate import MIGRATION_LOCK
from tests.contract.meeting import full_life
from tests.hostile.functions import callers, fair_call, functions, present
from tests.hostile.target import ROLES, Target, open_target
from tests.support.databases import Cluster
from tests.support.queue_world import PROJECT, Connection, QueueWorld, insert
from tests.support.waiting import PATIENCE, until

BOUND = "10s"


@pytest.fixture(scope="module")
def target(postgres_server: Cluster) -> Iterator[Target]:
    with postgres_server.database() as database, open_target(database) as target:
        for person in (target.world.machine, target.world.ana, target.world.olga):
            target.world.owner.execute(f"ALTER ROLE {person.name} SET lock_timeout = '400ms'".encode())
            person.database.close()
        yield target


def queue_goes_on(world: QueueWorld, chip_id: str) -> None:
    """Everything that others do with a chip, none of it waiting."""
    claimed, _ = world.running(chip_id)
    waiting = world.submit(chip_id, world.olga)
    world.olga.queue.edit(waiting, priority=5)
    full_life(world, claimed)
    world.olga.queue.cancel(waiting)
    world.ready(chip_id).sweep()


def bound(session: Connection) -> str:
    row = session.execute("SHOW idle_in_transaction_session_timeout").fetchone()
    assert row is not None
    return str(row["idle_in_transaction_session_timeout"])


def test_no_call_left_open_stops_the_queue(target: Target) -> None:
    """An executor's verbs concern a chip of its own, all other verbs the chip in use."""
    world, chip_id = target.world, target.world.chip()
    own = target.running_job()
    own_likely = present(target, target.chip_id, own)
    holders = {role: world.session(target.person(role)) for role in ROLES}
    unbound = []
    for function in functions(target):
        claimed, _ = world.running(chip_id)
        world.submit(chip_id)
        likely = present(target, chip_id, claimed)
        allowed = callers(target, function)
        holder = holders[allowed[0]]
        try:
            holder.execute(*fair_call(function, own_likely if "executor" in allowed else likely))
            timeout = bound(holder)
            try:
                full_life(world, claimed)
                world.ready(chip_id).claim()
                world.olga.queue.cancel(world.submit(chip_id, world.olga))
                world.ready(chip_id).sweep()
            except DatabaseBusyError as error:
                if timeout != BOUND:
                    unbound.append(f"{function.name} of {allowed[0]}: {error}")
        except psycopg.Error as error:
            if not (error.sqlstate or "").startswith("CQ"):
                unbound.append(f"{function.name} of {allowed[0]}: {error}")
        finally:
            holder.rollback()
            _begin_again(world, chip_id)
    assert unbound == []


def _begin_again(world: QueueWorld, chip_id: str) -> None:
    world.owner.execute(
        "UPDATE calib_private.leases SET job_id = NULL, executor_id = NULL, expires_at = NULL"
        " WHERE chip_id = %s",
        (chip_id,),
    )
    world.owner.execute(
        "UPDATE calib_private.chips SET paused = false, pause_reason = NULL WHERE chip_id = %s", (chip_id,)
    )
    world.owner.execute("DELETE FROM calib_private.parameter_versions WHERE chip_id = %s", (chip_id,))
    world.owner.execute("DELETE FROM calib_private.jobs WHERE chip_id = %s", (chip_id,))


def test_a_claim_left_open_is_ended_by_the_server(target: Target) -> None:
    """It holds the day's counter of execution ids, which every first claim of every chip needs."""
    world, other = target.world, target.world.chip()
    world.submit(other)
    world.ready(other)
    holder = world.session(world.machine)
    holder.execute("SELECT FROM calib.claim(%s, %s, gen_random_uuid())", (other, f"{other}/one"))
    assert bound(holder) == BOUND
    holder.rollback()


@pytest.mark.parametrize(
    "held",
    [
        "SELECT * FROM calib.jobs",
        "DECLARE c CURSOR WITH HOLD FOR SELECT * FROM calib.jobs",
        "LOCK TABLE calib.jobs IN ROW EXCLUSIVE MODE",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SELECT count(*) FROM calib.jobs",
        f"SELECT pg_advisory_lock({MIGRATION_LOCK})",
        "SELECT pg_advisory_xact_lock(job_id) FROM calib.jobs",
        "SELECT pg_notify('calib_HOSTILE1', 'held')",
        'LISTEN "calib_HOSTILE1"; SELECT 1',
        "CREATE TEMP TABLE jobs (job_id bigint); INSERT INTO jobs VALUES (1)",
        "SELECT lo_create(0)",
        "SAVEPOINT a; SELECT 1; SAVEPOINT b",
    ],
)
def test_no_statement_left_open_stops_the_queue(target: Target, held: str) -> None:
    chip_id = target.world.chip()
    target.world.submit(chip_id)
    holder = target.world.session(target.person("submitter"))
    holder.execute(held.encode())
    queue_goes_on_with(target.world, chip_id)
    holder.rollback()
    holder.execute("SELECT pg_advisory_unlock_all()")
    holder.close()


def queue_goes_on_with(world: QueueWorld, chip_id: str) -> None:
    """The same on a chip whose first job waits already."""
    claimed = world.ready(chip_id).claim()
    assert claimed is not None
    full_life(world, claimed)
    queue_goes_on(world, chip_id)


def test_a_prepared_transaction_cannot_be_made(target: Target) -> None:
    """It would hold its locks without a session. Off in PostgreSQL by default."""
    session = target.world.session(target.person("submitter"))
    insert(session, project_id=PROJECT, chip_id=target.chip_id, flow="repeat", dedup_key="prepared")
    with pytest.raises(psycopg.Error):
        session.execute("PREPARE TRANSACTION 'hostile'")
    session.rollback()


@pytest.mark.parametrize("viewer", ["owner", "submitter"])
def test_the_doctor_names_who_is_in_the_way(target: Target, viewer: str) -> None:
    """An open INSERT holds a dedup key; even a login without rights to statistics reads who does."""
    world = target.world
    operator, submitter = target.person("operator"), target.person("submitter")
    with psycopg.connect(operator.url, application_name="a notebook") as holder:
        pid = holder.info.backend_pid
        columns = "project_id, chip_id, flow, dedup_key"
        statement = (
            f"INSERT INTO calib.jobs ({columns}) VALUES ('demo', 'HOSTILE1', 'repeat', '{viewer}')".encode()
        )
        holder.execute(statement)
        with ThreadPoolExecutor(1) as pool:
            waiter = world.session(submitter, autocommit=True)
            waiting = pool.submit(waiter.execute, statement)
            try:
                watching = world.owner if viewer == "owner" else world.session(submitter, autocommit=True)
                words, remedy = _blocker(watching, pid)
            finally:
                holder.rollback()
            waiting.result(timeout=PATIENCE)
    assert f"process {pid} of {operator.name} (a notebook) is" in words
    assert f"sessions that it blocks: 1 (process {waiter.info.backend_pid} of {submitter.name}" in words
    assert ("its transaction open since" in words) == (viewer == "owner")
    assert f"SELECT pg_terminate_backend({pid});" in remedy


def _blocker(watching: Connection, pid: int) -> tuple[str, str]:
    """What the doctor says about a process once another has waited for it long enough."""

    def blocker() -> tuple[str, str] | None:
        for finding in transaction_findings(watching):
            if finding.level is Level.PROBLEM and f"process {pid} " in finding.words:
                return finding.words, finding.remedy
        return None

    return until(blocker, "a session to be blocked")
