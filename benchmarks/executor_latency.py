"""How long a job takes to start, and a cancel to be honoured.

    python -m benchmarks.executor_latency [--jobs 20] [--cancels 60] [--seed 1]

Everything is real: a PostgreSQL that flushes each commit to disk, a Prefect server, an executor with its warm
child, the simulated chip. First the time from the claim to the first line of the flow's body, warm, with and
without Prefect's deployment. Then cancels (mode ``now``) aimed at each part of the life of a ``calibrate``
job: where each one hit, how the job ended, and the time from the flag to the terminal row. All times are
the database's own.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from prefect.client.orchestration import SyncPrefectClient
from pydantic import JsonValue

from benchmarks.conditions import migrate_and_grant
from executors.backends.simchip.device import design_parameters
from qdash_queue.client.admin import Admin
from qdash_queue.client.database import Database
from qdash_queue.client.models import Job, JobEvent
from qdash_queue.client.parameters import Parameters
from qdash_queue.client.queue import Queue
from qdash_queue.domain import CancelMode, JobState
from qdash_queue.embedded.servers import EmbeddedServers, Kind
from qdash_queue.errors import AlreadyFinalError
from tests.executors.fleet import PROJECT, Fleet
from tests.executors.relay import Relay

CHIP = "SIM16"
TOPOLOGY = "square-lattice-mux-16"
QUBITS = 16
CALIBRATION: dict[str, JsonValue] = {"qids": ["0", "1"], "tasks": ["CheckRabi", "CreateHPIPulse", "CheckT1"]}
TASKS = 6
TASK_EVENTS = {"task_completed", "task_failed"}
COMMIT_SECONDS = 0.03
REST_SECONDS = 1.0
PHASES = ("waiting", "claim", "start", "task", "commit", "end", "too late")


@dataclass(frozen=True)
class Aim:
    """A part of a job's life: the event by which it begins, and its length in seconds (0: the flow's)."""

    phase: str
    event: str
    spread: float


AIMS = (
    Aim("claim", "claimed", 0.03),
    Aim("start", "flow_run_created", 0.1),
    Aim("task", "flow_started", 0.0),
    Aim("commit", "task_completed", 0.02),
    Aim("end", "task_completed", 0.0),
)


@dataclass
class Cancels:
    """What became of the cancels."""

    hits: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    seen_but: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=20, help="jobs for each start-up figure")
    parser.add_argument("--cancels", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    given = parser.parse_args()
    print_conditions("at the start")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        with EmbeddedServers(Path(folder) / "servers", kinds={Kind.POSTGRES, Kind.PREFECT}) as servers:
            for name, switch in (("with the deployment", "1"), ("without the deployment", "0")):
                os.environ["QDASH_QUEUE_PREFECT_DEPLOYMENT"] = switch
                with bench(servers, Path(folder) / switch) as fleet:
                    report_starts(name, measure_starts(fleet, given.jobs))
                    if switch == "1":
                        report_cancels(measure_cancels(fleet, given.cancels, random.Random(given.seed)))  # noqa: S311 - spreads moments
    print_conditions("at the end")


def print_conditions(when: str) -> None:
    print(
        f"{when}: {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}"
    )


@contextmanager
def bench(servers: EmbeddedServers, folder: Path, chip_id: str = CHIP) -> Iterator[Fleet]:
    """One ready executor on a chip with its design values, on a fresh state."""
    folder.mkdir()
    owner_url = servers.postgres.url
    migrate_and_grant(owner_url)
    with psycopg.connect(owner_url, autocommit=True) as connection:
        for role, group in (("boss", "admin"), ("olga", "operator"), ("machine", "executor")):
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
                connection.execute(f"CREATE ROLE {role} LOGIN IN ROLE calib_{group}")
    admin = Admin(Database(servers.postgres.url_of("postgres", "boss")))
    admin.add_project(PROJECT)
    admin.grant_member(PROJECT, "olga", "olga", "operator")
    admin.add_chip(chip_id, "fake", TOPOLOGY)
    admin.allow_executor("machine", chip_id)
    queue = Queue.connect(servers.postgres.url_of("postgres", "olga"))
    import_design(queue.database, chip_id)
    fleet = Fleet(
        chip_id=chip_id,
        queue=queue,
        owner=Database(owner_url),
        executor_url=servers.postgres.url_of("postgres", "machine"),
        relay=Relay(servers.prefect.port),
        folder=folder,
        prefect_environment=servers.prefect.client_environment,
        prefect=SyncPrefectClient(servers.prefect.url),
    )
    try:
        fleet.need(1)
        yield fleet
    finally:
        fleet.close()
        fleet.relay.cut()


def import_design(database: Database, chip_id: str) -> None:
    values: dict[str, dict[str, JsonValue]] = {
        qid: {
            name: {"value": model.value, "unit": model.unit, "error": model.error}
            for name, model in named.items()
        }
        for qid, named in design_parameters(chip_id, QUBITS).items()
    }
    Parameters(database, chip_id).import_values(values, "design")


def measure_starts(fleet: Fleet, count: int) -> list[float]:
    """Seconds from the claim to the first line of the flow's body; the first job is not counted.

    The executor has time to make its next child, as between two jobs that people ask for.
    """
    seconds = []
    for number in range(count + 1):
        time.sleep(REST_SECONDS)
        job = fleet.ended(fleet.submit("noop"))
        events = {event.event: event.at for event in fleet.queue.events(job.job_id)}
        if number > 0:
            seconds.append((events["flow_started"] - events["claimed"]).total_seconds())
    return seconds


def report_starts(name: str, seconds: Sequence[float]) -> None:
    print(
        f"claim to the first line of the flow, {name}, {len(seconds)} jobs:"
        f" p50 {1e3 * statistics.median(seconds):.0f} ms,"
        f" {1e3 * min(seconds):.0f} to {1e3 * max(seconds):.0f} ms"
    )


def measure_cancels(fleet: Fleet, count: int, moments: random.Random) -> Cancels:
    lasts = [duration(fleet, fleet.ended(fleet.submit("calibrate", CALIBRATION))) for _ in range(3)]
    life = statistics.median(lasts)
    print(f"a calibrate job (2 qubits, 3 tasks) that is not cancelled takes {life:.2f} s (3 jobs)")
    cancels = Cancels()
    for number in range(count):
        aim = AIMS[number % len(AIMS)]
        job_id = fleet.submit("calibrate", CALIBRATION)
        if aim.phase == "end":  # Just before it: what comes after the verdict is too late.
            wait_for(fleet, job_id, aim, TASKS - 1)
            time.sleep(moments.uniform(0.2, 0.8) * life / (TASKS + 1))
        else:
            wait_for(fleet, job_id, aim, moments.randint(1, TASKS - 1))
            time.sleep(moments.uniform(0.0, aim.spread or 0.7 * life))
        try:
            fleet.queue.cancel(job_id, CancelMode.NOW, "benchmark")
        except AlreadyFinalError:
            cancels.hits["too late"] += 1
        note(cancels, fleet.ended(job_id), fleet.queue.events(job_id))
    return cancels


def wait_for(fleet: Fleet, job_id: int, aim: Aim, times: int) -> None:
    wanted = times if aim.event == "task_completed" else 1

    def happened() -> bool:
        rows = fleet.owner.rows(
            "SELECT count(*) AS n FROM calib_private.job_events WHERE job_id = :job_id AND event = :event",
            job_id=job_id,
            event=aim.event,
        )
        return bool(rows[0]["n"] >= wanted)

    while not happened():
        time.sleep(0.001)


def duration(fleet: Fleet, job: Job) -> float:
    assert job.state is JobState.COMPLETED, (job.state, job.failure_message, fleet.events(job.job_id))
    events = fleet.queue.events(job.job_id)
    return (events[-1].at - events[0].at).total_seconds()


def note(cancels: Cancels, job: Job, events: Sequence[JobEvent]) -> None:
    cancels.ends[job.state.value] += 1
    asked = next((event for event in events if event.event == "cancel_requested"), None)
    if asked is None:
        return
    cancels.hits[phase(asked, events)] += 1
    if job.cancel_seen_at is not None:
        cancels.seen_but[job.state.value] += 1
    ended = next(event for event in events if event.new_state is not None and event.new_state.is_terminal)
    cancels.seconds.append((ended.at - asked.at).total_seconds())


def phase(asked: JobEvent, events: Sequence[JobEvent]) -> str:
    """In which part of the job's life the cancel was asked for."""
    if any(
        event.event in TASK_EVENTS and abs((event.at - asked.at).total_seconds()) < COMMIT_SECONDS
        for event in events
    ):
        return "commit"
    before = {event.event for event in events if event.event_id < asked.event_id}
    for event, name in (
        ("concluded", "end"),
        ("flow_started", "task"),
        ("flow_run_created", "start"),
        ("claimed", "claim"),
    ):
        if event in before:
            return name
    return "waiting"


def report_cancels(cancels: Cancels) -> None:
    print("where the cancels hit:")
    for name in PHASES:
        print(f"  {name:9} {cancels.hits[name]:3} {'#' * cancels.hits[name]}")
    print(f"end states: {dict(cancels.ends)}; of those whose cancel was seen: {dict(cancels.seen_but)}")
    if len(cancels.seconds) > 1:
        p50, p99 = statistics.median(cancels.seconds), statistics.quantiles(cancels.seconds, n=100)[98]
        print(f"flag to terminal row, {len(cancels.seconds)} jobs: p50 {p50:.2f} s, p99 {p99:.2f} s")


if __name__ == "__main__":
    main()
