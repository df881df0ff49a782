"""Six tasks on every qubit of a chip by one INSERT, in each mode.

    python -m benchmarks.whole_chip [--modes serial synchronized scheduled simultaneous]

Everything is real but the chip: a PostgreSQL that flushes each commit to disk, a Prefect server, an executor
with its default settings, a simulated chip of 64 qubits. For each mode: seconds on the wall and on the
instrument, what of these the wiring needs at least, results committed, the most memory that the executor's
processes took together, and a cancel of such a job in the middle of a sweep. Then a job of two tasks in which
a control box fails. Of each: events, rows, seconds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import psutil
from pydantic import JsonValue

from benchmarks.conditions import print_conditions, until
from benchmarks.installation import Installation, installed, plan
from executors.backends.simchip.device import design_parameters
from executors.job.context import instruments_folder
from executors.service.modes import Mode
from qdash_queue.client.models import Job, Sweep, TaskRun
from qdash_queue.client.parameters import Parameters
from qdash_queue.domain import CancelMode, TaskStatus
from qdash_queue.embedded.servers import EmbeddedServers, Kind

QUBITS = 64
PLAN = plan("SIM64", "square-lattice-mux-64")
TASKS = ("CheckRabi", "CreateHPIPulse", "CreatePIPulse", "CheckRamsey", "CheckT1", "CheckT2Echo")
MODES = tuple(mode.value for mode in Mode)
SLEEP = 0.25


@dataclass
class Memory:
    """The most that a process and its children took together, in bytes that count a shared page once."""

    process: psutil.Process
    most: int = 0
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
        while not self._stop.wait(1.0):
            self.most = max(self.most, sum(map(_pss, [self.process, *self.process.children(recursive=True)])))


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--modes", nargs="*", default=MODES, choices=MODES)
    modes = parser.parse_args().modes
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        with (
            EmbeddedServers(folder / "servers", kinds={Kind.POSTGRES, Kind.PREFECT}) as servers,
            installed(folder, servers.postgres.url, servers.prefect, PLAN) as chip,
        ):
            print_conditions(servers.postgres.url)
            values = {
                qid: {name: {"value": given.value, "unit": given.unit} for name, given in named.items()}
                for qid, named in design_parameters(PLAN.chip_id, QUBITS).items()
            }
            Parameters(chip.owner, PLAN.chip_id).import_values(values, "design")
            for mode in modes:
                measure(chip, mode)
                cancel(chip, mode)
            lose_a_box(chip)


def request(mode: str, tasks: Sequence[str] = TASKS) -> dict[str, JsonValue]:
    return {"qids": [str(qid) for qid in range(QUBITS)], "tasks": list(tasks), "mode": mode}


def measure(chip: Installation, mode: str) -> None:
    (executor,) = chip.need(1)
    begun = time.monotonic()
    with Memory(psutil.Process(executor.process.pid)) as memory:
        job = _ended(chip, chip.submit("calibrate", request(mode)))
    print(f"\n{mode}: job {job.job_id} {job.state.value} after {time.monotonic() - begun:.1f} s")
    report(chip, job)
    print(f"  most memory of the executor's processes: {memory.most / 2**20:.0f} MiB")


def cancel(chip: Installation, mode: str) -> None:
    job_id = chip.submit("calibrate", request(mode))
    chip.happened(job_id, "task_completed", 20)
    until(lambda: _running(chip, job_id), "a sweep to run")
    asked = time.monotonic()
    chip.queue.cancel(job_id, CancelMode.NOW, "beam time")
    job = _ended(chip, job_id)
    print(
        f"\ncancel in a sweep, {mode}: job {job_id} {job.state.value}"
        f" {time.monotonic() - asked:.2f} s after the flag"
    )
    report(chip, job)


def lose_a_box(chip: Installation) -> None:
    chip.end()
    folder = instruments_folder(chip.folder / "state")
    folder.mkdir(parents=True, exist_ok=True)
    faults = folder / f"{PLAN.chip_id}.faults.json"
    faults.write_text(json.dumps({"error_at_execution": 200, "error_box": "B3"}))
    try:
        chip.need(1)
        job = _ended(chip, chip.submit("calibrate", request("simultaneous", TASKS[:2])))
    finally:
        faults.unlink()
    print(f"\nbox B3 fails in a sweep: job {job.job_id} {job.state.value}, {job.failure_message}")
    report(chip, job)


def report(chip: Installation, job: Job) -> None:
    runs = chip.queue.task_runs(job.job_id)
    sweeps = chip.queue.sweeps(job.job_id)
    seconds = sum(sweep.hardware_seconds or 0.0 for sweep in sweeps)
    statuses = Counter(run.status.value for run in runs)
    print(f"  {seconds:.1f} s on the instrument in {len(sweeps)} sweeps; task runs: {dict(statuses)}")
    needed = _needed_seconds(runs, sweeps)
    print(f"  {needed:.1f} s if each multiplexer were measured at its own pace, beside all others")
    figures = chip.queue.figures(job.job_id)
    values = sum(len(run.output_parameters) for run in runs if run.status is TaskStatus.COMPLETED)
    print(f"  figures: {len(figures)}; values that became parameters: {values}")
    for (task, cause), count in Counter((run.task, run.cause) for run in runs if run.cause).items():
        print(f"  {task}: {cause} {count} times")
    events = chip.queue.events(job.job_id)
    counted = Counter(event.event for event in events)
    print("  events: " + ", ".join(f"{name} {count}" for name, count in counted.items()))


def _needed_seconds(runs: Iterable[TaskRun], sweeps: Iterable[Sweep]) -> float:
    """The most that any multiplexer's qubits take one after another: no wiring can do it in less."""
    seconds = {sweep.sweep_id: sweep.hardware_seconds or 0.0 for sweep in sweeps}
    by_mux: defaultdict[int, float] = defaultdict(float)
    for run in runs:
        if run.sweep_id is not None:
            by_mux[int(run.qid) // 4] += seconds[run.sweep_id]
    return max(by_mux.values(), default=0.0)


def _running(chip: Installation, job_id: int) -> bool:
    return any(run.status.value == "running" for run in chip.queue.task_runs(job_id))


def _ended(chip: Installation, job_id: int) -> Job:
    while not (job := chip.queue.get(job_id)).state.is_terminal:
        time.sleep(SLEEP)
    return job


if __name__ == "__main__":
    main()
