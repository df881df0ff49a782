"""What the doctor says of transactions that block, and of rights of dropped roles."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from qdash_queue.cli.doctor.findings import Level
from qdash_queue.cli.doctor.transactions import notification_findings
from tests.cli.desk import CHIP, Desk
from tests.cli.diagnosis import at, diagnosis, problems
from tests.support.queue_world import PROJECT
from tests.support.waiting import PATIENCE


def test_an_old_transaction_that_blocks_is_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qdash_queue.cli.doctor.transactions.LONG_WAIT_SECONDS", 0.0)
    job = desk.submit()
    blocked = threading.Thread(target=desk.queue.cancel, args=(job.job_id,))
    with psycopg.connect(desk.database.url, application_name="an impatient tool") as holder:
        pid = holder.info.backend_pid
        holder.execute("SELECT FROM calib_private.jobs FOR UPDATE")
        blocked.start()
        try:
            found = _blocking_finding(desk, pid)
        finally:
            holder.rollback()
            blocked.join()
    role = desk.roles["submitter"].name
    assert found["words"].startswith(f"process {pid} of postgres (an impatient tool) is idle in transaction")
    assert "its transaction open since 20" in found["words"]
    assert "sessions that it blocks: 1 (process " in found["words"]
    assert f"of {role} (qdash-queue) for " in found["words"]
    assert "UPDATE calib.jobs SET cancel_requested" in found["words"]
    assert f"pg_terminate_backend({pid})" in found["remedy"]


def test_a_locked_table_stops_neither_the_doctor_nor_its_other_findings(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qdash_queue.cli.doctor.transactions.OLD_TRANSACTION_SECONDS", 0.0)
    with psycopg.connect(desk.database.url, application_name="an impatient tool") as holder:
        pid = holder.info.backend_pid
        holder.execute("LOCK TABLE calib_private.jobs IN ACCESS EXCLUSIVE MODE")
        # Should the doctor wait for the lock, the test fails and does not hang.
        holder.execute(f"SET idle_in_transaction_session_timeout = '{PATIENCE:g}s'".encode())
        outcome = at(desk.database.url)
    assert outcome.status == 1
    assert f"process {pid} of postgres (an impatient tool)" in diagnosis(outcome, "transactions")["words"]
    assert "another session holds a lock" in diagnosis(outcome, "chips")["words"]
    assert diagnosis(outcome, "schema")["level"] == "ok"
    assert diagnosis(outcome, "Prefect")["level"] == "note"


def test_a_notification_queue_that_fills_up_is_told(shared_desk: Desk) -> None:
    with psycopg.connect(shared_desk.database.url, row_factory=dict_row) as connection:
        assert not list(notification_findings(connection))
        (found,) = notification_findings(connection, full=-1.0)
    assert found.level is Level.PROBLEM
    assert "the server's notification queue is 0% full" in found.words


def test_one_look_that_fails_leaves_the_others(desk: Desk) -> None:
    with desk.database.connect() as connection:
        connection.execute("REVOKE SELECT ON calib.mirror_lag FROM PUBLIC, calib_reader, calib_mirror")
    outcome = desk.run("doctor", "--json")
    assert problems(outcome) == ["mirror"]
    assert "could not be checked: permission denied" in diagnosis(outcome, "mirror")["words"]
    assert diagnosis(outcome, "transactions")["level"] == "ok"


def test_a_login_that_does_not_inherit_its_roles(desk: Desk) -> None:
    stranger = desk.database.login()
    with desk.database.connect() as connection:
        connection.execute(f"ALTER ROLE {stranger.name} NOINHERIT".encode())
        connection.execute(f"GRANT calib_submitter TO {stranger.name}".encode())
    outcome = at(stranger.url)
    assert problems(outcome) == ["role"]
    assert "without inheriting their rights" in diagnosis(outcome, "role")["words"]
    assert "INHERIT TRUE" in diagnosis(outcome, "role")["remedy"]


def _blocking_finding(desk: Desk, pid: int) -> dict[str, Any]:
    """The finding about the process, as soon as a session waits for it."""
    for _ in range(100):
        outcome = at(desk.database.url)
        for each in outcome.document:
            if (
                each["about"] == "transactions"
                and f"process {pid} " in each["words"]
                and each["level"] == "problem"
            ):
                assert outcome.status == 1
                return dict(each)
    raise AssertionError(outcome.out)


def test_rights_of_dropped_roles_are_told_with_the_command_that_removes_them(desk: Desk) -> None:
    gone = desk.database.login("calib_executor")
    for words in (
        ("members", "grant", PROJECT, gone.name, "--username", "gone"),
        ("executors", "allow", gone.name, CHIP),
    ):
        assert desk.run(*words, role="admin").status == 0
    with desk.database.connect() as connection:
        row = connection.execute("SELECT %s::regrole::oid::text", (gone.name,)).fetchone()
        connection.execute(f"DROP ROLE {gone.name}".encode())
    number = str(row[0]) if row else ""
    told = [each for each in desk.run("doctor", "--json", role="admin").document if each["about"] == "rights"]
    remedies = [each["remedy"].removeprefix("Remove it: qdash-queue ") for each in told]
    assert remedies == [f"executors disallow {number} {CHIP}", f"members revoke {PROJECT} {number}"]
    for remedy in remedies:
        assert desk.run(*remedy.split(), role="admin").status == 0
    again = desk.run("doctor", "--json", role="admin").document
    assert [each for each in again if each["about"] == "rights"] == []


def test_a_superuser_is_told_that_it_has_what_was_granted(shared_desk: Desk) -> None:
    found = diagnosis(at(shared_desk.database.url), "role")
    assert found["level"] == "note"
    assert "no calib_* role was granted" in found["words"]
    assert "member of calib_admin" in diagnosis(at(shared_desk.database.overseer.url), "role")["words"]
