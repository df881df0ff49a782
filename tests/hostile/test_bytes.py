"""What is too big for any try of thousands, and bytes that no driver would send."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.hostile.answers import refusal
from tests.hostile.target import Target, open_target
from tests.support.databases import Cluster
from tests.support.queue_world import PROJECT

HUNDRED_MEGABYTES = '{"qids": ["0"], "tasks": ["CheckRabi"], "x": "' + "x" * 100_000_000 + '"}'
INSERT = "INSERT INTO calib.jobs (project_id, chip_id, parameters) VALUES (%s, %s, %s)"
NOT_UTF8 = (b"\xff\xfe", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82")


@pytest.fixture(scope="module")
def target(postgres_server: Cluster) -> Iterator[Target]:
    with postgres_server.database() as database, open_target(database) as target:
        yield target


def expect_refusal(target: Target, error: psycopg.Error, sqlstate: str) -> None:
    assert refusal(error).wrong == ""
    assert error.sqlstate == sqlstate
    assert (target.stored(), target.damage()) == (0, "")
    assert target.session("submitter").execute("SELECT 1").fetchone() is not None


def test_a_hundred_megabytes_by_insert(target: Target) -> None:
    with pytest.raises(psycopg.Error, match="expected at most 1 MiB of JSON, got 1000000") as caught:
        target.session("submitter").execute(INSERT, (PROJECT, target.chip_id, HUNDRED_MEGABYTES))
    expect_refusal(target, caught.value, "CQ040")


def test_a_hundred_megabytes_by_copy(target: Target) -> None:
    copy = "COPY calib.jobs (project_id, chip_id, parameters) FROM STDIN"
    with (
        pytest.raises(psycopg.Error, match="expected at most 1 MiB of JSON, got 1000000") as caught,
        target.session("submitter").cursor().copy(copy) as rows,
    ):
        rows.write_row((PROJECT, target.chip_id, HUNDRED_MEGABYTES))
    expect_refusal(target, caught.value, "CQ040")


def test_a_hundred_megabytes_of_reason(target: Target) -> None:
    job_id = target.world.submit(target.chip_id, flow="repeat", parameters={})
    cancel = "UPDATE calib.jobs SET cancel_requested = true, cancel_reason = %s WHERE job_id = %s"
    with pytest.raises(psycopg.Error, match="cancel_reason: expected at most 1000 characters") as caught:
        target.session("operator").execute(cancel, ("x" * 100_000_000, job_id))
    assert target.world.value("SELECT count(*) FROM calib_private.cancel_requests") == 0
    target.delete_jobs()
    expect_refusal(target, caught.value, "CQ007")


@pytest.mark.parametrize("raw", NOT_UTF8, ids=bytes.hex)
@pytest.mark.parametrize("column", ["project_id", "flow", "dedup_key", "parameters", "note"])
def test_bytes_that_are_not_utf8(target: Target, column: str, raw: bytes) -> None:
    given = {"project_id": b"world", "chip_id": target.chip_id.encode(), "flow": b"repeat"}
    given[column] = b'{"a": "' + raw + b'"}' if column in ("parameters", "note") else raw
    names, values = ", ".join(given).encode(), b", ".join(b"'" + value + b"'" for value in given.values())
    # Sent as it stands: the driver encodes what is given to it as text only.
    statement = b"INSERT INTO calib.jobs (" + names + b") VALUES (" + values + b")"
    with pytest.raises(psycopg.Error) as caught:
        target.session("submitter").execute(statement)
    expect_refusal(target, caught.value, "22021")
