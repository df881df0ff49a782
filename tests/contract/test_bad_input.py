"""What a bad row gets: one sentence, the right code and column, and nothing stored."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

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
from tests.contract.bad_rows import BAD, deep
from tests.support.queue_world import PARAMETERS, PROJECT, Connection, QueueWorld


@pytest.fixture(scope="module")
def chip_id(world: QueueWorld) -> str:
    return world.chip()


@pytest.fixture(scope="module")
def client(world: QueueWorld) -> Connection:
    world.person("ben", "calib_submitter", access="submitter")
    return world.session(world.ana, autocommit=True)


def plain_insert(client: Connection, row: dict[str, str | None]) -> None:
    columns = ", ".join(row)
    client.execute(
        f"INSERT INTO calib.jobs ({columns}) VALUES ({', '.join(['%s'] * len(row))})".encode(),
        list(row.values()),
    )


def copy_jobs(client: Connection, chip_ids: list[str]) -> None:
    with client.cursor().copy("COPY calib.jobs (project_id, chip_id, flow) FROM STDIN") as copy:
        for chip_id in chip_ids:
            copy.write_row(("demo", chip_id, "repeat"))


def stored(world: QueueWorld, chip_id: str) -> int:
    count = world.value("SELECT count(*) FROM calib_private.jobs WHERE chip_id = %s", chip_id)
    assert isinstance(count, int)
    return count


def test_every_column_has_a_bad_value_here(world: QueueWorld) -> None:
    columns = world.rows(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'calib.jobs'::regclass AND attnum > 0"
    )
    assert {row["attname"] for row in columns} == {bad[0] for bad in BAD}


@pytest.mark.parametrize(
    ("column", "value", "code", "named", "sentence"), BAD, ids=[f"{bad[0]}-{str(bad[1])[:20]}" for bad in BAD]
)
def test_a_bad_value_gets_one_sentence(
    world: QueueWorld,
    client: Connection,
    chip_id: str,
    column: str,
    value: str | None,
    code: str,
    named: str,
    sentence: str,
) -> None:
    before = stored(world, chip_id)
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
    assert stored(world, chip_id) == before
    # Other statements of the same session are unharmed.
    plain_insert(client, {"project_id": PROJECT, "chip_id": chip_id, "parameters": json.dumps(PARAMETERS)})
    assert stored(world, chip_id) == before + 1


def test_nul_never_arrives(world: QueueWorld) -> None:
    with pytest.raises(BadValueError, match="NUL"):
        world.ana.queue.submit(PROJECT, "CHIP\0", {})


@pytest.mark.parametrize(
    ("chip_id", "shown"), [("x" * 100_000, f'"{"x" * 60}..."'), ("SIM\x1b[2J\n17", '"SIM?[2J?17"')]
)
def test_a_name_is_shown_on_one_line_and_cut(world: QueueWorld, chip_id: str, shown: str) -> None:
    with pytest.raises(UnknownNameError) as refused:
        world.ana.queue.chip(chip_id)
    assert str(refused.value).startswith(f"unknown chip {shown}: expected one of ")


def test_a_copy_that_gives_nothing_is_refused_in_words(client: Connection) -> None:
    with (
        pytest.raises(psycopg.Error, match="project_id: expected the project") as refused,
        client.cursor().copy("COPY calib.jobs (project_id, chip_id) FROM STDIN") as copy,
    ):
        copy.write_row((None, None))
    assert refused.value.sqlstate == "CQ007"
    assert refused.value.diag.message_detail == "Nothing was stored. Row: nothing was given"


def test_a_bad_row_among_many_stores_none_and_is_named(
    world: QueueWorld, client: Connection, chip_id: str
) -> None:
    before = stored(world, chip_id)
    into = "INSERT INTO calib.jobs (project_id, chip_id, flow, priority) VALUES"
    good = f"('demo', '{chip_id}', 'repeat', 1)"
    bad = f"('demo', '{chip_id}', 'repeat', 111)"
    with pytest.raises(psycopg.Error, match="priority: expected -100 to 100, got 111") as refused:
        client.execute(f"{into} {good}, {bad}, {good}".encode())
    detail = refused.value.diag.message_detail or ""
    assert "priority 111" in detail
    assert f"chip_id {chip_id}" in detail
    assert stored(world, chip_id) == before
    with pytest.raises(psycopg.Error, match='unknown chip "CHIPX"') as refused:
        copy_jobs(client, [chip_id, "CHIPX", chip_id])
    assert "CHIPX" in (refused.value.diag.message_detail or "")
    assert stored(world, chip_id) == before


def test_many_rows_at_once(world: QueueWorld, client: Connection) -> None:
    chip_id = world.chip()
    found = client.execute(
        "INSERT INTO calib.jobs (project_id, chip_id, flow, tags)"
        " SELECT 'demo', %s, 'repeat', ARRAY['n' || n] FROM generate_series(1, 20) n RETURNING job_id, state",
        (chip_id,),
    ).fetchall()
    assert [row["state"] for row in found] == ["scheduled"] * 20
    copy_jobs(client, [chip_id] * 50)
    assert stored(world, chip_id) == 70


def test_defaults(world: QueueWorld, client: Connection, chip_id: str) -> None:
    row = client.execute(
        "INSERT INTO calib.jobs (project_id, chip_id, parameters) VALUES (%s, %s, %s) RETURNING *",
        (PROJECT, chip_id, json.dumps(PARAMETERS)),
    ).fetchone()
    assert row is not None
    assert world.job(row["job_id"]) | {"waiting_for": None} == row | {"waiting_for": None}
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
        "submitted_by": world.ana.name,
        "cancel_requested": False,
        "version": 1,
    }
    assert {name: row[name] for name in expected} == expected
    assert row["not_before"] == row["submitted_at"]


def test_limits_are_inclusive(world: QueueWorld, client: Connection) -> None:
    chip_id = world.chip()
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
    assert len(world.ana.queue.list(chip_id=chip_id)) == 9


def test_a_full_backlog_takes_no_more(world: QueueWorld) -> None:
    chip_id = world.chip()
    world.admin.set_chip(chip_id, 2)
    for _ in range(2):
        world.submit(chip_id)
    with pytest.raises(
        BacklogFullError, match=f'chip "{chip_id}" has 2 jobs waiting and takes no more'
    ) as refused:
        world.submit(chip_id)
    assert (refused.value.column, "max_waiting" in refused.value.hint) == ("chip_id", True)
    fresh = world.chip()
    world.admin.set_chip(fresh, 2)
    with pytest.raises(psycopg.Error, match="has 2 jobs waiting"):
        world.session(world.ana).execute(
            "INSERT INTO calib.jobs (project_id, chip_id, flow) SELECT 'demo', %s, 'repeat' FROM"
            " generate_series(1, 3)",
            (fresh,),
        )
    assert stored(world, fresh) == 0
    assert world.ready(chip_id).claim() is not None
    world.submit(chip_id)


def test_a_chip_that_nobody_registered_for(world: QueueWorld) -> None:
    world.admin.add_chip("SIM16", "fake", "square-lattice-mux-16")
    with pytest.raises(
        UnknownNameError,
        match="no executor has registered for SIM16: start one with qdash-executor --chip SIM16",
    ):
        world.submit("SIM16")


def test_a_chip_without_a_living_executor_is_accepted_with_a_notice(
    world: QueueWorld, client: Connection
) -> None:
    chip_id = world.chip()
    heard: list[str] = []
    client.add_notice_handler(lambda notice: heard.append(notice.message_primary or ""))
    plain_insert(client, {"project_id": PROJECT, "chip_id": chip_id, "flow": "repeat"})
    assert len(heard) == 1
    assert f'no executor for chip "{chip_id}" is alive' in heard[0]
    world.ready(chip_id)
    plain_insert(client, {"project_id": PROJECT, "chip_id": chip_id, "flow": "repeat"})
    assert len(heard) == 1


def test_a_dedup_key_is_free_again_when_its_job_has_ended(world: QueueWorld) -> None:
    chip_id = world.chip()
    job_id = world.submit(chip_id, dedup_key="nightly")
    with pytest.raises(DuplicateJobError, match=f'dedup_key "nightly" is taken by job {job_id}') as refused:
        world.submit(chip_id, dedup_key="nightly")
    assert (refused.value.column, refused.value.constraint) == ("dedup_key", "jobs_dedup_live")
    world.ana.queue.cancel(job_id)
    world.submit(chip_id, dedup_key="nightly")


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        (UnknownNameError, lambda world, _: world.submit("NOCHIP")),
        (BadParametersError, lambda world, chip: world.submit(chip, parameters={})),
        (BadValueError, lambda world, chip: world.submit(chip, priority=101)),
        (TooLargeError, lambda world, chip: world.submit(chip, note={"a": "x" * 70_000})),
        (NotPermittedError, lambda world, chip: world.submit(chip, username="ben")),
        (UnknownNameError, lambda world, _: world.ana.queue.get(10**12)),
        (UnknownNameError, lambda world, _: world.ana.queue.cancel(10**12)),
        (UnknownNameError, lambda world, _: world.ana.queue.requeue(10**12)),
        (BadValueError, lambda world, chip: world.submit(chip, not_after=datetime(9999, 12, 31, tzinfo=UTC))),
        (BadValueError, lambda world, chip: world.olga.queue.pause_chip(chip, "")),
        (UnknownNameError, lambda world, _: world.olga.queue.pause_chip("NOCHIP", "x")),
        (NotPermittedError, lambda world, chip: world.ana.queue.pause_chip(chip, "x")),
        (BadValueError, lambda world, chip: world.ready(chip).claim(lease_seconds=float("nan"))),
        (BadValueError, lambda world, chip: world.ready(chip).claim(lease_seconds=0.0)),
        (BadValueError, lambda world, _: world.admin.add_chip("../x", "fake", "linear-2")),
        (BadValueError, lambda world, _: world.admin.add_chip("x", "real", "linear-2")),
        (BadValueError, lambda world, _: world.admin.add_chip("x", "fake", "ring-2")),
        (BadValueError, lambda world, _: world.admin.add_project("a b")),
        (UnknownNameError, lambda world, _: world.admin.grant_member("nowhere", "x", "abc", "reader")),
        (
            UnknownNameError,
            lambda world, _: world.admin.grant_member(PROJECT, "no_such_role", "abc", "reader"),
        ),
        (BadValueError, lambda world, _: world.admin.grant_member(PROJECT, world.ana.name, "A", "reader")),
        (BadValueError, lambda world, _: world.admin.grant_member(PROJECT, world.ana.name, "abc", "god")),
        (UnknownNameError, lambda world, chip: world.admin.allow_executor("no_such_role", chip)),
        (UnknownNameError, lambda world, _: world.admin.set_chip("NOCHIP", 5)),
        (BadValueError, lambda world, chip: world.admin.set_chip(chip, 0)),
    ],
)
def test_verbs_raise_their_exceptions(
    world: QueueWorld, chip_id: str, kind: type[Exception], call: Callable[[QueueWorld, str], object]
) -> None:
    with pytest.raises(kind) as refused:
        call(world, chip_id)
    assert "\n" not in str(refused.value)


def test_a_system_column_through_the_driver(world: QueueWorld, chip_id: str) -> None:
    with pytest.raises(SystemColumnError) as refused:
        world.ana.database.rows_once(
            "INSERT INTO calib.jobs (project_id, chip_id, state) VALUES ('demo', %(chip_id)s, 'completed')",
            chip_id=chip_id,
        )
    assert refused.value.column == "state"
