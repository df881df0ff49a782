"""Embedded servers that keep their address when they are killed and started again."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import replace

import psutil

from qdash_queue.embedded.mongo import MongoServer
from qdash_queue.embedded.postgres import PostgresServer
from qdash_queue.embedded.prefect_server import ALREADY_DONE, PrefectServer
from qdash_queue.embedded.process import ProcessSpec, free_port
from qdash_queue.embedded.server import EmbeddedServer


class KeptMongo(MongoServer):
    """A MongoDB whose writes can be made to fail."""

    def _choose_port(self) -> int:
        return self.port or free_port()

    def _spec(self) -> ProcessSpec:
        spec = super()._spec()
        return replace(spec, argv=[*spec.argv, "--setParameter=enableTestCommands=1"])


class KeptPrefect(PrefectServer):
    """A Prefect server that does not migrate its database again."""

    _was_up = False

    def _come_up(self) -> None:
        super()._come_up()
        self._was_up = True

    def _choose_port(self) -> int:
        return self.port or free_port()

    def _spec(self) -> ProcessSpec:
        spec = super()._spec()
        return replace(spec, environment={**spec.environment, **(ALREADY_DONE if self._was_up else {})})


def program_of(server: EmbeddedServer) -> psutil.Process | None:
    """The server's own process, the only child of its watchdog."""
    keeper = server._process
    if keeper is None:
        return None
    try:
        children = psutil.Process(keeper.pid).children()
    except psutil.Error:
        return None
    return children[0] if children else None


def kill(server: EmbeddedServer) -> None:
    """End the server as a power cut would; PostgreSQL is stopped at once, because its own would linger."""
    program = program_of(server)
    if program is not None:
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            if isinstance(server, PostgresServer):
                program.send_signal(signal.SIGQUIT)
            else:
                os.killpg(program.pid, signal.SIGKILL)
    server.stop()
