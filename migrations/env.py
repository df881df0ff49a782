"""Alembic's entry: takes the connection that `qdash_queue.migrate` opened, works as the schema's owner."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import context

from qdash_queue.migrate import (
    LOCK_WAIT_MILLISECONDS,
    MIGRATION_LOCK,
    VERSION_SCHEMA,
    VERSION_TABLE,
    MigrationError,
    run_sql_file,
)

OWNER_AND_SCHEMA = Path(__file__).parent / "sql" / "owner.sql"


def _migrate(connection: sa.Connection) -> None:
    # Two migrations of one database wait for each other; the lock goes with the connection.
    connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
    # All others queue up behind a lock that is waited for, heartbeats too.
    connection.execute(sa.text(f"SET lock_timeout = {LOCK_WAIT_MILLISECONDS}"))
    run_sql_file(connection, OWNER_AND_SCHEMA)
    connection.exec_driver_sql("SET ROLE calib_owner")
    connection.commit()
    context.configure(
        connection=connection,
        version_table=VERSION_TABLE,
        version_table_schema=VERSION_SCHEMA,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if not isinstance(given, sa.Connection):
    raise MigrationError("expected a connection, got none: migrate by `qdash-queue migrate`")
_migrate(given)
