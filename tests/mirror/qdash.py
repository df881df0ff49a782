"""QDash as it is before the mirror writes: indexes, a user, a project and chips."""

from __future__ import annotations

from qdash_queue.mirror.qdash_setup import ChipPlan, QDashSetup
from qdash_queue.mirror.write.qdash_lookup import QDashDatabase
from tests.support.chip_jobs import CHIP, USER
from tests.support.queue_world import PROJECT


def make_plan(chip_id: str) -> ChipPlan:
    """The chip as QDash would make it, with the edges that the tests use."""
    return ChipPlan(
        chip_id=chip_id,
        topology_id="square-lattice-mux-16",
        qids=[str(n) for n in range(16)],
        edges=[("0", "1"), ("0", "2"), ("3", "1")],
    )


def set_up_qdash(database: QDashDatabase, *chip_ids: str) -> None:
    """QDash with its indexes, the user, the project and the chips."""
    setup = QDashSetup(database)
    setup.make_indexes()
    setup.make_user(USER)
    setup.make_project(PROJECT, USER)
    for chip_id in chip_ids or (CHIP,):
        setup.make_chip(PROJECT, USER, make_plan(chip_id))
