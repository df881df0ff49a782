"""The tables of release 0.3.0, whose databases stand at this revision and go on from it."""

from __future__ import annotations

from pathlib import Path

from alembic import op

from qdash_queue.migrate import run_sql_file

revision = "0004"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make them, as the owner."""
    run_sql_file(op.get_bind(), Path(__file__).with_suffix(".sql"))
