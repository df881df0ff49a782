"""Wall time that the engine adds to a task: no-op tasks in a flow run, without and with one figure.

    python -m benchmarks.task_overhead [--tasks 100] [--rounds 3]

Everything is real: a PostgreSQL that flushes each commit to disk, a Prefect server, the simulated chip's
backend, a flow run whose tasks are Prefect tasks; each task starts, runs, passes the gate and is committed
with its parameter. QDash's engine takes 63 ms for a task without a figure and 260 ms with one.
"""

# Prefect reads its settings when it is imported, so the servers come first; no-op tasks ignore what they get.

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.conditions import migrate_and_grant
from qdash_queue.client.admin import Admin
from qdash_queue.client.database import Database
from qdash_queue.embedded.servers import EmbeddedServers, Kind

CHIP, PROJECT, USERNAME = "SIM16", "bench", "bench"


@dataclass(frozen=True)
class Measurement:
    """A no-op task, what QDash's engine takes for one, and what this one may take, in ms."""

    task: str
    qdash_ms: float
    goal_ms: float


@dataclass(frozen=True)
class Taken:
    """One task: wall time, and the CPU time of this process, which a busy machine changes little."""

    wall_ms: float
    cpu_ms: float


KINDS = {
    "without a figure": Measurement("NoFigure", 63.0, 31.0),
    "with one figure": Measurement("OneFigure", 260.0, 60.0),
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("--tasks", type=int, default=100, help="tasks in one flow run")
    arguments.add_argument("--rounds", type=int, default=3, help="flow runs of each kind")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder_path = Path(folder)
        folder_path.chmod(0o755)
        with EmbeddedServers(folder_path / "servers", kinds={Kind.POSTGRES, Kind.PREFECT}) as servers:
            from executors.environment import executor_environment

            os.environ.update(executor_environment(servers.prefect.url))
            os.environ.update(PREFECT_HOME=folder, PREFECT_LOGGING_LEVEL="ERROR")
            migrate_and_grant(servers.postgres.url)
            measure_all(servers, folder_path, given.tasks, given.rounds)


def measure_all(servers: EmbeddedServers, folder: Path, tasks: int, rounds: int) -> None:
    from executors.prefect.runtime import flush, warm_client

    database = Database(servers.postgres.url)
    prepare(database)
    print_conditions(database, tasks, rounds)
    taken: dict[str, list[Taken]] = {words: [] for words in KINDS}
    with warm_client():
        # In turns, so that what else the machine does falls on both alike.
        for _ in range(rounds):
            for words, kind in KINDS.items():
                taken[words] += one_flow_run(database, folder, kind.task, tasks)
        for words, kind in KINDS.items():
            report(words, kind, taken[words])
        flush(10.0)
    database.close()


def report(words: str, kind: Measurement, taken: list[Taken]) -> None:
    tenths = statistics.quantiles([one.wall_ms for one in taken], n=10)
    p10, p50, p90 = tenths[0], tenths[4], tenths[8]
    cpu = statistics.median(one.cpu_ms for one in taken)
    verdict = "met" if p50 <= kind.goal_ms else "missed"
    print(
        f"{words:16}: p10 {p10:5.1f}, p50 {p50:5.1f}, p90 {p90:5.1f} ms, own CPU {cpu:.1f}, n = {len(taken)}"
        f"   (QDash {kind.qdash_ms:.0f} ms, goal {kind.goal_ms:.0f} ms: {verdict})"
    )


def print_conditions(database: Database, tasks: int, rounds: int) -> None:
    from prefect import __version__ as prefect_version

    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{platform.platform()}, {os.cpu_count()} cores, load {load}, Python {platform.python_version()}")
    server = database.value("SELECT version()")
    durable = database.value(
        "SELECT current_setting('fsync') || ', ' || current_setting('synchronous_commit')"
    )
    print(f"{server.partition(' on ')[0]} (fsync, synchronous_commit: {durable}), Prefect {prefect_version}")
    print(f"{rounds} flow runs of {tasks} tasks for each line; 1 + 51 points of raw data in each task")


def prepare(database: Database) -> None:
    admin = Admin(database)
    admin.add_project(PROJECT)
    admin.grant_member(PROJECT, "postgres", USERNAME, "operator")
    admin.add_chip(CHIP, "fake", "square-lattice-mux-16")
    admin.allow_executor("postgres", CHIP)


@contextmanager
def job(database: Database, folder: Path, name: str, tasks: int) -> Iterator[Any]:
    """A claimed job with the surroundings that the executor gives its child."""
    from executors.engine.catalogue import task_entry
    from executors.flows import catalogue_flows, load_flows
    from executors.job.context import JobContext, instruments_folder, new_scratch_folder, use_job
    from executors.job.stop import StopFlag
    from qdash_queue.client.leases import Executor, Lease
    from qdash_queue.client.queue import Queue

    executor = Executor(database, CHIP, "fake", "benchmark")
    executor.register()
    known = [task_entry(task) for task in noop_tasks().values()]
    executor.register_catalogue(catalogue_flows(load_flows().values()), known)
    parameters: dict[str, Any] = {"qids": ["0"], "tasks": [name] * min(tasks, 100)}
    submitted = Queue(database).submit(PROJECT, CHIP, parameters)
    claimed = executor.claim(600.0, submitted.job_id)
    assert claimed is not None
    context = JobContext(
        claimed=claimed,
        lease=Lease(database, claimed.job_id, claimed.claim),
        database=database,
        backend_kind="fake",
        scratch=new_scratch_folder(folder, claimed.job_id),
        stop=StopFlag(),
        instrument_dir=instruments_folder(folder),
        seed=0,
    )
    with use_job(context):
        yield context
    context.lease.finish()


def one_flow_run(database: Database, folder: Path, name: str, tasks: int) -> list[Taken]:
    """What each task of one flow run took, from call to return."""
    from prefect import flow

    from executors.service.calib_service import CalibService

    taken: list[Taken] = []

    @flow(name="overhead")
    def overhead() -> None:
        cal = CalibService(USERNAME, CHIP, ["0"])
        cal.plan([(name, "0")] * tasks)
        for _ in range(tasks):
            started, cpu = time.perf_counter(), time.process_time()
            cal.execute_task(name, "0")
            wall_ms, cpu_ms = (time.perf_counter() - started) * 1e3, (time.process_time() - cpu) * 1e3
            taken.append(Taken(wall_ms, cpu_ms))
        cal.finish_calibration()

    # qubex greets on the standard output.
    with job(database, folder, name, tasks), redirect_stdout(StringIO()):
        overhead()
    return taken


def noop_tasks() -> dict[str, Any]:
    """The two no-op tasks by name; defined once."""
    import numpy as np
    import plotly.graph_objects as go

    from calibtasks.base import BaseTask, OutputParameter, PostProcessResult, RunResult
    from calibtasks.dataset import Dataset, MeasuredArray
    from calibtasks.figures.plots import Figure
    from calibtasks.task import REGISTRY

    defined = REGISTRY.by_name()
    if "NoFigure" in defined:
        return {name: defined[name] for name in ("NoFigure", "OneFigure")}

    class NoFigure(BaseTask):
        """Outputs a number that it knew before."""

        output_parameters: ClassVar = {"t1": OutputParameter(unit="μs")}

        def run(self, backend: Any, qid: str) -> RunResult:
            iq = np.exp(1j * np.linspace(0.0, 6.0, 51))
            return RunResult(Dataset([MeasuredArray("iq", iq, "a.u.")]))

        def postprocess(
            self, backend: Any, execution_id: str, run_result: RunResult, qid: str
        ) -> PostProcessResult:
            return PostProcessResult({"t1": self.output("t1", 40.0, 0.5)}, self.figures(run_result))

        def figures(self, run_result: RunResult) -> list[Figure]:
            return []

    class OneFigure(NoFigure):
        """Draws its data too."""

        def figures(self, run_result: RunResult) -> list[Figure]:
            iq = run_result.data.values("iq")
            time_us = np.arange(51.0)
            figure = go.Figure([go.Scatter(x=time_us, y=iq.real), go.Scatter(x=time_us, y=iq.imag)])
            figure.update_layout(title="No-op", xaxis_title="Time (μs)", yaxis_title="Signal (a.u.)")
            return [Figure.of("noop", figure)]

    return {"NoFigure": NoFigure, "OneFigure": OneFigure}


if __name__ == "__main__":
    main()
