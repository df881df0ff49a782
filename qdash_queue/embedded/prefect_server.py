"""Prefect's server on SQLite in a home of its own, started as a process; Prefect is never imported here.

A new database takes Prefect more than ten seconds of migrations, so the migrated one is kept as a template,
one for each version of Prefect, and later starts copy it.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import sqlite3
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from qdash_queue.embedded.process import EmbeddedServerError, Lifetime, ProcessSpec
from qdash_queue.embedded.server import EmbeddedServer

# No telemetry, no prompts, and a missing server is an error instead of an ephemeral one.
QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_CLI_PROMPT": "false",
    "PREFECT_CLIENT_MAX_RETRIES": "2",
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
}
# Already done in a copied template, and when this object starts its server again.
ALREADY_DONE = {
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
    "PREFECT_API_DATABASE_MIGRATE_ON_START": "false",
}


def default_cache() -> Path:
    """Where the migrated databases are kept: `$XDG_CACHE_HOME/qdash-queue`, or `~/.cache/qdash-queue`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qdash-queue"


def prefect_version() -> str:
    """The version of Prefect that is installed.

    Raises:
        EmbeddedServerError: if none is.
    """
    try:
        return metadata.version("prefect")
    except metadata.PackageNotFoundError:
        raise EmbeddedServerError(
            "Prefect is not installed: install qdash-queue[embedded], "
            "or set QDASH_QUEUE_PREFECT_API_URL to the URL of a server's API"
        ) from None


class PrefectServer(EmbeddedServer):
    """A Prefect server on a free port of the loopback address, with its pages; its home is PREFECT_HOME.

    Args:
        directory: see `EmbeddedServer`.
        cache: where migrated databases are kept; None for `default_cache()`.
        lifetime: see `EmbeddedServer`.
        start_seconds: see `EmbeddedServer`.
    """

    name = "prefect"

    def __init__(
        self,
        directory: Path | None = None,
        *,
        cache: Path | None = None,
        lifetime: Lifetime = Lifetime.WITH_OWNER,
        start_seconds: float = 120.0,
    ) -> None:
        super().__init__(directory, lifetime=lifetime, start_seconds=start_seconds)
        self._template = (cache or default_cache()) / f"prefect-{prefect_version()}.db"
        self._migrated = False

    @property
    def url(self) -> str:
        """URL of the API, what clients know as PREFECT_API_URL."""
        return f"{self.ui_url}/api"

    @property
    def ui_url(self) -> str:
        """URL of the pages."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def client_environment(self) -> dict[str, str]:
        """The variables under which a client process talks to this server only."""
        return QUIET | {
            "PREFECT_API_URL": self.url,
            "PREFECT_HOME": str(self.home),
            "PREFECT_PROFILES_PATH": str(self.home / "profiles.toml"),
        }

    @property
    def _database(self) -> Path:
        return self.home / "prefect.db"

    def _come_up(self) -> None:
        new = not self._database.exists()
        copied = new and self._copy_template()
        self._migrated = self._migrated or copied
        self._run()
        self._migrated = True
        if new and not copied:
            self._keep_template()

    def _copy_template(self) -> bool:
        """Start with a copy of the template; a damaged one is removed."""
        if not self._template.exists():
            return False
        if not _is_intact(self._template):
            self._template.unlink(missing_ok=True)
            return False
        shutil.copyfile(self._template, self._database)
        return True

    def _keep_template(self) -> None:
        """Keep the migrated database; without a writable cache later starts are only slower."""
        with contextlib.suppress(OSError):
            self._template.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._template.parent) as folder:
                copy = Path(folder) / self._template.name
                with (
                    contextlib.closing(sqlite3.connect(self._database)) as source,
                    contextlib.closing(sqlite3.connect(copy)) as target,
                ):
                    source.backup(target)
                copy.replace(self._template)

    def _spec(self) -> ProcessSpec:
        # The caller's own Prefect settings may point to a real database or server: none is inherited.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        server = {
            "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{self._database}",
            "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
            "PREFECT_SERVER_UI_API_URL": self.url,
            "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(self.home / "ui"),
        }
        environment = inherited | self.client_environment | server | (ALREADY_DONE if self._migrated else {})
        python = [sys.executable, "-m", "prefect", "server", "start"]
        command = [*python, "--host", "127.0.0.1", "--port", str(self.port)]
        return ProcessSpec(
            self.name, command, self.home, environment, lifetime=self.lifetime, temporary=self._temporary
        )

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/api/health")
            answer = connection.getresponse()
            return answer.status == http.client.OK and answer.read() == b"true"
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def _is_intact(template: Path) -> bool:
    try:
        with contextlib.closing(sqlite3.connect(template)) as database:
            sound = database.execute("PRAGMA quick_check").fetchone()
            revisions = database.execute("SELECT count(*) FROM alembic_version").fetchone()
    except sqlite3.DatabaseError:
        return False
    return bool(sound == ("ok",) and revisions == (1,))
