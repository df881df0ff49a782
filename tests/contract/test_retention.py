"""What the policy says goes, and nothing else: never what is younger, never what somebody still waits for."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest

from qdash_queue import migrate
from qdash_queue.errors import BadValueError, NotPermittedError
from qdash_queue.models import PlannedTask
from qdash_queue.retention import Pruned, Retention
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


def test_the_origin_survives_a_revision_taken_back_and_put_on_again(keeper: Keeper) -> None:
    lab = keeper.lab
    keeper.measured(lab.chip())
    keeper.mirror()
    keeper.keep(jobs=KEPT)
    keeper.wait(2 * KEPT)
    columns = "SELECT qid, value, valid_from, source, task_run_id FROM calib.parameter_history ORDER BY qid"
    before = lab.rows(columns)
    assert keeper.retention.run().jobs == 1
    migrate.downgrade(lab.calib.url, "0001")
    assert lab.rows(columns) == before
    migrate.upgrade(lab.calib.url)
    assert lab.rows(columns) == before
    lab.olga.database.execute(
        "SELECT calib.set_parameter(:chip, '0', 'rabi_frequency', 13, 0, 'MHz', 'spectroscopy')",
        chip=lab.value("SELECT chip_id FROM calib.chips"),
    )


def test_what_was_there_before_this_revision_grows_old_too(keeper: Keeper) -> None:
    lab = keeper.lab
    keeper.measured(lab.chip())
    keeper.mirror()
    history = "SELECT * FROM calib.parameter_history ORDER BY qid"
    before = lab.rows(history)
    assert all(row["job_id"] and row["execution_id"] for row in before)
    migrate.downgrade(lab.calib.url, "0001")
    assert lab.rows(history) == before
    assert lab.value(
        "SELECT convalidated FROM pg_constraint WHERE conname = 'parameter_versions_task_run_id_fkey'"
    )
    migrate.upgrade(lab.calib.url)
    assert lab.rows(history) == before
    keeper.keep(figures=KEPT, raw_data=KEPT)
    keeper.wait(KEPT)
    assert not keeper.retention.run()
    keeper.wait(timedelta(seconds=1))
    assert keeper.retention.run() == Pruned(figures=4, raw_data=2)


# ------------------------------------------------------------------ what somebody waits for


def _unmirrored(keeper: Keeper, chip_id: str) -> int:
    job_id = keeper.measured(chip_id)
    keeper.render()
    return job_id


def _unrendered(keeper: Keeper, chip_id: str) -> int:
    job_id = keeper.measured(chip_id)
    keeper.lab.rows("SELECT calib.mark_done(mark_id, version) FROM calib_private.outbox")
    return job_id


def _unsynced(keeper: Keeper, chip_id: str) -> int:
    job_id = keeper.measured(chip_id, flow_run_id=uuid.uuid4())
    keeper.mirror()
    return job_id


def _release(keeper: Keeper, job_id: int) -> None:
    keeper.mirror()
    keeper.lab.machine.database.execute("SELECT calib.flow_run_synced(:job_id, 1)", job_id=job_id)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("waits", [_unmirrored, _unrendered, _unsynced])
def test_nothing_goes_of_a_job_that_somebody_waits_for(
    keeper: Keeper, part: str, waits: Callable[[Keeper, str], int]
) -> None:
    job_id = waits(keeper, keeper.lab.chip())
    before = keeper.parts(job_id)
    keeper.keep(**{part: KEPT})
    keeper.wait(2 * KEPT)
    assert not keeper.retention.run()
    assert keeper.parts(job_id) == before
    _release(keeper, job_id)
    assert keeper.retention.run()


@pytest.mark.parametrize("part", PARTS)
def test_a_job_that_must_stay_does_not_hold_up_the_others(keeper: Keeper, part: str) -> None:
    stays, goes = (keeper.measured(keeper.lab.chip()) for _ in range(2))
    keeper.mirror()
    keeper.lab.rows("SELECT calib.mark(%s)", stays)
    before = keeper.parts(stays)
    keeper.keep(**{part: KEPT})
    keeper.wait(2 * KEPT)
    total = Pruned()
    while batch := keeper.retention.prune(1):
        total += batch
    assert total
    assert keeper.parts(stays) == before
    assert keeper.parts(goes)[part if part != "events" else "job_events"] == 0


def test_rows_of_executors_that_are_long_gone_are_removed(keeper: Keeper) -> None:
    lab, chip_id = keeper.lab, keeper.lab.chip()
    stopped, lost = lab.ready(chip_id, "stopped"), lab.ready(chip_id, "lost")
    stopped.stopped()
    claimed, _ = lab.running(lab.chip())
    keeper.wait(8 * DAY)
    alive = lab.ready(chip_id, "alive")
    assert keeper.retention.run() == Pruned(executors=2)
    left = {row["executor_id"] for row in lab.rows("SELECT executor_id FROM calib.executors")}
    assert left == {alive.executor_id, lab.job(claimed.job_id)["executor_id"]}
    # It was only paused: it comes back under its name.
    lost.register()
    assert lost.executor_id in str(lab.rows("SELECT executor_id FROM calib.executors"))
