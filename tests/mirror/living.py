"""A mirror that runs beside the test, and a MongoDB server that comes and goes."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymongo
from pymongo.errors import PyMongoError

from qdash_queue.embedded.mongo import find_mongod
from qdash_queue.embedded.process import free_port
from qdash_queue.mirror import Mirror
from tests.support.waiting import PATIENCE, until


@contextmanager
def running(mirror: Mirror) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=mirror.run)
    thread.start()
    try:
        yield thread
    finally:
        mirror.stop()
        thread.join(PATIENCE)
    assert not thread.is_alive()


class OwnMongo:
    """A MongoDB server on a port that it keeps, to be stopped and started again."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._home.mkdir()
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"mongodb://127.0.0.1:{self._port}/"

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                *(str(find_mongod()), "--dbpath", str(self._home), "--port", str(self._port)),
                *("--bind_ip", "127.0.0.1", "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25"),
                # So that it can be told to fail.
                *("--setParameter", "enableTestCommands=1"),
            ],
            stdout=subprocess.DEVNULL,
        )
        until(self._answers)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        client: pymongo.MongoClient[dict[str, object]] = pymongo.MongoClient(
            self.url, serverSelectionTimeoutMS=200
        )
        try:
            with client:
                client.admin.command("ping")
        except PyMongoError:
            return False
        return True
