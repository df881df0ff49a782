"""Cancels through three doors at random moments, mixed, and an audit of every promise about them.

    python -m benchmarks.cancel_doors [--cancels 300] [--chips 4] [--seed 1] [--minutes 20]

Everything is real: a PostgreSQL that flushes each commit to disk, a Prefect server, an executor for each
chip. Each door is knocked at so many times: the row's flag by SQL (modes now and after_task), Prefect's API
(a few by the command ``prefect flow-run cancel``), and what QDash's endpoint does (force the flow run to
Cancelling). The moments are spread over the whole life of a job, and after it. One job in six is a real
``calibrate``, the others record cheap task runs and have a hook that leaves a mark. No MongoDB runs.

Latency is from just before the request to the row's ``finished_at``, by the one clock of this machine. The
exit status is 1 after any violation: a job that failed, one that completed although its cancel was seen, a
state in Prefect that is not the row's, a hook that did not run once (or ran where no flow had started), a
refusal without words.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg
from prefect.client.orchestration import SyncPrefectClient

from benchmarks.executor_latency import CALIBRATION, TASKS, bench, print_conditions
from qdash_queue.domain import CancelMode
from qdash_queue.embedded.servers import EmbeddedServers, Kind
from tests.executors.cancel_paths import MOMENTS, Aim, Cancel, Canceller, CancelPath, CancelPaths
from tests.executors.fleet import Fleet

STEPS = 5
EVERY_CALIBRATION = 6
EVERY_COMMAND = 50
GOAL_P50, GOAL_P99 = 1.0, 5.0
OUTCOMES = ("cancelled", "finished first", "completed, refused", "cancelled, refused", "failed, refused")


@dataclass(frozen=True)
class Knock:
    """One cancel that is to be."""

    door: CancelPath
    mode: CancelMode
    is_calibration: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cancels", type=int, default=300, help="for each door")
    parser.add_argument("--chips", type=int, default=4, help="each with its own executor")
    parser.add_argument("--seed", type=int, default=1, help="of the order and of the moments")
    parser.add_argument("--minutes", type=float, default=20.0, help="then no further cancel is begun")
    given = parser.parse_args()
    print_conditions("at the start")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        servers = stack.enter_context(
            EmbeddedServers(folder / "servers", kinds={Kind.POSTGRES, Kind.PREFECT})
        )
        fleets = [
            stack.enter_context(bench(servers, folder / chip_id, chip_id))
            for chip_id in (f"SIM{number}" for number in range(given.chips))
        ]
        begun = time.monotonic()
        made, wrong = cancel_all(fleets, deck(given.cancels, seeded(given.seed)), given)
        seconds = time.monotonic() - begun
        print(f"{len(made)} cancels on {len(fleets)} chips in {seconds:.0f} s, seed {given.seed}")
    report_ends(made)
    report_seconds(made)
    report_answers(made)
    print_conditions("at the end")
    missing = 3 * given.cancels - len(made)
    if missing:
        wrong.append(f"{missing} cancels were not made within {given.minutes:g} minutes")
    print(f"violations: {len(wrong)}", *wrong, sep="\n  ")
    sys.exit(1 if wrong else 0)


def seeded(seed: int | str) -> random.Random:
    return random.Random(seed)  # noqa: S311 - only spreads order and moments


def deck(count: int, chance: random.Random) -> deque[Knock]:
    """Every cancel, in a mixed order."""
    modes = itertools.cycle(CancelMode)
    knocks = []
    for number in range(count):
        is_calibration = number % EVERY_CALIBRATION == 0
        command = number % EVERY_COMMAND == 1
        knocks += [
            Knock(CancelPath.ROW, next(modes), is_calibration),
            Knock(CancelPath.PREFECT_CLI if command else CancelPath.PREFECT, CancelMode.NOW, is_calibration),
            Knock(CancelPath.QDASH, CancelMode.NOW, is_calibration),
        ]
    chance.shuffle(knocks)
    return deque(knocks)


def cancel_all(
    fleets: Sequence[Fleet], knocks: deque[Knock], given: argparse.Namespace
) -> tuple[list[Cancel], list[str]]:
    """Let every chip take the next cancel until none is left; what came of them, and the violations."""
    until = time.monotonic() + 60 * given.minutes
    lock = threading.Lock()

    def next_knock() -> Knock | None:
        with lock:
            return knocks.popleft() if knocks and time.monotonic() < until else None

    def serve(number: int) -> tuple[list[Cancel], list[str]]:
        fleet = fleets[number]
        wrong = []
        with (
            psycopg.connect(fleet.queue.database.conninfo, autocommit=True) as connection,
            SyncPrefectClient(f"http://127.0.0.1:{fleet.relay.port}/api") as prefect,  # One for each thread.
        ):
            doors = CancelPaths(connection, prefect, fleet.environment)
            canceller = Canceller(fleet, doors, fleet.folder, seeded(f"{given.seed} {number}"))
            while (knock := next_knock()) is not None:
                try:
                    knock_once(canceller, knock)
                except AssertionError as error:
                    wrong.append(f"{fleet.chip_id}: {knock.door}: {error}")
            return canceller.made, wrong + canceller.settle()

    with ThreadPoolExecutor(len(fleets)) as pool:
        served = list(pool.map(serve, range(len(fleets))))
    return [cancel for made, _ in served for cancel in made], [
        words for _, wrong in served for words in wrong
    ]


def knock_once(canceller: Canceller, knock: Knock) -> None:
    aim = choose_aim(knock, canceller.chance)
    if knock.door is CancelPath.PREFECT_CLI:  # The command needs seconds to load.
        canceller.walk(knock.door, knock.mode, aim, count=150)
    elif knock.is_calibration:
        job_id = canceller.fleet.submit("calibrate", CALIBRATION)
        canceller.cancel(job_id, knock.door, knock.mode, aim)
    else:
        canceller.walk(knock.door, knock.mode, aim, count=STEPS)


def choose_aim(knock: Knock, chance: random.Random) -> Aim:
    """A random part of the job's life, the long ones more often."""
    tasks = TASKS if knock.is_calibration else STEPS
    early = [(Aim("submitted", 0.03), 1), (Aim("claimed", 0.05), 1)]
    if knock.door is CancelPath.PREFECT_CLI:
        return Aim("flow_started", 1.0)
    aims = [
        *([] if knock.door.needs_flow_run else early),
        (Aim("flow_run_created", 0.25), 2),
        (Aim("flow_started", 1.0), 3),
        (Aim("task_completed", 0.03, times=chance.randint(1, tasks - 1)), 2),
        (Aim("task_completed", 0.1, times=tasks), 1),
        (Aim("completed", 0.5), 1),
    ]
    return chance.choices([aim for aim, _ in aims], [weight for _, weight in aims])[0]


def report_ends(made: Sequence[Cancel]) -> None:
    print(f"{'door':12} {'moment':9}" + "".join(f"{outcome:>19}" for outcome in OUTCOMES) + f"{'hooks':>7}")
    for door in CancelPath:
        for moment in MOMENTS:
            hit = [cancel for cancel in made if (cancel.path, cancel.moment) == (door, moment)]
            if hit:
                ends = Counter(cancel.outcome for cancel in hit)
                hooks = sum(event.event == "hook_ran" for cancel in hit for event in cancel.events)
                cells = "".join(f"{ends[outcome]:19}" for outcome in OUTCOMES)
                print(f"{door:12} {moment:9}{cells}{hooks:7}")


def report_seconds(made: Sequence[Cancel]) -> None:
    print("from the request to the terminal row, of those that ended cancelled:")
    groups = {
        f"{door} {mode}" if door is CancelPath.ROW else door: (door, mode)
        for door in CancelPath
        for mode in CancelMode
    }
    for name, (door, mode) in groups.items():
        seconds = sorted(
            cancel.seconds
            for cancel in made
            if cancel.outcome == "cancelled"
            and cancel.path is door
            and (door is not CancelPath.ROW or cancel.mode is mode)
        )
        if len(seconds) < 2:
            continue
        tenths, hundredths = statistics.quantiles(seconds, n=10), statistics.quantiles(seconds, n=100)
        p50, p90, p99 = tenths[4], tenths[8], hundredths[98]
        verdict = "met" if p50 <= GOAL_P50 and p99 <= GOAL_P99 else "missed"
        print(
            f"  {name:15} n = {len(seconds):3}: p50 {p50:5.2f}, p90 {p90:5.2f}, p99 {p99:5.2f},"
            f" max {seconds[-1]:5.2f} s   (goal p50 {GOAL_P50:g} s, p99 {GOAL_P99:g} s: {verdict})"
        )


def report_answers(made: Sequence[Cancel]) -> None:
    """What those were told who came too late, one example for each door."""
    for door in CancelPath:
        late = [cancel.answer.words for cancel in made if cancel.path is door and not cancel.answer.is_taken]
        if late:
            print(f"too late by {door}: {len(late)}, for example: {late[0]}")
    back = sum(cancel.outcome == "finished first" and cancel.path.needs_flow_run for cancel in made)
    print(f"flow runs put back to their terminal state after a cancel that Prefect took too late: {back}")


if __name__ == "__main__":
    main()
