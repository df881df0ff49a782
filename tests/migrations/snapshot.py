"""The schema as PostgreSQL 18 dumps it, kept as migrations/schema/snapshot.sql: a review shows what changed.

`make snapshot` writes it anew.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from qdash_queue import migrate
from qdash_queue.embedded.postgres import PostgresServer, embedded_bin
from qdash_queue.embedded.process import Durability

SNAPSHOT = migrate.script_location() / "schema" / "snapshot.sql"


def dump(database_url: str) -> str:
    """The database's definitions, owners, comments and grants, the same for the same schema."""
    ran = subprocess.run(
        [
            embedded_bin() / "pg_dump",
            "--schema-only",
            "--restrict-key=snapshot",
            "--schema=calib",
            "--schema=calib_private",
            database_url,
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line for line in ran.stdout.splitlines() if not line.startswith("-- Dumped ")]
    return "\n".join(lines).strip() + "\n"


def write(file: Path = SNAPSHOT) -> None:
    """Write the dump of a fresh database."""
    with PostgresServer(durability=Durability.FAST) as server:
        migrate.upgrade(server.url)
        file.write_text(dump(server.url), encoding="utf-8")


if __name__ == "__main__":
    write()
