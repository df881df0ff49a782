"""Two refusals in words where the database's own complaint came through."""

from __future__ import annotations

from pathlib import Path

from alembic import op

from qdash_queue.migrate import restore_functions, run_sql_folder

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SQL = Path(__file__).parents[1] / "sql"
# Put back as they were by a downgrade: name, and the file of 0002 that defines it.
REPLACED = {
    "calib.schema_version": "00_version.sql",
    "calib_private.given_values": "30_refusals.sql",
    "calib.mark_refused": "20_mirror.sql",
}


def upgrade() -> None:
    """Replace, as the owner."""
    run_sql_folder(op.get_bind(), SQL / revision)


def downgrade() -> None:
    """Put back what was replaced."""
    restore_functions(op.get_bind(), SQL / "0002", REPLACED)
