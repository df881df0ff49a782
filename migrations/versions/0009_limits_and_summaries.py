"""Limits of the backlog, summaries of counts, and indexes for what operators ask."""

from __future__ import annotations

from pathlib import Path

from alembic import op

from qdash_queue.migrate import run_sql_file

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change them, as the owner."""
    run_sql_file(op.get_bind(), Path(__file__).with_suffix(".sql"))
