"""Open transactions that block other sessions, and how to end them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import psycopg
from psycopg.rows import DictRow

from qdash_queue.cli.amounts import moment
from qdash_queue.cli.doctor.findings import Finding, fine, note, problem

OLD_TRANSACTION_SECONDS = 30.0
# Shorter waits are the ordinary turn-taking of a busy queue.
LONG_WAIT_SECONDS = 1.0
SHOWN_WAITERS = 3
FULL_NOTIFICATION_QUEUE = 0.5

# Who waits for a lock and for whom. Process, role, application and waiting time all see; statement,
# state and age of other logins' sessions to members of pg_read_all_stats only.
WAITS = """
SELECT w.pid, w.usename, w.application_name, pg_blocking_pids(w.pid) AS blockers,
       extract(epoch FROM clock_timestamp() - min(l.waitstart))::float8 AS seconds,
       CASE WHEN w.backend_type IS NOT NULL
            THEN left(regexp_replace(w.query, '\\s+', ' ', 'g'), 80) END AS query
  FROM pg_stat_activity w JOIN pg_locks l ON l.pid = w.pid AND NOT l.granted
 WHERE w.datname = current_database() AND w.pid <> pg_backend_pid()
 GROUP BY w.pid, w.usename, w.application_name, w.backend_type, w.query
HAVING min(l.waitstart) < clock_timestamp() - make_interval(secs => %s)
 ORDER BY min(l.waitstart)
"""
OPEN = """
SELECT a.pid, a.usename, a.application_name, a.state, a.xact_start,
       extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS seconds
  FROM pg_stat_activity a WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
   AND (a.pid = ANY (%s) OR a.xact_start < clock_timestamp() - make_interval(secs => %s))
 ORDER BY a.xact_start, a.pid
"""
# Belongs to no process: the session that prepared it may have ended.
PREPARED = """
SELECT quote_literal(p.gid) AS gid, p.owner, p.prepared FROM pg_prepared_xacts p
 WHERE p.database = current_database() AND p.prepared < clock_timestamp() - make_interval(secs => %s)
"""


def transaction_findings(connection: psycopg.Connection[DictRow]) -> Iterator[Finding]:
    """Transactions that block others, or have been open for long."""
    waits = connection.execute(WAITS.encode(), (LONG_WAIT_SECONDS,)).fetchall()
    blocking = sorted({pid for wait in waits for pid in wait["blockers"]})
    found = connection.execute(OPEN.encode(), (blocking, OLD_TRANSACTION_SECONDS)).fetchall()
    for row in found:
        yield _finding(row, [wait for wait in waits if row["pid"] in wait["blockers"]])
    prepared = connection.execute(PREPARED.encode(), (OLD_TRANSACTION_SECONDS,)).fetchall()
    for row in prepared:
        yield problem(
            "transactions",
            f"prepared transaction {row['gid']} of {row['owner']} is open since {moment(row['prepared'])}",
            f"End it as {row['owner']} or a superuser: ROLLBACK PREPARED {row['gid']};",
        )
    if not found and not prepared:
        yield fine(
            "transactions",
            f"none that you may see blocks another or is open for more than {OLD_TRANSACTION_SECONDS:.0f} s",
        )


def notification_findings(
    connection: psycopg.Connection[DictRow], full: float = FULL_NOTIFICATION_QUEUE
) -> Iterator[Finding]:
    """The server's notification queue when it is fuller than that: a full one fails every change of jobs."""
    row = connection.execute("SELECT pg_notification_queue_usage() AS used").fetchone()
    if row and row["used"] > full:
        yield problem(
            "notifications",
            f"the server's notification queue is {row['used']:.0%} full: a session listens in an open"
            " transaction",
            "End that transaction: the oldest one in pg_stat_activity whose session has run LISTEN.",
        )


def _finding(row: DictRow, waits: Sequence[DictRow]) -> Finding:
    words = f"{_session(row)} is {row['state'] or 'open'}"
    if row["xact_start"] is not None:
        words += f", its transaction open since {moment(row['xact_start'])} ({row['seconds']:.0f} s)"
    remedy = f"Let it commit or roll back, or end it: SELECT pg_terminate_backend({row['pid']});"
    if not waits:
        return note("transactions", words, remedy)
    told = "; ".join(_waiter(wait) for wait in waits[:SHOWN_WAITERS])
    more = f" and {len(waits) - SHOWN_WAITERS} more" if len(waits) > SHOWN_WAITERS else ""
    return problem("transactions", f"{words}; sessions that it blocks: {len(waits)} ({told}{more})", remedy)


def _session(row: DictRow) -> str:
    application = f" ({row['application_name']})" if row["application_name"] else ""
    return f"process {row['pid']} of {row['usename']}{application}"


def _waiter(wait: DictRow) -> str:
    statement = f": {wait['query']}" if wait["query"] else ""
    return f"{_session(wait)} for {wait['seconds']:.0f} s{statement}"
