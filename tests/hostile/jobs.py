"""INSERT, many rows, COPY and UPDATE on `calib.jobs`: hostile values in every column, stored rows counted."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from hypothesis import strategies as st
from psycopg import sql

from qdash_queue.client.models import Job
from tests.hostile.answers import DRIVER, refusal
from tests.hostile.hostile_values import TEXTS, values_of
from tests.hostile.strategies import Fair, for_each, mostly_fair, near_schema
from tests.hostile.tally import Answer, Tally
from tests.hostile.target import ROLES, Target
from tests.support.queue_world import PARAMETERS, PROJECT, Connection

AUDIT_EVERY = 250
CHANGEABLE = (
    *("cancel_requested", "cancel_mode", "cancel_reason"),
    *("priority", "not_before", "not_after", "timeout_seconds", "tags", "note"),
)
FLOWS = ("calibrate", "repeat", "interactive")


@dataclass(frozen=True)
class Insert:
    """Rows for `calib.jobs`, all of the same columns."""

    role: str
    columns: tuple[str, ...]
    rows: list[list[str | None]]
    by_copy: bool


@dataclass(frozen=True)
class Update:
    """A change of one waiting job, or of all."""

    role: str
    columns: tuple[str, ...]
    values: list[str | None]
    one: bool


def fair_values(target: Target) -> dict[str, Fair]:
    """What is likely to be taken, by column."""
    return {
        "project_id": (PROJECT,),
        "chip_id": (target.chip_id,),
        "flow": ("repeat", "calibrate", None),
        "parameters": (json.dumps(PARAMETERS),),
        "username": (None,),
        "priority": ("0", "100", None),
        "not_before": (None, "now"),
        "not_after": (None, "2099-01-01"),
        "timeout_seconds": (None, "60"),
        "max_attempts": (None, "1"),
        "dedup_key": (None,),
        "tags": (None, "{a,b}"),
        "note": (None, '{"a": 1}'),
        "cancel_requested": ("true",),
        "cancel_mode": ("now", "after_task"),
        "cancel_reason": ("because",),
    }


def attack(target: Target, tries: int, seed: int) -> Tally:
    """Insert and change jobs as each role; what was accepted must be stored, and nothing else."""
    tally = Tally("calib.jobs")
    kinds = _columns(target)
    expected = target.stored()

    def body(case: Insert | Update) -> None:
        nonlocal expected
        session = target.session(case.role)
        answer, stored = (
            _insert(session, case) if isinstance(case, Insert) else (_update(target, session, case), 0)
        )
        tally.count(answer, case)
        expected += stored
        if tally.tries % AUDIT_EVERY == 0:
            _audit(target, tally, expected)
            target.delete_jobs()
            expected = 0

    with tally.timed():
        table = hostile_rows(target, kinds)
        # Whole in the long form; of the short form it takes no more than half.
        for case in random.Random(seed).sample(table, min(len(table), tries // 2)):
            body(case)
        for_each(_cases(target, kinds), max(1, tries - tally.tries), seed, body)
        _audit(target, tally, expected)
        target.delete_jobs()
    return tally


def hostile_rows(target: Target, kinds: dict[str, str]) -> list[Insert]:
    """The whole table: each hostile text in each text column, the others in the columns of their type."""
    fair = fair_values(target)
    usual = {"project_id": PROJECT, "chip_id": target.chip_id, "flow": "repeat"}
    rows = []
    for column, kind in kinds.items():
        for value in values_of(kind) if column in fair else TEXTS[:2]:
            row = usual | {column: value}
            rows.append(Insert("submitter", tuple(row), [list(row.values())], by_copy=False))
    return rows


def _columns(target: Target) -> dict[str, str]:
    rows = target.world.rows(
        "SELECT attname, format_type(atttypid, NULL) AS kind FROM pg_attribute"
        " WHERE attrelid = 'calib.jobs'::regclass AND attnum > 0"
    )
    return {row["attname"]: row["kind"] for row in rows}


def _cases(target: Target, kinds: dict[str, str]) -> st.SearchStrategy[Insert | Update]:
    given = [name for name in fair_values(target) if not name.startswith("cancel_")]
    columns = st.one_of(
        st.just(tuple(given)),
        st.permutations(given).map(lambda names: tuple(dict.fromkeys(["project_id", "chip_id", *names[:4]]))),
        st.permutations(list(kinds)).map(
            lambda names: tuple(dict.fromkeys(["project_id", "chip_id", *names[:4]]))
        ),
    )
    role = st.sampled_from([*ROLES, *["submitter"] * 12, *["operator"] * 6, *["admin"] * 2])
    inserts = st.tuples(role, columns).flatmap(lambda drawn: _inserts(target, kinds, *drawn))
    changes = st.permutations(CHANGEABLE).flatmap(
        lambda names: st.integers(1, 4).map(lambda n: tuple(names[:n]))
    )
    odd = st.sampled_from(list(kinds)).map(lambda name: (name,))
    updates = st.tuples(role, st.one_of(changes, changes, changes, odd)).flatmap(
        lambda drawn: _updates(target, kinds, *drawn)
    )
    return st.one_of(inserts, inserts, inserts, _near_flows(target), _near_flows(target), updates)


def _rows(
    target: Target, kinds: dict[str, str], columns: Sequence[str]
) -> st.SearchStrategy[list[str | None]]:
    fair = fair_values(target)
    return mostly_fair([fair.get(name, (None,)) for name in columns], [kinds[name] for name in columns])


def _inserts(
    target: Target, kinds: dict[str, str], role: str, columns: tuple[str, ...]
) -> st.SearchStrategy[Insert]:
    row = _rows(target, kinds, columns)
    many = st.lists(row, min_size=1, max_size=1) | st.lists(row, min_size=1, max_size=5)
    return st.builds(Insert, st.just(role), st.just(columns), many, st.booleans())


def _near_flows(target: Target) -> st.SearchStrategy[Insert]:
    """Parameters that fit the flow's registered schema, or nearly."""
    words = {
        "qid": ["0", "1"],
        "task": [row["task"] for row in target.world.rows("SELECT task FROM calib.tasks ORDER BY task")],
        "run_parameters": ["CheckRabi", "CheckT1"],
        "coupling": ["0-1"],
    }
    columns = ("project_id", "chip_id", "flow", "parameters")
    schemas = {
        row["flow"]: row["schema"] for row in target.world.rows("SELECT flow, schema FROM calib.flows")
    }
    return st.sampled_from(FLOWS).flatmap(
        lambda flow: near_schema(schemas[flow], words).map(
            lambda value: Insert(
                "submitter", columns, [[PROJECT, target.chip_id, flow, json.dumps(value)]], by_copy=False
            )
        )
    )


def _updates(
    target: Target, kinds: dict[str, str], role: str, columns: tuple[str, ...]
) -> st.SearchStrategy[Update]:
    return st.builds(Update, st.just(role), st.just(columns), _rows(target, kinds, columns), st.booleans())


def _insert(session: Connection, case: Insert) -> tuple[Answer, int]:
    """The answer, and how many rows are stored now."""
    names = sql.SQL(", ").join(map(sql.Identifier, case.columns))
    try:
        if case.by_copy:
            with session.cursor().copy(sql.SQL("COPY calib.jobs ({}) FROM STDIN").format(names)) as copy:
                for row in case.rows:
                    copy.write_row(row)
            return Answer(), len(case.rows)
        places = sql.SQL("({})").format(sql.SQL(", ").join([sql.Placeholder()] * len(case.columns)))
        statement = sql.SQL("INSERT INTO calib.jobs ({}) VALUES {} RETURNING *").format(
            names, sql.SQL(", ").join([places] * len(case.rows))
        )
        found = session.execute(statement, [value for each in case.rows for value in each]).fetchall()
        for stored in found:
            Job.model_validate(stored)
        return Answer(), len(found)
    except UnicodeEncodeError:
        return Answer(DRIVER), 0
    except psycopg.Error as error:
        return refusal(error), 0
    except ValueError as error:
        return Answer(wrong=f"stored, and no client can read it: {error}"), len(case.rows)


def _update(target: Target, session: Connection, case: Update) -> Answer:
    changes = sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in case.columns)
    newest = target.world.value("SELECT coalesce(max(job_id), 0) FROM calib_private.jobs")
    where = (
        sql.SQL("job_id = {}").format(sql.Literal(newest)) if case.one else sql.SQL("chip_id = 'HOSTILE1'")
    )
    try:
        session.execute(sql.SQL("UPDATE calib.jobs SET {} WHERE {}").format(changes, where), case.values)
    except UnicodeEncodeError:
        return Answer(DRIVER)
    except psycopg.Error as error:
        return refusal(error)
    return Answer()


def _audit(target: Target, tally: Tally, expected: int) -> None:
    if target.stored() != expected:
        tally.record_wrong(
            f"{target.stored()} jobs are stored, {expected} were accepted", "since the last audit"
        )
    if damage := target.damage():
        tally.record_wrong(damage, "since the last audit")
    broken = target.world.rows(
        "SELECT job_id FROM calib_private.jobs j WHERE (SELECT count(*) FROM calib_private.job_events e"
        "  WHERE e.job_id = j.job_id AND e.event = 'submitted') <> 1"
        " OR username !~ '^[a-z0-9][a-z0-9_-]{2,63}$' OR state NOT IN ('scheduled', 'cancelled')"
        " OR (state = 'cancelled') <> EXISTS"
        "  (SELECT FROM calib_private.cancel_requests k WHERE k.job_id = j.job_id)"
    )
    if broken:
        tally.record_wrong(f"half-done jobs: {broken}", "since the last audit")
