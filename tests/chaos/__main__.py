"""The long form: ``python -m tests.chaos --seconds 300 --seed 7``."""

from __future__ import annotations

import argparse
import os
import secrets
import sys

from qdash_queue.embedded.prefect_server import QUIET
from tests.chaos.installation import Size
from tests.chaos.run import Plan, run
from tests.support import processes


def main() -> int:
    """Run as the arguments say; the exit code is 1 if any promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0, help="during which faults are injected")
    parser.add_argument("--seed", type=int, default=None, help="repeats a schedule; random if left out")
    parser.add_argument("--chips", type=int, default=3)
    parser.add_argument("--gap", type=float, default=2.0, help="seconds between faults, on average")
    given = parser.parse_args()
    for name in list(os.environ):
        if name.startswith(("QDASH_QUEUE_", "PREFECT_")):
            del os.environ[name]
    os.environ.update(QUIET)
    processes.tag_session()
    seed = secrets.randbelow(10**6) if given.seed is None else given.seed
    plan = Plan(seed=seed, seconds=given.seconds, size=Size(chips=given.chips), mean_gap=given.gap)
    report = run(plan, _say)
    _say("\n".join(report.lines()))
    return 1 if report.violations or report.errors else 0


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
