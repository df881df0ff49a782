"""Sweeps of many targets: what fails alone, what fails together, and what a stop leaves."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import psycopg
import pytest

from executors.backends.base import BaseBackend
from executors.engine import TaskFailedError
from executors.flows.calibrate import calibrate
from executors.job.context import JobContext, current_job, instruments_folder
from executors.job.stop import Stopped, StopReason
from qdash_queue.client.models import Sweep
from qdash_queue.client.parameters import Parameters
from qdash_queue.domain import CalibrationError, CancelMode
from tests.engine.many_tasks import ManyTask, breaking
from tests.engine.test_real_tasks import expect_same_analysis
from tests.engine.world import CHIP, PROJECT, USERNAME, World
from tests.support.waiting import until

APART = ["0", "4", "8"]
"""Qubits that may be measured together; 1 is beside 0 and 4."""


def give(world: World, qids: Iterable[str], **values: float) -> None:
    """Store what a task needs."""
    units = {"hpi_length": "ns"}
    for qid in qids:
        for name, value in values.items():
            unit = units.get(name, "a.u.")
            Parameters(world.database, CHIP).set(qid, name, value, unit=unit, reason="for the test")


def kinds(results: dict[str, Any]) -> dict[str, str]:
    """Of each target the failure's cause, or that it passed."""
    return {
        qid: result.failure.cause if isinstance(result, TaskFailedError) else "passed"
        for qid, result in results.items()
    }


def sweeps(world: World, job: JobContext) -> list[Sweep]:
    return list(world.queue.sweeps(job.claimed.job_id))


def calibrate_together(job: JobContext) -> None:
    given: Any = job.claimed.parameters
    calibrate.fn(USERNAME, CHIP, PROJECT, given["qids"], given["tasks"], mode="simultaneous")


def test_a_target_without_input_fails_alone(world: World) -> None:
    give(world, ["0", "8"], pi_amplitude=0.1)
    with world.job(["ManyTask"], APART) as job:
        results = world.session(APART).run_tasks("ManyTask", APART)
    assert kinds(results) == {"0": "passed", "4": "no_value", "8": "passed"}
    assert list(results) == APART
    runs = world.task_runs(job.claimed.job_id)
    failed = runs["ManyTask", "4", 0]
    assert (failed.status, failed.failure_kind) == ("failed", "missing_input")
    assert runs["ManyTask", "0", 0].note == {"measured_with": ["8"], "task_source": "tests"}
    # What was never driven is in no sweep of another.
    assert [sweep.targets for sweep in sweeps(world, job)] == [["4"], ["0", "8"]]
    assert all(sweep.ended_at is not None for sweep in sweeps(world, job))
    value = world.value("8", "t1")
    assert value is not None
    assert value.value == 8.0


def test_the_rows_of_a_sweep_start_in_one_transaction(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    give(world, APART, pi_amplitude=0.1)
    found: list[tuple[str, str]] = []

    def look(_qids: Sequence[str]) -> None:
        with psycopg.connect(world.admin_url) as admin:
            query = "SELECT status, xmin::text FROM calib_private.task_runs"
            found.extend(admin.execute(query).fetchall())

    monkeypatch.setattr(ManyTask, "during", look)
    with world.job(["ManyTask"], APART):
        world.session(APART).run_tasks("ManyTask", APART)
    assert len(found) == len(APART)
    assert len(set(found)) == 1
    assert found[0][0] == "running"


def test_what_one_target_is_refused_for_fails_no_other(world: World) -> None:
    give(world, APART, pi_amplitude=0.1)
    with world.job(["MisfitTask"], APART) as job:
        results = world.session(APART).run_tasks("MisfitTask", APART)
    assert kinds(results) == {"0": "passed", "4": "ZeroDivisionError", "8": "passed"}
    runs = world.task_runs(job.claimed.job_id)
    assert "no fit" in runs["MisfitTask", "4", 0].stack_trace
    assert len({run.sweep_id for run in runs.values()}) == 1
    # What was measured is kept, and can be analysed again.
    stored = [raw for raw in world.queue.raw_data(job.claimed.job_id) if raw.qid == "4"]
    assert [raw.name for raw in stored] == ["iq"]


def test_a_wrong_request_measures_nothing(world: World) -> None:
    give(world, APART, pi_amplitude=0.1)
    with world.job(["ManyTask"], APART) as job:
        session = world.session(APART)
        with pytest.raises(CalibrationError, match="every qid once, got 0, 4, 0"):
            session.run_tasks("ManyTask", ["0", "4", "0"])
        with pytest.raises(CalibrationError, match='qid "1" does not belong'):
            session.run_tasks("ManyTask", ["0", "1"])
        assert session.run_tasks("ManyTask", []) == {}
    assert world.task_runs(job.claimed.job_id) == {}


def test_a_task_for_one_target_runs_on_one_after_another(world: World) -> None:
    with world.job(["GoodTask"], APART) as job:
        results = world.session(APART).run_tasks("GoodTask", APART)
    assert kinds(results) == dict.fromkeys(APART, "passed")
    assert [sweep.targets for sweep in sweeps(world, job)] == [["0"], ["4"], ["8"]]


# ---------------------------------------------------------------------- stops


def stop_when_running(world: World, job: JobContext, mode: CancelMode) -> threading.Thread:
    def watch() -> None:
        until(lambda: "running" in world.statuses(job.claimed.job_id).values())
        world.queue.cancel(job.claimed.job_id, mode, "beam time")
        job.lease.heartbeat(30.0)
        job.stop.request_now(StopReason.CANCEL)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_a_cancel_in_the_middle_of_a_sweep_cancels_all_of_it(world: World) -> None:
    qids = ["0", "4", "1"]
    give(world, qids, pi_amplitude=0.1)
    with world.job(["SlowManyTask", "ManyTask"], qids) as job:
        thread = stop_when_running(world, job, CancelMode.NOW)
        with pytest.raises(Stopped):
            calibrate_together(job)
        thread.join()
        assert job.lease.finish() == "cancelled"
    assert world.statuses(job.claimed.job_id) == {
        ("SlowManyTask", "0"): "cancelled",
        ("SlowManyTask", "4"): "cancelled",
        ("SlowManyTask", "1"): "skipped",
        **{("ManyTask", qid): "skipped" for qid in qids},
    }
    run = world.task_runs(job.claimed.job_id)["SlowManyTask", "4", 0]
    assert run.message == "stopped: cancel"
    (sweep,) = sweeps(world, job)
    assert (sweep.targets, sweep.hardware_seconds) == (["0", "4"], 0.0)
    events = [event.event for event in world.queue.events(job.claimed.job_id)]
    assert events.count("task_cancelled") == 2
    assert events[-1] == "cancelled"


def test_a_stop_while_targets_are_judged_keeps_what_is_committed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(world, APART, pi_amplitude=0.1)
    analyse = ManyTask.analyse

    def stopped(self: ManyTask, execution_id: str, qid: str, given: Any) -> Any:
        job = current_job()
        assert job is not None
        if qid == "0":
            job.stop.request_now(StopReason.DEADLINE)
        return analyse(self, execution_id, qid, given)

    monkeypatch.setattr(ManyTask, "analyse", stopped)
    with world.job(["ManyTask"], APART) as job, pytest.raises(Stopped):
        world.session(APART).run_tasks("ManyTask", APART)
    assert world.statuses(job.claimed.job_id) == {
        ("ManyTask", "0"): "completed",
        ("ManyTask", "4"): "cancelled",
        ("ManyTask", "8"): "cancelled",
    }


def test_after_a_lost_lease_a_sweep_writes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    give(world, APART, pi_amplitude=0.1)

    def lose(_qids: Sequence[str]) -> None:
        job = current_job()
        assert job is not None
        job.stop.request_now(StopReason.LEASE_LOST)

    monkeypatch.setattr(ManyTask, "during", lose)
    with world.job(["ManyTask"], APART) as job, pytest.raises(Stopped):
        world.session(APART).run_tasks("ManyTask", APART)
    assert set(world.statuses(job.claimed.job_id).values()) == {"running"}
    (sweep,) = sweeps(world, job)
    assert sweep.ended_at is None


def test_after_the_task_its_sweep_is_committed_and_no_other_begins(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    qids = ["0", "4", "1"]
    give(world, qids, pi_amplitude=0.1)

    def ask(_qids: Sequence[str]) -> None:
        job = current_job()
        assert job is not None
        world.queue.cancel(job.claimed.job_id, CancelMode.AFTER_TASK, "lunch")
        job.lease.heartbeat(30.0)
        job.stop.request_after_task(StopReason.CANCEL)

    monkeypatch.setattr(ManyTask, "during", ask)
    with world.job(["ManyTask"], qids) as job:
        with pytest.raises(Stopped):
            calibrate_together(job)
        assert job.lease.finish() == "cancelled"
    assert world.statuses(job.claimed.job_id) == {
        ("ManyTask", "0"): "completed",
        ("ManyTask", "4"): "completed",
        ("ManyTask", "1"): "skipped",
    }
    assert world.value("4", "t1") is not None


def test_a_sweep_over_its_time_fails_all_targets_and_is_made_idle(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(world, APART, pi_amplitude=0.1)
    made_idle = count_calls(monkeypatch, "quiesce")
    with world.job(["ImpatientManyTask"], APART) as job:
        results = world.session(APART).run_tasks("ImpatientManyTask", APART)
    assert kinds(results) == dict.fromkeys(APART, "task_timeout")
    assert len(sweeps(world, job)) == 1
    assert len(made_idle) == 1


# ---------------------------------------------------------------------- the instrument


def count_calls(monkeypatch: pytest.MonkeyPatch, name: str) -> list[str]:
    from executors.backends.fake import FakeBackend

    calls: list[str] = []
    original: Callable[[BaseBackend], None] = getattr(FakeBackend, name)

    def counted(self: BaseBackend) -> None:
        calls.append(name)
        original(self)

    monkeypatch.setattr(FakeBackend, name, counted)
    return calls


def test_an_instruments_error_fails_all_targets(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    give(world, APART, pi_amplitude=0.1)
    during, seen = breaking("no answer from XB1 and B10")
    monkeypatch.setattr(ManyTask, "during", during)
    made_idle = count_calls(monkeypatch, "quiesce")
    with world.job(["ManyTask"], APART) as job:
        results = world.session(APART).run_tasks("ManyTask", APART)
    assert kinds(results) == dict.fromkeys(APART, "test_fault")
    assert seen == [APART]
    assert len(made_idle) == 1
    assert len(sweeps(world, job)) == 1


def test_an_error_of_a_box_fails_its_targets_and_measures_the_others_once_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(world, APART, pi_amplitude=0.1)
    during, seen = breaking("box B1: link down")
    monkeypatch.setattr(ManyTask, "during", during)
    made_idle = count_calls(monkeypatch, "quiesce")
    with world.job(["ManyTask"], APART) as job:
        results = world.session(APART).run_tasks("ManyTask", APART)
    assert kinds(results) == {"0": "passed", "4": "test_fault", "8": "passed"}
    assert seen == [APART, ["0", "8"]]
    assert len(made_idle) == 1
    first, second = sweeps(world, job)
    assert (first.targets, second.targets) == (APART, ["0", "8"])
    runs = {qid: run for (_, qid, _), run in world.task_runs(job.claimed.job_id).items()}
    assert {qid: run.sweep_id for qid, run in runs.items()} == {
        "0": second.sweep_id,
        "4": first.sweep_id,
        "8": second.sweep_id,
    }
    assert [runs[qid].note["measured_with"] for qid in APART] == [["8"], ["0", "8"], ["0"]]


def test_a_second_error_fails_the_rest(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    give(world, APART, pi_amplitude=0.1)
    during, seen = breaking("box B1: link down", "box B2: link down")
    monkeypatch.setattr(ManyTask, "during", during)
    with world.job(["ManyTask"], APART):
        results = world.session(APART).run_tasks("ManyTask", APART)
    assert kinds(results) == dict.fromkeys(APART, "test_fault")
    assert seen == [APART, ["0", "8"]]


def test_a_broken_box_of_the_simulated_instrument(world: World) -> None:
    folder = instruments_folder(world.state_path)
    folder.mkdir(parents=True)
    (folder / f"{CHIP}.faults.json").write_text(json.dumps({"error_box": "B1", "error_at_execution": 3}))
    give(world, APART, hpi_amplitude=0.0331, hpi_length=32.0)
    with world.job(["CheckT1"], APART) as job:
        session = world.session(APART)
        results = session.run_tasks("CheckT1", APART)
        used = session._open().backend.hardware_seconds
    assert kinds(results)["4"] == "simulated_fault"
    first, second = sweeps(world, job)
    assert (first.targets, second.targets) == (APART, ["0", "8"])
    # Each task run has its share, so that their sum is the instrument's time of the job.
    shares = [run.hardware_seconds or 0.0 for run in world.queue.task_runs(job.claimed.job_id)]
    assert sum(shares) == pytest.approx(used, rel=1e-9)
    total = (first.hardware_seconds or 0.0) + (second.hardware_seconds or 0.0)
    assert total == pytest.approx(used, rel=1e-9)


def test_each_target_of_a_sweep_can_be_analysed_again_alone(world: World) -> None:
    give(world, APART, hpi_amplitude=0.0331, hpi_length=32.0)
    with world.job(["CheckT1"], APART) as job:
        results = world.session(APART).run_tasks("CheckT1", APART)
    assert kinds(results) == dict.fromkeys(APART, "passed")
    runs = world.queue.task_runs(job.claimed.job_id)
    assert len({run.sweep_id for run in runs}) == 1
    for run in runs:
        expect_same_analysis(world, run)
