"""What the event log says when an executor dies and when a busy instrument is stopped.

    python -m benchmarks.executor_losses

Everything is real, as in `benchmarks.executor_latency`; leases last 6 s. First an executor is
killed (SIGKILL) in the middle of a ``calibrate`` job while a second one stands by, once with two
attempts and once with one: events, end, and how often each result is there. Then a cancel, a time-
out and a crash of the job's process while the simulated instrument measures: whether the instrument
was quiesced before the chip was free. The exit status is 1 if anything is not as promised.
"""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path

from pydantic import JsonValue

from benchmarks.executor_latency import bench, print_conditions
from executors.job.context import instruments_folder
from qdash_queue.domain import CancelMode, JobState
from qdash_queue.embedded.servers import EmbeddedServers, Kind
from tests.executors.fleet import Fleet
from tests.support.waiting import until

CALIBRATION: dict[str, JsonValue] = {"qids": ["0", "1", "2", "3"], "tasks": ["CheckRabi", "CreateHPIPulse"]}
TASKS = 8
DONE_BEFORE_DEATH = 3


def main() -> int:
    print_conditions("at the start")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        with (
            EmbeddedServers(Path(folder) / "servers", kinds={Kind.POSTGRES, Kind.PREFECT}) as servers,
            bench(servers, Path(folder) / "fleet") as fleet,
        ):
            kept = [death(fleet, max_attempts) for max_attempts in (2, 1)]
            kept += [stop_while_busy(fleet, end) for end in ("cancel", "timeout", "crash")]
    print_conditions("at the end")
    print("all as promised" if all(kept) else "NOT as promised")
    return 0 if all(kept) else 1


def death(fleet: Fleet, max_attempts: int) -> bool:
    """Kill the executor of a running job; whether the job ended as its attempts allow, no result twice."""
    fleet.need(2)
    fleet.settle()
    job_id = fleet.submit("calibrate", CALIBRATION, max_attempts=max_attempts)
    until(lambda: fleet.queue.get(job_id).tasks_done >= DONE_BEFORE_DEATH, "tasks to be done")
    victim = fleet.holder(job_id)
    victim.signal(signal.SIGKILL)
    victim.leave()
    job = fleet.ended(job_id)
    print(f"\nexecutor {victim.pid} killed in job {job_id}, max_attempts {max_attempts}:")
    print_events(fleet, job_id)
    results = fleet.owner.rows(
        "SELECT attempt, count(*) FILTER (WHERE status = 'completed') AS completed,"
        " count(*) - count(DISTINCT (task, qid, repetition)) AS doubled FROM calib_private.task_runs"
        " WHERE job_id = :job_id GROUP BY attempt ORDER BY attempt",
        job_id=job_id,
    )
    for row in results:
        print(f"  attempt {row['attempt']}: {row['completed']} finished results, {row['doubled']} doubled")
    print(f"  ended {job.state.value} {job.failure_message or ''}")
    whole = results[-1]["completed"] == TASKS if max_attempts > 1 else results[0]["completed"] < TASKS
    expected = JobState.COMPLETED if max_attempts > 1 else JobState.FAILED
    return job.state is expected and whole and not any(row["doubled"] for row in results)


def stop_while_busy(fleet: Fleet, end: str) -> bool:
    """Stop a job while its instrument measures; whether that was idle before the chip was free."""
    fleet.need(1)
    busy = instruments_folder(fleet.state_path) / f"{fleet.chip_id}.busy.json"
    job_id = fleet.submit(
        "busy",
        {"seconds": 1 if end == "crash" else 60, "then": "die" if end == "crash" else ""},
        timeout_seconds=2 if end == "timeout" else None,
    )
    until(busy.exists, "the instrument to measure")
    if end == "cancel":
        fleet.queue.cancel(job_id, CancelMode.NOW, "beam time")
    job = fleet.ended(job_id)
    print(f"\n{end} of job {job_id} while the instrument measures:")
    print_events(fleet, job_id)
    print(f"  ended {job.state.value} {job.failure_kind.value if job.failure_kind else ''}")
    events = fleet.events(job_id)
    expected = JobState.CANCELLED if end == "cancel" else JobState.FAILED
    # The last event is the job's end, which frees the lease in the same transaction.
    return job.state is expected and events[-2:] == ["quiesced", expected.value] and not busy.exists()


def print_events(fleet: Fleet, job_id: int) -> None:
    events = fleet.queue.events(job_id)
    for event in events:
        seconds = (event.at - events[0].at).total_seconds()
        detail = ", ".join(f"{key} {value}" for key, value in event.detail.items() if key != "flow_run_id")
        print(f"  {seconds:7.3f} s  {event.attempt or '':1}  {event.event:17} {detail}".rstrip())


if __name__ == "__main__":
    sys.exit(main())
