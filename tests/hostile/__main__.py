"""The long form: ``python -m tests.hostile --tries 10000 --seed 7``."""

from __future__ import annotations

import argparse
import os
import platform
import secrets
import sys
import time

from qdash_queue.embedded.postgres import PostgresServer
from qdash_queue.embedded.prefect_server import QUIET
from qdash_queue.embedded.process import Durability
from tests.hostile.attack import INTERFACES, attack
from tests.hostile.target import open_target
from tests.support.databases import Cluster


def main() -> int:
    """Make as many tries as the arguments say; the exit code is 1 if any answer was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--tries", type=int, default=10_000, help="over all interfaces")
    parser.add_argument("--seed", type=int, default=None, help="repeats the same tries; random if left out")
    parser.add_argument(
        "--interface", choices=list(INTERFACES), action="append", help="only this one; may be repeated"
    )
    given = parser.parse_args()
    for name in list(os.environ):
        if name.startswith(("QDASH_QUEUE_", "PREFECT_")):
            del os.environ[name]
    os.environ.update(QUIET)
    seed = secrets.randbelow(10**6) if given.seed is None else given.seed
    began = time.monotonic()
    with PostgresServer(durability=Durability.FAST) as server:
        cluster = Cluster.prepare(server)
        say(
            f"seed {seed}, PostgreSQL {cluster.version}, Python {platform.python_version()},"
            f" {os.cpu_count()} cores"
        )
        with cluster.database() as database, open_target(database) as target:
            tallies = attack(target, given.tries, seed, given.interface or list(INTERFACES), say)
    wrong = sum(len(tally.wrong) for tally in tallies)
    say(
        f"together: {sum(tally.tries for tally in tallies)} tries,"
        f" {sum(tally.refused.total() for tally in tallies)} refused,"
        f" {sum(tally.accepted for tally in tallies)} accepted, {wrong} anything else,"
        f" {time.monotonic() - began:.0f} s"
    )
    return 1 if wrong else 0


def say(words: str) -> None:
    """Print one line at once."""
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
