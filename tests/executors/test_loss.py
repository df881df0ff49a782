"""Executors, servers and leases that are lost in the middle of a job."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from executors.child.forkserver import SOCKET_FOLDER
from executors.main import EXIT_LOST
from qdash_queue.domain import CancelMode, FailureKind, JobState
from tests.executors.fleet import Fleet, is_alive
from tests.support.executor_world import StartedProcess
from tests.support.waiting import until

START = ["submitted", "claimed", "flow_run_created", "flow_started"]
AGAIN = ["claimed", "flow_run_created", "flow_started", "child_exited", "concluded", "completed"]


@pytest.fixture(autouse=True)
def restored(fleet: Fleet) -> Iterator[None]:
    yield
    if fleet.relay.is_cut:
        fleet.relay.restore()


def _claimed_while_prefect_is_mute(fleet: Fleet) -> bool:
    """Whether a job was claimed before its executor missed Prefect; it is cancelled then, and must end."""
    with fleet.relay.held():
        job_id = fleet.submit("noop")
        until = time.monotonic() + 3
        while "claimed" not in fleet.events(job_id):
            if time.monotonic() > until:
                return False
        fleet.queue.cancel(job_id, CancelMode.NOW)
        assert fleet.ended(job_id).state is JobState.CANCELLED
    early = ["submitted", "claimed", "cancel_requested", "cancel_seen"]
    assert fleet.events(job_id) == [*early, "stop_requested", "concluded", "cancelled"]
    return True


def test_a_cancel_does_not_wait_for_prefects_answer(fleet: Fleet) -> None:
    fleet.need(1)
    for _ in range(10):
        fleet.settle()
        if _claimed_while_prefect_is_mute(fleet):
            return
    raise AssertionError("no job was ever claimed before its executor missed Prefect")


def test_prefect_away_before_the_claim(fleet: Fleet) -> None:
    fleet.need(1)
    fleet.relay.cut()
    condition = "Prefect does not answer: jobs wait"
    until(
        lambda: condition in {row.condition for row in fleet.queue.executors()}, "the condition to be shown"
    )
    job_id = fleet.submit("noop")
    until(lambda: fleet.queue.get(job_id).waiting_for == condition, "the job to say why it waits")
    assert fleet.events(job_id) == ["submitted"]
    fleet.relay.restore()
    assert fleet.ended(job_id).state is JobState.COMPLETED


def test_prefect_dies_in_the_middle(fleet: Fleet) -> None:
    fleet.need(1)
    job_id = fleet.submit("sleep", {"seconds": 1})
    fleet.started(job_id)
    fleet.relay.cut()
    assert fleet.ended(job_id).state is JobState.COMPLETED
    assert [event for event in fleet.events(job_id) if event != "sigkill"] == [
        *START,
        "child_exited",
        "concluded",
        "completed",
    ]
    fleet.relay.restore()
    assert fleet.prefect_state(job_id) == "COMPLETED"


def test_connections_to_the_database_are_cut(fleet: Fleet) -> None:
    fleet.need(1)
    job_id = fleet.submit("sleep", {"seconds": 1.5})
    fleet.started(job_id)
    fleet.owner.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name LIKE 'qdash-%' AND pid <> pg_backend_pid()"
    )
    assert fleet.ended(job_id).state is JobState.COMPLETED
    assert fleet.events(job_id) == [*START, "child_exited", "concluded", "completed"]


def test_connections_are_cut_under_a_child_that_waits(fleet: Fleet) -> None:
    fleet.need(1)
    fleet.ended(fleet.submit("noop"))
    sessions = (
        "FROM pg_stat_activity WHERE usename <> current_user AND datname = current_database()"
        " AND application_name = 'qdash-queue'"
    )
    cut = f"SELECT count(pg_terminate_backend(pid)) AS n {sessions}"
    # A warm child opens its connection before it has a job.
    until(lambda: fleet.owner.rows(cut)[0]["n"], "the warm child's connection")
    until(lambda: not fleet.owner.rows(cut)[0]["n"], "their end, and that of one opened meanwhile")
    job_id = fleet.submit("noop")
    assert fleet.ended(job_id).state is JobState.COMPLETED
    assert fleet.events(job_id) == [*START, "child_exited", "concluded", "completed"]


def test_sessions_that_are_ended_in_a_loop_pause_no_chip(fleet: Fleet) -> None:
    """Each job leaves the instrument to be quiesced, and no database is the instrument's fault."""
    (executor,) = fleet.need(1)[:1]
    done = threading.Event()

    def end_sessions() -> int:
        count = 0
        while not done.wait(0.1):  # Between two rounds there is time for a verb, or no lease could be kept.
            count += fleet.owner.rows(
                "SELECT count(pg_terminate_backend(pid)) AS n FROM pg_stat_activity WHERE usename IN"
                " (SELECT usename FROM pg_stat_activity WHERE application_name LIKE 'qdash-executor %')"
            )[0]["n"]
        return count

    with ThreadPoolExecutor() as pool:
        ending = pool.submit(end_sessions)
        try:
            jobs = [fleet.submit("busy", {"seconds": 0.2, "then": "fail"}) for _ in range(6)]
            ended = [fleet.ended(job_id) for job_id in jobs]
        finally:
            done.set()
        assert ending.result() > len(jobs)
    assert [job.failure_kind for job in ended if job.failure_kind is FailureKind.INSTRUMENT] == []
    assert not fleet.queue.chip(fleet.chip_id).paused
    assert executor.is_alive, executor.log.read_text()


@pytest.mark.parametrize("table", ["leases", "executors"])
def test_a_statement_that_is_cancelled_costs_nothing(fleet: Fleet, table: str) -> None:
    """Of the thread that keeps the lease, and of the idle executor that says it lives."""
    (executor,) = fleet.need(1)
    job_id = fleet.submit("sleep", {"seconds": 4 if table == "leases" else 0})
    fleet.started(job_id)
    with psycopg.connect(fleet.owner.conninfo) as connection:
        connection.execute(f"LOCK TABLE calib_private.{table} IN EXCLUSIVE MODE".encode())
        waiting = (
            "SELECT pid, pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            f" AND application_name = 'qdash-executor {fleet.chip_id}'"
        )
        until(lambda: fleet.owner.rows(waiting), "a statement of the executor to wait and be cancelled")
    assert fleet.ended(job_id).state is JobState.COMPLETED
    assert fleet.events(job_id) == [*START, "child_exited", "concluded", "completed"]
    assert fleet.ended(fleet.submit("noop")).state is JobState.COMPLETED
    assert executor.is_alive


def test_a_job_waits_while_no_folder_can_be_made_for_it(fleet: Fleet) -> None:
    fleet.need(1)
    fleet.settle()
    folders, elsewhere = fleet.state_path / "jobs", fleet.state_path / "elsewhere"
    folders.rename(elsewhere)
    folders.write_text("a file in the folders' place")
    condition = "no folder can be made for a job: jobs wait"
    try:
        job_id = fleet.submit("noop")
        until(lambda: fleet.queue.get(job_id).waiting_for == condition, "the job to say why it waits")
        assert fleet.events(job_id) == ["submitted"]
    finally:
        folders.unlink()
        elsewhere.rename(folders)
    assert fleet.ended(job_id).state is JobState.COMPLETED


def _expect_to_end(executor: StartedProcess, job_id: int, said_before: str) -> None:
    """The executor stops its job and itself, and says why in one sentence."""
    assert executor.wait() == EXIT_LOST
    until(lambda: not executor.family(), "all processes of the executor to end")
    *_, last = executor.log.read_text().splitlines()
    assert last == (
        f"the lease on job {job_id} is not known under this claim: another executor may drive the chip;"
        " this executor has stopped its job and ends: start it again"
    )
    assert "Traceback" not in executor.log.read_text().removeprefix(said_before)


def test_lease_is_taken_away(fleet: Fleet) -> None:
    (executor,) = fleet.need(1)
    job_id = fleet.submit("sleep", {"seconds": 3000})
    pid, said_before = fleet.started(job_id), executor.log.read_text()
    fleet.owner.execute(
        "UPDATE calib_private.leases SET expires_at = now() - interval '1 s' WHERE job_id IS NOT NULL"
    )
    fleet.owner.execute("SELECT calib.sweep()")
    job = fleet.queue.get(job_id)
    assert (job.state, job.failure_kind) == (JobState.FAILED, FailureKind.LOST)
    until(lambda: not is_alive(pid), "the child to be killed")
    _expect_to_end(executor, job_id, said_before)
    next_id = fleet.submit("noop")
    fleet.need(1)
    assert fleet.ended(next_id).state is JobState.COMPLETED
    assert fleet.events(next_id)[:3] == ["submitted", "claimed", "quiesced"]
    assert fleet.events(job_id) == [*START, "lease_expired", "failed"]
    assert fleet.prefect_state(job_id) in ("FAILED", "CRASHED")


def _leave(fleet: Fleet) -> None:
    for executor in fleet.members:
        executor.signal(signal.SIGTERM)
        assert executor.wait() == 0
    fleet.members = []


def test_the_lease_goes_to_another_executor(fleet: Fleet) -> None:
    """As after a failover that lost the claim: the same job, attempt and fence, held by another."""
    _leave(fleet)
    slow = replace(fleet, lease_seconds=180, heartbeat_seconds=60, members=[])
    (executor,) = slow.need(1)
    job_id = fleet.submit("tight", {"seconds": 60})  # It heeds nothing but SIGKILL.
    pid, said_before = fleet.started(job_id), executor.log.read_text()
    mine = "WHERE job_id = %s AND executor_id IS NOT NULL"
    with psycopg.connect(fleet.owner.conninfo) as connection:
        connection.execute(f"UPDATE calib_private.attempts SET claim = gen_random_uuid() {mine}", (job_id,))
        connection.execute(f"UPDATE calib_private.leases SET executor_id = 'another' {mine}", (job_id,))
        connection.execute(f"UPDATE calib_private.jobs SET executor_id = 'another' {mine}", (job_id,))
    until(lambda: not is_alive(pid), "the child to be killed before the next heartbeat")
    _expect_to_end(executor, job_id, said_before)
    assert fleet.queue.get(job_id).state is JobState.RUNNING, "the job of another"
    assert fleet.events(job_id) == START, "it was killed without a word, and its instrument left alone"
    fleet.owner.execute(
        "UPDATE calib_private.leases SET expires_at = now() - interval '1 s' WHERE job_id = %(id)s", id=job_id
    )
    fleet.owner.execute("SELECT calib.sweep()")


def test_executor_is_frozen(fleet: Fleet) -> None:
    (executor,) = fleet.need(1)
    job_id = fleet.submit("sleep", {"seconds": 3000})
    pid = fleet.started(job_id)
    executor.signal(signal.SIGSTOP)
    until(lambda: not is_alive(pid), "the child to end before its lease")
    assert fleet.queue.get(job_id).state is JobState.RUNNING
    left = fleet.owner.rows(
        "SELECT expires_at > now() AS holds FROM calib_private.leases WHERE job_id = %(id)s", id=job_id
    )
    assert left[0]["holds"], "the child was dead while the lease still held"
    executor.signal(signal.SIGCONT)
    job = fleet.ended(job_id)
    assert job.state is JobState.FAILED
    assert job.failure_kind in (FailureKind.LOST, FailureKind.INTERNAL)


def test_executor_is_killed_while_it_comes_up(fleet: Fleet) -> None:
    executor = fleet.start()
    until(lambda: len(executor.family()) > 1, "the forkserver")
    executor.signal(signal.SIGKILL)
    executor.wait()
    until(lambda: not executor.family(), "the forkserver to end")


@pytest.mark.parametrize("max_attempts", [2, 1])
def test_executor_is_killed_beside_a_standby(fleet: Fleet, max_attempts: int) -> None:
    fleet.need(2)
    fleet.settle()
    job_id = fleet.submit("patient", {"seconds": 3000}, max_attempts=max_attempts)
    pid = fleet.started(job_id)
    executor = fleet.holder(job_id)
    folders = [process.environ().get(SOCKET_FOLDER) for process in executor.family()]
    folder = Path(next(name for name in folders if name))
    assert folder.is_dir()
    executor.signal(signal.SIGKILL)
    executor.wait()
    until(lambda: not executor.family(), "all processes of the killed executor to end")
    assert not is_alive(pid)
    assert not folder.exists(), "nothing of it stays behind"
    job = fleet.ended(job_id)
    if max_attempts == 1:
        assert (job.state, job.failure_kind) == (JobState.FAILED, FailureKind.LOST)
        assert fleet.events(job_id) == [*START, "lease_expired", "failed"]
        assert fleet.prefect_state(job_id) in ("FAILED", "CRASHED")
    else:
        assert (job.state, job.attempt) == (JobState.COMPLETED, 2)
        claimed, *rest = AGAIN
        assert fleet.events(job_id) == [*START, "lease_expired", "requeued", claimed, "quiesced", *rest]
        assert fleet.prefect_state(job_id, 1) in ("FAILED", "CRASHED")
        assert fleet.prefect_state(job_id, 2) == "COMPLETED"


@pytest.mark.parametrize("max_attempts", [2, 1])
def test_executor_is_told_to_stop(fleet: Fleet, max_attempts: int) -> None:
    (executor, *_) = fleet.need(1)
    for other in fleet.members[1:]:
        other.signal(signal.SIGTERM)
        assert other.wait() == 0
    fleet.settle()
    job_id = fleet.submit("patient", {"seconds": 3000}, max_attempts=max_attempts)
    fleet.started(job_id)
    executor.signal(signal.SIGTERM)
    assert executor.wait() == 0
    until(lambda: not executor.family(), "all processes of the executor to end")
    stop = ["stop_requested", "sigterm", "child_exited", "quiesced"]
    job = fleet.queue.get(job_id)
    if max_attempts == 1:
        assert (job.state, job.failure_kind) == (JobState.FAILED, FailureKind.SHUTDOWN)
        assert fleet.events(job_id) == [*START, *stop, "failed"]
    else:
        assert fleet.events(job_id) == [*START, *stop, "requeued"]
        fleet.need(1)
        assert fleet.ended(job_id).state is JobState.COMPLETED
        assert fleet.events(job_id) == [*START, *stop, "requeued", *AGAIN]


def test_refusals_are_one_sentence(fleet: Fleet) -> None:
    wrong_kind = fleet.command("--chip", fleet.chip_id, "--backend", "qubex")
    assert wrong_kind.returncode == 3
    assert 'driven by backend "fake"' in wrong_kind.stderr
    assert wrong_kind.stderr.count("\n") == 1
    unknown = fleet.command("register", "--chip", "SIM17")
    assert unknown.returncode == 3
    chips = fleet.owner.rows("SELECT string_agg(chip_id, ', ' ORDER BY chip_id) AS names FROM calib.chips")
    assert unknown.stderr == f'unknown chip "SIM17": expected one of {chips[0]["names"]}\n'
