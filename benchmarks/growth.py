"""What the queue's verbs cost while its history grows, how large it gets, and how fast it is pruned.

    python -m benchmarks.growth [--finished 1000000] [--waiting 10000] [--with-events] [--rounds 300]
                                [--prune-seconds 20] [--url postgresql://superuser@host/any]

Measures at none, a tenth of and all the finished jobs, then prunes the older half: alone, and beside an
executor that claims. Without a URL an embedded server of its own is used, with fsync on. The database is made
for the run and dropped. Times are of one client on one connection, verb by verb, each in a transaction of its
own. The history is written by set-based SQL with triggers off: one job for each second, with its attempt.
Last comes what the questions of docs/sql.md cost, in a history of their own with as many jobs.
Ten million jobs take about 8 GB, with events 18 GB, below TMPDIR.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg import sql
from psycopg.rows import dict_row

from benchmarks import reads
from benchmarks.conditions import Spread, migrate_and_grant, print_conditions
from qdash_queue.client.database import Database
from qdash_queue.client.queue import Queue
from qdash_queue.domain import JobState
from qdash_queue.embedded.postgres import PostgresServer

DATABASE = "growth"
CHIPS = 10
CHUNK = 250_000
FLOWS = '[{"flow": "repeat", "schema": {"type": "object"}, "repeatable": true, "timeout_seconds": 60, "on_cancellation": ["on_flow_cancellation"]}]'  # noqa: E501
JOBS = """
INSERT INTO calib_private.jobs (project_id, username, chip_id, flow, parameters, priority, not_before,
    timeout_seconds, max_attempts, repeatable, tags, note, state, attempt, fence, execution_id, flow_run_id,
    executor_id, submitted_by, submitted_at, started_at, finished_at, tasks_total, tasks_done, version)
SELECT 'bench', 'bench', 'CHIP' || n %% %(chips)s, 'repeat',
       '{"qids": ["0", "1"], "tasks": ["CheckRabi", "CheckT1"]}', n %% 5, at, 60, 1, true, '{nightly}', '{}',
       'completed', 1, n, '20200101-q' || lpad(n::text, 9, '0'), gen_random_uuid(), 'bench/one', 'bench',
       at, at, at, 4, 4, 20
  FROM generate_series(%(first)s::bigint, %(last)s::bigint) n,
       LATERAL (SELECT now() - (%(total)s::bigint - n) * interval '1 second' AS at) ended
"""
ATTEMPTS = """
INSERT INTO calib_private.attempts (job_id, attempt, fence, executor_id, flow_run_id, started_at, ended_at,
    verdict, outcome, prefect_synced)
SELECT job_id, 1, fence, executor_id, flow_run_id, started_at, finished_at, 'completed', 'completed', true
  FROM calib_private.jobs WHERE job_id > %(newest)s
"""
EVENTS = """
INSERT INTO calib_private.job_events (job_id, at, actor, event, old_state, new_state, attempt, fence, detail)
SELECT job_id, finished_at, 'bench', event, old_state, new_state, 1, fence,
       '{"task": "CheckRabi", "qid": "0"}'
  FROM calib_private.jobs, (VALUES ('submitted', NULL, 'scheduled'), ('claimed', 'scheduled', 'running'),
         ('task_completed', NULL, NULL), ('concluded', NULL, NULL),
         ('completed', 'running', 'completed')) e(event, old_state, new_state)
 WHERE job_id > %(newest)s
"""
SIZES = """
SELECT c.relname AS name, pg_relation_size(c.oid) AS bytes FROM pg_class c
 WHERE c.relnamespace = 'calib_private'::regnamespace AND c.relkind IN ('r', 'i')
   AND pg_relation_size(c.oid) > 1e6 ORDER BY bytes DESC
"""
INSERT = (
    "INSERT INTO calib.jobs (project_id, chip_id, flow) VALUES ('bench', 'CHIP0', 'repeat') RETURNING job_id"
)
CANCEL = "UPDATE calib.jobs SET cancel_requested = true WHERE job_id = %s RETURNING job_id"
DUE_JOB = """
SELECT job_id FROM calib_private.jobs WHERE chip_id = 'CHIP0' AND state = 'scheduled' AND not_before <= now()
   AND (not_after IS NULL OR not_after > now()) AND flow <> 'interactive'
 ORDER BY priority DESC, job_id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
"""
_OF_LEASE = "FROM calib_private.leases WHERE job_id IS NOT NULL"
_TASKS = '[{"task": "CheckRabi", "qid": "0", "task_type": "qubit"}]'
LIFE = (
    """INSERT INTO calib.jobs (project_id, chip_id, flow, tags, note)
       VALUES ('bench', 'CHIP0', 'repeat', '{nightly}', '{"ticket": 1}')""",
    "SELECT calib.claim('CHIP0', 'bench/one', 'CLAIM')",
    f"SELECT calib.set_flow_run(job_id, 'CLAIM', gen_random_uuid()) {_OF_LEASE}",
    f"SELECT calib.plan_tasks(job_id, 'CLAIM', '{_TASKS}') {_OF_LEASE}",
    f"SELECT calib.conclude(job_id, 'CLAIM', 'completed') {_OF_LEASE}",
    f"SELECT calib.finish(job_id, 'CLAIM') {_OF_LEASE}",
)
"""One job with a tag, a note, a flow run and a task."""
# Of this database alone, and without the whole pages that are written after a checkpoint.
WRITTEN = """
SELECT sum(entries) AS entries, sum(bytes) AS bytes
  FROM (SELECT count(*) FILTER (WHERE resource_manager = 'Btree' AND record_type LIKE 'INSERT%%'
      AND block_id = 0) AS entries, max(record_length) - coalesce(sum(block_fpi_length), 0) AS bytes
    FROM pg_get_wal_block_info(%(since)s, %(upto)s)
   WHERE reldatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
   GROUP BY start_lsn) records
"""
CLAIMED = "00000000-0000-4000-8000-000000000000"
CLAIM = f"SELECT * FROM calib.claim('CHIP0', 'bench/one', '{CLAIMED}', 30, NULL)"  # noqa: S608

Session = psycopg.Connection[dict[str, Any]]


@dataclass
class Stopwatch:
    """How long each verb took, in seconds."""

    seconds: dict[str, list[float]] = field(default_factory=dict)

    def run(self, verb: str, call: Callable[[], Any]) -> Any:
        begin = time.perf_counter()
        answer = call()
        self.seconds.setdefault(verb, []).append(time.perf_counter() - begin)
        return answer

    def percentile(self, verb: str, percent: int) -> float:
        """In milliseconds."""
        return Spread(self.seconds[verb]).percentile(percent) * 1e3

    def cell(self, verb: str) -> str:
        return f"{self.percentile(verb, 50):.2f} ({self.percentile(verb, 99):.2f})"

    def said(self, verb: str) -> str:
        return f"{verb} {self.cell(verb)} ms"


@dataclass
class Bench:
    """One database that grows."""

    url: str
    session: Session
    total: int
    with_events: bool
    grown: int = 0

    def prepare(self) -> None:
        """A project, chips and an executor; the superuser plays all parts."""
        actor = "SELECT session_user"
        statements = [
            "SELECT calib.add_project('bench')",
            f"SELECT calib.grant_member('bench', ({actor}), 'bench', 'operator')",
        ]
        for n in range(CHIPS):
            statements += [
                f"SELECT calib.add_chip('CHIP{n}', 'fake', 'linear-2')",
                f"SELECT calib.allow_executor(({actor}), 'CHIP{n}')",
                f"SELECT calib.register_catalogue('CHIP{n}', 'fake', '1', '{FLOWS}', '[]')",
            ]
        statements += [
            "SELECT calib.register_executor('bench/one', 'CHIP0', 'fake', 'here', 1, '1')",
            # So that an idle prune has four parts to look for.
            "SELECT calib.set_retention('50 years', '50 years', '50 years', '50 years')",
        ]
        for statement in statements:
            self.session.execute(statement.encode())

    def grow(self, count: int) -> float:
        """Add finished jobs until there are so many; returns the seconds that it took."""
        begin = time.perf_counter()
        self.session.execute("SET session_replication_role = replica")
        for first in range(self.grown + 1, count + 1, CHUNK):
            newest = self.session.execute("SELECT max(job_id) AS job_id FROM calib_private.jobs").fetchone()
            last = min(first + CHUNK - 1, count)
            bounds = {"first": first, "last": last, "total": self.total, "chips": CHIPS}
            bounds["newest"] = newest["job_id"] if newest else 0
            for statement in (JOBS, ATTEMPTS, *([EVENTS] if self.with_events else [])):
                self.session.execute(statement, bounds)
        self.session.execute("SET session_replication_role = origin")
        self.session.execute("UPDATE calib_private.leases SET fence = greatest(fence, %s)", (count,))
        self.session.execute("VACUUM ANALYZE")
        self.grown = count
        return time.perf_counter() - begin

    def say(self, watch: Stopwatch, verb: str, statement: str, *parameters: object) -> Any:
        return watch.run(
            verb, lambda: self.session.execute(statement.encode(), parameters or None).fetchone()
        )

    def life(self, watch: Stopwatch) -> None:
        """One job from its insert to its end, then a poll with nothing to do, then a cancel."""
        self.say(watch, "insert", INSERT)
        job = self.say(watch, "claim", CLAIM)
        key = (job["job_id"], CLAIMED)
        self.say(watch, "heartbeat", "SELECT * FROM calib.heartbeat(%s, %s::uuid)", *key)
        self.say(watch, "conclude", "SELECT calib.conclude(%s, %s::uuid, 'completed')", *key)
        self.say(watch, "finish", "SELECT calib.finish(%s, %s::uuid)", *key)
        self.say(watch, "empty poll", CLAIM)
        self.say(watch, "idle sweep", "SELECT * FROM calib.sweep()")
        self.say(watch, "idle prune", "SELECT * FROM calib.prune()")
        waiting = self.session.execute(INSERT.encode()).fetchone() or {}
        self.say(watch, "cancel", CANCEL, waiting["job_id"])

    def listings(self, watch: Stopwatch, rounds: int) -> None:
        """The command line's queries: the newest jobs, of a chip, of a state that no job has."""
        database = Database(self.url)
        queue = Queue(database)
        for _ in range(rounds):
            watch.run("list", queue.list)
            watch.run("list chip", lambda: queue.list(chip_id="CHIP1"))
            watch.run("list failed", lambda: queue.list(state=JobState.FAILED))
        database.close()

    def measure(self, rounds: int) -> Stopwatch:
        for _ in range(30):  # warms plans and caches
            self.life(Stopwatch())
        watch = Stopwatch()
        for _ in range(rounds):
            self.life(watch)
        self.listings(watch, max(10, rounds // 20))
        return watch

    def buffers(self) -> dict[str, int]:
        """Touched on a warm cache by the look for a due job, and by a whole claim with all it writes."""
        self.session.execute(INSERT.encode())
        touched = {"due job, buffers": self._touched(DUE_JOB), "claim, buffers": self._touched(CLAIM)}
        self.session.execute("UPDATE calib.jobs SET cancel_requested = true WHERE state = 'scheduled'")
        return touched

    def _touched(self, statement: str) -> int:
        explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}".encode()
        for _ in range(2):
            with self.session.transaction(force_rollback=True):
                row = self.session.execute(explain).fetchone() or {}
        plan = row["QUERY PLAN"][0]["Plan"]
        return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])

    def writes(self, lives: int = 200) -> dict[str, int]:
        """What the life of one job writes; the server's log of it needs PostgreSQL's pg_walinspect."""
        available = "SELECT FROM pg_available_extensions WHERE name = 'pg_walinspect'"
        if self.session.execute(available).fetchone() is None:
            return {}
        self.session.execute("CREATE EXTENSION IF NOT EXISTS pg_walinspect")
        for count in (3, lives):  # the first ones write whole pages
            position = "SELECT pg_current_wal_flush_lsn() AS lsn"
            since = (self.session.execute(position).fetchone() or {})["lsn"]
            for _ in range(count):
                for statement in LIFE:
                    self.session.execute(statement.replace("'CLAIM'", f"'{CLAIMED}'").encode())
            upto = (self.session.execute(position).fetchone() or {})["lsn"]
        row = self.session.execute(WRITTEN, {"since": since, "upto": upto}).fetchone() or {}
        return {"job, index entries": row["entries"] // lives, "job, bytes of WAL": row["bytes"] // lives}

    def sizes(self) -> dict[str, int]:
        """Bytes of every table and index past a megabyte."""
        return {row["name"]: row["bytes"] for row in self.session.execute(SIZES).fetchall()}


class Pruner(threading.Thread):
    """Prunes on a connection of its own until it is told to stop or nothing is left."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.watch = Stopwatch()
        self.jobs = 0
        self.stop = threading.Event()
        self._url = url

    def run(self) -> None:
        statement = "SELECT jobs FROM calib.prune()"
        with psycopg.connect(self._url, autocommit=True, row_factory=dict_row) as session:
            while not self.stop.is_set():
                row = self.watch.run("batch", lambda: session.execute(statement).fetchone())
                self.jobs += row["jobs"]
                if row["jobs"] == 0:
                    return


def prune(bench: Bench, seconds: float) -> None:
    """Print how fast the older half of the history goes: alone, then beside an executor that claims."""
    bench.session.execute(
        "SELECT calib.set_retention(%s * interval '1 second', NULL, NULL, NULL)",
        (max(3600, bench.total // 2),),
    )
    for words in ("alone", "beside an executor"):
        pruner, watch = Pruner(bench.url), Stopwatch()
        begin = time.perf_counter()
        pruner.start()
        if words == "alone":
            pruner.join(seconds / 2)
        else:
            while pruner.is_alive() and time.perf_counter() - begin < seconds / 2:
                bench.life(watch)
        pruner.stop.set()
        pruner.join()
        rate = pruner.jobs / (time.perf_counter() - begin)
        print(f"pruning {words}: {pruner.jobs:,} jobs, {rate:,.0f} a second; {pruner.watch.said('batch')}")
        if watch.seconds:
            print(f"  meanwhile {watch.said('claim')}; {watch.said('finish')}; {watch.said('insert')}")


def tell(
    stages: dict[int, Stopwatch], buffers: dict[int, dict[str, int]], sizes: dict[int, dict[str, int]]
) -> None:
    """The tables: verbs and sizes by the number of finished jobs, and the last stage against the first."""
    counts = list(stages)
    empty, full = stages[counts[0]], stages[counts[-1]]
    head = "".join(f"{count:>22,}" for count in counts)
    print(f"\n{'p50 (p99), ms':<16}{head}{'ratio':>8}")
    for verb in empty.seconds:
        cells = "".join(f"{stages[count].cell(verb):>22}" for count in counts)
        print(f"{verb:<16}{cells}{full.percentile(verb, 50) / empty.percentile(verb, 50):>8.2f}")
    for words in buffers[counts[0]]:
        print(f"{words:<20}" + "".join(f"{buffers[count][words]:>22}" for count in counts))
    print(f"\n{'MB':<32}{head}")
    for name in sizes[counts[-1]]:
        print(f"{name:<32}" + "".join(f"{sizes[count].get(name, 0) / 1e6:>22,.0f}" for count in counts))


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
            migrate_and_grant(own)
            yield own
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def main() -> None:
    """Grow, measure, prune and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--finished", type=int, default=1_000_000)
    parser.add_argument(
        "--waiting", type=int, default=10_000, help="jobs that wait while questions are asked"
    )
    parser.add_argument("--with-events", action="store_true", help="five events for each job")
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--prune-seconds", type=float, default=20.0)
    parser.add_argument("--url", help="URL of a database on a server where a scratch database may be made")
    given = parser.parse_args()
    with (
        scratch_database(given.url) as url,
        psycopg.connect(url, autocommit=True, row_factory=dict_row) as session,
    ):
        print_conditions(url)
        bench = Bench(url, session, given.finished, given.with_events)
        bench.prepare()
        stages, buffers, sizes = {}, {}, {}
        for count in (0, given.finished // 10, given.finished):
            seconds = bench.grow(count)
            print(f"{count:,} finished jobs after {seconds:.1f} s", flush=True)
            stages[count], buffers[count] = bench.measure(given.rounds), bench.buffers() | bench.writes()
            sizes[count] = bench.sizes()
        tell(stages, buffers, sizes)
        print()
        prune(bench, given.prune_seconds)
    with scratch_database(given.url) as url:
        reads.show(url, given.finished, given.waiting)


if __name__ == "__main__":
    main()
