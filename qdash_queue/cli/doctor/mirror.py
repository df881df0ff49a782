"""The doctor's checks of the mirror: lag, liveness, dead letters."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
from psycopg.rows import DictRow

from qdash_queue.cli.doctor.findings import Finding, fine, note, problem

LATE_MIRROR_SECONDS = 60.0

Connection = psycopg.Connection[DictRow]

_DETAILS = "qdash-queue mirror lag lists every item and its reason."


def mirror_findings(connection: Connection) -> Iterator[Finding]:
    """The lag, the mirrors that are alive, the dead letters; a schema before 0002 knows the lag only."""
    rows = connection.execute("SELECT * FROM calib.mirror_lag ORDER BY lag_seconds DESC").fetchall()
    marks = [row for row in rows if row.get("dead_at") is None]
    dead = [row for row in rows if row.get("dead_at") is not None]
    yield _lag_finding(marks)
    if _knows_mirrors(connection):
        yield _mirrors_finding(connection)
    if dead:
        yield problem(
            "dead letters",
            f"MongoDB rejects documents of {len(dead)} items: {dead[0]['last_error']}",
            f"Fix this, then run qdash-queue mirror retry; {_DETAILS}",
        )


def _knows_mirrors(connection: Connection) -> bool:
    row = connection.execute("SELECT to_regclass('calib.mirrors') IS NOT NULL AS known").fetchone()
    return bool(row and row["known"])


def _mirrors_finding(connection: Connection) -> Finding:
    alive = connection.execute(
        "SELECT mirror_id, condition FROM calib.mirrors WHERE alive ORDER BY condition = 'ready', mirror_id"
    ).fetchall()
    if not alive:
        return note("mirrors", "no mirror is alive", "Start one with qdash-queue mirror run.")
    if alive[0]["condition"] != "ready":
        return problem(
            "mirrors",
            f"{alive[0]['mirror_id']} is not ready: {alive[0]['condition']}",
            "Fix this; it resumes automatically.",
        )
    return fine("mirrors", f"{', '.join(str(row['mirror_id']) for row in alive)}: alive and ready")


def _lag_finding(marks: list[DictRow]) -> Finding:
    lag = float(marks[0]["lag_seconds"]) if marks else 0.0
    if lag < LATE_MIRROR_SECONDS:
        return fine("mirror", f"{len(marks)} changes pending, the oldest for {lag:.0f} s")
    errors = [str(row["last_error"]) for row in marks if row["last_error"]]
    why = errors[0] if errors else "no mirror processes them"
    return problem(
        "mirror",
        f"QDash is {lag:.0f} s behind with {len(marks)} items: {why}",
        f"Start it with qdash-queue mirror run; {_DETAILS}",
    )
