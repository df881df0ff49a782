"""What the policy says goes, and nothing else: never what is younger, never what is still needed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from qdash_queue.client.records import PlannedTask
from qdash_queue.client.retention import Pruned, Retention
from qdash_queue.errors import BadValueError, NotPermittedError
from tests.contract.retention_world import DAY, FOREVER, KEPT, PARTS, RECORD, RetentionWorld
from tests.support.queue_world import QueueWorld

# ------------------------------------------------------------------ the policy


def test_everything_is_kept_unless_asked_otherwise(aging: RetentionWorld) -> None:
    assert aging.retention.policy().model_dump(include=set(PARTS)) == FOREVER
    job_id = aging.measured(aging.world.chip())
    aging.mirror()
    before = aging.parts(job_id)
    aging.wait(36500 * DAY)
    assert aging.retention.run().model_dump(exclude={"executors"}) == dict.fromkeys(PARTS, 0)
    assert aging.parts(job_id) == before


def test_the_policy_says_who_set_it(aging: RetentionWorld) -> None:
    aging.wait(DAY)
    aging.keep(jobs=365 * DAY, figures=timedelta(hours=12))
    policy = aging.retention.policy()
    assert (policy.jobs, policy.events, policy.figures, policy.raw_data) == (
        365 * DAY,
        None,
        timedelta(hours=12),
        None,
    )
    assert policy.set_by == aging.world.person("root").name
    assert policy.set_at == aging.world.now()


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("age", [timedelta(0), -DAY, timedelta(minutes=59), 40_000 * DAY])
def test_an_age_that_was_not_meant_is_refused(timed: QueueWorld, part: str, age: timedelta) -> None:
    aging = RetentionWorld(timed)
    with pytest.raises(BadValueError, match=f"{part}: expected an age from 1 hour to 100 years") as caught:
        aging.keep(**{part: age})
    assert caught.value.column == part


def test_only_an_administrator_sets_and_only_the_mirror_prunes_beside(timed: QueueWorld) -> None:
    mirror = Retention(timed.person("mirror", "calib_mirror").database)
    assert not mirror.prune(1)
    for person in (timed.olga, timed.machine, timed.person("mirror")):
        retention = Retention(person.database)
        assert retention.policy().jobs is None
        with pytest.raises(NotPermittedError):
            retention.set(jobs=DAY, events=None, figures=None, raw_data=None)
    for person in (timed.olga, timed.machine):
        with pytest.raises(NotPermittedError):
            Retention(person.database).prune()


@pytest.mark.parametrize("limit", [0, -1, 10_001])
def test_a_batch_has_a_size(timed: QueueWorld, limit: int) -> None:
    with pytest.raises(BadValueError, match="max: expected 1 to 10000"):
        RetentionWorld(timed).retention.prune(limit)


# ------------------------------------------------------------------ what goes, what stays


@pytest.mark.parametrize(
    ("part", "gone"),
    [("events", {"job_events"}), ("figures", {"figures"}), ("raw_data", {"raw_data"})],
)
def test_a_part_goes_when_its_age_has_come_and_the_job_stays(
    aging: RetentionWorld, part: str, gone: set[str]
) -> None:
    job_id = aging.measured(aging.world.chip())
    aging.mirror()
    before, job = aging.parts(job_id), aging.world.job(job_id)
    aging.keep(**{part: KEPT})
    aging.wait(KEPT)
    assert not aging.retention.run()
    aging.wait(timedelta(seconds=1))
    (there,) = (before[name] for name in gone)
    assert aging.retention.run() == Pruned(**{part: there})
    assert aging.parts(job_id) == before | dict.fromkeys(gone, 0)
    assert aging.world.job(job_id) == job
    assert not aging.retention.run()


def test_a_job_takes_everything_with_it_but_its_parameters(aging: RetentionWorld) -> None:
    world, chip_id = aging.world, aging.world.chip()
    old = aging.measured(chip_id)
    world.olga.queue.requeue(old)
    aging.mirror()
    aging.wait(DAY)
    young = aging.measured(world.chip())
    aging.mirror()
    aging.keep(jobs=KEPT)
    aging.wait(KEPT)
    history = "SELECT * FROM calib.parameter_history ORDER BY chip_id, qid, valid_from"
    in_force = "SELECT * FROM calib.parameters ORDER BY chip_id, qid"
    before = world.rows(history), world.rows(in_force)
    job = world.job(old)
    assert aging.retention.run() == Pruned(jobs=1)
    assert not any(aging.parts(old).values())
    assert world.value("SELECT count(*) FROM calib_private.task_runs WHERE job_id = %s", old) == 0
    assert aging.parts(young)["jobs"] == 1
    assert (world.rows(history), world.rows(in_force)) == before
    named = {(row["job_id"], row["execution_id"]) for row in before[0] if row["chip_id"] == chip_id}
    assert named == {(old, job["execution_id"])}
    assert world.value("SELECT calib.mark(%s)", old) is False


def test_jobs_that_never_started_go_too(aging: RetentionWorld) -> None:
    world, chip_id = aging.world, aging.world.chip()
    cancelled, waiting = world.submit(chip_id), world.submit(chip_id)
    world.olga.queue.cancel(cancelled)
    aging.keep(jobs=KEPT)
    aging.wait(2 * KEPT)
    assert aging.retention.run() == Pruned(jobs=1)
    assert aging.parts(cancelled)["jobs"] == 0
    assert world.job(waiting)["state"] == "scheduled"


def test_a_running_job_keeps_all_however_old_its_parts_are(aging: RetentionWorld) -> None:
    claimed, lease = aging.world.running(aging.world.chip())
    lease.record_task(lease.start_task(PlannedTask(task="CheckRabi", qid="0")), RECORD)
    aging.mirror()
    before = aging.parts(claimed.job_id)
    aging.keep(**dict.fromkeys(PARTS, KEPT))
    aging.wait(2 * KEPT)
    assert not aging.retention.run()
    assert aging.parts(claimed.job_id) == before
