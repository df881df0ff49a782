"""How fast the mirror is, against what the two disks take without it.

    python benchmarks/mirror_throughput.py [--jobs 100] [--tasks 4]

Everything is real: a PostgreSQL that flushes each commit, mongod with its journal, files flushed one by one.
Jobs of so many tasks, each with a figure and an array of raw data, are run by hand; then their figures are
rendered, the jobs are mirrored for the first time, looked at again with nothing changed, and rebuilt. What a
new job costs is the first look with the rendering before it. The limit, measured in the same run, is the same
documents and GridFS chunks by bulk upserts of plain pymongo into an empty database, plus the same bytes into
files that are each flushed. Takes about two minutes.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

from pymongo import UpdateOne

from benchmarks.mirror_setup import QUBITS, TASKS, MirrorSetup, mirror_setup
from qdash_queue.client.database import Database
from qdash_queue.mirror import Mirror, RoundReport
from qdash_queue.mirror.connection import connect_mongo

COLLECTIONS = (
    *("fs.chunks", "fs.files", "task_result_history", "qubit_history", "execution_counter", "tag"),
    "execution_history",
)
BULK = 1000


def timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def upsert_the_same(setup: MirrorSetup) -> int:
    """All that was mirrored, once more, into a database of its own; returns how many documents."""
    copy = setup.qdash.client.get_database("copy")
    count = 0
    for name in COLLECTIONS:
        documents = list(setup.qdash[name].find())
        for start in range(0, len(documents), BULK):
            part = documents[start : start + BULK]
            copy[name].bulk_write(
                [
                    UpdateOne({"_id": document.pop("_id")}, {"$set": document}, upsert=True)
                    for document in part
                ],
                ordered=False,
            )
        count += len(documents)
    return count


def write_the_same(contents: list[bytes], folder: Path) -> None:
    """Each content into a file, flushed, then the folder."""
    folder.mkdir()
    for number, content in enumerate(contents):
        with (folder / str(number)).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def all_done(report: RoundReport) -> None:
    if report.waiting or report.refused:
        raise SystemExit(f"not everything was mirrored: {report}")


def measure(setup: MirrorSetup, jobs: int, tasks: int) -> None:
    def run_jobs() -> None:
        for number in range(jobs):
            setup.run_job(str(number % QUBITS), TASKS[:tasks])

    preparing = timed(run_jobs)
    print(f"{jobs} jobs of {tasks} tasks, run by hand in {preparing:.1f} s", flush=True)
    with Mirror(
        Database(setup.mirror_url), connect_mongo(setup.mongo.url), setup.qdash.name, setup.layout
    ) as mirror:
        rendering = timed(mirror._render_all)  # noqa: SLF001 - apart from what follows
        first = timed(lambda: all_done(mirror.run_once()))
        setup.database.execute("SELECT calib.mark_all()")
        again = timed(lambda: all_done(mirror.run_once()))
        rebuild = timed(lambda: all_done(mirror.rebuild()))
    contents = [path.read_bytes() for path in setup.layout.base.rglob("*") if path.is_file()]
    documents = 0

    def upsert() -> None:
        nonlocal documents
        documents = upsert_the_same(setup)

    upserting = timed(upsert)
    writing = timed(lambda: write_the_same(contents, setup.folder / "same"))
    results = jobs * tasks
    print(f"figures rendered        {results / rendering:8.1f} /s")
    print(f"{'':<20}{'jobs/s':>10}{'results/s':>11}{'files/s':>10}{'ms a job':>10}")
    for name, seconds in (
        ("with rendering", rendering + first),
        ("first look alone", first),
        ("nothing changed", again),
        ("rebuild", rebuild),
        ("the limit", upserting + writing),
    ):
        print(
            f"{name:<20}{jobs / seconds:>10.1f}{results / seconds:>11.1f}"
            f"{len(contents) / seconds:>10.1f}{seconds / jobs * 1e3:>10.1f}"
        )
    print(
        f"the limit: {documents} documents by plain bulk upserts {upserting:.2f} s,"
        f" {len(contents)} files ({sum(map(len, contents)) / 1e6:.1f} MB) written and flushed {writing:.2f} s"
    )
    limit = upserting + writing
    print(
        f"with its rendering the first look is {(rendering + first) / limit:.2f} times the limit,"
        f" alone {first / limit:.2f} times"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--tasks", type=int, default=4, choices=range(1, len(TASKS) + 1))
    given = parser.parse_args()
    with mirror_setup() as setup:
        print(setup.conditions(), flush=True)
        measure(setup, given.jobs, given.tasks)


if __name__ == "__main__":
    main()
