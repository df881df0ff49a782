"""What was in force at an instant costs the same after a year of calibrations as on the first day."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.support.queue_world import QueueWorld, Row

pytestmark = pytest.mark.slow

VERSIONS = 50_000
NAMES = 20
# The qubit's versions have 770 pages.
MOST_BUFFERS = 150

# Each hour a new version of each name; the first of a week is an import.
A_LONG_TIME = """
INSERT INTO calib_private.parameter_versions
       (chip_id, qid, name, value, value_type, error, unit, valid, source, task_run_id, actor, reason)
SELECT %(chip_id)s, '0', 'p' || n, h, 'float', 0, 'GHz',
       tstzrange(b.at, CASE WHEN h < %(hours)s THEN b.at + interval '1 hour' END),
       CASE WHEN h %% 168 = 1 THEN 'import' ELSE 'task' END,
       CASE WHEN h %% 168 = 1 THEN NULL ELSE gen_random_uuid() END, 'x', 'x'
  FROM generate_series(1, %(hours)s) h, generate_series(1, %(names)s) n,
       LATERAL (SELECT %(begin)s + h * interval '1 hour' AS at) b
 ORDER BY h, n
"""
BEGIN = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
HOURS = VERSIONS // NAMES


@pytest.fixture(scope="module")
def old_chip(world: QueueWorld) -> str:
    """A chip with so many versions of one qubit's parameters."""
    chip_id = world.chip()
    given = {"chip_id": chip_id, "hours": HOURS, "names": NAMES, "begin": BEGIN}
    world.owner.execute("SET session_replication_role = replica")
    world.owner.execute(A_LONG_TIME, given)
    world.owner.execute("SET session_replication_role = origin")
    world.owner.execute("VACUUM ANALYZE calib_private.parameter_versions")
    return chip_id


def buffers(world: QueueWorld, statement: str, *parameters: object) -> int:
    """How many pages the statement reads, once it has seen the catalogue."""
    explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}"
    world.value(explain, *parameters)
    plan: Row = world.value(explain, *parameters)[0]["Plan"]
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


# The first hour, one in the middle, and now.
INSTANTS = [BEGIN + timedelta(hours=hour, minutes=30) for hour in (1, HOURS // 2, HOURS)]


@pytest.mark.parametrize("instant", INSTANTS)
def test_an_instant_is_found_by_the_range(world: QueueWorld, old_chip: str, instant: datetime) -> None:
    for function, given in (("as_of", (old_chip, instant)), ("at", (old_chip, "0", instant))):
        places = ", ".join(["%s"] * len(given))
        statement = f"SELECT * FROM calib.parameters_{function}({places})"
        assert len(world.rows(statement, *given)) == NAMES
        assert buffers(world, statement, *given) <= MOST_BUFFERS


def test_days_changed_by_hand_are_found_without_the_measured_ones(world: QueueWorld, old_chip: str) -> None:
    by_hand = "SELECT * FROM calib.parameter_history WHERE chip_id = %s AND source <> 'task'"
    since = BEGIN + timedelta(hours=HOURS - 168)
    assert len(world.rows(f"{by_hand} AND valid_from >= %s", old_chip, since)) == NAMES
    assert buffers(world, f"{by_hand} AND valid_from >= %s", old_chip, since) <= MOST_BUFFERS


# Exactly when versions begin and end, and a microsecond to either side.
EDGES = [
    BEGIN + timedelta(hours=hour, microseconds=shift)
    for hour in (1, 2, HOURS, HOURS + 1)
    for shift in (-1, 0, 1)
]


@pytest.mark.parametrize("instant", EDGES)
def test_a_version_is_in_force_from_its_beginning_until_before_its_end(
    world: QueueWorld, old_chip: str, instant: datetime
) -> None:
    history = (
        "SELECT * FROM calib.parameter_history WHERE chip_id = %s AND valid_from <= %s"
        " AND (valid_to IS NULL OR valid_to > %s) ORDER BY qid, name"
    )
    expected = world.rows(history, old_chip, instant, instant)
    as_of = "SELECT * FROM calib.parameters_as_of(%s, %s) ORDER BY qid, name"
    assert world.rows(as_of, old_chip, instant) == expected
    of_qubit = "SELECT * FROM calib.parameters_at(%s, '0', %s) ORDER BY qid, name"
    assert world.rows(of_qubit, old_chip, instant) == expected
    assert world.rows(of_qubit.replace("'0'", "'1'"), old_chip, instant) == []
