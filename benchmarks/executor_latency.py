"""How long a job takes to start, and a cancel to be honoured.

    python -m benchmarks.executor_latency [--jobs 20] [--cancels 60] [--seed 1]

Everything is real: a PostgreSQL that flushes each commit to disk, a Prefect server, an executor with its warm
child and the default settings, the simulated chip. First, with and without Prefect's deployment, two times of
an idle chip: from the claim to the first line of the flow's body, and from the committed INSERT to the start
of the first task. Then cancels (mode ``now``) aimed at each part of the life of a ``calibrate`` job: where
each one hit, how the job ended, and the time from the flag to the terminal row. The INSERT's time is this
client's, all others are the database's; both read the clock of one machine.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pydantic import JsonValue

from benchmarks.conditions import Spread, print_conditions
from benchmarks.installation import Installation, installed
from qdash_queue.client.models import Job, JobEvent
from qdash_queue.domain import CancelMode, JobState
from qdash_queue.embedded.servers import EmbeddedServers, Kind
from qdash_queue.errors import AlreadyFinalError

CALIBRATION: dict[str, JsonValue] = {"qids": ["0", "1"], "tasks": ["CheckRabi", "CreateHPIPulse", "CheckT1"]}
TASKS = 6
ONE_TASK: dict[str, JsonValue] = {"qids": ["0"], "tasks": ["CheckRabi"]}
TASK_EVENTS = {"task_completed", "task_failed"}
COMMIT_SECONDS = 0.03
REST_SECONDS = 1.0
"""In which the executor makes its next child, as between two jobs that people ask for."""
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
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        with (
            EmbeddedServers(folder / "servers", kinds={Kind.POSTGRES, Kind.PREFECT}) as servers,
            installed(folder, servers.postgres.url, servers.prefect) as chip,
        ):
            print_conditions(servers.postgres.url, "prefect", "qubex")
            for words, switch in (("without", "0"), ("with", "1")):
                chip.end()
                chip.need(1, QDASH_QUEUE_PREFECT_DEPLOYMENT=switch)
                for measure in (claim_to_flow, insert_to_task):
                    report_starts(measure, words, [measure(chip) for _ in range(given.jobs + 1)][1:])
            report_cancels(measure_cancels(chip, given.cancels, random.Random(given.seed)))  # noqa: S311 - spreads moments
            print_conditions(servers.postgres.url)


def claim_to_flow(chip: Installation) -> float:
    """From the claim to the first line of the flow's body."""
    time.sleep(REST_SECONDS)
    job = chip.ended(chip.submit("noop", {}))
    events = {event.event: event.at for event in chip.queue.events(job.job_id)}
    return (events["flow_started"] - events["claimed"]).total_seconds()


def insert_to_task(chip: Installation) -> float:
    """From the committed INSERT to the start of the first task."""
    time.sleep(REST_SECONDS)
    job_id = chip.submit("calibrate", ONE_TASK)
    committed = datetime.now(UTC)
    chip.ended(job_id)
    begun = chip.owner.value("SELECT min(started_at) FROM calib.task_runs WHERE job_id = %(id)s", id=job_id)
    assert isinstance(begun, datetime)
    return (begun - committed).total_seconds()


def report_starts(measure: Callable[[Installation], float], words: str, seconds: Sequence[float]) -> None:
    what = (measure.__doc__ or "").rstrip(".").lower()
    print(f"{what}, {words} the deployment, {len(seconds)} jobs, ms: {Spread([1e3 * s for s in seconds])}")


def measure_cancels(chip: Installation, count: int, moments: random.Random) -> Cancels:
    lasts = [duration(chip, chip.ended(chip.submit("calibrate", CALIBRATION))) for _ in range(3)]
    life = statistics.median(lasts)
    print(f"a calibrate job (2 qubits, 3 tasks) that is not cancelled takes {life:.2f} s (3 jobs)")
    cancels = Cancels()
    for number in range(count):
        aim = AIMS[number % len(AIMS)]
        job_id = chip.submit("calibrate", CALIBRATION)
        if aim.phase == "end":  # Just before it: what comes after the verdict is too late.
            wait_for(chip, job_id, aim, TASKS - 1)
            time.sleep(moments.uniform(0.2, 0.8) * life / (TASKS + 1))
        else:
            wait_for(chip, job_id, aim, moments.randint(1, TASKS - 1))
            time.sleep(moments.uniform(0.0, aim.spread or 0.7 * life))
        try:
            chip.queue.cancel(job_id, CancelMode.NOW, "benchmark")
        except AlreadyFinalError:
            cancels.hits["too late"] += 1
        note(cancels, chip.ended(job_id), chip.queue.events(job_id))
    return cancels


def wait_for(chip: Installation, job_id: int, aim: Aim, times: int) -> None:
    chip.happened(job_id, aim.event, times if aim.event == "task_completed" else 1)


def duration(chip: Installation, job: Job) -> float:
    assert job.state is JobState.COMPLETED, (job.state, job.failure_message, chip.queue.events(job.job_id))
    events = chip.queue.events(job.job_id)
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
