"""MongoDB unreachable under load: what is missing or doubled afterwards, how long the mirror catches up.

    python benchmarks/mirror_outage.py [--outage-seconds 600] [--jobs-per-second 3] [--seed-seconds 10]

Everything is real: a PostgreSQL that flushes each commit, mongod, the mirror as a process of its own with its
figure renderer. Jobs are driven by an executor's own SQL verbs (claim, plan, start, record with a figure and
raw data, conclude, finish), without Prefect. mongod is killed with SIGKILL for the time and started again on
its port while jobs go on. The mirror has caught up when everything that changed before mongod's return is
shown. Exit status: 0 if nothing is missing, doubled or different, else 1. Takes the outage, the time to
catch up, and a minute.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Self

import psutil
import psycopg

from benchmarks.mirror_setup import QUBITS, MirrorSetup, mirror_setup
from tests.chaos.audit_mirror import audit_mirror
from tests.support.killable_servers import kill

WAITING = (
    "SELECT count(*) FROM calib.mirror_lag WHERE dead_at IS NULL AND marked_at <= CAST(:until AS timestamptz)"
)
UNRENDERED = "SELECT count(*) FROM calib.figures WHERE png IS NULL AND render_error IS NULL"


@dataclass
class Load:
    """Jobs of one task, one after the other on one chip, at a stated rate."""

    setup: MirrorSetup
    jobs_per_second: float
    jobs: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread = field(init=False)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            self.setup.run_job(str(self.jobs % QUBITS), ["CheckT1"])
            self.jobs += 1
            due = max(due + 1 / self.jobs_per_second, time.monotonic() - 1.0)


@dataclass
class Memory:
    """The most that the mirror, and its renderer, took."""

    process: psutil.Process
    mirror_bytes: int = 0
    renderer_bytes: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread = field(init=False)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            try:
                self.mirror_bytes = max(self.mirror_bytes, self.process.memory_info().rss)
                children = self.process.children(recursive=True)
                rendering = sum(child.memory_info().rss for child in children)
            except psutil.NoSuchProcess:
                continue
            self.renderer_bytes = max(self.renderer_bytes, rendering)


def catch_up(setup: MirrorSetup, limit_seconds: float) -> float:
    """Seconds until everything that changed before now is shown."""
    database = setup.database
    begun, until = time.monotonic(), str(database.value("SELECT calib_private.now()"))
    said = 0.0
    while waiting := database.value(WAITING, until=until):
        seconds = time.monotonic() - begun
        if seconds > limit_seconds:
            raise SystemExit(f"the mirror has not caught up within {limit_seconds:.0f} s")
        if seconds > said + 10:
            said = seconds
            print(f"{seconds:.0f} s after MongoDB's return: {waiting} marks of before wait", flush=True)
        time.sleep(0.1)
    return time.monotonic() - begun


def settle(setup: MirrorSetup, limit_seconds: float) -> None:
    """Wait until nothing is to be rendered or mirrored any more."""
    deadline = time.monotonic() + limit_seconds
    while setup.database.value(UNRENDERED) or setup.database.value("SELECT count(*) FROM calib.mirror_lag"):
        if time.monotonic() > deadline:
            raise SystemExit(f"something still waits after {limit_seconds:.0f} s")
        time.sleep(0.1)


def compare(setup: MirrorSetup) -> bool:
    """Print what is missing, doubled or else; returns whether nothing is."""
    missing = doubled = 0
    for query, collection, key in (
        (
            "SELECT execution_id FROM calib.jobs WHERE execution_id IS NOT NULL",
            "execution_history",
            "execution_id",
        ),
        ("SELECT task_run_id::text FROM calib.task_runs", "task_result_history", "task_id"),
    ):
        wanted = {str(next(iter(row.values()))) for row in setup.database.rows(query)}
        there: Counter[str] = Counter(
            document[key] for document in setup.qdash[collection].find({}, {key: 1})
        )
        missing += len(wanted - there.keys())
        doubled += sum(count - 1 for count in there.values())
        print(f"{collection}: {len(wanted)} in PostgreSQL, {there.total()} in MongoDB")
    with psycopg.connect(setup.postgres.url_of("calib", "owner"), autocommit=True) as connection:
        violations = audit_mirror(connection, setup.qdash, setup.layout.base)
    print(f"missing {missing}, doubled {doubled}, other differences {len(violations)}")
    for violation in violations[:10]:
        print(f"  {violation}")
    return not (missing or doubled or violations)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--outage-seconds", type=float, default=600.0)
    parser.add_argument("--jobs-per-second", type=float, default=3.0)
    parser.add_argument("--seed-seconds", type=float, default=10.0, help="load before the outage")
    parser.add_argument("--limit-seconds", type=float, default=900.0, help="to catch up, at most")
    given = parser.parse_args()
    with mirror_setup() as setup:
        print(setup.conditions(), flush=True)
        with setup.mirror() as process, Memory(process) as memory:
            with Load(setup, given.jobs_per_second) as load:
                time.sleep(given.seed_seconds)
                before = load.jobs
                kill(setup.mongo)
                time.sleep(given.outage_seconds)
                during_outage = load.jobs - before
                marks = setup.database.value("SELECT count(*) FROM calib.mirror_lag")
                setup.mongo.start()
                caught_up = catch_up(setup, given.limit_seconds)
                during = load.jobs - before - during_outage
            settle(setup, given.limit_seconds)
        print(
            f"MongoDB unreachable for {given.outage_seconds:.0f} s at {given.jobs_per_second:g} jobs/s:"
            f" jobs before {before}, then {during_outage} ({during_outage / given.outage_seconds:.1f}/s),"
            f" while catching up {during}"
        )
        print(
            f"marks that waited at its return {marks}, caught up after {caught_up:.1f} s under the same load"
        )
        print(
            f"most memory: mirror {memory.mirror_bytes / 1e6:.0f} MB,"
            f" renderer with its browser {memory.renderer_bytes / 1e6:.0f} MB"
        )
        return 0 if compare(setup) else 1


if __name__ == "__main__":
    raise SystemExit(main())
