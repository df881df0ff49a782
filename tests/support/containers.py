"""The servers under test in containers, where a Docker engine answers."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

DEFAULT_MAJOR = 18
MONGO_IMAGE = "mongo:6.0"
SUPERUSER = "postgres"
PASSWORD = "only-for-tests"


def wanted() -> bool:
    """Whether tests run on containers: a Docker engine answers, and TEST_SERVERS is not `embedded`."""
    if os.environ.get("TEST_SERVERS") == "embedded":
        return False
    host = urlsplit(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))
    try:
        with _connect(host) as connection:
            connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b" 200 " in connection.recv(64)
    except OSError:
        return False


def _connect(host: SplitResult) -> socket.socket:
    if host.scheme != "unix":
        return socket.create_connection((host.hostname or "", host.port or 2375), timeout=5)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(5)
    try:
        connection.connect(host.path)
    except OSError:
        connection.close()
        raise
    return connection


@dataclass(frozen=True)
class ContainedPostgres:
    """A PostgreSQL server in a container."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """URL of the database `postgres` as superuser."""
        return self.url_of("postgres")

    def url_of(self, database: str, user: str = SUPERUSER, password: str | None = None) -> str:
        """URL of one database for one login role."""
        return f"postgresql://{user}:{password or PASSWORD}@{self.host}:{self.port}/{database}"


@contextmanager
def postgres(major: int) -> Iterator[ContainedPostgres]:
    """A PostgreSQL server of one major version."""
    # Imported only where it is used: it takes longer than an embedded server needs to start.
    from testcontainers.community.postgres import PostgresContainer

    container = PostgresContainer(
        f"postgres:{major}", username=SUPERUSER, password=PASSWORD, dbname="postgres"
    )
    container.with_command("postgres -c fsync=off -c max_connections=200 -c timezone=UTC")
    with container:
        yield ContainedPostgres(container.get_container_host_ip(), int(container.get_exposed_port(5432)))


@contextmanager
def mongo() -> Iterator[str]:
    """URL of a MongoDB server."""
    from testcontainers.community.mongodb import MongoDbContainer

    with MongoDbContainer(MONGO_IMAGE) as container:
        yield str(container.get_connection_url())
