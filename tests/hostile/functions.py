"""Every function and view of schema `calib`, found in the catalogue, with hostile arguments by each role."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import psycopg
from hypothesis import strategies as st
from psycopg import sql

from qdash_queue.client.models import ClaimedJob
from tests.hostile.answers import DRIVER, refusal
from tests.hostile.strategies import Fair, for_each, hostile, mostly_fair
from tests.hostile.tally import Answer, Tally
from tests.hostile.target import ROLES, Target
from tests.support.queue_world import PROJECT, Connection

AUDIT_EVERY = 500
# What Python says about a value that PostgreSQL took and gives back.
UNREADABLE = (ValueError, RecursionError, OverflowError)
VALUE = {
    "value": 1,
    "error": 0.1,
    "unit": "us",
    "value_type": "float",
    "parameter_name": "t1",
    "qid_role": "",
}
RESULT = {
    "hardware_seconds": 1.5,
    "message": "done",
    "cause": "",
    "remedy": "",
    "stack_trace": "",
    "input_parameters": {"x": 1},
    "output_parameters": {"t1": VALUE},
    "run_parameters": {"shots": 1},
    "quality_metrics": {"r2": 0.9},
    "note": {"a": 1},
    "persist_output_parameters": True,
}
STAGE = {
    "name": "s",
    "step": "X",
    "mode": "serial",
    "targets": ["0"],
    "status": "running",
    "result": {"a": 1},
}
PLANNED = {"task": "CheckT1", "qid": "0", "task_type": "qubit", "repetition": 0}
SCHEMA = {
    "type": "object",
    "properties": {
        "a": {"type": "integer", "minimum": 1, "maximum": 5, "default": 1},
        "b": {"anyOf": [{"$ref": "#/$defs/B"}, {"type": "null"}]},
        "c": {"type": "string", "pattern": "^a+$", "minLength": 1, "maxLength": 9, "enum": ["a", "aa"]},
        "d": {
            "type": "array",
            "items": {"type": "string", "format": "qid"},
            "minItems": 1,
            "uniqueItems": True,
        },
    },
    "required": ["a"],
    "additionalProperties": False,
    "$defs": {"B": {"type": "number", "exclusiveMinimum": 0, "const": 1}},
}
FLOW = {
    "flow": "calibrate",
    "description": "words",
    "schema": SCHEMA,
    "repeatable": True,
    "timeout_seconds": 60,
    "on_cancellation": ["on_flow_cancellation"],
}
OFFERED = {
    "task": "CheckT1",
    "task_type": "qubit",
    "description": "words",
    "schema": SCHEMA,
    "input_parameters": ["a"],
    "output_parameters": ["b"],
}
# What fits, by the argument's name, so that calls come past the first checks.
LIKELY: dict[str, Fair] = {
    "p_project_id": (PROJECT,),
    "p_backend": ("fake",),
    "p_qid": ("0", "1"),
    "p_task": ("CheckRabi",),
    "p_task_type": ("qubit",),
    "p_status": ("completed", "failed", "skipped"),
    "p_state": ("completed", "failed"),
    "p_failure_kind": ("internal", "bad_fit"),
    "p_event": ("flow_started", "hook_ran"),
    "p_name": ("rabi_frequency",),
    "p_access": ("reader", "submitter"),
    "p_topology": ("linear-2",),
    "p_time_zone": ("Asia/Tokyo",),
    "p_result": (json.dumps(RESULT), json.dumps({"failure_kind": "bad_fit"})),
    "p_stage": (json.dumps(STAGE), json.dumps(STAGE | {"status": "failed"})),
    "p_figures": (json.dumps([{"name": "f", "plotly": '{"data": []}'}]),),
    "p_raw_meta": ("[]", json.dumps([{"name": "r", "dtype": "<f8", "shape": [1], "unit": "V"}])),
    "p_raw_data": ('{"\\\\x00"}',),
    "p_tasks": (json.dumps([PLANNED]), json.dumps([OFFERED])),
    "p_flows": (json.dumps([FLOW]),),
    "p_values": (
        json.dumps(
            {"0": {"t1": 1, "t2_echo": {"value": 1, "error": 0.1, "unit": "us", "value_type": "int"}}}
        ),
    ),
    "p_lease_seconds": ("30",),
    "p_max": ("1", "10"),
    "p_hold_seconds": ("30",),
    "p_reason": ("because",),
    "p_username": ("someone",),
}


# And by its type, where the name tells nothing.
FAIR: dict[str, str | None] = {
    "text": "words",
    "text[]": "{words}",
    "jsonb": "{}",
    "json": "{}",
    "smallint": "1",
    "integer": "1",
    "bigint": "1",
    "double precision": "1.5",
    "boolean": "true",
    "timestamp with time zone": "now",
    "bytea": "\\x00",
    "bytea[]": "{}",
    "interval": "1 day",
    "date": "today",
}
# Rows that a client must still be able to read whatever was called.
LEFT_BEHIND = (
    *(("job_events", "detail"), ("task_runs", "*"), ("stages", "*")),
    *(("jobs", "*"), ("flows", "*"), ("tasks", "*")),
)


@dataclass(frozen=True)
class Function:
    """One function as it can be called."""

    name: str
    arguments: tuple[tuple[str, str], ...]
    changes: bool

    @property
    def call(self) -> sql.Composed:
        """All columns of its answer; every argument a literal of the client's."""
        casts = [sql.SQL("%s::") + sql.SQL(kind) for _, kind in self.arguments]
        return sql.SQL("SELECT * FROM calib.{}({})").format(
            sql.Identifier(self.name), sql.SQL(", ").join(casts)
        )


@dataclass(frozen=True)
class Case:
    """One try."""

    role: str
    name: str
    statement: sql.Composed
    values: list[str | None]
    changes: bool


def functions(target: Target) -> list[Function]:
    """Every function of the public schema, with the names and types of its arguments."""
    rows = target.world.rows(
        "SELECT proname, provolatile = 'v' AS changes, coalesce(proargnames, '{}') AS names,"
        " array(SELECT format_type(k, NULL) FROM unnest(proargtypes) WITH ORDINALITY t(k, n) ORDER BY n)"
        " AS kinds"
        " FROM pg_proc WHERE pronamespace = 'calib'::regnamespace AND prokind = 'f' ORDER BY 1, 2"
    )
    return [
        Function(row["proname"], tuple(zip(row["names"], row["kinds"], strict=False)), row["changes"])
        for row in rows
    ]


def views(target: Target) -> dict[str, list[tuple[str, str]]]:
    """Every view of the public schema with its columns and their types."""
    found: dict[str, list[tuple[str, str]]] = {}
    for row in target.world.rows(
        "SELECT c.relname, a.attname, format_type(a.atttypid, NULL) AS kind FROM pg_class c"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
        " WHERE c.relnamespace = 'calib'::regnamespace AND c.relkind = 'v' ORDER BY 1, 2"
    ):
        found.setdefault(row["relname"], []).append((row["attname"], row["kind"]))
    return found


def attack(target: Target, tries: int, seed: int) -> Tally:
    """Call functions, and search views, with random and hostile arguments; each call is rolled back."""
    tally = Tally("functions and views")
    claimed = target.running_job()
    likely = present(target, target.chip_id, claimed)
    for role in ROLES:
        target.session(role).autocommit = False

    def body(case: Case) -> None:
        tally.count(_try(target.session(case.role), case), case.role, case.name, case.values)
        if tally.tries % AUDIT_EVERY == 0 and (damage := target.damage()):
            tally.record_wrong(damage, "the last", AUDIT_EVERY)

    with tally.timed():
        for_each(_cases(target, likely), tries, seed, body)
    for role in ROLES:
        target.session(role).autocommit = True
    if damage := target.damage():
        tally.record_wrong(damage)
    if target.stored() != 1:
        tally.record_wrong(f"{target.stored()} jobs where one was")
    target.delete_jobs()
    return tally


def present(target: Target, chip_id: str, claimed: ClaimedJob) -> dict[str, Fair]:
    """What fits a running job of the executor `one`, by the argument's name; starts a task of it."""
    job_id = claimed.job_id
    [started] = target.session("executor").execute(
        "SELECT * FROM calib.start_sweep(%s, %s, %s)", [job_id, claimed.claim, json.dumps([PLANNED])]
    )
    mark = target.world.rows("SELECT mark_id, version FROM calib_private.outbox WHERE job_id = %s", job_id)[0]
    return LIKELY | {
        "p_job_id": (str(job_id),),
        "p_claim": (str(claimed.claim),),
        "p_fence": (str(claimed.fence),),
        "p_chip_id": (chip_id,),
        "p_executor_id": (f"{chip_id}/one",),
        "p_task_run_id": (str(started["task_run_id"]),),
        "p_sweep_id": (str(started["sweep_id"]),),
        "p_mark_id": (str(mark["mark_id"]),),
        "p_version": (str(mark["version"]),),
        "p_role_name": (target.person("reader").name,),
    }


def _cases(target: Target, likely: Mapping[str, Fair]) -> st.SearchStrategy[Case]:
    calls = [
        _call(function, likely, [*ROLES, *callers(target, function) * 12])
        for function in functions(target)
        for _ in range(1 + len(function.arguments))
    ]
    searches = [_search(view, *column) for view, columns in views(target).items() for column in columns]
    return st.one_of(
        *[st.sampled_from(calls).flatmap(_itself)] * 5, st.sampled_from(searches).flatmap(_itself)
    )


def _itself(case: st.SearchStrategy[Case]) -> st.SearchStrategy[Case]:
    return case


def callers(target: Target, function: Function) -> list[str]:
    """The roles that may call it."""
    kinds = ", ".join(kind for _, kind in function.arguments)
    question = "SELECT has_function_privilege(%s, %s, 'EXECUTE')"
    signature = f"calib.{function.name}({kinds})"
    return [role for role in ROLES if target.world.value(question, target.person(role).name, signature)]


def _fair(name: str, kind: str, likely: Mapping[str, Fair]) -> Fair:
    # An age may bear the name of what is that old.
    return likely[name] if name in likely and kind != "interval" else (FAIR.get(kind),)


def fair_call(function: Function, likely: Mapping[str, Fair]) -> tuple[sql.Composed, list[str | None]]:
    """The call that is likely to be taken."""
    return function.call, [_fair(*argument, likely)[0] for argument in function.arguments]


def _call(function: Function, likely: Mapping[str, Fair], roles: list[str]) -> st.SearchStrategy[Case]:
    fair: list[Fair] = [_fair(*argument, likely) for argument in function.arguments]
    values = mostly_fair(fair, [kind for _, kind in function.arguments])
    return st.builds(
        Case,
        st.sampled_from(roles),
        st.just(function.name),
        st.just(function.call),
        values,
        st.just(function.changes),
    )


def _search(view: str, column: str, kind: str) -> st.SearchStrategy[Case]:
    statement = sql.SQL(
        "SELECT count({0}::text) FROM calib.{1} WHERE {0}::text = {2}::text OR {0} IS NULL"
    ).format(
        sql.Identifier(column),
        sql.Identifier(view),
        sql.SQL("%s::") + sql.SQL(kind),
    )
    values = hostile(kind).map(lambda one: [one])
    return st.builds(
        Case, st.sampled_from(ROLES), st.just(f"{view}.{column}"), st.just(statement), values, st.just(False)
    )


def _try(session: Connection, case: Case) -> Answer:
    try:
        session.execute(case.statement, case.values).fetchall()
        return Answer(wrong=_unreadable(session) if case.changes else "")
    except UnicodeEncodeError:
        return Answer(DRIVER)
    except psycopg.Error as error:
        return refusal(error)
    except UNREADABLE as error:
        return Answer(wrong=f"unreadable answer: {type(error).__name__}: {error}")
    finally:
        session.rollback()


def _unreadable(session: Connection) -> str:
    """What the call has left that a client cannot read."""
    for view, columns in LEFT_BEHIND:
        try:
            rows = session.execute(f"SELECT {columns} FROM calib.{view}".encode()).fetchall()
            json.dumps(rows, default=str, allow_nan=False)
        except UNREADABLE as error:
            return f"calib.{view} is unreadable now: {type(error).__name__}: {str(error)[:100]}"
    return ""
