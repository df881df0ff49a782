"""The columns of the public contract, for SQLAlchemy Core. The truth stands in ``migrations/schema``."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = sa.MetaData(schema="calib")

# Only what a client gives or filters by: everything else is read as it is.
jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("job_id", sa.BigInteger, primary_key=True),
    sa.Column("project_id", sa.Text),
    sa.Column("username", sa.Text),
    sa.Column("chip_id", sa.Text),
    sa.Column("flow", sa.Text),
    sa.Column("parameters", JSONB),
    sa.Column("priority", sa.SmallInteger),
    sa.Column("not_before", sa.DateTime(timezone=True)),
    sa.Column("not_after", sa.DateTime(timezone=True)),
    sa.Column("timeout_seconds", sa.Integer),
    sa.Column("max_attempts", sa.SmallInteger),
    sa.Column("dedup_key", sa.Text),
    sa.Column("tags", ARRAY(sa.Text)),
    sa.Column("note", JSONB),
    sa.Column("state", sa.Text),
    sa.Column("cancel_requested", sa.Boolean),
    sa.Column("cancel_mode", sa.Text),
    sa.Column("cancel_reason", sa.Text),
)
