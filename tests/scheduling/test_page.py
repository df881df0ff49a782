"""The page on planning: its examples, run as they are written, and its table."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from executors.engine.grouping import Layout, groups
from qdash_queue.scheduling import AllMuxTargets, cr_schedule, load_topology, one_qubit_schedule
from tests.support.databases import CalibDatabase
from tests.support.queue_world import TASKS, open_flow, open_queue_world

PAGE = (Path(__file__).parents[2] / "docs" / "scheduling.md").read_text()
PLANNING, READING, SUBMITTING = re.findall(r"```python\n(.+?)```", PAGE, re.DOTALL)


def test_the_plan_is_printed_as_the_page_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    (shown,) = re.findall(r"```\n\n```\n(.+?)```", PAGE, re.DOTALL)
    exec(PLANNING, {})
    assert capsys.readouterr().out == shown


def test_a_chip_of_the_database_is_read_planned_and_submitted(database: CalibDatabase) -> None:
    with open_queue_world(database) as world:
        world.add_chip("SIM16", "square-lattice-mux-16")
        flow = open_flow("calibrate", repeatable=False)
        world.executor("SIM16").register_catalogue([flow], TASKS)
        names: dict[str, Any] = {"DATABASE_URL": world.ana.url, "queue": world.ana.queue}
        for example in (PLANNING, READING, SUBMITTING):
            exec(example, names)
        jobs = world.rows("SELECT parameters -> 'qids' AS qids FROM calib.jobs ORDER BY job_id")
    assert names["chip"] == load_topology("square-lattice-mux-16")
    assert [job["qids"] for job in jobs] == [list(step.qids) for step in names["plan"].steps]
    assert len(jobs) == 12


@pytest.mark.parametrize("size", [16, 64, 144])
def test_the_table_counts_the_groups(size: int) -> None:
    chip = load_topology(f"square-lattice-mux-{size}")
    free, limited = (
        len(cr_schedule(chip, None, AllMuxTargets(), max_parallel_ops=limit).groups) for limit in (None, 10)
    )
    assert f"| {chip.topology_id} | {len(chip.couplings)} | {free} | {limited} |" in PAGE


def test_an_executor_measures_a_step_and_a_group_in_one_sweep() -> None:
    chip = load_topology("square-lattice-mux-144")
    muxes = {int(qid): mux for mux, qids in chip.muxes.items() for qid in qids}
    layout = Layout.of(muxes, chip.couplings)
    steps = [step.qids for step in one_qubit_schedule(chip, None, AllMuxTargets()).steps]
    pairs = cr_schedule(chip, None, AllMuxTargets(), max_parallel_ops=None, min_distance=2)
    for targets in [*steps, *([pair.qid for pair in group.pairs] for group in pairs.groups)]:
        assert groups(targets, layout, lambda _: None) == [list(targets)]
