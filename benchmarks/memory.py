"""What an executor, a mirror and an idle chip keep in memory and in the database.

    python -m benchmarks.memory [--executors 2]

Real processes, idle: executors with their forkserver and warm child, the mirror, beside a bare Python that
has imported Prefect, one that has imported qubex, and Prefect's own process worker. PSS counts each shared
page once over all that share it, so the sum over a tree is what the tree costs; USS is what would be free if
the process ended. Then what an idle executor asks of PostgreSQL, and what a chip weighs in it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from benchmarks.conditions import migrate_and_grant, print_conditions
from executors.environment import executor_environment
from qdash_queue.client.admin import Admin
from qdash_queue.client.database import Database
from qdash_queue.embedded.servers import EmbeddedServers

TOPOLOGY = "square-lattice-mux-16"
START_SECONDS = 300.0
IDLE_SECONDS = 20.0
# The server's statistics of an idle session may be so late.
STATISTICS_SECONDS = 11.0
BARE = "{statement}; import time; print('ready', flush=True); time.sleep(600)"
IMPORTS = ("from prefect import flow, task", "from qubex import Experiment")
WORKER = (sys.executable, "-m", "prefect", "worker", "start", "-p", "bench", "-t", "process")
MIRROR = (sys.executable, "-m", "qdash_queue.cli", "mirror", "run")
EXECUTOR = (sys.executable, "-m", "executors")
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Weight:
    """Memory of one process in MiB."""

    role: str
    pss: float
    uss: float


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--executors", type=int, default=2, help="executors at once, each on a chip of its own"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        with EmbeddedServers(folder / "servers") as servers:
            migrate_and_grant(servers.postgres.url)
            print_conditions(servers.postgres.url, "qdash-queue", "prefect", "qubex")
            measure(servers, folder, given.executors)


def measure(servers: EmbeddedServers, folder: Path, executors: int) -> None:
    environment = {
        **os.environ,
        **executor_environment(servers.prefect.url),
        "PREFECT_HOME": str(folder / "prefect"),
        "QDASH_QUEUE_DATABASE_URL": servers.postgres.url,
        "QDASH_QUEUE_MONGO_URL": servers.mongo.url,
        "QDASH_QUEUE_PREFECT_API_URL": servers.prefect.url,
        "QDASH_QUEUE_STATE_PATH": str(folder / "state"),
        "QDASH_QUEUE_DATA_PATH": str(folder / "data"),
    }
    database = Database(servers.postgres.url)
    show_chip(database, executors)
    print("\nMiB                                    PSS     USS")
    limit = sum(measure_bare(folder, environment, statement) for statement in IMPORTS)
    with process(folder, environment, WORKER) as worker:
        worker.until_said("started")
        show("Prefect's process worker", worker.weights())
    with process(folder, environment, MIRROR) as mirror:
        mirror.until(lambda: connections(database, "qdash-queue") > 1, "the mirror to connect")
        mirror.settle()
        show("mirror, idle", mirror.weights())
    fleet = [(*EXECUTOR, "--chip", f"CHIP{number}") for number in range(executors)]
    with serving(folder, environment, fleet, database) as serving_now:
        sums = [
            show(f"executor {number + 1} of {executors}", executor.weights())
            for number, executor in enumerate(serving_now)
        ]
        print(f"an executor / both bare imports: {sum(sums) / executors / limit:.2f}")
        show_idle(servers, database, executors)
    database.close()


def measure_bare(folder: Path, environment: dict[str, str], statement: str) -> float:
    with process(folder, environment, (sys.executable, "-c", BARE.format(statement=statement))) as bare:
        bare.until_said("ready")
        return show(statement, bare.weights())


# -------------------------------------------------------------------------------------------- processes


class Process:
    """A started process and what hangs from it."""

    def __init__(self, popen: subprocess.Popen[bytes], log: Path) -> None:
        self._popen, self._log = popen, log

    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def until(self, happened: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not happened():
            if self._popen.poll() is not None or time.monotonic() > deadline:
                said = self.said()[-2000:] or "it said nothing"
                raise SystemExit(f"waited in vain for {what} (exit {self._popen.poll()}): {said}")
            time.sleep(0.1)

    def until_said(self, word: str) -> None:
        self.until(lambda: word in self.said(), f'"{word}"')

    def settle(self) -> None:
        """Wait until the tree has neither grown nor shrunk by more than a MiB for two seconds."""
        before = -1.0
        while abs(before - (now := sum(weight.pss for weight in self.weights()))) > 1.0:
            before = now
            time.sleep(2.0)

    def weights(self) -> list[Weight]:
        root = psutil.Process(self._popen.pid)
        found = []
        for one in [root, *root.children(recursive=True)]:
            try:
                memory = one.memory_full_info()
                found.append(Weight(role(one, root), memory.pss / MEBIBYTE, memory.uss / MEBIBYTE))
            except psutil.NoSuchProcess:
                continue
        return found


def role(one: psutil.Process, root: psutil.Process) -> str:
    command = " ".join(one.cmdline())
    if one == root:
        return "the process itself"
    if "resource_tracker" in command:
        return "resource tracker"
    parent = one.parent()
    if "forkserver" in command and parent == root:
        return "forkserver"
    return "warm child" if "forkserver" in command else f"{one.name()}"


@contextmanager
def process(folder: Path, environment: dict[str, str], command: Sequence[str]) -> Iterator[Process]:
    log = Path(tempfile.mkstemp(dir=folder, suffix=".log")[1])
    with log.open("wb") as file:
        popen = subprocess.Popen(
            command, env=environment, cwd=Path.cwd(), stdout=file, stderr=subprocess.STDOUT
        )
    try:
        yield Process(popen, log)
    finally:
        popen.terminate()
        try:
            popen.wait(20)
        except subprocess.TimeoutExpired:
            popen.kill()
            popen.wait()


@contextmanager
def serving(
    folder: Path, environment: dict[str, str], commands: Sequence[Sequence[str]], database: Database
) -> Iterator[list[Process]]:
    """Executors, each ready with a warm child."""
    if not commands:
        yield []
        return
    with (
        process(folder, environment, commands[0]) as first,
        serving(folder, environment, commands[1:], database) as others,
    ):
        wanted = len(others) + 1
        first.until(lambda: ready(database) >= wanted, "an executor to be ready")
        first.settle()
        yield [first, *others]


def ready(database: Database) -> int:
    return int(
        database.value(
            "SELECT count(*) FROM calib.executors WHERE alive AND condition = 'ready'"
            " AND last_seen_at > started_at + interval '1 s'"
        )
    )


def show(name: str, weights: Sequence[Weight]) -> float:
    """Print a tree; its PSS in MiB."""
    if len(weights) > 1:
        for weight in weights:
            print(f"  {name + ': ' + weight.role:34}{weight.pss:8.0f}{weight.uss:8.0f}")
        name += ", all"
    pss, uss = sum(weight.pss for weight in weights), sum(weight.uss for weight in weights)
    print(f"{name:36}{pss:8.0f}{uss:8.0f}", flush=True)
    return pss


# -------------------------------------------------------------------------------------------- the database


def show_chip(database: Database, chips: int) -> None:
    """Rows and bytes of new, unused chips."""
    admin = Admin(database)
    before = rows(database)
    for number in range(chips):
        admin.add_chip(f"CHIP{number}", "fake", TOPOLOGY)
        admin.allow_executor("postgres", f"CHIP{number}")
    grown = {table: count - before[table] for table, count in rows(database).items() if count > before[table]}
    words = ", ".join(f"{table} {count / chips:g}" for table, count in grown.items())
    print(f"\nrows of an idle chip ({TOPOLOGY}): {words}")


def rows(database: Database) -> dict[str, int]:
    tables = database.rows(
        "SELECT relname FROM pg_class WHERE relnamespace = 'calib_private'::regnamespace AND relkind = 'r'"
    )
    return {
        row["relname"]: int(database.value(f"SELECT count(*) FROM calib_private.{row['relname']}"))  # noqa: S608 - names from the catalogue
        for row in tables
    }


def connections(database: Database, application: str) -> int:
    return int(
        database.value(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE %(name)s || '%%'",
            name=application,
        )
    )


def show_idle(servers: EmbeddedServers, database: Database, executors: int) -> None:
    """Connections, their backends' memory, transactions and WAL of idle executors."""
    backends = database.rows(
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        " AND datname = current_database()"
    )
    pss = sum(psutil.Process(row["pid"]).memory_full_info().pss for row in backends) / MEBIBYTE
    print(
        f"\nconnections of an idle executor: {len(backends) / executors:g},"
        f" PSS of their backends {pss / executors:.0f} MiB"
    )
    database.close()
    statement = (
        "SELECT xact_commit + xact_rollback, pg_current_wal_insert_lsn() - '0/0' FROM pg_stat_database"
        " WHERE datname = %s"
    )
    name = psycopg.conninfo.conninfo_to_dict(servers.postgres.url)["dbname"]
    with psycopg.connect(servers.postgres.url_of("template1"), autocommit=True) as connection:
        time.sleep(STATISTICS_SECONDS)
        before = connection.execute(statement, [name]).fetchone()
        begin = time.monotonic()
        time.sleep(IDLE_SECONDS)
        after = connection.execute(statement, [name]).fetchone()
        passed = (time.monotonic() - begin) * executors
    assert before is not None
    assert after is not None
    print(
        f"an idle executor: {(after[0] - before[0]) / passed:.2f} transactions/s,"
        f" {float(after[1] - before[1]) / passed:.0f} bytes of WAL/s"
    )


if __name__ == "__main__":
    main()
