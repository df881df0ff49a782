"""Stages of a job: begun, ended once, closed with their attempt; and the job that another one repeats."""

from __future__ import annotations

import json
import math
import uuid
from typing import Any

import psycopg
import pytest

from qdash_queue.client.leases import Lease
from qdash_queue.client.records import StageRecord
from qdash_queue.domain import Failure, FailureKind, JobState
from qdash_queue.errors import (
    BadValueError,
    IllegalTransitionError,
    LeaseLostError,
    TooLargeError,
    UnknownNameError,
)
from tests.contract.retention_world import DAY, KEPT, RetentionWorld
from tests.support.queue_world import PROJECT, Person, QueueWorld

BEGUN = StageRecord(
    name="check", step="OneQubitCheck", mode="scheduled", targets=["2", "0-1"], status="running"
)
DONE = BEGUN.model_copy(update={"status": "completed", "result": {"passed": ["2"]}, "message": "1 of 2"})
MIB = 2**20


def test_a_stage_begins_goes_on_and_ends(timed: QueueWorld) -> None:
    claimed, lease = timed.running(timed.chip())
    begun_at = timed.now()
    lease.record_stage(0, BEGUN)
    timed.advance(1)
    lease.record_stage(0, BEGUN.model_copy(update={"result": {"passed": []}}))
    timed.advance(1)
    lease.record_stage(0, DONE)
    lease.record_stage(2, StageRecord(name="fidelity", step="FilterByMetric", status="skipped"))
    first, second = timed.ana.queue.stages(claimed.job_id)
    assert first.model_dump() == {
        "job_id": claimed.job_id,
        "attempt": 1,
        "position": 0,
        **DONE.model_dump(),
        "started_at": begun_at,
        "ended_at": timed.now(),
    }
    assert (second.position, second.started_at, second.ended_at) == (2, None, timed.now())
    assert (second.mode, second.targets, second.result, second.message) == (None, [], {}, "")
    events = timed.ana.queue.events(claimed.job_id)[2:]
    assert [(event.event, event.detail) for event in events] == [
        ("stage_started", {"position": 0, "name": "check"}),
        ("stage_completed", {"position": 0, "name": "check"}),
        ("stage_skipped", {"position": 2, "name": "fidelity"}),
    ]


@pytest.mark.parametrize("record", [BEGUN, DONE], ids=["begun", "ended"])
def test_asking_again_after_a_lost_answer_changes_nothing(timed: QueueWorld, record: StageRecord) -> None:
    claimed, lease = timed.running(timed.chip())
    lease.record_stage(0, record)
    before = _stored(timed, claimed.job_id)
    timed.advance(1)
    lease.record_stage(0, record)
    assert _stored(timed, claimed.job_id) == before


def test_each_change_is_one_for_watchers_and_for_the_mirror(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    mark = "SELECT version FROM calib_private.outbox WHERE job_id = %s"
    for record in (BEGUN, DONE):
        before = world.job(claimed.job_id)["version"], world.value(mark, claimed.job_id)
        lease.record_stage(0, record)
        after = world.job(claimed.job_id)["version"], world.value(mark, claimed.job_id)
        assert after == (before[0] + 1, before[1] + 1)


@pytest.mark.parametrize(
    "other",
    [
        {"status": "running"},
        {"status": "failed"},
        {"result": {}},
        {"message": "2 of 2"},
        {"targets": []},
        {"mode": None},
    ],
    ids=lambda other: next(iter(other)),
)
def test_an_ended_stage_stays_as_it_is(world: QueueWorld, other: dict[str, Any]) -> None:
    claimed, lease = world.running(world.chip())
    lease.record_stage(0, DONE)
    before = _stored(world, claimed.job_id)
    with pytest.raises(IllegalTransitionError, match=r'stage 0 \("check"\) has already ended \(completed\)'):
        lease.record_stage(0, DONE.model_copy(update=other))
    assert _stored(world, claimed.job_id) == before


@pytest.mark.parametrize("other", [{"name": "tune"}, {"step": "OneQubitFineTune"}], ids=["name", "step"])
def test_a_position_belongs_to_one_stage(world: QueueWorld, other: dict[str, Any]) -> None:
    claimed, lease = world.running(world.chip())
    lease.record_stage(0, BEGUN)
    before = _stored(world, claimed.job_id)
    with pytest.raises(IllegalTransitionError, match=r'stage 0 is "check", a step "OneQubitCheck": got'):
        lease.record_stage(0, BEGUN.model_copy(update=other))
    assert _stored(world, claimed.job_id) == before


@pytest.mark.parametrize(
    ("position", "stage", "words"),
    [
        (-1, {}, "position: expected 0 to 1000, got -1"),
        (0, {"name": ""}, "stage.name: expected at least 1 characters"),
        (0, {"step": 1}, "stage.step: expected string, got number 1"),
        (0, {"status": "scheduled"}, 'stage.status: expected one of "running", .*, got "scheduled"'),
        (0, {"targets": ["0", None]}, r"stage.targets\[1\]: expected string, got null"),
        (0, {"targets": {}}, "stage.targets: expected array, got object"),
        (0, {"result": []}, "stage.result: expected object, got array"),
        (0, {"message": "x" * 10_001}, "stage.message: expected at most 10000 characters"),
        (0, {"resultt": {}}, 'stage: unknown parameter "resultt": did you mean "result"'),
        (0, {"result": json.loads('{"a":' * 33 + "1" + "}" * 33)}, "expected JSON nested at most 32 levels"),
    ],
)
def test_what_is_no_stage_is_refused(
    world: QueueWorld, position: int, stage: dict[str, object], words: str
) -> None:
    claimed, lease = world.running(world.chip())
    session = world.session(world.machine, autocommit=True)
    given = json.dumps({"name": "a", "step": "X", "status": "running"} | stage)
    with pytest.raises(psycopg.Error, match=words) as refused:
        session.execute(
            "SELECT calib.record_stage(%s, %s, %s, %s)", (claimed.job_id, lease.claim, position, given)
        )
    assert refused.value.sqlstate == "CQ007"
    assert world.ana.queue.stages(claimed.job_id) == []


def test_a_result_that_is_not_finite_is_refused(world: QueueWorld) -> None:
    _, lease = world.running(world.chip())
    with pytest.raises(BadValueError, match="expected finite numbers"):
        lease.record_stage(0, DONE.model_copy(update={"result": {"a": math.nan}}))


def test_results_are_bounded_alone_and_together(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())

    def of(size: int) -> StageRecord:
        return DONE.model_copy(update={"result": {"a": "x" * size}})

    with pytest.raises(TooLargeError, match=r"result: expected at most 1 MiB of JSON, got 1048587 bytes"):
        lease.record_stage(0, of(MIB + 2))
    for position in range(8):
        lease.record_stage(position, of(MIB - 10))
    with pytest.raises(TooLargeError, match="expected at most 8 MiB of JSON in all stages of an attempt"):
        lease.record_stage(8, of(MIB - 10))
    assert len(world.ana.queue.stages(claimed.job_id)) == 8


def test_only_its_claim_records_a_stage(world: QueueWorld) -> None:
    claimed, _ = world.running(world.chip())
    with pytest.raises(LeaseLostError):
        Lease(world.machine.database, claimed.job_id, uuid.uuid4()).record_stage(0, BEGUN)
    assert world.ana.queue.stages(claimed.job_id) == []


@pytest.mark.parametrize(
    ("how", "status", "message"),
    [
        ("completed", "cancelled", "stopped with the job"),
        ("failed", "failed", r"stopped with the job (bad_fit)"),
        ("given back", "cancelled", "stopped with its attempt (shutdown)"),
        ("lost", "cancelled", "stopped with its attempt (lost)"),
    ],
)
def test_the_end_of_an_attempt_closes_its_running_stages(
    timed: QueueWorld, how: str, status: str, message: str
) -> None:
    claimed, lease = timed.running(timed.chip(), flow="repeat", parameters={}, max_attempts=2)
    lease.record_stage(0, DONE)
    ended_at = timed.now()
    lease.record_stage(1, BEGUN)
    timed.advance(31)
    if how == "given back":
        lease.give_back("tea")
    elif how == "lost":
        timed.ready(claimed.chip_id, "two").sweep()
    else:
        failure = Failure(kind=FailureKind.BAD_FIT, message="x") if how == "failed" else None
        lease.conclude(JobState(how), failure)
        lease.finish()
    ended, closed = timed.ana.queue.stages(claimed.job_id)
    assert (ended.status, ended.message, ended.ended_at) == ("completed", "1 of 2", ended_at)
    assert (closed.status, closed.message, closed.ended_at) == (status, message, timed.now())


def test_another_attempt_has_stages_of_its_own(timed: QueueWorld) -> None:
    claimed, lease = timed.running(timed.chip(), flow="repeat", parameters={}, max_attempts=2)
    lease.record_stage(0, DONE)
    lease.give_back("tea")
    second = timed.ready(claimed.chip_id).claim()
    assert second is not None
    timed.lease(second).record_stage(0, BEGUN.model_copy(update={"name": "tune"}))
    stages = timed.ana.queue.stages(claimed.job_id)
    assert [(stage.attempt, stage.name, stage.status) for stage in stages] == [
        (1, "check", "completed"),
        (2, "tune", "running"),
    ]


def test_stages_show_to_members_of_the_project(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    lease.record_stage(0, BEGUN)
    assert len(world.ben.queue.stages(claimed.job_id)) == 1
    stranger: Person = world.person("stranger", "calib_submitter")
    assert stranger.queue.stages(claimed.job_id) == []


# ------------------------------------------------------------------ a job that repeats another one


def test_a_job_names_the_one_that_it_repeats(world: QueueWorld) -> None:
    chip_id = world.chip()
    source = world.submit(chip_id)
    again = world.submit(chip_id, world.ben, source_job_id=source)
    assert world.ana.queue.get(again).source_job_id == source
    assert world.ana.queue.get(source).source_job_id is None


def test_requeue_names_it_too(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    lease.conclude(JobState.COMPLETED)
    lease.finish()
    assert world.ana.queue.requeue(claimed.job_id).source_job_id == claimed.job_id


def test_a_source_on_another_chip_or_out_of_sight_is_refused(world: QueueWorld) -> None:
    chip_id, other = world.chip(), world.chip()
    source = world.submit(chip_id)
    with pytest.raises(
        BadValueError, match=f'expected a job of chip "{other}", got job {source} of chip "{chip_id}"'
    ) as refused:
        world.submit(other, source_job_id=source)
    assert refused.value.column == "source_job_id"
    world.admin.add_project("theirs")
    eve = world.person("eve", "calib_submitter")
    world.admin.grant_member("theirs", eve.name, "eve", "submitter")
    with pytest.raises(UnknownNameError, match=f"source_job_id: unknown job {source}"):
        eve.queue.submit("theirs", chip_id, {"qids": ["0"], "tasks": ["CheckT1"]}, source_job_id=source)
    assert world.value("SELECT count(*) FROM calib.jobs WHERE project_id <> %s", PROJECT) == 0


def test_its_number_stays_when_the_source_is_pruned(aging: RetentionWorld) -> None:
    chip_id = aging.world.chip()
    source = aging.measured(chip_id)
    aging.mirror()
    aging.wait(KEPT + DAY)
    again = aging.world.submit(chip_id, source_job_id=source)
    aging.keep(jobs=KEPT)
    assert aging.retention.run().jobs == 1
    assert aging.world.value("SELECT count(*) FROM calib_private.stages WHERE job_id = %s", source) == 0
    assert aging.world.job(again)["source_job_id"] == source


def _stored(world: QueueWorld, job_id: int) -> object:
    queue = world.ana.queue
    return queue.get(job_id).version, queue.stages(job_id), world.events(job_id)
