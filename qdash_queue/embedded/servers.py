"""All embedded servers that are wanted, started at the same time and stopped together."""

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
    """The servers there are."""

    POSTGRES = "postgres"
    MONGO = "mongo"
    PREFECT = "prefect"


S = TypeVar("S", bound=EmbeddedServer)
Report = Callable[[Kind, float], None]


class EmbeddedServers:
    """Several servers with one life.

    Args:
        directory: each server's data stay in a folder of its name below; None for temporary folders.
        kinds: which servers; leave out those for which a real one is set.
        durability: PostgreSQL's.
        lifetime: with this process, or detached; detached ones need a directory to be found again.

    Raises:
        EmbeddedServerError: from `start`, if one of them does not come up; the others are stopped then.
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
        self._directory = directory
        self._kinds = kinds
        self._durability = durability
        self._lifetime = lifetime
        self._postgres: PostgresServer | None = None
        self._mongo: MongoServer | None = None
        self._prefect: PrefectServer | None = None

    @property
    def postgres(self) -> PostgresServer:
        """The running PostgreSQL."""
        return _started(self._postgres, "PostgreSQL")

    @property
    def mongo(self) -> MongoServer:
        """The running MongoDB."""
        return _started(self._mongo, "MongoDB")

    @property
    def prefect(self) -> PrefectServer:
        """The running Prefect server."""
        return _started(self._prefect, "Prefect server")

    def start(self, report: Report = lambda _kind, _seconds: None) -> Self:
        """Start them all at once and wait for all.

        Args:
            report: told of each server that has come up, and after how many seconds.
        """
        begun = time.monotonic()
        servers = self._make()
        with ThreadPoolExecutor(max_workers=len(Kind)) as pool:
            starting: dict[Future[EmbeddedServer], Kind] = {
                pool.submit(server.start): kind for kind, server in servers.items()
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
        """Look whether all of them still run.

        Raises:
            EmbeddedServerError: of the first that has ended by itself; with its log's end.
        """
        for server in self._made():
            server.check()

    def stop(self) -> None:
        """Stop them all; the last error, if any, is raised after all were asked."""
        with ExitStack() as stack:
            for server in self._made():
                stack.callback(server.stop)

    def release(self) -> None:
        """Let go of detached servers: they run on until `process.stop_detached(directory)`."""
        for server in self._made():
            server.release()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _made(self) -> list[EmbeddedServer]:
        return [server for server in (self._postgres, self._mongo, self._prefect) if server is not None]

    def _make(self) -> dict[Kind, EmbeddedServer]:
        servers: dict[Kind, EmbeddedServer] = {}
        if Kind.POSTGRES in self._kinds:
            self._postgres = PostgresServer(
                self._folder(Kind.POSTGRES), durability=self._durability, lifetime=self._lifetime
            )
            servers[Kind.POSTGRES] = self._postgres
        if Kind.MONGO in self._kinds:
            self._mongo = MongoServer(self._folder(Kind.MONGO), lifetime=self._lifetime)
            servers[Kind.MONGO] = self._mongo
        if Kind.PREFECT in self._kinds:
            self._prefect = PrefectServer(self._folder(Kind.PREFECT), lifetime=self._lifetime)
            servers[Kind.PREFECT] = self._prefect
        return servers

    def _folder(self, kind: Kind) -> Path | None:
        return None if self._directory is None else self._directory / kind.value


def _started(server: S | None, name: str) -> S:
    if server is None:
        raise EmbeddedServerError(f"expected a started embedded {name}, it was not started")
    return server
