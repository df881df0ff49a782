"""What two sessions at once could still break; every client and executor of 0001 goes on working."""

from __future__ import annotations

from pathlib import Path

from alembic import op

from qdash_queue.migrate import restore_functions, run_sql_folder

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SQL = Path(__file__).parents[1] / "sql"
# Put back as they were by a downgrade: by the revision that defined it last, a function's name and its file there.
REPLACED = {
    "0001": {
        "calib.parameters_as_of": "70_parameters.sql",
    },
    "0003": {
        "calib.schema_version": "00_version.sql",
    },
}


def upgrade() -> None:
    """Add and replace, as the owner."""
    run_sql_folder(op.get_bind(), SQL / revision)


def downgrade() -> None:
    """Remove what was added and put back what was replaced."""
    run_sql_folder(op.get_bind(), SQL / revision / "down")
    for former, files in REPLACED.items():
        restore_functions(op.get_bind(), SQL / former, files)
