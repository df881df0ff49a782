"""Sweeps that measure many targets at once, and tasks about a readout multiplexer."""

from __future__ import annotations

from pathlib import Path

from alembic import op

from qdash_queue.migrate import run_sql_file

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change them, as the owner."""
    run_sql_file(op.get_bind(), Path(__file__).with_suffix(".sql"))
