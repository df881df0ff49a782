"""One job, one process: warmed up before the job arrives, gone when it is done."""

from __future__ import annotations

import faulthandler
import importlib
import logging
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import NoReturn

import numpy as np

from executors.child.flow_guard import FlowGuard
from executors.child.process_guard import die_with_parent, lead_own_group, post_guard
from executors.engine.backend_session import quiesce
from executors.flows import FlowDefinition, load_flows
from executors.job.context import JobContext, use_job
from executors.job.failures import storable, unknown_flow_failure
from executors.job.messages import (
    ChildSetup,
    CleanupDone,
    Message,
    NotStarted,
    Quiesce,
    Ready,
    RunHooks,
    RunJob,
)
from executors.job.stop import LeaseClock, StopFlag
from executors.prefect import runtime
from executors.prefect.flow_runs import flow_arguments
from qdash_queue.client.database import Database
from qdash_queue.client.leases import Lease
from qdash_queue.client.models import ClaimedJob
from qdash_queue.domain import CalibrationError, Failure, FailureKind
from qdash_queue.errors import DatabaseUnreachableError, QueueError

logger = logging.getLogger(__name__)

_FLUSH_SECONDS = 1.5
_WARM_UP_SECONDS = 2.0
_EXIT_INTERNAL = 70
_HEAVY = (
    "scipy.optimize",
    "scipy.signal",
    "executors.backends.fake",
    "calibtasks.active_protocols",
    "prefect.task_engine",
    # What a flow's first task run and first sweep would import.
    "prefect.utilities.visualization",
    "anyio._backends._asyncio",
    # In every child multiprocessing runs the program's script once more; what it imports is here by now.
    "executors.main",
)


def preload() -> None:
    """Get ready what a job will need; for the forkserver, whose children then have it from birth."""
    for name in _HEAVY:
        importlib.import_module(name)
    _draw()
    runtime.preload()
    _keep_progress_bars_in_one_process()


def _keep_progress_bars_in_one_process() -> None:
    """Give qubex's progress bars a lock of threads: tqdm's own is a semaphore, of which each job left one."""
    from tqdm import tqdm  # noqa: PLC0415 - heavy

    tqdm.set_lock(threading.RLock())


def _draw() -> None:
    """Draw a figure: the first one loads Plotly's template, half a second of work."""
    from calibtasks.figures.plots import Axis, Figure, Series, fit_figure  # noqa: PLC0415 - heavy

    points = np.ones(1)
    series = [Series("data", points, points, points, points)]
    Figure.of("first", fit_figure("", "", Axis(""), Axis(""), series))


def child_main(pipe: Connection, stop: StopFlag, lease: LeaseClock, setup: ChildSetup) -> NoReturn:
    """Wait for one message, do what it says, and leave without the interpreter's unbounded cleanup."""
    code = _EXIT_INTERNAL
    try:
        lead_own_group()
        die_with_parent(signal.SIGKILL)
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        post_guard(pipe, stop, lease)
        logging.basicConfig(level=setup.log_level, format="%(asctime)s child %(process)d %(message)s")
        stop.hold_to(lease)
        code = _Child(pipe, stop, setup).run()
    except BaseException:  # noqa: BLE001 - the process ends here whatever happened
        traceback.print_exc()
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


class _Child:
    def __init__(self, pipe: Connection, stop: StopFlag, setup: ChildSetup) -> None:
        self._pipe = pipe
        self._stop = stop
        self._setup = setup
        self._flows = load_flows(setup.flows_dir)

    def run(self) -> int:
        database = Database(self._setup.database_url)
        with runtime.warm_client():
            _warm(database)
            message = self._receive()
            if message is None:
                return 0
            return self._handle(message, database)

    def _receive(self) -> Message | None:
        """The message; ``None`` when the supervisor needs this child no more, or is gone."""
        try:
            self._pipe.send(Ready())
            message: Message | None = self._pipe.recv()
        except (EOFError, OSError):
            return None
        return message

    def _handle(self, message: Message, database: Database) -> int:
        context = self._context(message, database)
        os.chdir(message.scratch)
        tempfile.tempdir = str(message.scratch)
        with use_job(context):
            match message:
                case RunJob():
                    code = self._run_job(message, context)
                    runtime.flush(_FLUSH_SECONDS)
                    return code
                case RunHooks():
                    return self._clean_up(lambda: self._run_hooks(message))
                case Quiesce():
                    return self._clean_up(lambda: quiesce(context, message.chip))

    def _context(self, message: Message, database: Database) -> JobContext:
        return JobContext(
            claimed=message.claimed,
            lease=Lease(database, message.claimed.job_id, message.claimed.claim),
            database=database,
            backend_kind=self._setup.backend_kind,
            scratch=message.scratch,
            stop=self._stop,
            instrument_dir=self._setup.instrument_dir,
            seed=self._setup.seed,
            qubex_config_dir=self._setup.qubex_config_dir,
        )

    def _run_job(self, message: RunJob, context: JobContext) -> int:
        # Ends the process without needing the GIL, should the supervisor be gone and Python be stuck in C.
        faulthandler.dump_traceback_later(message.hard_seconds, exit=True)
        guard = FlowGuard(context, self._pipe)
        try:
            definition = self._definition(message.claimed)
            runtime.run_guarded(definition.flow, message.flow_run, flow_arguments(message.claimed), guard)
        except BaseException as error:  # noqa: BLE001 - every end of a flow is told, not raised
            if guard.started:
                logger.info("the flow ended by %s: %s", type(error).__name__, error)
                return 0 if isinstance(error, Exception) else 1
            self._pipe.send(not_started(error))
            return 1
        if not guard.started:
            self._pipe.send(NotStarted(None, "Prefect did not let the flow run start"))
            return 1
        return 0

    def _definition(self, claimed: ClaimedJob) -> FlowDefinition:
        definition = self._flows.get(claimed.flow)
        if definition is None:
            raise CalibrationError(unknown_flow_failure(claimed.flow, self._flows))
        return definition

    def _run_hooks(self, message: RunHooks) -> None:
        definition = self._definition(message.claimed)
        runtime.run_cancellation_hooks(definition.flow, message.flow_run)

    def _clean_up(self, work: Callable[[], None]) -> int:
        try:
            work()
        except Exception as error:
            logger.warning("the cleanup failed", exc_info=True)
            self._pipe.send(CleanupDone(storable(f"{error}") or type(error).__name__))
            return 1
        self._pipe.send(CleanupDone(""))
        return 0


def _warm(database: Database) -> None:
    """Open a connection before the job arrives; a server that hangs may not hold up what needs none."""
    thread = threading.Thread(target=_open_connection, args=(database,), name="warm", daemon=True)
    thread.start()
    thread.join(_WARM_UP_SECONDS)


def _open_connection(database: Database) -> None:
    try:
        database.row("SELECT 1 AS warm")
    except (DatabaseUnreachableError, QueueError) as error:  # The first statement opens one otherwise.
        logger.warning("the database does not answer while warming up: %s", error)


def not_started(error: BaseException) -> NotStarted:
    """Why the flow's body was never reached, and whether to try again."""
    words = f"{type(error).__name__}: {error}"
    if isinstance(error, CalibrationError):
        return NotStarted(error.failure, words)
    if isinstance(error, runtime.INVALID_PARAMETERS):
        failure = Failure(
            kind=FailureKind.INVALID_REQUEST,
            cause="flow_parameters",
            message=f"the flow refused its parameters: {error}",
            remedy="compare them with the flow's schema in calib.flows",
        )
        return NotStarted(failure, words)
    return NotStarted(None, words)
