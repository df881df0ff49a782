"""One command from an empty database to a chip that can be calibrated."""

from __future__ import annotations

import shlex
from typing import Any

import psycopg
import pytest

from qdash_queue.client.database import Database
from qdash_queue.client.leases import Executor, Lease
from qdash_queue.client.queue import Queue
from qdash_queue.client.records import FlowEntry
from qdash_queue.domain import JobState
from tests.cli.desk import Outcome, type_in
from tests.support.databases import CalibDatabase

LOGINS = ("queue_admin", "alice", "mirror", "sim16_executor", "chip_2_executor")
NOOP = FlowEntry(
    flow="noop",
    parameters_schema={"type": "object"},
    repeatable=False,
    timeout_seconds=60,
    on_cancellation=["on_flow_cancellation"],
)


@pytest.fixture
def bare(empty_database: CalibDatabase) -> CalibDatabase:
    """A database without anything; the logins that are made are dropped after it."""
    empty_database.roles += LOGINS
    return empty_database


def set_up(url: str, *words: str) -> Outcome:
    return type_in("setup", "--chip", *words, environment={"QDASH_QUEUE_DATABASE_URL": url})


def made(outcome: Outcome) -> dict[str, Any]:
    assert outcome.status == 0, outcome.err
    return {item["name"]: item for item in outcome.document["items"] if item["url"]}


def test_a_bare_database_becomes_a_place_to_work(bare: CalibDatabase) -> None:
    outcome = set_up(bare.url, "SIM16", "--json")
    logins = made(outcome)
    assert set(logins) == {"queue_admin", "alice", "mirror", "sim16_executor"}
    assert all(item["made"] for item in outcome.document["items"])
    serving = Database(logins["sim16_executor"]["url"])
    executor = Executor(serving, "SIM16", "fake", "1")
    executor.register()
    executor.register_catalogue([NOOP], [])
    queue = Queue.connect(logins["alice"]["url"])
    job = queue.submit("demo", "SIM16", {}, flow="noop")
    assert (job.username, job.submitted_by) == ("alice", "alice")
    claimed = executor.claim()
    assert claimed is not None
    lease = Lease(serving, claimed.job_id, claimed.claim)
    lease.conclude(JobState.COMPLETED)
    assert lease.finish() is JobState.COMPLETED
    with psycopg.connect(logins["queue_admin"]["url"]) as admin:
        count = admin.execute(
            "SELECT count(DISTINCT qid) FROM calib.parameters WHERE actor = 'queue_admin'"
        ).fetchone()
        assert count == (16,)
        assert admin.execute("SELECT created_by FROM calib.projects").fetchone() == ("queue_admin",)
    with psycopg.connect(logins["mirror"]["url"]) as mirror:
        mirror.execute("SELECT * FROM calib.take_marks(1, 0)")
    serving.close()
    queue.database.close()


def test_it_tells_what_to_run_next(bare: CalibDatabase) -> None:
    outcome = set_up(bare.url, "SIM16")
    commands = outcome.out.partition("run next, one terminal each:\n")[2].splitlines()
    programs = [
        [word for word in shlex.split(line) if not word.startswith("QDASH_QUEUE_")] for line in commands
    ]
    assert programs == [
        ["qdash-executor", "--chip", "SIM16"],
        ["qdash-queue", "mirror", "run"],
        *[["qdash-queue", "submit", "demo", "SIM16", "--qids", "0,1", "--tasks", "CheckRabi"]],
    ]
    for name in ("QDASH_QUEUE_PREFECT_API_URL=", "QDASH_QUEUE_MONGO_URL=", "QDASH_QUEUE_DATA_PATH="):
        assert name in outcome.out


def test_once_more_changes_nothing(bare: CalibDatabase) -> None:
    first = made(set_up(bare.url, "SIM16", "--json"))
    passwords = "SELECT rolname, rolpassword FROM pg_authid WHERE rolname = ANY (%s) ORDER BY 1"
    with psycopg.connect(bare.url, autocommit=True) as owner:
        before = owner.execute(passwords, (list(LOGINS),)).fetchall()
        owner.execute("SET ROLE queue_admin")
        owner.execute("SELECT calib.grant_member('demo', 'alice', 'alice', 'operator')")
        again = set_up(bare.url, "SIM16", "--json")
        owner.execute("RESET ROLE")
        assert owner.execute(passwords, (list(LOGINS),)).fetchall() == before
        access = owner.execute("SELECT access FROM calib_private.memberships").fetchall()
    assert access == [("operator",)]
    assert not any(item["made"] for item in again.document["items"])
    assert {item["name"] for item in made(again).values()} == set(first)
    assert "://alice@" in made(again)["alice"]["url"]
    assert "keep these URLs" not in set_up(bare.url, "SIM16").out


def test_a_second_chip_joins_the_first(bare: CalibDatabase) -> None:
    set_up(bare.url, "SIM16")
    outcome = set_up(bare.url, "CHIP-2", "--topology", "linear-4", "--json")
    fresh = {item["name"]: item["kind"] for item in outcome.document["items"] if item["made"]}
    assert set(fresh) == {"chip_2_executor", "CHIP-2"}
    assert "design values" not in " ".join(item["kind"] for item in outcome.document["items"])
    assert "both are fixed" in set_up(bare.url, "CHIP-2", "--topology", "linear-8").sentence


def test_a_login_with_createrole_is_enough(bare: CalibDatabase) -> None:
    """As in a managed database; it keeps no right that it took to set up."""
    migrator = bare.login()
    with psycopg.connect(bare.url, autocommit=True) as owner:
        owner.execute(f"ALTER ROLE {migrator.name} CREATEROLE".encode())
        owner.execute(f"ALTER DATABASE {bare.name} OWNER TO {migrator.name}".encode())
        for (role,) in owner.execute("SELECT rolname FROM pg_roles WHERE rolname LIKE 'calib%'").fetchall():
            owner.execute(f"GRANT {role} TO {migrator.name} WITH ADMIN OPTION".encode())
        if owner.info.server_version >= 160000:
            owner.execute(f"GRANT calib_admin TO {migrator.name} WITH INHERIT FALSE, SET FALSE".encode())
        assert set(made(set_up(migrator.url, "SIM16", "--json"))) == set(LOGINS) - {"chip_2_executor"}
        taken = owner.execute(
            "SELECT count(*) FROM pg_auth_members WHERE roleid = 'queue_admin'::regrole"
            " AND member = %s::regrole AND NOT admin_option",
            (migrator.name,),
        ).fetchone()
    assert taken == (0,)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("SIM16", "--admin", "postgres"), "postgres is a superuser"),
        (("REAL", "--backend", "qubex"), "chip REAL: expected its --topology"),
        (("no spaces",), "chip_id: expected"),
        (("SIM16", "--member", "A!"), "username: expected"),
    ],
)
def test_bad_words_leave_nothing_behind(bare: CalibDatabase, words: tuple[str, ...], said: str) -> None:
    bare.roles += ["real_executor", "no_spaces_executor", "A!"]
    assert said in set_up(bare.url, *words).sentence
    with psycopg.connect(bare.url) as owner:
        assert owner.execute("SELECT count(*) FROM pg_roles WHERE rolname = 'mirror'").fetchone() == (0,)


def test_a_login_that_may_not_is_told_so(database: CalibDatabase) -> None:
    sentence = set_up(database.login("calib_admin").url, "SIM16").sentence
    assert "permission denied" in sentence or "refused" in sentence
