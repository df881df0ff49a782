"""The queue's contract and truth: roles, schemas, tables, functions, views, grants."""

from __future__ import annotations

from pathlib import Path

from alembic import op

from qdash_queue.migrate import run_sql_file, run_sql_folder

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SQL = Path(__file__).parents[1] / "sql" / revision
BOOTSTRAP = "00_bootstrap.sql"


def upgrade() -> None:
    """Make everything; the roles, schemas and extensions as whoever migrates, all else as the owner."""
    connection = op.get_bind()
    connection.exec_driver_sql("RESET ROLE")
    run_sql_file(connection, SQL / BOOTSTRAP)
    connection.exec_driver_sql("SET ROLE calib_owner")
    for file in sorted(SQL.glob("*.sql")):
        if file.name != BOOTSTRAP:
            run_sql_file(connection, file)


def downgrade() -> None:
    """Remove it all but the roles and extensions, which belong to the whole server."""
    connection = op.get_bind()
    # The owner may not make schemas; whoever migrates may, and is a member of the owner.
    connection.exec_driver_sql("RESET ROLE")
    run_sql_folder(connection, SQL / "down")
    connection.exec_driver_sql("SET ROLE calib_owner")
