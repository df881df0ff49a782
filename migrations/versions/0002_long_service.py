"""What a queue needs in long service; every client and executor of 0001 goes on working."""

from __future__ import annotations

from pathlib import Path

from alembic import op

from qdash_queue.migrate import restore_functions, run_sql_folder

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SQL = Path(__file__).parents[1] / "sql"
# Replaced here, so put back as they were by a downgrade: name, and the file of 0001 that defines it.
REPLACED = {
    "calib.schema_version": "75_views.sql",
    "calib_private.guard_origin": "70_parameters.sql",
    "calib_private.request_cancel": "40_jobs.sql",
}


def upgrade() -> None:
    """Add and replace, as the owner."""
    run_sql_folder(op.get_bind(), SQL / revision)


def downgrade() -> None:
    """Remove what was added and put back what was replaced."""
    run_sql_folder(op.get_bind(), SQL / revision / "down")
    restore_functions(op.get_bind(), SQL / "0001", REPLACED)
