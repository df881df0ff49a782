"""Sweeps: many task runs that start together, one time of the instrument, and what is left of them."""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from typing import Any

import psycopg
import pytest

from qdash_queue.client.leases import EndedSweep, Lease
from qdash_queue.client.models import ClaimedJob, TaskRun
from qdash_queue.client.records import PlannedTask, SweepTask, TaskRecord
from qdash_queue.domain import JobState, ParameterModel, RunParameterModel, TaskStatus, TaskType
from qdash_queue.errors import (
    BadValueError,
    IllegalTransitionError,
    LeaseLostError,
    UnknownNameError,
)
from tests.contract.retention_world import DAY, KEPT, RetentionWorld
from tests.contract.test_results import RECORD
from tests.support.queue_world import Person, QueueWorld

QIDS = ("2", "0", "1")
RABI = [SweepTask(task="CheckRabi", qid=qid) for qid in QIDS]
DONE = TaskRecord(status=TaskStatus.COMPLETED)
AGAIN = [task.model_copy(update={"repetition": 1}) for task in RABI]


def test_all_tasks_of_a_sweep_start_together(timed: QueueWorld) -> None:
    claimed, lease = timed.running(timed.chip())
    upstream = lease.start_sweep([SweepTask(task="CheckT1", qid="0")]).task_ids["0"]
    given = SweepTask(
        task="CheckRabi",
        qid="0",
        upstream_id=upstream,
        input_parameters={"qubit_frequency": ParameterModel(value=4.8, unit="GHz")},
        run_parameters={"shots": RunParameterModel(value=1024, value_type="int")},
    )
    started = lease.start_sweep([RABI[0], given, RABI[2]])
    sweep = timed.ana.queue.sweeps(claimed.job_id)[1]
    assert sweep.model_dump() == {
        "sweep_id": started.sweep_id,
        "job_id": claimed.job_id,
        "attempt": 1,
        "task": "CheckRabi",
        "targets": list(QIDS),
        "started_at": timed.now(),
        "ended_at": None,
        "hardware_seconds": None,
    }
    runs = _runs(timed, claimed, started.sweep_id)
    assert {run.qid: run.task_run_id for run in runs} == started.task_ids
    assert [run.qid for run in runs] == list(QIDS), "in the order of the sweep"
    assert {(run.status, run.started_at) for run in runs} == {("running", timed.now())}
    assert runs[1].upstream_id == upstream
    assert runs[1].input_parameters["qubit_frequency"] == given.input_parameters[
        "qubit_frequency"
    ].model_dump(mode="json")
    assert runs[1].run_parameters["shots"] == given.run_parameters["shots"].model_dump(mode="json")
    assert (runs[0].upstream_id, runs[0].input_parameters, runs[0].run_parameters) == (None, {}, {})
    assert timed.events(claimed.job_id) == ["submitted", "claimed"]


def test_announced_tasks_keep_their_place_and_are_counted_once(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    lease.plan_tasks([PlannedTask(task="CheckRabi", qid=qid) for qid in ("0", "1", "2")])
    planned = {run.qid: run.task_run_id for run in world.ana.queue.task_runs(claimed.job_id)}
    version = world.job(claimed.job_id)["version"]
    assert lease.start_sweep(RABI).task_ids == planned
    assert [run.qid for run in world.ana.queue.task_runs(claimed.job_id)] == ["0", "1", "2"]
    job = world.job(claimed.job_id)
    assert (job["tasks_total"], job["version"]) == (3, version + 1)
    more = [*AGAIN, SweepTask(task="CheckRabi", qid="3")]
    lease.start_sweep(more)
    job = world.job(claimed.job_id)
    assert (job["tasks_total"], job["version"]) == (7, version + 2)
    assert [run.qid for run in world.ana.queue.task_runs(claimed.job_id)][3:] == [*QIDS, "3"]


def test_each_target_is_recorded_alone(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    started = lease.start_sweep(RABI)
    lease.record_task(started.task_ids["0"], RECORD)
    lease.end_sweep(EndedSweep(started.sweep_id, 0.75))
    lease.record_task(started.task_ids["1"], RECORD)
    assert [run.status for run in _runs(world, claimed, started.sweep_id)] == [
        "running",
        "completed",
        "completed",
    ]
    assert world.events(claimed.job_id)[2:] == ["task_completed"] * 2


def test_asking_again_after_a_lost_answer_gives_the_same_sweep(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    started = lease.start_sweep(RABI)
    before = _stored(world, claimed)
    assert lease.start_sweep(RABI) == started
    assert _stored(world, claimed) == before
    lease.end_sweep(EndedSweep(started.sweep_id, 1.0))
    assert lease.start_sweep(RABI) == started
    assert len(world.ana.queue.sweeps(claimed.job_id)) == 1


@pytest.mark.parametrize(
    "other",
    [RABI[:2], [*RABI, SweepTask(task="CheckRabi", qid="3")], RABI[::-1], [RABI[0], *AGAIN[1:]], RABI[2:]],
    ids=["fewer", "more", "another order", "another repetition", "one"],
)
def test_a_sweep_of_which_a_part_runs_already_is_refused(
    world: QueueWorld, other: Sequence[SweepTask]
) -> None:
    claimed, lease = world.running(world.chip())
    lease.start_sweep(RABI)
    before = _stored(world, claimed)
    with pytest.raises(IllegalTransitionError, match="CheckRabi runs already in a sweep of 2, 0, 1:"):
        lease.start_sweep(other)
    assert _stored(world, claimed) == before


def test_a_part_of_a_sweep_that_has_ended_runs_again_in_another_one(timed: QueueWorld) -> None:
    claimed, lease = timed.running(timed.chip())
    first = lease.start_sweep(RABI)
    begun = timed.now()
    lease.end_sweep(EndedSweep(first.sweep_id, 1.0))
    lease.record_task(first.task_ids["0"], RECORD)
    timed.advance(5)
    rest = [RABI[0], RABI[2]]
    second = lease.start_sweep(rest)
    assert lease.start_sweep(rest) == second
    assert second.sweep_id != first.sweep_id
    assert second.task_ids == {qid: first.task_ids[qid] for qid in ("2", "1")}
    assert [sweep.targets for sweep in timed.ana.queue.sweeps(claimed.job_id)] == [list(QIDS), ["2", "1"]]
    runs = _runs(timed, claimed, second.sweep_id)
    assert {(run.status, run.started_at) for run in runs} == {("running", begun)}
    # The second one has not ended.
    with pytest.raises(IllegalTransitionError, match="CheckRabi runs already in a sweep of 2, 1:"):
        lease.start_sweep(rest[:1])


def test_what_has_ended_does_not_start_again(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    started = lease.start_sweep(RABI)
    lease.record_task(started.task_ids["1"], DONE)
    with pytest.raises(IllegalTransitionError, match="expected all of these, while all run"):
        lease.start_sweep(RABI)
    for qid in ("0", "2"):
        lease.record_task(started.task_ids[qid], DONE)
    before = _stored(world, claimed)
    with pytest.raises(IllegalTransitionError, match=r'task CheckRabi on qid "2" has already ended'):
        lease.start_sweep(RABI)
    assert _stored(world, claimed) == before
    assert lease.start_sweep(AGAIN).sweep_id != started.sweep_id


def test_a_failure_in_the_middle_leaves_nothing(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    lease.plan_tasks(RABI[:1])
    before = _stored(world, claimed)
    world.owner.execute(
        "ALTER TABLE calib_private.task_runs ADD CONSTRAINT planted"
        f" CHECK (job_id <> {claimed.job_id} OR qid <> '1')".encode()
    )
    try:
        with pytest.raises(Exception, match="planted"):
            lease.start_sweep(RABI)
    finally:
        world.owner.execute("ALTER TABLE calib_private.task_runs DROP CONSTRAINT planted")
    assert _stored(world, claimed) == before
    lease.start_sweep(RABI)


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        ([], "tasks: expected one task, on one qid or more, got none"),
        ([RABI[0], SweepTask(task="CheckT1", qid="0")], "on one qid or more, got CheckRabi and CheckT1"),
        ([RABI[0], AGAIN[0]], 'tasks: expected every qid once, got "2" twice'),
        ([RABI[0].model_copy(update={"task": ""})], "task: expected at least 1 characters"),
    ],
    ids=["none", "two tasks", "twice", "no name"],
)
def test_what_is_no_sweep_is_refused(world: QueueWorld, tasks: Sequence[SweepTask], words: str) -> None:
    claimed, lease = world.running(world.chip())
    before = _stored(world, claimed)
    with pytest.raises(BadValueError, match=words):
        lease.start_sweep(tasks)
    assert _stored(world, claimed) == before


# ------------------------------------------------------------------ the instrument's time


def test_a_sweep_ends_once_with_its_instrument_time(timed: QueueWorld) -> None:
    claimed, lease = timed.running(timed.chip())
    started = lease.start_sweep(RABI)
    timed.advance(2)
    ended_at = timed.now()
    for _ in range(2):
        lease.end_sweep(EndedSweep(started.sweep_id, 1.25))
        timed.advance(1)
    with pytest.raises(IllegalTransitionError, match=r"CheckRabi has already ended, with 1\.25 hardware_sec"):
        lease.end_sweep(EndedSweep(started.sweep_id, 1.5))
    [sweep] = timed.ana.queue.sweeps(claimed.job_id)
    assert (sweep.ended_at, sweep.hardware_seconds) == (ended_at, 1.25)


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -math.inf, -0.001, 1.1e9, None])
def test_a_time_that_is_none_is_refused(world: QueueWorld, seconds: Any) -> None:
    claimed, lease = world.running(world.chip())
    started = lease.start_sweep(RABI)
    with pytest.raises(BadValueError, match="hardware_seconds: expected a number from 0 to 1000000000, got"):
        lease.end_sweep(EndedSweep(started.sweep_id, seconds))
    assert world.ana.queue.sweeps(claimed.job_id)[0].ended_at is None


def test_a_sweep_of_another_job_or_attempt_is_unknown(timed: QueueWorld) -> None:
    claimed, lease = timed.running(timed.chip(), flow="repeat", parameters={}, max_attempts=2)
    _, other = timed.running(timed.chip())
    started = lease.start_sweep(RABI)
    with pytest.raises(UnknownNameError, match=f"unknown sweep {started.sweep_id} of job {other.job_id}"):
        other.end_sweep(EndedSweep(started.sweep_id, 1.0))
    lease.give_back("tea")
    second = timed.ready(claimed.chip_id).claim()
    assert second is not None
    with pytest.raises(UnknownNameError, match=f"unknown sweep {started.sweep_id}"):
        timed.lease(second).end_sweep(EndedSweep(started.sweep_id, 1.0))
    assert timed.lease(second).start_sweep(RABI).sweep_id != started.sweep_id


def test_only_its_claim_ends_a_sweep(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    started = lease.start_sweep(RABI)
    with pytest.raises(LeaseLostError):
        Lease(world.machine.database, claimed.job_id, uuid.uuid4()).end_sweep(
            EndedSweep(started.sweep_id, 1.0)
        )
    assert world.ana.queue.sweeps(claimed.job_id)[0].hardware_seconds is None


@pytest.mark.parametrize("how", ["finished", "lost", "given back"])
def test_the_end_of_an_attempt_closes_its_open_sweeps(timed: QueueWorld, how: str) -> None:
    claimed, lease = timed.running(timed.chip(), flow="repeat", parameters={}, max_attempts=2)
    ended = lease.start_sweep(RABI)
    lease.end_sweep(EndedSweep(ended.sweep_id, 0.5))
    ended_at = timed.now()
    lease.start_sweep(AGAIN)
    timed.advance(31)
    if how == "finished":
        lease.conclude(JobState.COMPLETED)
        lease.finish()
    elif how == "given back":
        lease.give_back("tea")
    else:
        timed.ready(claimed.chip_id, "two").sweep()
    sweeps = {sweep.ended_at: sweep for sweep in timed.ana.queue.sweeps(claimed.job_id)}
    assert sweeps.keys() == {ended_at, timed.now()}
    assert (sweeps[ended_at].hardware_seconds, sweeps[timed.now()].hardware_seconds) == (0.5, None)


# ------------------------------------------------------------------ who reads them, and for how long


def test_sweeps_show_to_members_of_the_project(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    lease.start_sweep(RABI)
    assert len(world.ben.queue.sweeps(claimed.job_id)) == 1
    stranger: Person = world.person("stranger", "calib_submitter")
    assert stranger.queue.sweeps(claimed.job_id) == []


def test_sweeps_go_with_their_job(aging: RetentionWorld) -> None:
    world, chip_id = aging.world, aging.world.chip()
    old = aging.measured(chip_id)
    aging.mirror()
    aging.wait(KEPT)
    young = aging.measured(chip_id)
    aging.mirror()
    aging.wait(DAY)
    aging.keep(jobs=KEPT)
    assert aging.retention.run().jobs == 1
    left = world.rows("SELECT DISTINCT job_id FROM calib_private.sweeps")
    assert [row["job_id"] for row in left] == [young]
    assert old not in {row["job_id"] for row in world.rows("SELECT job_id FROM calib_private.task_runs")}


def test_a_task_run_and_its_sweep_are_of_one_attempt(world: QueueWorld) -> None:
    _, lease = world.running(world.chip())
    claimed, other = world.running(world.chip())
    started = lease.start_sweep(RABI)
    other.start_sweep(RABI)
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        world.owner.execute(
            "UPDATE calib_private.task_runs SET sweep_id = %s WHERE job_id = %s",
            (started.sweep_id, claimed.job_id),
        )


# ------------------------------------------------------------------ multiplexers


def test_outputs_of_a_multiplexer_do_not_become_those_of_the_qubit_of_its_number(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    task = SweepTask(task="CheckRabi", qid="0", task_type=TaskType.MUX)
    run = lease.start_sweep([task]).task_ids["0"]
    with pytest.raises(BadValueError, match="multiplexer 0: expected the number of a qubit as qid_role"):
        lease.record_task(run, RECORD)
    lease.record_task(run, RECORD.model_copy(update={"persist_output_parameters": False}))
    [stored] = world.ana.queue.task_runs(claimed.job_id)
    assert (stored.task_type, stored.status) == (TaskType.MUX, TaskStatus.COMPLETED)
    assert "rabi_frequency" in stored.output_parameters
    history = "SELECT count(*) FROM calib.parameter_history WHERE job_id = %s"
    assert world.value(history, claimed.job_id) == 0


def test_outputs_of_a_multiplexer_go_to_the_qubits_that_they_name(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    task = SweepTask(task="CheckRabi", qid="0", task_type=TaskType.MUX)
    run = lease.start_sweep([task]).task_ids["0"]
    outputs = {
        f"{qid}_{name}": given.model_copy(update={"qid_role": qid, "parameter_name": name})
        for qid in ("0", "1")
        for name, given in RECORD.output_parameters.items()
    }
    lease.record_task(run, RECORD.model_copy(update={"output_parameters": outputs}))
    history = "SELECT DISTINCT qid FROM calib.parameter_history WHERE job_id = %s ORDER BY 1"
    assert [row["qid"] for row in world.rows(history, claimed.job_id)] == ["0", "1"]


def _runs(world: QueueWorld, claimed: ClaimedJob, sweep_id: uuid.UUID) -> list[TaskRun]:
    return [run for run in world.ana.queue.task_runs(claimed.job_id) if run.sweep_id == sweep_id]


def _stored(world: QueueWorld, claimed: ClaimedJob) -> object:
    queue = world.ana.queue
    return (
        queue.get(claimed.job_id).version,
        queue.sweeps(claimed.job_id),
        queue.task_runs(claimed.job_id),
        world.events(claimed.job_id),
    )
