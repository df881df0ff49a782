"""What the policy says goes, and nothing else: never what is younger, never what somebody still waits for."""

from __future__ import annotations

from datetime import timedelta

import pytest

from qdash_queue.client.models import PlannedTask
from qdash_queue.client.retention import Pruned, Retention
from qdash_queue.errors import BadValueError, NotPermittedError
from tests.contract.keeper import DAY, FOREVER, KEPT, PARTS, RECORD, Keeper
from tests.contract.lab import Lab

# ------------------------------------------------------------------ the policy


def test_everything_is_kept_unless_asked_otherwise(keeper: Keeper) -> None:
    assert keeper.retention.policy().model_dump(include=set(PARTS)) == FOREVER
    job_id = keeper.measured(keeper.lab.chip())
    keeper.mirror()
    before = keeper.parts(job_id)
    keeper.wait(36500 * DAY)
    assert keeper.retention.run().model_dump(exclude={"executors"}) == dict.fromkeys(PARTS, 0)
    assert keeper.parts(job_id) == before


def test_the_policy_says_who_set_it(keeper: Keeper) -> None:
    keeper.wait(DAY)
    keeper.keep(jobs=365 * DAY, figures=timedelta(hours=12))
    policy = keeper.retention.policy()
    assert (policy.jobs, policy.events, policy.figures, policy.raw_data) == (
        365 * DAY,
        None,
        timedelta(hours=12),
        None,
    )
    assert policy.set_by == keeper.lab.person("root").name
    assert policy.set_at == keeper.lab.now()


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("age", [timedelta(0), -DAY, timedelta(minutes=59), 40_000 * DAY])
def test_an_age_that_was_not_meant_is_refused(timed: Lab, part: str, age: timedelta) -> None:
    keeper = Keeper(timed)
    with pytest.raises(BadValueError, match=f"{part}: expected an age from 1 hour to 100 years") as caught:
        keeper.keep(**{part: age})
    assert caught.value.column == part


def test_only_an_administrator_sets_and_only_the_mirror_prunes_beside(timed: Lab) -> None:
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
def test_a_batch_has_a_size(timed: Lab, limit: int) -> None:
    with pytest.raises(BadValueError, match="max: expected 1 to 10000"):
        Keeper(timed).retention.prune(limit)


# ------------------------------------------------------------------ what goes, what stays


@pytest.mark.parametrize(
    ("part", "gone"),
    [("events", {"job_events"}), ("figures", {"figures"}), ("raw_data", {"raw_data"})],
)
def test_a_part_goes_when_its_age_has_come_and_the_job_stays(
    keeper: Keeper, part: str, gone: set[str]
) -> None:
    job_id = keeper.measured(keeper.lab.chip())
    keeper.mirror()
    before, job = keeper.parts(job_id), keeper.lab.job(job_id)
    keeper.keep(**{part: KEPT})
    keeper.wait(KEPT)
    assert not keeper.retention.run()
    keeper.wait(timedelta(seconds=1))
    (there,) = (before[name] for name in gone)
    assert keeper.retention.run() == Pruned(**{part: there})
    assert keeper.parts(job_id) == before | dict.fromkeys(gone, 0)
    assert keeper.lab.job(job_id) == job
    assert not keeper.retention.run()


def test_a_job_takes_everything_with_it_but_its_parameters(keeper: Keeper) -> None:
    lab, chip_id = keeper.lab, keeper.lab.chip()
    old = keeper.measured(chip_id)
    lab.olga.queue.requeue(old)
    keeper.mirror()
    keeper.wait(DAY)
    young = keeper.measured(lab.chip())
    keeper.mirror()
    keeper.keep(jobs=KEPT)
    keeper.wait(KEPT)
    history = "SELECT * FROM calib.parameter_history ORDER BY chip_id, qid, valid_from"
    in_force = "SELECT * FROM calib.parameters ORDER BY chip_id, qid"
    before = lab.rows(history), lab.rows(in_force)
    job = lab.job(old)
    assert keeper.retention.run() == Pruned(jobs=1)
    assert not any(keeper.parts(old).values())
    assert lab.value("SELECT count(*) FROM calib_private.task_runs WHERE job_id = %s", old) == 0
    assert keeper.parts(young)["jobs"] == 1
    assert (lab.rows(history), lab.rows(in_force)) == before
    named = {(row["job_id"], row["execution_id"]) for row in before[0] if row["chip_id"] == chip_id}
    assert named == {(old, job["execution_id"])}
    assert lab.value("SELECT calib.mark(%s)", old) is False


def test_jobs_that_never_started_go_too(keeper: Keeper) -> None:
    lab, chip_id = keeper.lab, keeper.lab.chip()
    cancelled, waiting = lab.submit(chip_id), lab.submit(chip_id)
    lab.olga.queue.cancel(cancelled)
    keeper.keep(jobs=KEPT)
    keeper.wait(2 * KEPT)
    assert keeper.retention.run() == Pruned(jobs=1)
    assert keeper.parts(cancelled)["jobs"] == 0
    assert lab.job(waiting)["state"] == "scheduled"


def test_a_running_job_keeps_all_however_old_its_parts_are(keeper: Keeper) -> None:
    claimed, lease = keeper.lab.running(keeper.lab.chip())
    lease.record_task(lease.start_task(PlannedTask(task="CheckRabi", qid="0")), RECORD)
    keeper.mirror()
    before = keeper.parts(claimed.job_id)
    keeper.keep(**dict.fromkeys(PARTS, KEPT))
    keeper.wait(2 * KEPT)
    assert not keeper.retention.run()
    assert keeper.parts(claimed.job_id) == before
