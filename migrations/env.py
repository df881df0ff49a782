"""Alembic's entry: takes the connection that `qdash_queue.migrate` opened, works as the schema's owner."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import context

from qdash_queue.migrate import (
    LOCK_WAIT_MILLISECONDS,
    VERSION_SCHEMA,
    VERSION_TABLE,
    MigrationError,
    SchemaFiles,
    run_sql_file,
)

HERE = Path(__file__).parent
FOUNDATION = "00_foundation.sql"
"""What tables rest on, and so comes before the revisions; every other file comes after them."""


def _migrate(connection: sa.Connection) -> None:
    run_sql_file(connection, HERE / "roles.sql")
    connection.exec_driver_sql("SET ROLE calib_owner")
    connection.commit()
    with connection.begin():
        # All others queue up behind a lock that is waited for, heartbeats too.
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {LOCK_WAIT_MILLISECONDS}")
        files = SchemaFiles(connection, sorted((HERE / "schema").glob("[0-9]*.sql")))
        files.lock_views()
        files.apply(FOUNDATION)
        context.configure(
            connection=connection, version_table=VERSION_TABLE, version_table_schema=VERSION_SCHEMA
        )
        context.run_migrations()
        files.apply()


given = context.config.attributes.get("connection")
if not isinstance(given, sa.Connection):
    raise MigrationError("expected a connection, got none: migrate by `qdash-queue migrate`")
_migrate(given)
