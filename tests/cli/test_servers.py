"""The commands that start servers, bring a database to the schema, and run the mirror."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psycopg
import pytest

from qdash_queue.domain import JobState
from qdash_queue.migrate import head
from tests.cli.desk import Desk, type_in
from tests.support.databases import CalibDatabase
from tests.support.waiting import PATIENCE, until_while_running

QDASH_QUEUE = [sys.executable, "-m", "qdash_queue.cli"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the account of an embedded PostgreSQL can reach, and with a short name for its socket."""
    made = Path(tempfile.mkdtemp(prefix="qdq-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@contextmanager
def started(
    environment: dict[str, str], *options: str, errors: IO[str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """`qdash-queue up` as a process; it ends with the block, also when the block fails."""
    command = [*QDASH_QUEUE, "up", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment) as up:
        try:
            yield up
        finally:
            up.terminate()


def read_document(process: subprocess.Popen[str]) -> dict[str, str]:
    """The JSON document that a process prints before it goes on."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if line == "}\n":
            return dict(json.loads("".join(lines)))
    raise AssertionError(f"expected a document, got {lines}")


def only_postgres(folder: Path) -> dict[str, str]:
    """The environment of an `up` that starts PostgreSQL alone: named servers are used as they are."""
    return os.environ | {
        "QDASH_QUEUE_STATE_PATH": str(folder),
        "QDASH_QUEUE_MONGO_URL": "mongodb://127.0.0.1:1",
        "QDASH_QUEUE_PREFECT_API_URL": "http://127.0.0.1:1/api",
    }


def test_up_keeps_its_data_from_one_start_to_the_next(folder: Path) -> None:
    environment = only_postgres(folder)
    for start in range(2):
        with started(environment, "--json") as up:
            said = read_document(up)
            assert said["QDASH_QUEUE_MONGO_URL"] == "mongodb://127.0.0.1:1"
            assert said["revision"] == head()
            assert said["QDASH_QUEUE_DATABASE_URL"] in said["psql"]
            url = said["QDASH_QUEUE_DATABASE_URL"]
            with psycopg.connect(url) as superuser:
                there = superuser.execute("SELECT to_regclass('public.kept') IS NOT NULL").fetchone()
                assert there == (start == 1,)
                superuser.execute("CREATE TABLE IF NOT EXISTS public.kept ()")
            up.send_signal(signal.SIGINT)
            assert up.wait(PATIENCE) == 0
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(url)


def test_up_ends_in_words_when_a_server_dies(folder: Path) -> None:
    said = folder / "said"
    with said.open("w") as errors, started(only_postgres(folder), "--json", errors=errors) as up:
        read_document(up)
        postmaster = (folder / "servers" / "postgres" / "data" / "postmaster.pid").read_text().split()[0]
        os.kill(int(postmaster), signal.SIGKILL)
        assert up.wait(PATIENCE) == 4
    refused = json.loads(said.read_text().splitlines()[-1])["error"]
    assert refused["code"] == "unreachable"
    assert refused["message"].startswith("postgres ended with status 137; its log ")
    assert "ready to accept connections" in refused["message"]


def test_up_prints_lines_for_a_shell(postgres_server: object, database_url: str) -> None:
    environment = os.environ | {
        "QDASH_QUEUE_DATABASE_URL": database_url,
        "QDASH_QUEUE_MONGO_URL": "mongodb://127.0.0.1:1",
        "QDASH_QUEUE_PREFECT_API_URL": "http://127.0.0.1:1/api",
    }
    with started(environment) as up:
        assert up.stdout is not None
        lines = [next(up.stdout) for _ in range(4)]
        up.terminate()
        assert up.wait(PATIENCE) == 0
    assert [line.split("=")[0] for line in lines[:3]] == [
        "export QDASH_QUEUE_DATABASE_URL",
        "export QDASH_QUEUE_MONGO_URL",
        "export QDASH_QUEUE_PREFECT_API_URL",
    ]
    assert lines[3].startswith("psql ")


def test_up_says_in_words_why_it_cannot(folder: Path) -> None:
    (folder / "servers").write_text("a file in the folder's place")
    outcome = type_in("up", environment={"QDASH_QUEUE_STATE_PATH": str(folder)})
    assert outcome.status == 3
    # The servers start side by side: any of them may be the first to find out.
    said = outcome.err.splitlines()[-1]
    assert said.startswith(f"{folder}/servers/")
    assert said.endswith(": Not a directory")


def test_migrate_brings_an_empty_database_to_the_schema(empty_database: CalibDatabase) -> None:
    environment = {"QDASH_QUEUE_DATABASE_URL": empty_database.url}
    assert type_in("migrate", environment=environment).out == f"the database is at revision {head()}\n"
    again = type_in("migrate", environment=environment)
    assert again.out == f"the database is at revision {head()}, unchanged\n"
    assert type_in("migrate", "--json", environment=environment).document == {
        "before": head(),
        "after": head(),
    }


def test_migrate_is_refused_in_words(shared_desk: Desk, empty_database: CalibDatabase) -> None:
    nobody = empty_database.login()
    for url in (
        nobody.url,
        shared_desk.roles["submitter"].url,
        "postgresql://x@127.0.0.1:1/y",
        "nonsense",
        "",
    ):
        assert type_in("migrate", environment={"QDASH_QUEUE_DATABASE_URL": url}).sentence


def test_commands_before_migrate_say_so(empty_database: CalibDatabase) -> None:
    outcome = type_in("jobs", environment={"QDASH_QUEUE_DATABASE_URL": empty_database.url})
    assert outcome.status == 4
    assert "qdash-queue migrate" in outcome.sentence


def test_mirror_lag_and_rebuild(desk: Desk, mongo_url: str, mongo_database: str, tmp_path: Path) -> None:
    settings = {"mongo_url": mongo_url, "mongo_database": mongo_database, "data_path": str(tmp_path)}
    assert desk.run("mirror", "lag", role="mirror", **settings).out == (
        "no mirror is alive: start one with qdash-queue mirror run\nQDash is up to date\n"
    )
    job = desk.end(desk.submit(), JobState.COMPLETED)
    out = desk.run("mirror", "lag", role="mirror", **settings).out
    assert f"job {job.job_id}" in out
    assert "not reached yet" in out
    lag = desk.run("mirror", "lag", "--json", role="mirror", **settings).document
    assert lag["mongo_problem"] is None
    assert [mark["job_id"] for mark in lag["marks"]] == [job.job_id]
    rebuilt = desk.run("mirror", "rebuild", "--job", str(job.job_id), "--json", role="mirror", **settings)
    assert rebuilt.status == 1
    assert "waiting" in rebuilt.document
    assert "is pending: " in desk.run("mirror", "rebuild", role="mirror", **settings).out
    assert "never started" in desk.run("mirror", "rebuild", "--job", "77", role="mirror", **settings).sentence
    day = job.execution_id[:8] if job.execution_id else ""
    day = f"{day[:4]}-{day[4:6]}-{day[6:]}"
    of_day = desk.run("mirror", "rebuild", "--day", day, "--json", role="mirror", **settings)
    assert list(of_day.document["waiting"]) == [f"job {job.job_id}"]
    other = desk.run("mirror", "rebuild", "--day", "2001-01-01", role="mirror", **settings)
    assert "no job first started on 2001-01-01" in other.sentence
    both = desk.run("mirror", "rebuild", "--day", day, "--job", "1", role="mirror", **settings)
    assert "got both" in both.err


def test_mirror_retry(desk: Desk, mongo_url: str, mongo_database: str, tmp_path: Path) -> None:
    settings = {"mongo_url": mongo_url, "mongo_database": mongo_database, "data_path": str(tmp_path)}
    job = desk.end(desk.submit(), JobState.COMPLETED)
    refused = '[{"document": "tag of calibrate", "reason": "too large", "remedy": "make it smaller"}]'
    with desk.database.connect() as connection:
        connection.execute(
            "UPDATE calib_private.outbox SET dead_at = now(), last_error = 'x', refused = %s", (refused,)
        )
    out = desk.run("mirror", "lag", role="mirror", **settings).out
    assert "dead letters, which MongoDB rejects" in out
    assert "too large" in out
    (letter,) = desk.run("mirror", "lag", "--json", role="mirror", **settings).document["dead_letters"]
    assert letter["refused"][0]["remedy"] == "make it smaller"
    retried = desk.run("mirror", "retry", "--job", str(job.job_id), "--json", role="mirror")
    assert retried.document == {"marks": 1}
    assert desk.run("mirror", "retry", role="admin").out == "items to retry: 1\n"
    lag = desk.run("mirror", "lag", "--json", role="mirror", **settings).document
    assert (lag["dead_letters"], [mark["job_id"] for mark in lag["marks"]]) == ([], [job.job_id])


def test_mirror_commands_say_what_is_missing(desk: Desk) -> None:
    assert "QDASH_QUEUE_MONGO_URL" in desk.run("mirror", "lag", role="mirror").sentence
    assert "QDASH_QUEUE_MONGO_URL" in desk.run("mirror", "run", role="mirror").sentence
    away = desk.run("mirror", "rebuild", role="mirror", mongo_url="mongodb://127.0.0.1:1")
    assert "MongoDB does not answer" in away.sentence


def test_mirror_run_stops_on_sigterm(desk: Desk, mongo_url: str, mongo_database: str, tmp_path: Path) -> None:
    environment = os.environ | {
        "QDASH_QUEUE_DATABASE_URL": desk.roles["mirror"].url,
        "QDASH_QUEUE_MONGO_URL": mongo_url,
        "QDASH_QUEUE_MONGO_DATABASE": mongo_database,
        "QDASH_QUEUE_DATA_PATH": str(tmp_path),
    }
    desk.end(desk.submit(), JobState.COMPLETED)
    with subprocess.Popen(
        [*QDASH_QUEUE, "mirror", "run"], stderr=subprocess.PIPE, text=True, env=environment
    ) as mirror:
        until_while_running(mirror, lambda: _has_tried(desk), "the mirror took the job's mark")
        mirror.terminate()
        _, log = mirror.communicate(timeout=PATIENCE)
    assert mirror.returncode == 0, log
    assert "mirroring to database" in log
    assert _has_tried(desk)


def _has_tried(desk: Desk) -> bool:
    """Whether a mirror has taken the job's mark: without a project in QDash it waits, with words."""
    return any(
        row["last_error"] for row in desk.queue.database.rows("SELECT last_error FROM calib.mirror_lag")
    )
