"""What a bad row gets: one sentence, the right code and column, and nothing stored."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime

import psycopg
import pytest

from qdash_queue.errors import (
    BacklogFullError,
    BadParametersError,
    BadValueError,
    DuplicateJobError,
    NotPermittedError,
    SystemColumnError,
    TooLargeError,
    UnknownNameError,
)
from tests.contract.lab import PARAMETERS, PROJECT, Connection, Lab

QIDS = {"qids": ["0"], "tasks": ["CheckRabi"]}


def deep(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


# column given, its text (cast by PostgreSQL as in any plain INSERT), SQLSTATE, COLUMN of the answer, the sentence
BAD: list[tuple[str, str | None, str, str, str]] = [
    ("project_id", None, "CQ007", "project_id", "project_id: expected the project that asks for the job, got nothing"),
    ("project_id", "dmeo", "CQ001", "project_id", 'unknown project "dmeo": expected one of demo'),
    ("project_id", "demos", "CQ001", "project_id", 'unknown project "demos": did you mean "demo"\\?'),
    ("project_id", "demo'; --", "CQ001", "project_id", "unknown project"),
    ("project_id", "x" * 100_000, "CQ001", "project_id", 'unknown project "x{60}\\.\\.\\.": expected one of demo'),
    ("username", "Ana", "CQ007", "username", 'username: expected 3 to 64 of a-z, 0-9, _ and -, got "Ana"'),
    ("username", "../ana", "CQ007", "username", "username: expected 3 to 64"),
    ("username", "ana\n", "CQ007", "username", 'got "ana\\?"'),
    ("username", "", "CQ007", "username", 'got ""'),
    ("username", "ben", "CQ003", "username", 'may submit as "ana" only, not as "ben"'),
    ("chip_id", None, "CQ007", "chip_id", "chip_id: expected the name of a chip, got nothing"),
    ("chip_id", "CHIP17", "CQ001", "chip_id", 'unknown chip "CHIP17": did you mean "CHIP1"\\?'),
    ("chip_id", "☃", "CQ001", "chip_id", 'unknown chip "☃": expected one of'),
    ("flow", "calibrat", "CQ001", "flow", 'unknown flow "calibrat": did you mean "calibrate"\\?'),
    ("flow", "", "CQ001", "flow", 'unknown flow "": expected one of calibrate, interactive, repeat'),
    ("parameters", "[]", "CQ002", "parameters", 'parameters: expected a JSON object such as \\{"qids".*got array'),
    ("parameters", "null", "CQ002", "parameters", "got null"),
    ("parameters", '"text"', "CQ002", "parameters", "got string"),
    ("parameters", "{", "22P02", "", "invalid input syntax for type json"),
    ("parameters", "{}", "CQ002", "parameters", 'parameters: "(qids|tasks)" is missing: expected "qids", "tasks"'),
    ("parameters", '{"qids": [0], "tasks": ["CheckT1"]}', "CQ002", "parameters", "parameters.qids\\[0\\]: expected string, got number 0"),
    ("parameters", '{"qids": ["Q00"], "tasks": ["CheckT1"]}', "CQ002", "parameters", 'parameters.qids\\[0\\]: "Q00" is not a qubit id'),
    ("parameters", '{"qids": ["00"], "tasks": ["CheckT1"]}', "CQ002", "parameters", '"00" is not a qubit id'),
    ("parameters", '{"qids": ["0\\n"], "tasks": ["CheckT1"]}', "CQ002", "parameters", "is not a qubit id"),
    ("parameters", '{"qids": ["99"], "tasks": ["CheckT1"]}', "CQ001", "parameters", 'has no qubit "99": expected "0" to "1"'),
    ("parameters", '{"qids": ["0", "0"], "tasks": ["CheckT1"]}', "CQ002", "parameters", "expected every item once, got a repeated one"),
    ("parameters", '{"qids": [], "tasks": ["CheckT1"]}', "CQ002", "parameters", "expected at least 1 items, got 0"),
    ("parameters", '{"qids": ["0"], "tasks": ["CheckRaby"]}', "CQ001", "parameters", 'parameters.tasks\\[0\\]: unknown task "CheckRaby": did you mean "CheckRabi"\\?'),
    ("parameters", '{"qids": ["0"], "tasks": ["zzz"]}', "CQ001", "parameters", 'unknown task "zzz": expected one of CheckRabi, CheckT1, CreateHPIPulse'),
    ("parameters", '{"qids": ["0"], "tasks": ["CheckT1"], "shotz": 1}', "CQ002", "parameters", 'parameters: unknown parameter "shotz"'),
    ("parameters", '{"qids": ["0"], "tasks": ["CheckT1"], "label": "a label longer than twenty"}', "CQ002", "parameters", "parameters.label: expected at most 20 characters"),
    ("parameters", '{"qids": ["0"], "tasks": ["CheckT1"], "run_parameters": {"CheckT1": {"shots": 0}}}', "CQ002", "parameters", "parameters.run_parameters.CheckT1.shots: expected at least 1, got 0"),
    ("parameters", '{"qids": ["0"], "tasks": ["CheckT1"], "run_parameters": {"CheckT2": {}}}', "CQ001", "parameters", 'unknown task "CheckT2": did you mean "CheckT1"\\?'),
    ("parameters", '{"a": "\\u0000"}', "22P05", "", "unsupported Unicode escape sequence"),
    ("parameters", json.dumps({**QIDS, "label": "x" * 1_100_000}), "CQ040", "parameters", "expected at most 1 MiB of JSON, got 11000"),
    ("parameters", deep(40), "CQ002", "parameters", "parameters: expected JSON nested at most 32 levels deep, got more"),
    ("parameters", deep(100_000), "54001", "", "stack depth limit exceeded"),
    ("parameters", '{"x": 1e5000}', "CQ002", "parameters", "expected numbers between -1e308 and 1e308, got a larger one"),
    ("priority", "101", "CQ007", "priority", "priority: expected -100 to 100, got 101"),
    ("priority", "-101", "CQ007", "priority", "priority: expected -100 to 100, got -101"),
    ("priority", "99999", "22003", "", "out of range for type smallint"),
    ("priority", "high", "22P02", "", "invalid input syntax for type smallint"),
    ("not_before", "infinity", "CQ007", "not_before", "not_before: expected a time between the years 1 and 9999, got infinity"),
    ("not_before", "-infinity", "CQ007", "not_before", "got -infinity"),
    ("not_before", "20000-01-01", "CQ007", "not_before", "not_before: expected a time between the years 1 and 9999"),
    ("not_before", "0044-03-15 BC", "CQ007", "not_before", "not_before: expected a time between"),
    ("not_before", "tomorrowish", "22007", "", "invalid input syntax for type timestamp with time zone"),
    ("not_after", "infinity", "CQ007", "not_after", "not_after: expected a time between the years 1 and 9999, got infinity"),
    ("not_after", "2001-01-01", "CQ007", "not_after", "not_after: expected a time after not_before"),
    ("timeout_seconds", "0", "CQ007", "timeout_seconds", "timeout_seconds: expected 1 to 604800 \\(a week\\), got 0"),
    ("timeout_seconds", "604801", "CQ007", "timeout_seconds", "got 604801"),
    ("timeout_seconds", "NaN", "22P02", "", "invalid input syntax for type integer"),
    ("max_attempts", "0", "CQ007", "max_attempts", "max_attempts: expected 1 to 10, got 0"),
    ("max_attempts", "11", "CQ007", "max_attempts", "max_attempts: expected 1 to 10, got 11"),
    ("max_attempts", "2", "CQ007", "max_attempts", 'flow "calibrate" does not declare itself repeatable: expected 1, got 2'),
    ("dedup_key", "", "CQ007", "dedup_key", "dedup_key: expected 1 to 200 characters, got 0"),
    ("dedup_key", "x" * 201, "CQ007", "dedup_key", "dedup_key: expected 1 to 200 characters, got 201"),
    ("tags", "{a,NULL}", "CQ007", "tags", "tags: expected at most 32 texts of 1 to 100 characters"),
    ("tags", '{""}', "CQ007", "tags", "tags: expected at most 32 texts"),
    ("tags", "{{a},{b}}", "CQ007", "tags", "tags: expected at most 32 texts"),
    ("tags", "{" + ",".join("t" * 33) + "}", "CQ007", "tags", "tags: expected at most 32 texts"),
    ("note", "[]", "CQ007", "note", "note: expected a JSON object, got array"),
    ("note", json.dumps({"a": "x" * 70_000}), "CQ040", "note", "note: expected at most 64 KiB of JSON, got 700"),
    ("note", deep(33), "CQ007", "note", "note: expected JSON nested at most 32 levels deep, got more"),
    ("note", '{"x": [-1e400]}', "CQ007", "note", "note: expected numbers between"),
    ("job_id", "1", "CQ005", "job_id", 'column "job_id" is set by the queue: leave it out of the INSERT'),
    ("state", "completed", "CQ005", "state", 'column "state" is set by the queue'),
    ("attempt", "0", "CQ005", "attempt", 'column "attempt" is set by the queue'),
    ("execution_id", "20260101-001", "CQ005", "execution_id", 'column "execution_id" is set'),
    ("flow_run_id", "00000000-0000-0000-0000-000000000000", "CQ005", "flow_run_id", "is set by the queue"),
    ("executor_id", "x", "CQ005", "executor_id", "is set by the queue"),
    ("submitted_by", "ben", "CQ005", "submitted_by", "is set by the queue"),
    ("submitted_at", "2020-01-01", "CQ005", "submitted_at", "is set by the queue"),
    ("started_at", "2020-01-01", "CQ005", "started_at", "is set by the queue"),
    ("finished_at", "2020-01-01", "CQ005", "finished_at", "is set by the queue"),
    ("waiting_for", "godot", "CQ005", "waiting_for", "is set by the queue"),
    ("tasks_total", "1", "CQ005", "tasks_total", "is set by the queue"),
    ("tasks_done", "1", "CQ005", "tasks_done", "is set by the queue"),
    ("tasks_failed", "1", "CQ005", "tasks_failed", "is set by the queue"),
    ("failure_kind", "lost", "CQ005", "failure_kind", "is set by the queue"),
    ("failure_message", "x", "CQ005", "failure_message", "is set by the queue"),
    ("cancel_requested", "true", "CQ005", "cancel_requested", "is set by the queue"),
    ("cancel_mode", "now", "CQ005", "cancel_mode", "is set by the queue"),
    ("cancel_reason", "x", "CQ005", "cancel_reason", "is set by the queue"),
    ("cancel_requested_by", "x", "CQ005", "cancel_requested_by", "is set by the queue"),
    ("cancel_requested_at", "2020-01-01", "CQ005", "cancel_requested_at", "is set by the queue"),
    ("cancel_seen_at", "2020-01-01", "CQ005", "cancel_seen_at", "is set by the queue"),
    ("version", "7", "CQ005", "version", "is set by the queue"),
]  # fmt: skip


@pytest.fixture(scope="module")
def chip_id(lab: Lab) -> str:
    return lab.chip()


@pytest.fixture(scope="module")
def client(lab: Lab) -> Connection:
    assert lab.ben
    return lab.session(lab.ana, autocommit=True)


def plain_insert(client: Connection, row: dict[str, str | None]) -> None:
    columns = ", ".join(row)
    client.execute(
        f"INSERT INTO calib.jobs ({columns}) VALUES ({', '.join(['%s'] * len(row))})".encode(),
        list(row.values()),
    )


def stored(lab: Lab, chip_id: str) -> int:
    count = lab.value("SELECT count(*) FROM calib_private.jobs WHERE chip_id = %s", chip_id)
    assert isinstance(count, int)
    return count


def test_every_column_has_a_bad_value_here(lab: Lab) -> None:
    columns = lab.rows(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'calib.jobs'::regclass AND attnum > 0"
    )
    assert {row["attname"] for row in columns} == {bad[0] for bad in BAD}


@pytest.mark.parametrize(
    ("column", "value", "code", "named", "sentence"), BAD, ids=[f"{bad[0]}-{str(bad[1])[:20]}" for bad in BAD]
)
def test_a_bad_value_gets_one_sentence(
    lab: Lab,
    client: Connection,
    chip_id: str,
    column: str,
    value: str | None,
    code: str,
    named: str,
    sentence: str,
) -> None:
    before = stored(lab, chip_id)
    row: dict[str, str | None] = {
        "project_id": PROJECT,
        "chip_id": chip_id,
        "parameters": json.dumps(PARAMETERS),
        column: value,
    }
    with pytest.raises(psycopg.Error, match=sentence) as refused:
        plain_insert(client, row)
    answer = refused.value.diag
    assert (answer.sqlstate, answer.column_name or "") == (code, named)
    assert answer.message_primary is not None
    assert "\n" not in answer.message_primary
    assert len(answer.message_primary) < 400
    if code.startswith("CQ"):
        assert answer.message_detail is not None
        assert answer.message_detail.startswith("Nothing was stored. Row: ")
        assert len(answer.message_detail) < 700
        assert (answer.schema_name, answer.table_name) == ("calib", "jobs")
    assert stored(lab, chip_id) == before
    # Other statements of the same session are unharmed.
    plain_insert(client, {"project_id": PROJECT, "chip_id": chip_id, "parameters": json.dumps(PARAMETERS)})
    assert stored(lab, chip_id) == before + 1


def test_nul_never_arrives(lab: Lab) -> None:
    with pytest.raises(BadValueError, match="NUL"):
        lab.ana.queue.submit(PROJECT, "CHIP\0", {})


def test_a_bad_row_among_many_stores_none_and_is_named(lab: Lab, client: Connection, chip_id: str) -> None:
    before = stored(lab, chip_id)
    good = f"('demo', '{chip_id}', 'repeat', 1)"
    bad = f"('demo', '{chip_id}', 'repeat', 111)"
    with pytest.raises(psycopg.Error, match="priority: expected -100 to 100, got 111") as refused:
        client.execute(
            f"INSERT INTO calib.jobs (project_id, chip_id, flow, priority) VALUES {good}, {bad}, {good}".encode()
        )
    detail = refused.value.diag.message_detail or ""
    assert "priority 111" in detail
    assert f"chip_id {chip_id}" in detail
    assert stored(lab, chip_id) == before
    with pytest.raises(psycopg.Error, match='unknown chip "CHIPX"') as refused:
        with client.cursor().copy("COPY calib.jobs (project_id, chip_id, flow) FROM STDIN") as copy:
            for name in (chip_id, "CHIPX", chip_id):
                copy.write_row(("demo", name, "repeat"))
    assert "CHIPX" in (refused.value.diag.message_detail or "")
    assert stored(lab, chip_id) == before


def test_many_rows_at_once(lab: Lab, client: Connection) -> None:
    chip_id = lab.chip()
    found = client.execute(
        "INSERT INTO calib.jobs (project_id, chip_id, flow, tags)"
        " SELECT 'demo', %s, 'repeat', ARRAY['n' || n] FROM generate_series(1, 20) n RETURNING job_id, state",
        (chip_id,),
    ).fetchall()
    assert [row["state"] for row in found] == ["scheduled"] * 20
    with client.cursor().copy("COPY calib.jobs (project_id, chip_id, flow) FROM STDIN") as copy:
        for _ in range(50):
            copy.write_row(("demo", chip_id, "repeat"))
    assert stored(lab, chip_id) == 70


def test_defaults(lab: Lab, client: Connection, chip_id: str) -> None:
    row = client.execute(
        "INSERT INTO calib.jobs (project_id, chip_id, parameters) VALUES (%s, %s, %s) RETURNING *",
        (PROJECT, chip_id, json.dumps(PARAMETERS)),
    ).fetchone()
    assert row is not None
    assert lab.job(row["job_id"]) | {"waiting_for": None} == row | {"waiting_for": None}
    expected = {
        "username": "ana",
        "flow": "calibrate",
        "priority": 0,
        "not_after": None,
        "timeout_seconds": 3600,
        "max_attempts": 1,
        "dedup_key": None,
        "tags": [],
        "note": {},
        "state": "scheduled",
        "attempt": 0,
        "execution_id": None,
        "submitted_by": lab.ana.name,
        "cancel_requested": False,
        "version": 1,
    }
    assert {name: row[name] for name in expected} == expected
    assert row["not_before"] == row["submitted_at"]


def test_limits_are_inclusive(lab: Lab, client: Connection) -> None:
    chip_id = lab.chip()
    for given in (
        {"priority": "-100"},
        {"priority": "100"},
        {"timeout_seconds": "604800"},
        {"dedup_key": "x" * 200},
        {"tags": "{" + ",".join(["t" * 100] * 32) + "}"},
        {"note": deep(32)},
        {"note": '{"x": 1e308, "y": -1e308, "z": 1e-400}'},
        {"not_before": "9999-12-29 23:59:59+00"},
        {"max_attempts": "10"},
    ):
        plain_insert(client, {"project_id": PROJECT, "chip_id": chip_id, "flow": "repeat", **given})
    # And every one of them can be read by Python.
    assert len(lab.ana.queue.list(chip_id=chip_id)) == 9


def test_a_full_backlog_takes_no_more(lab: Lab) -> None:
    chip_id = lab.chip()
    lab.admin.set_chip(chip_id, 2)
    for _ in range(2):
        lab.submit(chip_id)
    with pytest.raises(
        BacklogFullError, match=f'chip "{chip_id}" has 2 jobs waiting and takes no more'
    ) as refused:
        lab.submit(chip_id)
    assert (refused.value.column, "max_waiting" in refused.value.hint) == ("chip_id", True)
    fresh = lab.chip()
    lab.admin.set_chip(fresh, 2)
    with pytest.raises(psycopg.Error, match="has 2 jobs waiting"):
        lab.session(lab.ana).execute(
            "INSERT INTO calib.jobs (project_id, chip_id, flow) SELECT 'demo', %s, 'repeat' FROM generate_series(1, 3)",
            (fresh,),
        )
    assert stored(lab, fresh) == 0
    assert lab.ready(chip_id).claim() is not None
    lab.submit(chip_id)


def test_a_chip_that_nobody_registered_for(lab: Lab) -> None:
    lab.admin.add_chip("SIM16", "fake", "square-lattice-mux-16")
    with pytest.raises(
        UnknownNameError,
        match="no executor has registered for SIM16: start one with qdash-executor --chip SIM16",
    ):
        lab.submit("SIM16")


def test_a_chip_without_a_living_executor_is_accepted_with_a_notice(lab: Lab, client: Connection) -> None:
    chip_id = lab.chip()
    heard: list[str] = []
    client.add_notice_handler(lambda notice: heard.append(notice.message_primary or ""))
    plain_insert(client, {"project_id": PROJECT, "chip_id": chip_id, "flow": "repeat"})
    assert len(heard) == 1
    assert f'no executor for chip "{chip_id}" is alive' in heard[0]
    lab.ready(chip_id)
    plain_insert(client, {"project_id": PROJECT, "chip_id": chip_id, "flow": "repeat"})
    assert len(heard) == 1


def test_a_dedup_key_is_free_again_when_its_job_has_ended(lab: Lab) -> None:
    chip_id = lab.chip()
    job_id = lab.submit(chip_id, dedup_key="nightly")
    with pytest.raises(DuplicateJobError, match=f'dedup_key "nightly" is taken by job {job_id}') as refused:
        lab.submit(chip_id, dedup_key="nightly")
    assert (refused.value.column, refused.value.constraint) == ("dedup_key", "jobs_dedup_live")
    lab.ana.queue.cancel(job_id)
    lab.submit(chip_id, dedup_key="nightly")


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        (UnknownNameError, lambda lab, chip: lab.submit("NOCHIP")),
        (BadParametersError, lambda lab, chip: lab.submit(chip, parameters={})),
        (BadValueError, lambda lab, chip: lab.submit(chip, priority=101)),
        (TooLargeError, lambda lab, chip: lab.submit(chip, note={"a": "x" * 70_000})),
        (NotPermittedError, lambda lab, chip: lab.submit(chip, username="ben")),
        (UnknownNameError, lambda lab, chip: lab.ana.queue.get(10**12)),
        (UnknownNameError, lambda lab, chip: lab.ana.queue.cancel(10**12)),
        (UnknownNameError, lambda lab, chip: lab.ana.queue.requeue(10**12)),
        (BadValueError, lambda lab, chip: lab.submit(chip, not_after=datetime.max)),
        (BadValueError, lambda lab, chip: lab.olga.queue.pause_chip(chip, "")),
        (UnknownNameError, lambda lab, chip: lab.olga.queue.pause_chip("NOCHIP", "x")),
        (NotPermittedError, lambda lab, chip: lab.ana.queue.pause_chip(chip, "x")),
        (BadValueError, lambda lab, chip: lab.ready(chip).claim(lease_seconds=float("nan"))),
        (BadValueError, lambda lab, chip: lab.ready(chip).claim(lease_seconds=0.0)),
        (BadValueError, lambda lab, chip: lab.admin.add_chip("../x", "fake", "linear-2")),
        (BadValueError, lambda lab, chip: lab.admin.add_chip("x", "real", "linear-2")),
        (BadValueError, lambda lab, chip: lab.admin.add_chip("x", "fake", "ring-2")),
        (BadValueError, lambda lab, chip: lab.admin.add_project("a b")),
        (UnknownNameError, lambda lab, chip: lab.admin.grant_member("nowhere", "x", "abc", "reader")),
        (
            UnknownNameError,
            lambda lab, chip: lab.admin.grant_member(PROJECT, "no_such_role", "abc", "reader"),
        ),
        (BadValueError, lambda lab, chip: lab.admin.grant_member(PROJECT, lab.ana.name, "A", "reader")),
        (BadValueError, lambda lab, chip: lab.admin.grant_member(PROJECT, lab.ana.name, "abc", "god")),
        (UnknownNameError, lambda lab, chip: lab.admin.allow_executor("no_such_role", chip)),
        (UnknownNameError, lambda lab, chip: lab.admin.set_chip("NOCHIP", 5)),
        (BadValueError, lambda lab, chip: lab.admin.set_chip(chip, 0)),
    ],
)
def test_verbs_raise_their_exceptions(
    lab: Lab, chip_id: str, kind: type[Exception], call: Callable[[Lab, str], object]
) -> None:
    with pytest.raises(kind) as refused:
        call(lab, chip_id)
    assert "\n" not in str(refused.value)


def test_a_system_column_through_the_driver(lab: Lab, chip_id: str) -> None:
    with pytest.raises(SystemColumnError) as refused:
        lab.ana.database.rows_once(
            "INSERT INTO calib.jobs (project_id, chip_id, state) VALUES ('demo', :chip_id, 'completed')",
            chip_id=chip_id,
        )
    assert refused.value.column == "state"
