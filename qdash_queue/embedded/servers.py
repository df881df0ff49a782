"""Several embedded servers, started at the same time and stopped together."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from qdash_queue.embedded.mongo import MongoServer
from qdash_queue.embedded.postgres import PostgresServer
from qdash_queue.embedded.prefect_server import PrefectServer
from qdash_queue.embedded.process import Durability, EmbeddedServerError, Lifetime
from qdash_queue.embedded.server import EmbeddedServer


class Kind(StrEnum):
    """The embedded servers."""

    POSTGRES = "postgres"
    MONGO = "mongo"
    PREFECT = "prefect"


S = TypeVar("S", bound=EmbeddedServer)
Report = Callable[[Kind, float], None]


class EmbeddedServers:
    """Several servers, started and stopped together.

    Args:
        directory: each server's data stay in a folder of its name below; None for temporary folders.
        kinds: which servers; leave out those for which a real one is set.
        durability: PostgreSQL's.
        lifetime: with this process, or detached; detached ones need a directory to be found again.

    Raises:
        EmbeddedServerError: from `start`, if one of them does not start; the others are stopped then.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        kinds: Collection[Kind] = frozenset(Kind),
        durability: Durability = Durability.SAFE,
        lifetime: Lifetime = Lifetime.WITH_OWNER,
    ) -> None:
        if lifetime is Lifetime.DETACHED and directory is None:
            raise ValueError("expected a directory by which detached servers are found again, got none")
        self._servers: dict[Kind, EmbeddedServer] = {}

        def folder(kind: Kind) -> Path | None:
            return None if directory is None else directory / kind.value

        for kind in kinds:
            match kind:
                case Kind.POSTGRES:
                    server: EmbeddedServer = PostgresServer(
                        folder(kind), durability=durability, lifetime=lifetime
                    )
                case Kind.MONGO:
                    server = MongoServer(folder(kind), lifetime=lifetime)
                case Kind.PREFECT:
                    server = PrefectServer(folder(kind), lifetime=lifetime)
            self._servers[kind] = server

    @property
    def postgres(self) -> PostgresServer:
        """The running PostgreSQL."""
        return self._started(Kind.POSTGRES, PostgresServer)

    @property
    def mongo(self) -> MongoServer:
        """The running MongoDB."""
        return self._started(Kind.MONGO, MongoServer)

    @property
    def prefect(self) -> PrefectServer:
        """The running Prefect server."""
        return self._started(Kind.PREFECT, PrefectServer)

    def _started(self, kind: Kind, type_: type[S]) -> S:
        server = self._servers.get(kind)
        if not isinstance(server, type_):
            raise EmbeddedServerError(f"expected a started embedded {kind.value} server, it was not started")
        return server

    def start(self, report: Report = lambda _kind, _seconds: None) -> Self:
        """Start them all at once and wait for all.

        Args:
            report: called for each server that has started, with the seconds since the begin.
        """
        begun = time.monotonic()
        with ThreadPoolExecutor(max_workers=len(Kind)) as pool:
            starting: dict[Future[EmbeddedServer], Kind] = {
                pool.submit(server.start): kind for kind, server in self._servers.items()
            }
            try:
                for started in as_completed(starting):
                    started.result()
                    report(starting[started], time.monotonic() - begun)
            except BaseException:
                # A server can be stopped only once its start is over.
                pool.shutdown()
                self.stop()
                raise
        return self

    def check(self) -> None:
        """Check that all of them still run.

        Raises:
            EmbeddedServerError: of the first that has ended by itself; with its log's end.
        """
        for server in self._servers.values():
            server.check()

    def stop(self) -> None:
        """Stop them all; the last error, if any, is raised after all were asked."""
        with ExitStack() as stack:
            for server in self._servers.values():
                stack.callback(server.stop)

    def release(self) -> None:
        """Leave detached servers running until `process.stop_detached(directory)`."""
        for server in self._servers.values():
            server.release()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
