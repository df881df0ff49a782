"""The short form of ``make chaos``: the same schedule every time."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.chaos.installation import CLOCK, PLUGIN, Size
from tests.chaos.run import Plan, run
from tests.chaos.schedule import Kind, Schedule, kinds_within

# With this seed each kind of fault that fits into the time is there once.
SHORT = Plan(seed=362, seconds=20.0, size=Size(chips=2), mean_gap=1.0)
CLOCK_READER = """
import time
from datetime import UTC, datetime
from prefect.states import Running
while input():
    print(time.time(), time.time_ns() / 1e9, datetime.now(UTC).timestamp(), Running().timestamp.timestamp())
"""


def test_a_schedule_is_made_from_its_seed_alone() -> None:
    first, again, other = (Schedule.make(seed, 600.0, 3, 2.0) for seed in (7, 7, 8))
    assert first == again
    assert first.faults != other.faults
    assert {fault.kind for fault in first.faults} == set(Kind)


def test_one_victim_meets_one_injury_at_a_time() -> None:
    busy_until: dict[tuple[str, int], float] = {}
    for fault in Schedule.make(3, 600.0, 3, 0.5).faults:
        assert fault.at >= busy_until.get(fault.place, 0.0)
        assert fault.ends_at <= 600.0
        busy_until[fault.place] = fault.ends_at


def test_the_short_form_holds_every_kind_that_fits() -> None:
    planned = Schedule.make(SHORT.seed, SHORT.seconds, SHORT.size.chips, SHORT.mean_gap)
    assert {fault.kind for fault in planned.faults} == set(kinds_within(SHORT.seconds))
    assert set(Kind) - set(kinds_within(SHORT.seconds)) == {Kind.LOSE_MONGO, Kind.LOSE_PREFECT}


def test_a_clock_can_be_set_while_its_process_runs(tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    clock.write_bytes(struct.pack("<d", 0.0))
    with subprocess.Popen(
        [sys.executable, "-u", "-c", CLOCK_READER],
        env={**os.environ, "PYTHONPATH": str(PLUGIN), CLOCK: str(clock)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        told = []
        for hours in (0, -5, 7, 0):
            clock.write_bytes(struct.pack("<d", 3600.0 * hours))
            process.stdin.write("?\n")
            process.stdin.flush()
            told.append([float(word) for word in process.stdout.readline().split()])
        process.stdin.write("\n")
    for seconds in zip(*told, strict=True):
        assert [round((second - seconds[0]) / 3600) for second in seconds] == [0, -5, 7, 0]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_nothing_is_lost_or_doubled(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        report = run(SHORT, lambda _words: None)
    lines = "\n".join(report.lines())
    assert not report.violations, lines
    assert not report.errors, lines
    planned = Schedule.make(SHORT.seed, SHORT.seconds, SHORT.size.chips, SHORT.mean_gap)
    assert report.faults + report.missed == Counter(fault.kind for fault in planned.faults), lines
    assert report.jobs, lines
    assert report.task_results, lines
