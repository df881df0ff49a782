"""What the queue's verbs cost at 0 and at 100,000 finished jobs: milliseconds and buffers.

    python benchmarks/queue_verbs.py [--rounds 500] [--finished 100000] [--url postgresql://superuser@host/scratch]

Without a URL an embedded server of its own is used, with fsync on. The database is made for the run and
dropped. Times are of one client on one connection, verb by verb, each in a transaction of its own.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import sqlalchemy as sa
from psycopg import sql
from psycopg.rows import dict_row

from qdash_queue import migrate
from qdash_queue.embedded.postgres import PostgresServer

CHIP, EXECUTOR, DATABASE = "BENCH", "bench/one", "queue_verbs"
FLOWS = '[{"flow": "repeat", "schema": {"type": "object"}, "repeatable": true, "timeout_seconds": 60, "on_cancellation": ["on_flow_cancellation"]}]'  # noqa: E501
HISTORY = """
INSERT INTO calib_private.jobs (project_id, username, chip_id, flow, parameters, priority, not_before,
    timeout_seconds, max_attempts, repeatable, tags, note, state, attempt, fence, execution_id, executor_id,
    submitted_by, submitted_at, started_at, finished_at)
SELECT 'bench', 'bench', %(chip)s, 'repeat', '{}', n %% 5, now(), 60, 1, true, '{}', '{}', 'completed', 1, n,
       '20200101-q' || n, 'x', 'bench', now(), now(), now() FROM generate_series(1, %(count)s) n
"""
INSERT = (
    "INSERT INTO calib.jobs (project_id, chip_id, flow) VALUES ('bench', 'BENCH', 'repeat') RETURNING job_id"
)
CLAIM = "SELECT * FROM calib.claim('BENCH', 'bench/one')"

Session = psycopg.Connection[dict[str, object]]


class Stopwatch:
    """Collects how long each verb took."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    def run(self, verb: str, call: Callable[[], dict[str, object] | None]) -> dict[str, object] | None:
        begin = time.perf_counter()
        row = call()
        self.seconds.setdefault(verb, []).append(time.perf_counter() - begin)
        return row

    def report(self, title: str) -> None:
        print(f"\n{title}\n{'verb':<12}{'p50 ms':>9}{'p99 ms':>9}{'n':>7}")
        for verb, times in self.seconds.items():
            cuts = statistics.quantiles(times, n=100)
            print(f"{verb:<12}{cuts[49] * 1e3:>9.3f}{cuts[98] * 1e3:>9.3f}{len(times):>7}")


def prepare(session: Session) -> None:
    """A project, a chip and an executor; the superuser plays all parts."""
    actor = "SELECT session_user"
    for statement in (
        "SELECT calib.add_project('bench')",
        f"SELECT calib.grant_member('bench', ({actor}), 'bench', 'operator')",
        "SELECT calib.add_chip('BENCH', 'fake', 'linear-2')",
        f"SELECT calib.allow_executor(({actor}), 'BENCH')",
        "SELECT calib.register_executor('bench/one', 'BENCH', 'fake', 'here', 1, '1')",
        f"SELECT calib.register_catalogue('BENCH', 'fake', '1', '{FLOWS}', '[]')",
    ):
        session.execute(statement.encode())


def measure(session: Session, rounds: int) -> Stopwatch:
    """Insert, claim, heartbeat, finish; then polls with nothing to do."""
    watch = Stopwatch()

    def say(verb: str, statement: str, *parameters: object) -> dict[str, object] | None:
        return watch.run(verb, lambda: session.execute(statement.encode(), parameters or None).fetchone())

    for _ in range(rounds):
        say("insert", INSERT)
        job = say("claim", CLAIM)
        if job is None:
            raise SystemExit(
                "expected the job just inserted, got none: is another executor on this database?"
            )
        key = (job["job_id"], job["fence"])
        say("heartbeat", "SELECT * FROM calib.heartbeat(%s, %s)", *key)
        say("conclude", "SELECT calib.conclude(%s, %s, 'completed')", *key)
        say("finish", "SELECT calib.finish(%s, %s)", *key)
        say("idle poll", CLAIM)
        say("idle sweep", "SELECT * FROM calib.sweep()")
    return watch


def buffers(session: Session, statement: str) -> int:
    """Buffers touched by a statement on a warm cache; rolled back."""
    with session.transaction(force_rollback=True):
        session.execute(statement.encode())
    with session.transaction(force_rollback=True):
        row = session.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}".encode()).fetchone()
    plan = row["QUERY PLAN"][0]["Plan"] if row else {}  # type: ignore[index]
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


def show_buffers(session: Session) -> None:
    """The two hot statements alone, and whole calls with all their checks, marks and events."""
    look = (
        "SELECT job_id FROM calib_private.jobs WHERE chip_id = 'BENCH' AND state = 'scheduled'"
        " AND not_before <= now() AND (not_after IS NULL OR not_after > now()) AND flow <> 'interactive'"
        " ORDER BY priority DESC, job_id LIMIT 1"
    )
    print(
        f"buffers: idle poll's SELECT {buffers(session, look)}, whole idle claim() {buffers(session, CLAIM)}",
        end="",
    )
    session.execute(INSERT)
    print(f", due-job SELECT {buffers(session, look + ' FOR NO KEY UPDATE SKIP LOCKED')}", end="")
    print(f", whole claim() {buffers(session, CLAIM)}")
    session.execute("UPDATE calib.jobs SET cancel_requested = true WHERE state = 'scheduled'")


def conditions(session: Session) -> None:
    """Say on what the numbers were taken."""
    row = session.execute(
        "SELECT version() AS version, current_setting('fsync') AS fsync,"
        " current_setting('synchronous_commit') AS sync"
    ).fetchone()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {load}, Python {platform.python_version()}")
    if row:
        print(f"{row['version']}\nfsync {row['fsync']}, synchronous_commit {row['sync']}")


@contextmanager
def scratch_database(url: str | None) -> Iterator[str]:
    """A migrated database, dropped afterwards."""
    if url is None:
        with PostgresServer() as server, scratch_database(server.url) as made:
            yield made
        return
    with psycopg.connect(url, autocommit=True) as connection:
        name = sql.Identifier(DATABASE)
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
        own = sa.make_url(url).set(database=DATABASE).render_as_string(hide_password=False)
        try:
            migrate.upgrade(own)
            yield own
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--finished", type=int, default=100_000)
    parser.add_argument("--url", help="URL of a database on a server where a scratch database may be made")
    given = parser.parse_args()
    with (
        scratch_database(given.url) as url,
        psycopg.connect(url, autocommit=True, row_factory=dict_row) as session,
    ):
        prepare(session)
        conditions(session)
        measure(session, 50)  # warms plans and caches
        measure(session, given.rounds).report("few finished jobs")
        show_buffers(session)
        session.execute("SET session_replication_role = replica")
        session.execute(HISTORY, {"chip": CHIP, "count": given.finished})
        session.execute("SET session_replication_role = origin")
        session.execute("VACUUM ANALYZE")
        measure(session, 50)
        measure(session, given.rounds).report(f"{given.finished} finished jobs more")
        show_buffers(session)


if __name__ == "__main__":
    main()
