"""How long the queue keeps data, and pruning by that policy.

Every age counts from the end of the job. A job takes everything with it; its figures, raw data and events may
go before. Parameters and their origin are never pruned, nor is anything that the mirror or Prefect has yet to
see.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Self

from qdash_queue.client.database import Database
from qdash_queue.client.models import Row


class RetentionPolicy(Row):
    """The row of ``calib.retention``: how long ended jobs and their parts are kept; None: indefinitely."""

    jobs: timedelta | None
    events: timedelta | None
    figures: timedelta | None
    raw_data: timedelta | None
    set_by: str
    set_at: datetime


class Pruned(Row):
    """How many rows were removed. What went with its job is counted as that job alone."""

    jobs: int = 0
    events: int = 0
    figures: int = 0
    raw_data: int = 0
    executors: int = 0

    def __add__(self, other: Pruned) -> Self:
        ours, theirs = self.model_dump(), other.model_dump()
        return type(self)(**{name: count + theirs[name] for name, count in ours.items()})

    def __bool__(self) -> bool:
        """Whether anything was removed."""
        return any(self.model_dump().values())


class Retention:
    """Reading needs the role ``calib_reader``, setting ``calib_admin``, pruning it or ``calib_mirror``."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def policy(self) -> RetentionPolicy:
        """What is kept now."""
        return self.database.models(RetentionPolicy, "SELECT * FROM calib.retention")[0]

    def set(
        self,
        *,
        jobs: timedelta | None,
        events: timedelta | None,
        figures: timedelta | None,
        raw_data: timedelta | None,
    ) -> None:
        """Put a whole policy in force; None keeps indefinitely.

        Raises:
            BadValueError: an age is shorter than an hour or longer than a century.
        """
        self.database.execute(
            "SELECT calib.set_retention(%(jobs)s, %(events)s, %(figures)s, %(raw_data)s)",
            jobs=jobs,
            events=events,
            figures=figures,
            raw_data=raw_data,
        )

    def prune(self, limit: int = 200) -> Pruned:
        """Remove one batch of what is too old, at most ``limit`` of each kind, in one short transaction."""
        return self.database.models(Pruned, "SELECT * FROM calib.prune(%(limit)s)", limit=limit)[0]

    def run(self) -> Pruned:
        """Remove all that is too old, batch by batch; returns how much that was."""
        total = Pruned()
        while batch := self.prune():
            total += batch
        return total
