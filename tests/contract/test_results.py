"""What an executor may record, once, under its claim, up to the limits."""

from __future__ import annotations

import uuid

import psycopg
import pytest

from qdash_queue.client.records import FigureRecord, PlannedTask, RawDataRecord, TaskRecord
from qdash_queue.domain import Failure, FailureKind, JobState, ParameterModel, TaskStatus
from qdash_queue.errors import (
    BadValueError,
    IllegalTransitionError,
    TooLargeError,
    UnknownNameError,
)
from tests.support.queue_world import QueueWorld

RABI = PlannedTask(task="CheckRabi", qid="0")
MIB = 1024 * 1024
FIGURE = FigureRecord(name="rabi", plotly='{"data": [], "layout": {}}')
RAW = RawDataRecord(name="iq", dtype="complex128", shape=(2,), unit="a.u.", data=b"\0\1" * 16)
RECORD = TaskRecord(
    status=TaskStatus.COMPLETED,
    output_parameters={"rabi_frequency": ParameterModel(value=12.5, unit="MHz")},
    figures=[FIGURE],
    raw_data=[RAW],
    hardware_seconds=0.5,
    quality_metrics={"r2": 0.99},
)


def test_a_task_is_recorded_as_a_whole(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    lease.record_task(lease.start_task(RABI), RECORD)
    queue = world.ana.queue
    [run] = queue.task_runs(claimed.job_id)
    assert (run.status, run.hardware_seconds, run.quality_metrics) == ("completed", 0.5, {"r2": 0.99})
    [figure] = queue.figures(claimed.job_id)
    assert (figure.name, figure.plotly, figure.png) == ("rabi", {"data": [], "layout": {}}, None)
    [raw] = queue.raw_data(claimed.job_id)
    assert (raw.dtype, raw.shape, raw.data) == ("complex128", [2], RAW.data)
    assert world.value("SELECT count(*) FROM calib_private.outbox WHERE job_id = %s", claimed.job_id) == 1


def test_recording_again_after_a_lost_answer_changes_nothing(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    run = lease.start_task(RABI)
    assert lease.start_task(RABI) == run
    for _ in range(3):
        lease.record_task(run, RECORD)
    assert world.events(claimed.job_id) == ["submitted", "claimed", "task_completed"]
    assert len(world.ana.queue.figures(claimed.job_id)) == 1
    assert world.value("SELECT count(*) FROM calib.parameter_history WHERE job_id = %s", claimed.job_id) == 1
    with pytest.raises(
        IllegalTransitionError, match=r'task CheckRabi on qid "0" has already ended \(completed\)'
    ):
        lease.record_task(run, TaskRecord(status=TaskStatus.FAILED, failure_kind=FailureKind.BAD_FIT))
    with pytest.raises(IllegalTransitionError):
        lease.start_task(RABI)


def test_other_verbs_may_be_said_twice_too(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    flow_run_id = uuid.uuid4()
    for _ in range(2):
        lease.set_flow_run(flow_run_id)
        lease.plan_tasks([RABI])
        assert lease.conclude(JobState.COMPLETED) == JobState.COMPLETED
    assert (
        lease.conclude(JobState.FAILED, Failure(kind=FailureKind.TIMEOUT, message="late"))
        == JobState.COMPLETED
    )
    for _ in range(2):
        assert lease.finish() == JobState.COMPLETED
    assert world.events(claimed.job_id) == [
        "submitted",
        "claimed",
        "flow_run_created",
        "concluded",
        "completed",
    ]


def test_figures_up_to_sixteen_mebibytes(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    run = lease.start_task(RABI)
    over = FigureRecord(name="big", plotly='"' + "x" * (16 * MIB - 1) + '"')
    with pytest.raises(
        TooLargeError, match=r'figure "big": expected at most 16 MiB of Plotly JSON, got 16777217 bytes'
    ):
        lease.record_task(run, RECORD.model_copy(update={"figures": [over]}))
    assert world.ana.queue.task_runs(claimed.job_id)[0].status == "running"
    full = FigureRecord(name="full", plotly='"' + "x" * (16 * MIB - 2) + '"')
    lease.record_task(run, RECORD.model_copy(update={"figures": [full]}))


def test_raw_data_up_to_sixty_four_mebibytes(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    run = lease.start_task(RABI)
    over = RAW.model_copy(update={"data": bytes(64 * MIB + 1)})
    with pytest.raises(
        TooLargeError, match=r'raw data "iq": expected at most 64 MiB, got 67108865 bytes'
    ) as refused:
        lease.record_task(run, RECORD.model_copy(update={"raw_data": [RAW, over]}))
    assert refused.value.column == "raw_data"
    assert world.ana.queue.raw_data(claimed.job_id) == []
    assert world.value("SELECT count(*) FROM calib.parameter_history WHERE job_id = %s", claimed.job_id) == 0


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        ("failed", None, "got nothing with failed"),
        ("completed", "lost", 'got "lost" with completed'),
        ("failed", "bad_luck", 'got "bad_luck" with failed'),
        ("running", None, 'status: expected completed, failed, cancelled or skipped, got "running"'),
        (None, None, "status: expected completed, failed, cancelled or skipped, got nothing"),
    ],
)
def test_a_verdict_that_makes_no_sense_is_refused(
    world: QueueWorld, status: str | None, kind: str | None, words: str
) -> None:
    claimed, lease = world.running(world.chip())
    run = lease.start_task(RABI)
    with pytest.raises(BadValueError, match=words):
        world.machine.database.execute(
            "SELECT calib.record_task(%(job_id)s, %(claim)s, %(run)s, %(status)s,"
            " jsonb_build_object('failure_kind', CAST(%(kind)s AS text)))",
            job_id=claimed.job_id,
            claim=claimed.claim,
            run=run,
            status=status,
            kind=kind,
        )


@pytest.mark.parametrize(
    ("state", "kind", "words"),
    [
        ("failed", None, "failure_kind: expected with state failed, and only with it"),
        ("completed", "lost", "failure_kind: expected with state failed, and only with it"),
        ("failed", "bad_luck", 'failure_kind: expected one of the closed list .* got "bad_luck"'),
        ("running", None, 'state: expected completed, failed or cancelled, got "running"'),
    ],
)
def test_a_verdict_of_a_job_that_makes_no_sense_is_refused(
    world: QueueWorld, state: str, kind: str | None, words: str
) -> None:
    claimed, lease = world.running(world.chip())
    with pytest.raises(BadValueError, match=words):
        world.machine.database.execute(
            "SELECT calib.conclude(%(job_id)s, %(claim)s, %(state)s, %(kind)s, 'x')",
            job_id=claimed.job_id,
            claim=claimed.claim,
            state=state,
            kind=kind,
        )
    with pytest.raises(IllegalTransitionError, match="has no verdict yet: conclude it first"):
        lease.finish()
    with pytest.raises(IllegalTransitionError, match="cannot end cancelled: no cancel was requested"):
        lease.conclude(JobState.CANCELLED)


def test_a_task_of_another_job_or_attempt_is_unknown(world: QueueWorld) -> None:
    _, one = world.running(world.chip())
    _, two = world.running(world.chip())
    run = one.start_task(RABI)
    with pytest.raises(UnknownNameError, match=f"unknown task run {run}"):
        two.record_task(run, RECORD)


def test_results_are_unique(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    lease.start_task(RABI)
    with pytest.raises(psycopg.errors.UniqueViolation):
        world.owner.execute(
            "INSERT INTO calib_private.task_runs (job_id, attempt, task, qid, task_type, ordinal)"
            " VALUES (%s, 1, 'CheckRabi', '0', 'qubit', 9)",
            (claimed.job_id,),
        )


def test_an_executor_writes_only_its_own_events(world: QueueWorld) -> None:
    _, lease = world.running(world.chip())
    for event in ("completed", "cancel_requested", "quiesced", "hello"):
        with pytest.raises(BadValueError, match=f'an executor may not write "{event}" itself'):
            lease.log_event(event)


def test_an_instrument_that_does_not_rest_pauses_its_chip(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    lease.quiesce_failed("no answer")
    chip = world.ana.queue.chip(claimed.chip_id)
    assert (chip.paused, chip.pause_reason, chip.paused_by) == (
        True,
        "instrument not in a safe idle state: no answer",
        world.machine.name,
    )
    lease.conclude(JobState.COMPLETED)
    lease.finish()
    waiting = world.submit(claimed.chip_id)
    executor = world.ready(claimed.chip_id)
    assert executor.claim() is None
    assert world.job(waiting)["waiting_for"] == "chip paused: instrument not in a safe idle state: no answer"
    world.olga.queue.resume_chip(claimed.chip_id)
    again = executor.claim()
    assert again is not None
    assert again.dirty


def test_plans_are_counted_and_kept_in_order(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    lease.plan_tasks([RABI, PlannedTask(task="CheckT1", qid="0")])
    lease.plan_tasks([PlannedTask(task="CheckRabi", qid="1"), PlannedTask(task="CheckT1", qid="1")])
    lease.start_task(PlannedTask(task="CreateHPIPulse", qid="0"))
    runs = world.ana.queue.task_runs(claimed.job_id)
    assert [(run.task, run.qid) for run in runs] == [
        ("CheckRabi", "0"),
        ("CheckT1", "0"),
        ("CheckRabi", "1"),
        ("CheckT1", "1"),
        ("CreateHPIPulse", "0"),
    ]
    assert len({run.ordinal for run in runs}) == 5
    assert world.job(claimed.job_id)["tasks_total"] == 5


def test_the_condition_of_an_executor_is_what_it_reported_last(world: QueueWorld) -> None:
    chip_id = world.chip()
    executor = world.executor(chip_id)

    def condition() -> object:
        return world.value("SELECT condition FROM calib.executors WHERE chip_id = %s", chip_id)

    executor.register()
    assert condition() == "starting"
    _, lease = world.claim(executor, world.submit(chip_id))
    assert condition() == "ready"
    for reported in ("ready; not offered (1): lab.py", "warming up"):
        executor.seen(reported)
        lease.heartbeat(30)
        assert condition() == reported


def test_waiting_for(timed: QueueWorld) -> None:
    chip_id = timed.chip()

    def why(job_id: int) -> object:
        return timed.job(job_id)["waiting_for"]

    first = timed.submit(chip_id)
    assert why(first) == "no executor is alive"
    executor = timed.executor(chip_id)
    executor.register()
    assert why(first) == "starting"
    executor.seen("ready; not offered (1): lab.py: SyntaxError")
    assert why(first) == "an executor to pick it up"
    second = timed.submit(chip_id)
    assert why(second) == "jobs ahead: 1"
    timed.claim(executor, first)
    assert why(first) is None
    assert why(second) == f"job {first} to end"
    third = timed.submit(chip_id, priority=-1)
    assert why(third) == f"job {first} to end; jobs ahead: 1"
    later = timed.submit(chip_id, not_before=timed.now().replace(year=2030))
    assert str(why(later)).startswith("not before 2030-")
    executor.seen("Prefect does not answer")
    assert why(second) == "Prefect does not answer"
    timed.advance(60)
    assert why(second) == "no executor is alive"
