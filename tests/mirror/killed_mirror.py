"""A mirror that is killed with SIGKILL at its n-th write to MongoDB; run as a program by a test."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path, PurePosixPath

from pymongo import monitoring

from qdash_queue.client.database import Database
from qdash_queue.mirror import Mirror, Pace
from qdash_queue.mirror.connection import connect_mongo
from qdash_queue.mirror.documents.layout import Layout


class KillAtWrite(monitoring.CommandListener):
    """Ends this process, without any of its exit handlers, at a given write."""

    def __init__(self, write: int) -> None:
        self._left = write

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name in {"insert", "update", "delete"}:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        """Nothing to do."""

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """Nothing to do."""


def main() -> None:
    write, database_url, mongo_url, mongo_database, base = sys.argv[1:]
    monitoring.register(KillAtWrite(int(write)))
    layout = Layout(base=Path(base), base_in_qdash=PurePosixPath("/app/calib_data"))
    with Mirror(
        Database(database_url),
        connect_mongo(mongo_url),
        mongo_database,
        layout,
        # The mark of the killed mirror is due again at once.
        pace=Pace(hold_seconds=0.0, marks_per_round=1),
    ) as mirror:
        mirror.run_once()


if __name__ == "__main__":
    main()
