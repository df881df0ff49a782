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
    "calib_private.is_failure_kind": "10_tables.sql",
    "calib_private.actor": "20_identity.sql",
    "calib_private.actor_is": "20_identity.sql",
    "calib_private.membership": "20_identity.sql",
    "calib_private.own_username": "20_identity.sql",
    "calib_private.write_event": "20_identity.sql",
    "calib_private.json_type_matches": "30_schema_check.sql",
    "calib_private.check_value": "30_schema_check.sql",
    "calib_private.check_words": "30_schema_check.sql",
    "calib_private.check_scalar": "30_schema_check.sql",
    "calib_private.log_transition": "40_jobs.sql",
    "calib_private.refuse_system_columns": "40_jobs.sql",
    "calib_private.wake_executor": "40_jobs.sql",
    "calib_private.check_submitter": "40_jobs.sql",
    "calib_private.store_job": "40_jobs.sql",
    "calib_private.store_job_once": "40_jobs.sql",
    "calib_private.insert_job": "40_jobs.sql",
    "calib_private.verdict": "40_jobs.sql",
    "calib_private.require_executor": "50_executors.sql",
    "calib.claim": "50_executors.sql",
    "calib_private.hold_lease": "50_executors.sql",
    "calib.conclude": "50_executors.sql",
    "calib.finish": "50_executors.sql",
    "calib.unsynced_flow_runs": "50_executors.sql",
    "calib.flow_run_synced": "50_executors.sql",
    "calib_private.mark_job": "20_identity.sql",
    "calib_private.mark_chip": "20_identity.sql",
    "calib.take_marks": "90_mirror.sql",
    "calib.mark_done": "90_mirror.sql",
    "calib.mark_failed": "90_mirror.sql",
    "calib_private.refuse": "20_identity.sql",
    "calib_private.shown": "20_identity.sql",
    "calib_private.given_values": "40_jobs.sql",
    "calib.register_executor": "50_executors.sql",
    "calib.executor_seen": "50_executors.sql",
    "calib_private.register_flow": "50_executors.sql",
    "calib_private.register_task": "50_executors.sql",
    "calib.register_catalogue": "50_executors.sql",
    "calib.log_event": "50_executors.sql",
    "calib.quiesced": "50_executors.sql",
    "calib.plan_tasks": "60_results.sql",
    "calib.start_task": "60_results.sql",
    "calib_private.store_figures": "60_results.sql",
    "calib_private.store_raw_data": "60_results.sql",
    "calib.record_task": "60_results.sql",
    "calib.unrendered_figures": "90_mirror.sql",
    "calib.add_project": "80_admin.sql",
}


def upgrade() -> None:
    """Add and replace, as the owner."""
    run_sql_folder(op.get_bind(), SQL / revision)


def downgrade() -> None:
    """Remove what was added and put back what was replaced."""
    run_sql_folder(op.get_bind(), SQL / revision / "down")
    restore_functions(op.get_bind(), SQL / "0001", REPLACED)
