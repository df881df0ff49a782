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
# Put back as they were by a downgrade: a function's name and its file, by the revision that defined it last.
REPLACED = {
    "0001": {
        "calib.parameters_as_of": "70_parameters.sql",
        "calib.import_parameters": "70_parameters.sql",
        "calib_private.sweep_expired": "50_executors.sql",
        "calib.mark": "90_mirror.sql",
        "calib.mark_all": "90_mirror.sql",
    },
    "0002": {
        "calib_private.request_cancel": "10_retention.sql",
        "calib_private.prune_jobs": "10_retention.sql",
        "calib_private.prune_events": "10_retention.sql",
        "calib_private.prune_figures": "10_retention.sql",
        "calib_private.prune_raw_data": "10_retention.sql",
        "calib.prune": "10_retention.sql",
        "calib.claim": "41_speed_executors.sql",
        "calib.unsynced_flow_runs": "60_recovery.sql",
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
