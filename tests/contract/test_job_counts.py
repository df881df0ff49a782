"""job_counts: the sweep counts what there is, also when jobs end, are pruned or committed late meanwhile."""

from __future__ import annotations

import pytest

from tests.support.queue_world import QueueWorld, Row

TRUTH = (
    "SELECT project_id, chip_id, state, count(*) AS jobs FROM calib_private.jobs"
    " GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
)
COUNTS = "SELECT project_id, chip_id, state, jobs FROM calib.job_counts ORDER BY 1, 2, 3"
END = (
    "UPDATE calib_private.jobs SET state = 'cancelled', finished_at = now() - %s * interval '1 second'"
    " WHERE job_id = ANY (%s)"
)


def counted(world: QueueWorld, sweeps: int = 1) -> list[Row]:
    """The counts after as many sweeps, each a minute after the one before."""
    for _ in range(sweeps):
        world.owner.execute("UPDATE calib_private.job_counting SET counted_at = '-infinity'")
        world.rows("SELECT * FROM calib.sweep()")
    return world.rows(COUNTS)


@pytest.fixture
def jobs(own_world: QueueWorld) -> list[int]:
    """Twenty that wait, on two chips; a running one beside them."""
    chips = [own_world.chip(), own_world.chip()]
    own_world.running(chips[0])
    return [own_world.submit(chips[n % 2], own_world.ana) for n in range(20)]


def test_counts_follow_what_is_submitted_ended_and_deleted(own_world: QueueWorld, jobs: list[int]) -> None:
    world = own_world
    assert counted(world) == world.rows(TRUTH) != []
    world.owner.execute(END, (3600, jobs[:8]))
    assert counted(world) == world.rows(TRUTH)
    world.owner.execute(END, (0, jobs[8:10]))
    assert counted(world, 3) == world.rows(TRUTH)
    assert world.value("SELECT sum(settled) FROM calib_private.job_counts") == 8, "the old ones are settled"
    # Of the settled, of the ended since, and of those that wait.
    world.owner.execute("DELETE FROM calib_private.jobs WHERE job_id = ANY (%s)", ([*jobs[:3], *jobs[8:12]],))
    for sweeps in (1, 1, 3):
        assert counted(world, sweeps) == world.rows(TRUTH)
    assert world.value("SELECT sum(settled) FROM calib_private.job_counts") == 5


def test_who_commits_late_is_counted(own_world: QueueWorld, jobs: list[int]) -> None:
    world = own_world
    late = world.session()
    late.execute(END, (3600, jobs[:2]))
    world.owner.execute(END, (3600, jobs[2:4]))
    assert counted(world, 3) == world.rows(TRUTH)
    late.commit()
    for sweeps in (1, 3):
        assert counted(world, sweeps) == world.rows(TRUTH)
    assert world.value("SELECT sum(settled) FROM calib_private.job_counts") == 4


def test_who_prunes_meanwhile_is_not_counted_twice(own_world: QueueWorld, jobs: list[int]) -> None:
    world = own_world
    world.owner.execute(END, (3600, jobs[:6]))
    counted(world)
    pruner = world.session()
    pruner.execute("DELETE FROM calib_private.jobs WHERE job_id = ANY (%s)", (jobs[:3],))
    assert counted(world, 3) == world.rows(TRUTH)
    pruner.commit()
    for sweeps in (1, 3):
        assert counted(world, sweeps) == world.rows(TRUTH)


def test_it_is_counted_once_a_minute_by_one(own_world: QueueWorld, jobs: list[int]) -> None:
    world = own_world
    before = counted(world)
    world.owner.execute(END, (0, jobs))
    world.rows("SELECT * FROM calib.sweep()")
    assert world.rows(COUNTS) == before
    world.owner.execute("UPDATE calib_private.job_counting SET counted_at = '-infinity'")
    other = world.session()
    other.execute("SELECT * FROM calib.sweep()")
    world.rows("SELECT * FROM calib.sweep()")  # does not wait for the other one
    assert world.rows(COUNTS) == before
    other.commit()
    assert world.rows(COUNTS) == world.rows(TRUTH)
