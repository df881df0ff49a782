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
from tests.contract.lab import PROJECT, Connection, Lab, insert
from tests.contract.meeting import full_life
from tests.hostile.functions import callers, fair_call, functions, present
from tests.hostile.stage import ROLES, Stage, open_stage
from tests.support.databases import Cluster
from tests.support.waiting import PATIENCE, until

BOUND = "10s"


@pytest.fixture(scope="module")
def stage(postgres_server: Cluster) -> Iterator[Stage]:
    with postgres_server.database() as database, open_stage(database) as stage:
        for person in (stage.lab.machine, stage.lab.ana, stage.lab.olga):
            stage.lab.owner.execute(f"ALTER ROLE {person.name} SET lock_timeout = '400ms'".encode())
            person.database.close()
        yield stage


def queue_goes_on(lab: Lab, chip_id: str) -> None:
    """Everything that others do with a chip, none of it waiting."""
    claimed, _ = lab.running(chip_id)
    waiting = lab.submit(chip_id, lab.olga)
    lab.olga.queue.set_priority(waiting, 5)
    full_life(lab, claimed)
    lab.olga.queue.cancel(waiting)
    lab.ready(chip_id).sweep()


def bound(session: Connection) -> str:
    row = session.execute("SHOW idle_in_transaction_session_timeout").fetchone()
    assert row is not None
    return str(row["idle_in_transaction_session_timeout"])


def test_no_call_left_open_stops_the_queue(stage: Stage) -> None:
    """An executor's verbs are about a chip of its own; everybody else's about the one that is used."""
    lab, chip_id = stage.lab, stage.lab.chip()
    own = stage.running_job()
    own_likely = present(stage, stage.chip_id, own)
    holders = {role: lab.session(stage.person(role)) for role in ROLES}
    unbound = []
    for function in functions(stage):
        claimed, _ = lab.running(chip_id)
        lab.submit(chip_id)
        likely = present(stage, chip_id, claimed)
        allowed = callers(stage, function)
        holder = holders[allowed[0]]
        try:
            holder.execute(*fair_call(function, own_likely if "executor" in allowed else likely))
            timeout = bound(holder)
            try:
                full_life(lab, claimed)
                lab.ready(chip_id).claim()
                lab.olga.queue.cancel(lab.submit(chip_id, lab.olga))
                lab.ready(chip_id).sweep()
            except DatabaseBusyError as error:
                if timeout != BOUND:
                    unbound.append(f"{function.name} of {allowed[0]}: {error}")
        except psycopg.Error as error:
            if not (error.sqlstate or "").startswith("CQ"):
                unbound.append(f"{function.name} of {allowed[0]}: {error}")
        finally:
            holder.rollback()
            _begin_again(lab, chip_id)
    assert unbound == []


def _begin_again(lab: Lab, chip_id: str) -> None:
    lab.owner.execute(
        "UPDATE calib_private.leases SET job_id = NULL, executor_id = NULL, expires_at = NULL"
        " WHERE chip_id = %s",
        (chip_id,),
    )
    lab.owner.execute(
        "UPDATE calib_private.chips SET paused = false, pause_reason = NULL WHERE chip_id = %s", (chip_id,)
    )
    lab.owner.execute("DELETE FROM calib_private.parameter_versions WHERE chip_id = %s", (chip_id,))
    lab.owner.execute("DELETE FROM calib_private.jobs WHERE chip_id = %s", (chip_id,))


def test_a_claim_left_open_is_ended_by_the_server(stage: Stage) -> None:
    """It holds the day's counter of execution ids, which every first claim of every chip needs."""
    lab, other = stage.lab, stage.lab.chip()
    lab.submit(other)
    lab.ready(other)
    holder = lab.session(lab.machine)
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
def test_no_statement_left_open_stops_the_queue(stage: Stage, held: str) -> None:
    chip_id = stage.lab.chip()
    stage.lab.submit(chip_id)
    holder = stage.lab.session(stage.person("submitter"))
    holder.execute(held.encode())
    queue_goes_on_with(stage.lab, chip_id)
    holder.rollback()
    holder.execute("SELECT pg_advisory_unlock_all()")
    holder.close()


def queue_goes_on_with(lab: Lab, chip_id: str) -> None:
    """The same on a chip whose first job waits already."""
    claimed = lab.ready(chip_id).claim()
    assert claimed is not None
    full_life(lab, claimed)
    queue_goes_on(lab, chip_id)


def test_a_prepared_transaction_cannot_be_made(stage: Stage) -> None:
    """It would hold its locks without a session. Off in PostgreSQL unless somebody turns it on."""
    session = stage.lab.session(stage.person("submitter"))
    insert(session, project_id=PROJECT, chip_id=stage.chip_id, flow="repeat", dedup_key="prepared")
    with pytest.raises(psycopg.Error):
        session.execute("PREPARE TRANSACTION 'hostile'")
    session.rollback()


@pytest.mark.parametrize("viewer", ["owner", "submitter"])
def test_the_doctor_names_who_is_in_the_way(stage: Stage, viewer: str) -> None:
    """An open INSERT holds a dedup key; even a login without rights to statistics reads who does."""
    lab = stage.lab
    operator, submitter = stage.person("operator"), stage.person("submitter")
    with psycopg.connect(operator.url, application_name="a notebook") as holder:
        pid = holder.info.backend_pid
        columns = "project_id, chip_id, flow, dedup_key"
        statement = (
            f"INSERT INTO calib.jobs ({columns}) VALUES ('demo', 'HOSTILE1', 'repeat', '{viewer}')".encode()
        )
        holder.execute(statement)
        with ThreadPoolExecutor(1) as pool:
            waiter = lab.session(submitter, autocommit=True)
            waiting = pool.submit(waiter.execute, statement)
            try:
                watching = lab.owner if viewer == "owner" else lab.session(submitter, autocommit=True)
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

    return until(blocker, "somebody to be blocked")
