"""The auditor finds nothing in a clean history, and every planted violation in a damaged one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from bson import ObjectId
from pymongo.collection import Collection

from qdash_queue.domain import Failure, FailureKind, JobState
from qdash_queue.embedded.prefect_server import PrefectServer
from qdash_queue.errors import LeaseLostError
from qdash_queue.mirror.read.rows import Refusal
from qdash_queue.mirror.write import writer
from qdash_queue.mirror.write.batches import Write, write_all
from qdash_queue.mirror.write.qdash_lookup import MongoDocument
from tests.chaos.audit_outside import audit_hooks, audit_prefect, audit_touches
from tests.chaos.auditor import audit_clients
from tests.chaos.damaged import Copy, Mirrored, Note
from tests.chaos.job_history import LOST, FlowRuns

# ---------------------------------------------------------------------- clean


def test_a_clean_history_has_no_violations(
    copy: Copy, mirrored: Mirrored, flow_runs: FlowRuns, prefect_server: PrefectServer
) -> None:
    assert copy.found() == set()
    assert mirrored.found() == set()
    states = copy.connection.execute(
        "SELECT state, count(*) FROM calib.jobs GROUP BY 1 ORDER BY 1"
    ).fetchall()
    assert states == [("cancelled", 2), ("completed", 2), ("failed", 2)]
    assert audit_prefect(copy.connection, prefect_server.url, [flow_runs.tag]) == []


# ---------------------------------------------------------------------- planted in PostgreSQL


def _write_under_a_lost_lease(copy: Copy) -> None:
    history = copy.history
    job = history.submit(max_attempts=2)
    stale = history.start(job, ends=JobState.FAILED)
    history.lose()
    lease = history.start(job, by=1)
    history.measure(lease, 0)
    history.measure(stale, 1)
    history.end(lease, JobState.COMPLETED)


def test_a_claim_refuses_the_stale_result(copy: Copy) -> None:
    with pytest.raises(LeaseLostError):
        _write_under_a_lost_lease(copy)


def test_claim_switched_off(copy: Copy) -> None:
    copy.change("calib_private.hold_lease", "AND a.claim = p_claim", "")
    _write_under_a_lost_lease(copy)
    assert copy.found() >= {"no result from a stale fence", "no parameter from a stale fence"}


def test_unique_index_switched_off(copy: Copy) -> None:
    history, connection = copy.history, copy.connection
    connection.execute("DROP INDEX calib_private.jobs_one_running_per_chip")
    first = history.start(history.submit(tasks=1))
    keep = "SELECT job_id, executor_id, expires_at, fence FROM calib_private.leases"
    held = connection.execute(keep).fetchone()
    assert held is not None
    connection.execute("UPDATE calib_private.leases SET job_id = NULL, executor_id = NULL, expires_at = NULL")
    second = history.start(history.submit(tasks=1), by=1)
    history.measure(second, 0)
    history.end(second, JobState.COMPLETED)
    connection.execute(
        "UPDATE calib_private.leases SET (job_id, executor_id, expires_at, fence) = ROW (%s, %s, %s, %s)",
        held,
    )
    history.measure(first, 0)
    history.end(first, JobState.COMPLETED)
    assert copy.found() == {"one job on a chip at a time", "the event log holds the chip once"}


def test_fence_given_twice(copy: Copy) -> None:
    copy.connection.execute("UPDATE calib_private.attempts SET fence = 1 WHERE fence = 2")
    assert "fences only grow" in copy.found()


def test_ended_twice(copy: Copy) -> None:
    copy.connection.execute(
        "INSERT INTO calib_private.job_events (job_id, actor, event, old_state, new_state, attempt)"
        " SELECT job_id, actor, event, old_state, new_state, attempt FROM calib_private.job_events"
        " WHERE event = 'completed' ORDER BY event_id LIMIT 1"
    )
    assert copy.found() >= {"one end for each job", "nothing after the end", "the event log tells the state"}


def test_cancel_recorded_as_failed(copy: Copy) -> None:
    copy.change("calib_private.conclude", "v_state := 'cancelled';", "")
    lease = copy.history.cancel_seen(ends=JobState.FAILED)
    assert copy.history.end(lease, JobState.FAILED, LOST) is JobState.FAILED
    assert copy.found() == {"a seen cancel wins"}


def test_cancel_recorded_as_lost(copy: Copy) -> None:
    copy.change("calib_private.end_by_policy", "THEN 'cancelled'", "THEN 'failed'")
    job = copy.history.submit()
    copy.history.start(job, ends=JobState.FAILED)
    copy.history.queue.cancel(job.job_id)
    copy.connection.execute(
        "UPDATE calib_private.cancel_requests SET requested_at = requested_at - interval '1 min'"
    )
    copy.history.lose()
    assert copy.found() == {"no cancel recorded as a loss"}


@pytest.mark.parametrize(("state", "failure"), [(JobState.COMPLETED, None), (JobState.FAILED, LOST)])
def test_cancel_never_checked(copy: Copy, state: JobState, failure: Failure | None) -> None:
    copy.change("calib_private.conclude", "IF v_cancelled AND", "IF false AND")
    history = copy.history
    job = history.submit(tasks=1)
    lease = history.start(job, ends=state)
    history.measure(lease, 0)
    history.queue.cancel(job.job_id)
    copy.connection.execute(
        "UPDATE calib_private.cancel_requests SET requested_at = requested_at - interval '6 s'"
    )
    assert history.end(lease, state, failure) is state
    assert copy.found() == {"a cancel is checked in time"}


def test_result_lost(copy: Copy) -> None:
    copy.connection.execute("DELETE FROM calib_private.parameter_versions WHERE task_run_id IS NOT NULL")
    copy.connection.execute("DELETE FROM calib_private.task_runs WHERE task = 'Drill1'")
    assert copy.found() == {"no result lost", "completed jobs did all they were asked", "results are whole"}


def test_job_lost(copy: Copy) -> None:
    rows = copy.connection.execute("SELECT note ->> 'ticket', job_id FROM calib.jobs").fetchall()
    accepted = {str(ticket): int(str(job_id)) for ticket, job_id in rows}
    assert audit_clients(copy.connection, accepted, []) == []
    found = audit_clients(copy.connection, accepted | {"another": 99}, [])
    copy.note(found)
    assert len(found) == 1


def test_state_changed_beside_the_log(copy: Copy) -> None:
    copy.connection.execute("ALTER TABLE calib_private.jobs DISABLE TRIGGER ALL")
    copy.connection.execute("UPDATE calib_private.jobs SET state = 'cancelled' WHERE job_id = 1")
    assert copy.found() == {"the event log tells the state", "no job is cancelled without a request"}


def test_lost_before_its_attempts_are_over(copy: Copy) -> None:
    copy.change(
        "calib_private.end_by_policy", "THEN 'scheduled' ELSE 'failed'", "THEN 'failed' ELSE 'failed'"
    )
    copy.history.start(copy.history.submit(max_attempts=2), ends=JobState.FAILED)
    copy.history.lose()
    assert copy.found() == {"the lost have had their attempts"}


def test_failed_because_a_server_was_unreachable(copy: Copy) -> None:
    words = "the flow raised DatabaseUnreachableError: no answer"
    unreachable = Failure(kind=FailureKind.INTERNAL, message=words)
    lease = copy.history.start(copy.history.submit(), ends=JobState.FAILED)
    copy.history.end(lease, JobState.FAILED, unreachable)
    assert copy.found() == {"no job fails because a server was unreachable"}


def test_left_running(copy: Copy) -> None:
    copy.history.end(copy.history.start(copy.history.submit(tasks=1)), JobState.COMPLETED)
    copy.history.start(copy.history.submit())
    found = {violation.check for violation in copy.audit()}
    assert found >= {"every job ended", "every chip is free", "the outbox is empty", "Prefect was told"}


# ---------------------------------------------------------------------- planted in MongoDB and files


def _under_a_new_id(write: Write) -> Write:
    key: MongoDocument = {name: value for name, value in write.key.items() if isinstance(value, str)}
    return replace(write, key=key | {"_id": ObjectId()}, only_if={}, on_insert={})


def test_idempotent_upsert_switched_off(mirrored: Mirrored, monkeypatch: pytest.MonkeyPatch) -> None:
    def insert(collection: Collection[MongoDocument], writes: Sequence[Write]) -> list[Refusal]:
        if collection.name not in ("execution_history", "task_result_history"):
            return write_all(collection, writes)
        collection.drop_indexes()  # They would refuse it, and the mirror makes them anew.
        return write_all(collection, [_under_a_new_id(write) for write in writes])

    monkeypatch.setattr(writer, "write_all", insert)
    # What was written before and has not changed is not written again.
    mirrored.qdash["task_result_history"].update_many({}, {"$unset": {"note.qdash_queue.digest": ""}})
    mirrored.mirror.rebuild()
    found = mirrored.found()
    assert any(words.startswith("executions equal jobs") and "2 times" in words for words in found)
    assert any(words.startswith("task results equal task runs") and "2 times" in words for words in found)


def test_doubled_document(mirrored: Mirrored) -> None:
    for collection in ("execution_history", "task_result_history"):
        mirrored.qdash[collection].drop_indexes()
        document = mirrored.qdash[collection].find_one()
        assert document is not None
        del document["_id"]
        mirrored.qdash[collection].insert_one(document)
    found = mirrored.found()
    assert any(words.startswith("executions equal jobs") and "2 times" in words for words in found)
    assert any(words.startswith("task results equal task runs") and "2 times" in words for words in found)


def test_missing_and_foreign_documents(mirrored: Mirrored) -> None:
    mirrored.qdash["execution_history"].delete_one({})
    mirrored.qdash["task_result_history"].update_one(
        {}, {"$set": {"task_id": "00000000-0000-0000-0000-000000000000"}}
    )
    found = mirrored.found()
    assert any("no execution" in words for words in found)
    assert any("is of no task run" in words for words in found)
    assert any("missing" in words for words in found)


def test_stale_document(mirrored: Mirrored) -> None:
    mirrored.qdash["execution_history"].update_one({"status": "completed"}, {"$set": {"status": "running"}})
    assert any("'running'" in words for words in mirrored.found())


def test_stale_parameter(mirrored: Mirrored) -> None:
    mirrored.qdash["qubit"].update_one({"qid": "0"}, {"$set": {"data.drill_0.value": 0.5}})
    assert any(words.startswith("QDash's parameters are those in force") for words in mirrored.found())


@pytest.mark.parametrize("suffix", [".png", ".json", ".csv"])
def test_missing_file(mirrored: Mirrored, suffix: str) -> None:
    next(path for path in mirrored.data_path.rglob(f"*{suffix}")).unlink()
    assert any(f"{suffix} is missing" in words for words in mirrored.found())


def test_spoilt_and_foreign_files(mirrored: Mirrored) -> None:
    picture = next(iter(mirrored.data_path.rglob("*.png")))
    picture.write_bytes(picture.read_bytes()[:-1])
    (mirrored.data_path / "stray.part").touch()
    mirrored.qdash["fs.files"].delete_one({})
    found = mirrored.found()
    assert any("has another content" in words for words in found)
    assert any("stray.part belongs to no task result" in words for words in found)
    assert any("is not in GridFS exactly once" in words for words in found)


# ---------------------------------------------------------------------- planted elsewhere


def test_flow_run_in_another_state(copy: Copy, flow_runs: FlowRuns, prefect_server: PrefectServer) -> None:
    history = copy.history
    lease = history.start(history.submit(tasks=1), ends=JobState.RUNNING)
    history.measure(lease, 0)
    history.end(lease, JobState.COMPLETED)
    abandoned = flow_runs.make(JobState.RUNNING)
    found = audit_prefect(copy.connection, prefect_server.url, [flow_runs.tag])
    flow_runs.force(abandoned, "CRASHED")
    copy.note(found)
    assert {violation.check for violation in found} == {
        "Prefect's runs are in the state of their attempts",
        "no flow run is left open",
    }


def test_cancel_in_prefect_of_a_requeued_attempt(
    copy: Copy, flow_runs: FlowRuns, prefect_server: PrefectServer
) -> None:
    """It counts as the job's where the job is cancelled for it, and is lost where the job completes."""
    history = copy.history
    for cancelled in (True, False):
        job = history.submit(tasks=1, max_attempts=2)
        history.start(job, ends=JobState.CANCELLED)
        history.lose()
        lease = history.start(job, by=1, ends=JobState.CANCELLED if cancelled else JobState.COMPLETED)
        if cancelled:
            lease.cancel_from_prefect("cancelled in Prefect")
        history.measure(lease, 0)
        history.end(lease, JobState.CANCELLED if cancelled else JobState.COMPLETED)
    found = audit_prefect(copy.connection, prefect_server.url, [flow_runs.tag])
    copy.note(found)
    words = [violation.words for violation in found if violation.check.startswith("Prefect's runs")]
    assert [line.partition(",")[0] for line in words] == [f"job {job.job_id} attempt 1 is requeued"]


def test_touch_after_another(tmp_path: Path, note: Note) -> None:
    path = tmp_path / "touches-SIM-0.log"
    path.write_text("1.0 1 7\n2.0 2 8\n")
    assert audit_touches(tmp_path) == []
    path.write_text("1.0 1 7\n2.0 2 8\n2.1 1 7\n")
    found = audit_touches(tmp_path)
    note(found)
    assert len(found) == 1


@pytest.mark.parametrize("missing", [False, True])
def test_hook_of_an_earlier_attempt(copy: Copy, tmp_path: Path, missing: bool) -> None:
    history = copy.history
    job = history.submit(max_attempts=2)
    history.start(job)
    history.lose()
    lease = history.start(job, by=1)
    lease.cancel_from_prefect("cancelled in Prefect")
    lease.log_event("hook_ran", {})
    history.end(lease, JobState.CANCELLED)
    ((first,),) = copy.connection.execute(
        "SELECT flow_run_id FROM calib.attempts WHERE job_id = %s AND attempt = 1", (job.job_id,)
    )
    (tmp_path / "hooks.log").write_text("" if missing else f"{first}\n")
    found = audit_hooks(copy.connection, tmp_path)
    copy.note(found)
    assert [violation.words for violation in found] == [f"job {job.job_id}: 1 events, 0 runs"] * missing


def test_hook_run_twice(copy: Copy, tmp_path: Path) -> None:
    (tmp_path / "hooks.log").write_text("a\nb\na\n")
    found = audit_hooks(copy.connection, tmp_path)
    copy.note(found)
    assert [violation.words for violation in found] == ["flow run a: 2 times"]
