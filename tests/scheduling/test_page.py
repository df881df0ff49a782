"""The page on planning: its examples, run as they are written, and its table."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from qdash_queue.scheduling import AllMuxTargets, cr_schedule, load_topology
from tests.support.databases import CalibDatabase
from tests.support.queue_world import open_queue_world

PAGE = (Path(__file__).parents[2] / "docs" / "scheduling.md").read_text()
PLANNING, READING = re.findall(r"```python\n(.+?)```", PAGE, re.DOTALL)


def test_the_plan_is_printed_as_the_page_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    (shown,) = re.findall(r"```\n\n```\n(.+?)```", PAGE, re.DOTALL)
    exec(PLANNING, {})
    assert capsys.readouterr().out == shown


def test_a_chip_of_the_database_is_read(database: CalibDatabase) -> None:
    with open_queue_world(database) as world:
        world.admin.add_chip("SIM16", "fake", "square-lattice-mux-16")
        names: dict[str, Any] = {"DATABASE_URL": world.ana.url}
        exec(READING, names)
    assert names["chip"] == load_topology("square-lattice-mux-16")


@pytest.mark.parametrize("size", [16, 64, 144])
def test_the_table_counts_the_groups(size: int) -> None:
    chip = load_topology(f"square-lattice-mux-{size}")
    free, limited = (
        len(cr_schedule(chip, None, AllMuxTargets(), max_parallel_ops=limit).groups) for limit in (None, 10)
    )
    assert f"| {chip.topology_id} | {len(chip.couplings)} | {free} | {limited} |" in PAGE
