"""What the embedded servers share: a home folder, a lifetime, a log, a port."""

from __future__ import annotations

import shutil
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from qdash_queue.embedded.process import Lifetime, PortTakenError, ProcessSpec, ServerProcess, free_port

PORT_TRIES = 3


class EmbeddedServer(ABC):
    """One private server.

    Args:
        directory: where its data stay; None for a temporary folder, removed at the stop.
        lifetime: with this process, or detached.
        start_seconds: how long it may take to answer.

    Raises:
        EmbeddedServerError: from `start`, in one sentence and the log's end, if it does not start.
    """

    name: ClassVar[str]

    def __init__(
        self,
        directory: Path | None = None,
        *,
        lifetime: Lifetime = Lifetime.WITH_OWNER,
        start_seconds: float = 120.0,
    ) -> None:
        self.lifetime = lifetime
        self.start_seconds = start_seconds
        self.port = 0
        self._directory = None if directory is None else directory.absolute()
        self._home: Path | None = None
        self._process: ServerProcess | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients find the running server."""

    @property
    def home(self) -> Path:
        """The folder that holds all of the server's files.

        Raises:
            RuntimeError: before the first start.
        """
        if self._home is None:
            raise RuntimeError(f"expected a started {self.name}, it was not started")
        return self._home

    @property
    def log_file(self) -> Path:
        """The server's log."""
        return self.home / f"{self.name}.log"

    def start(self) -> Self:
        """Start the server and wait until it answers."""
        if self._process is not None:
            raise RuntimeError(f"{self.name} is running already")
        if self._directory is None:
            self._home = Path(tempfile.mkdtemp(prefix=f"qdq-{self.name}-"))
        else:
            self._home = self._directory
            self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._come_up()
        except BaseException:
            self.stop()
            raise
        return self

    def check(self) -> None:
        """Check that the started server still runs.

        Raises:
            EmbeddedServerError: if it has ended by itself; with its log's end.
        """
        if self._process is not None:
            self._process.check()

    def stop(self) -> None:
        """Stop the server in order and remove a temporary folder; no-op for a stopped one."""
        if self._process is not None:
            self._process.stop()
            self._process = None
        self._remove_files()

    def release(self) -> None:
        """Leave a detached server running until `process.stop_detached`."""
        if self._process is not None:
            self._process.release()
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @abstractmethod
    def _come_up(self) -> None:
        """Prepare the home, then `_run` the server."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether the server started last answers."""

    @abstractmethod
    def _spec(self) -> ProcessSpec:
        """How the server is run on `port`, and stopped."""

    def _run(self) -> None:
        """Start the process, on another port if the first was taken meanwhile, and wait until it answers."""
        for tries_left in reversed(range(PORT_TRIES)):
            self.port = self._choose_port()
            self._process = ServerProcess(self._spec())
            try:
                self._process.wait_until(self._answers, seconds=self.start_seconds)
            except PortTakenError:
                self.port = 0
                if not tries_left:
                    raise
            else:
                return

    @property
    def _temporary(self) -> bool:
        return self._directory is None and self.lifetime is Lifetime.WITH_OWNER

    def _logged(self, words: str) -> bool:
        """Whether the log of this start holds the words; the port alone may be another server's."""
        return self._process is not None and words in self._process.log_text()

    def _choose_port(self) -> int:
        """The port of the first start again, so that clients find a restarted server."""
        return self.port or free_port()

    def _remove_files(self) -> None:
        if self._directory is None and self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)
