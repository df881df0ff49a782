"""The short form of ``make chaos``: the same schedule every time."""

from __future__ import annotations

import pytest

from tests.chaos.run import Plan, run
from tests.chaos.schedule import Kind, Schedule
from tests.chaos.stage import Size

# With this seed each kind of injury is there once, and the last ones end with the time.
SHORT = Plan(seed=235, seconds=24.0, size=Size(chips=2), mean_gap=1.4)


def test_a_schedule_is_made_from_its_seed_alone() -> None:
    first, again, other = (Schedule.make(seed, 600.0, 3, 2.0) for seed in (7, 7, 8))
    assert first == again
    assert first.injuries != other.injuries
    assert {injury.kind for injury in first.injuries} == set(Kind)


def test_one_victim_meets_one_injury_at_a_time() -> None:
    busy_until: dict[tuple[str, int], float] = {}
    for injury in Schedule.make(3, 600.0, 3, 0.5).injuries:
        assert injury.at >= busy_until.get(injury.place, 0.0)
        busy_until[injury.place] = injury.ends_at


@pytest.mark.chaos
@pytest.mark.timeout(900)
def test_nothing_is_lost_or_doubled(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        report = run(SHORT, lambda _words: None)
    lines = "\n".join(report.lines())
    assert not report.violations, lines
    assert not report.troubles, lines
    assert report.injuries.total() >= 10, lines
    assert report.jobs.total() >= 10, lines
