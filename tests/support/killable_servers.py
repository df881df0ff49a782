"""Embedded servers that are killed, and a MongoDB whose writes can be made to fail."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import replace

import psutil

from qdash_queue.embedded.mongo import MongoServer
from qdash_queue.embedded.postgres import PostgresServer
from qdash_queue.embedded.process import ProcessSpec
from qdash_queue.embedded.server import EmbeddedServer


class FailingMongo(MongoServer):
    """A MongoDB whose writes can be made to fail."""

    def _spec(self) -> ProcessSpec:
        spec = super()._spec()
        return replace(spec, argv=[*spec.argv, "--setParameter=enableTestCommands=1"])


def program_of(server: EmbeddedServer) -> psutil.Process | None:
    """The server's own process, the only child of its watchdog."""
    process = server._process
    if process is None:
        return None
    try:
        children = psutil.Process(process.pid).children()
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
