"""The supervisor's view of its child processes: started, warm, given one message, killed, reaped."""

from __future__ import annotations

import logging
import os
import signal
import time
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from typing import Self

from executors.child.forkserver import child_context
from executors.child.main import child_main
from executors.job.messages import ChildSetup, Message, Ready, Report
from executors.job.stop import LeaseClock, StopFlag
from qdash_queue.errors import QdashQueueError

logger = logging.getLogger(__name__)

_WARM_SECONDS = 90.0
_TRIES = 3
_REAP_SECONDS = 5.0


class ChildError(QdashQueueError):
    """A child could not be started."""


class Child:
    """One child process, from its fork to its exit code.

    Raises:
        ChildError: the machine has no room for one more process.
    """

    def __init__(self, context: ForkServerContext, setup: ChildSetup) -> None:
        self._is_ready = False
        self._exit_code: int | None = None
        try:
            self._start(context, setup)
        except (OSError, EOFError) as error:  # The latter: the forkserver died of it.
            raise ChildError(f"no process can be started: {error!r}") from error

    def _start(self, context: ForkServerContext, setup: ChildSetup) -> None:
        self.stop = StopFlag.shared(context)
        self.lease_clock = LeaseClock.shared(context)
        self.pipe: Connection
        self.pipe, theirs = context.Pipe(duplex=True)
        # Not a daemon of multiprocessing: those may have no children of their own, and a flow may want some.
        self._process = context.Process(
            target=child_main, args=(theirs, self.stop, self.lease_clock, setup), name="qdash-child"
        )
        with theirs:
            self._process.start()

    @property
    def pid(self) -> int:
        """The process, which leads a group of the same number."""
        assert self._process.pid is not None  # noqa: S101 - it was started above
        return self._process.pid

    @property
    def sentinel(self) -> int:
        """Becomes readable when the process is dead."""
        return self._process.sentinel

    @property
    def is_alive(self) -> bool:
        """Whether the process lives."""
        return self._process.is_alive()

    @property
    def exit_code(self) -> int | None:
        """The exit code, or minus the signal that ended it; ``None`` while it lives."""
        return self._process.exitcode if self._exit_code is None else self._exit_code

    def wait_until_ready(self, seconds: float = _WARM_SECONDS) -> bool:
        """Whether the child is warm and waits for its message, within ``seconds``."""
        deadline = time.monotonic() + seconds
        while not self._is_ready and self.is_alive:
            if not wait([self.pipe, self.sentinel], timeout=max(0.0, deadline - time.monotonic())):
                return False
            self._is_ready = any(isinstance(report, Ready) for report in self.reports())
        return self._is_ready and self.is_alive

    def send(self, message: Message) -> None:
        """Tell the child what to do.

        Raises:
            ChildError: the child is dead.
        """
        try:
            self.pipe.send(message)
        except OSError as error:
            raise ChildError("the child died before it had its message") from error

    def reports(self) -> list[Report]:
        """All reports that have come in; waits for none."""
        reports: list[Report] = []
        with suppress(EOFError, OSError):
            while self.pipe.poll(0):
                reports.append(self.pipe.recv())
        return reports

    def kill(self, signal_number: signal.Signals) -> None:
        """Send a signal to the child's whole process group."""
        try:
            os.killpg(self.pid, signal_number)
        except ProcessLookupError:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal_number)  # It has no group of its own yet.

    def reap(self) -> int:
        """Kill what is left of the process and its group, and release its resources; the exit code."""
        if self.is_alive:
            self.kill(signal.SIGKILL)
        self._process.join(_REAP_SECONDS)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        code = self.exit_code
        self.pipe.close()
        if code is not None:
            self._process.close()
        self._exit_code = -signal.SIGKILL if code is None else code
        return self._exit_code


class ChildPool:
    """Forks children from a forkserver that has everything imported, and keeps one warm spare."""

    def __init__(self, setup: ChildSetup) -> None:
        self._setup = setup
        self._context = child_context()
        self._spare: Child | None = None

    def __enter__(self) -> Self:
        self.refill()
        return self

    def __exit__(self, *_: object) -> None:
        self.drop_spare()

    def refill(self) -> None:
        """Start a spare if there is none and one can be had; does not wait until it is warm."""
        if not self.has_spare:
            self.drop_spare()
            try:
                self._spare = Child(self._context, self._setup)
            except ChildError as error:
                logger.warning("%s", error)

    @property
    def has_spare(self) -> bool:
        """Whether there is a living spare, warm or not."""
        return self._spare is not None and self._spare.is_alive

    def is_warm(self, seconds: float) -> bool:
        """Whether a child is ready for a message, within ``seconds``."""
        self.refill()
        return self._spare is not None and self._spare.wait_until_ready(seconds)

    def take(self) -> Child:
        """A warm child, the spare if there is one. A child that died before its message never touched a job.

        Raises:
            ChildError: children die while they warm up.
        """
        for _ in range(_TRIES):
            self.refill()
            child, self._spare = self._spare, None
            if child is not None and child.wait_until_ready():
                return child
            if child is not None:
                logger.warning("a child did not become ready: exit code %s", child.reap())
        raise ChildError(
            f"{_TRIES} children in a row did not start or died while warming up; see the executor's log"
        )

    def drop_spare(self) -> None:
        """End the spare."""
        if self._spare is not None:
            self._spare.reap()
            self._spare = None
