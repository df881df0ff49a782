"""The queue beside procrastinate and pgqueuer: rates, pick-up, empty looks, claims at once, idle cost.

    python -m benchmarks.peers [--jobs 1000] [--seconds 5] [--rounds 5]

SQL is compared with SQL, Python with Python: the functions of the database alone, and the packages with their
models. One embedded PostgreSQL that flushes each commit to disk; each queue has a database of its own; the
rounds are interleaved, so that what else the machine does falls on all alike: trust the ratios. Every figure
is a median with the lowest and the highest round. Each measurement ends after `--seconds` at the latest; its
title tells how many jobs wait as it begins. No Prefect: the queue alone is compared, through the verbs of
`benchmarks.contenders`. All of them commit twice for a job taken and ended.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import multiprocessing
import random
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from multiprocessing.connection import Connection

import psycopg
from psycopg import sql

from benchmarks.conditions import Deadline, Spread, print_conditions
from benchmarks.contenders import (
    CONTENDERS,
    Contender,
    Ours,
    OursPython,
    Pgqueuer,
    Procrastinate,
    ProcrastinateSql,
    Session,
    SqlSession,
    chip_name,
)
from qdash_queue.embedded.postgres import PostgresServer

CHIPS = [chip_name(number) for number in range(100)]
FEW_CHIPS = CHIPS[:16]
CROWD_CHIPS = [chip_name(number) for number in range(200)]
CONNECTIONS = 100
"""Of 400 executors on 200 chips four share a connection."""
ANSWER_SECONDS = 60.0
IDLE_SECONDS = 20.0
# What a session did shows in the server's statistics so late.
STATISTICS_SECONDS = 11.0

Figures = dict[str, dict[str, list[float]]]
"""Of each measurement, by the contender's name."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=1000, help="jobs a measurement, at most")
    parser.add_argument("--seconds", type=float, default=5.0, help="seconds a measurement, at most")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with PostgresServer() as server:
        print_conditions(server.url, "qdash-queue", "procrastinate", "pgqueuer", "psycopg", "asyncpg")
        print(f"{given.rounds} rounds of at most {given.jobs} jobs or {given.seconds} s each", flush=True)
        figures = asyncio.run(measure_all(server, given.jobs, given.seconds, given.rounds))
        report(figures)
        print_conditions(server.url)


async def measure_all(server: PostgresServer, jobs: int, seconds: float, rounds: int) -> Figures:
    contenders = [await installed(server, kind, locked=True) for kind in CONTENDERS]
    loose = [
        await installed(server, kind, locked=False) for kind in (ProcrastinateSql, Procrastinate, Pgqueuer)
    ]
    # Each worker of a peer is its package's own.
    workers = [contenders[1], *loose[1:]]
    figures: Figures = defaultdict(lambda: defaultdict(list))
    for turn in range(rounds):
        for contender in rotated([*contenders, *loose], turn):
            await measure_rates(figures, contender, jobs, seconds)
        for contender in rotated([*contenders, *loose], turn):
            await measure_few_at_once(figures, contender, jobs, seconds)
        for contender in rotated(contenders, turn):
            await measure_empty_looks(figures, contender, jobs, seconds)
        for contender in rotated([contenders[0], *contenders[2:]], turn):
            await measure_contention(figures, contender, jobs, seconds)
        for contender in rotated(workers, turn):
            await measure_pick_up(figures, contender, jobs, seconds)
    with psycopg.connect(server.url, autocommit=True) as connection:
        # What cleans up after the rounds must not be taken for the idle worker.
        connection.execute("ALTER SYSTEM SET autovacuum = off")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute("CHECKPOINT")
    for contender in workers:
        await measure_idle(figures, contender, server.url)
    return figures


def rotated(contenders: Sequence[Contender], turn: int) -> Sequence[Contender]:
    first = turn % len(contenders)
    return [*contenders[first:], *contenders[:first]]


async def installed(server: PostgresServer, kind: type[Contender], *, locked: bool) -> Contender:
    database = f"{kind.__name__.lower()}_{'locked' if locked else 'loose'}"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
    contender = kind(server.url_of(database), locked=locked)
    await contender.install()
    return contender


async def emptied(contender: Contender) -> None:
    """End what waits, and start the next measurement with fresh statistics and no dead rows."""
    async with await psycopg.AsyncConnection.connect(contender.url, autocommit=True) as connection:
        await connection.execute(contender.clear.encode())
        await connection.execute("VACUUM ANALYZE")


# -------------------------------------------------------------------------------------------- rates


async def measure_rates(figures: Figures, contender: Contender, jobs: int, seconds: float) -> None:
    kind = kind_of(contender)
    async with contender.session() as session:
        rate = await enqueue_rate(session, jobs, seconds)
        figures[f"enqueue one by one, none waits, jobs/s{kind}"][contender.name].append(rate)
        await emptied(contender)
        await session.enqueue_many(some_chips(jobs))
        rate = await drain_rate(session, seconds)
        figures[f"drain by one worker, {jobs} wait, jobs/s{kind}"][contender.name].append(rate)
        await measure_bulk(figures, contender, session, jobs, kind)
    await emptied(contender)


def kind_of(contender: Contender) -> str:
    return " with a lock per chip" if contender.locked and not isinstance(contender, Ours) else ""


def some_chips(jobs: int) -> list[str]:
    return list(itertools.islice(itertools.cycle(CHIPS), jobs))


async def enqueue_rate(session: Session, jobs: int, seconds: float) -> float:
    deadline, begin, done = Deadline(seconds), time.perf_counter(), 0
    for chip in some_chips(jobs):
        await session.enqueue(chip)
        done += 1
        if deadline.has_passed:
            break
    return done / (time.perf_counter() - begin)


async def drain_rate(session: Session, seconds: float) -> float:
    """Claims and finishes all that waits; chip by chip where a job is claimed for a chip."""
    deadline, begin, done = Deadline(seconds), time.perf_counter(), 0
    empty = 0
    for chip in itertools.cycle(CHIPS):
        taken = await session.take(chip)
        if taken is None:
            empty += 1
            if empty == len(CHIPS):
                break
            continue
        empty = 0
        await session.finish(taken)
        done += 1
        if deadline.has_passed:
            break
    return done / (time.perf_counter() - begin)


async def measure_bulk(
    figures: Figures, contender: Contender, session: Session, jobs: int, kind: str
) -> None:
    ways = {f"enqueue in bulk, none waits, jobs/s{kind}": session.enqueue_many}
    if isinstance(session, SqlSession):
        ways |= {
            "enqueue in bulk, all different, none waits, jobs/s": session.enqueue_different,
            "enqueue by one INSERT, none waits, jobs/s": session.insert_many,
            "enqueue by COPY, none waits, jobs/s": session.copy_many,
        }
    for title, enqueue in ways.items():
        await emptied(contender)
        begin = time.perf_counter()
        await enqueue(some_chips(jobs))
        figures[title][contender.name].append(jobs / (time.perf_counter() - begin))


# -------------------------------------------------------------------------------------------- at once


async def measure_empty_looks(figures: Figures, contender: Contender, jobs: int, seconds: float) -> None:
    await emptied(contender)
    async with contender.session() as session:
        figures["empty look, nothing waits, ms"][contender.name].append(await empty_look(session, seconds))
        await session.enqueue_many(CHIPS * (jobs // len(CHIPS) + 1))
        taken = [await session.take(chip) for chip in CHIPS]
        assert None not in taken, "expected a job for each chip"
        figures[f"empty look, {len(CHIPS)} chips busy, {jobs} jobs wait, ms"][contender.name].append(
            await empty_look(session, seconds)
        )
        for one in taken:
            assert one is not None
            await session.finish(one)
    await emptied(contender)


async def empty_look(session: Session, seconds: float) -> float:
    """Median milliseconds of a look that finds nothing."""
    times, deadline = [], Deadline(seconds)
    for chip in itertools.islice(itertools.cycle(CHIPS), 300):
        begin = time.perf_counter()
        taken = await session.take(chip, 1)
        times.append(1e3 * (time.perf_counter() - begin))
        assert taken is None, "expected nothing to take"
        if deadline.has_passed:
            break
    return Spread(times).median


async def measure_few_at_once(figures: Figures, contender: Contender, jobs: int, seconds: float) -> None:
    """One executor on each of 16 chips, all at once: nothing but the queue stands between them."""
    async with AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(contender.session(at_once=True)) for _ in FEW_CHIPS]
        await sessions[0].enqueue_many(FEW_CHIPS * (5 * jobs // len(FEW_CHIPS) + 1))
        deadline, begin = Deadline(seconds), time.perf_counter()
        claims = await asyncio.gather(*map(drained, sessions, FEW_CHIPS, itertools.repeat(deadline)))
        passed = time.perf_counter() - begin
    title = f"{len(FEW_CHIPS)} executors at once, {5 * jobs} wait, jobs/s{kind_of(contender)}"
    figures[title][contender.name].append(sum(claims) / passed)
    await emptied(contender)


async def drained(session: Session, chip: str, deadline: Deadline) -> int:
    count = 0
    while not deadline.has_passed and (taken := await session.take(chip)) is not None:
        await session.finish(taken)
        count += 1
    return count


async def measure_contention(figures: Figures, contender: Contender, jobs: int, seconds: float) -> None:
    """200 chips with two executors each, all at once."""
    async with AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(contender.session()) for _ in range(CONNECTIONS)]
        await sessions[0].enqueue_many(CROWD_CHIPS * (5 * jobs // len(CROWD_CHIPS) + 1))
        crowd = Crowd(Deadline(seconds))
        begin = time.perf_counter()
        await asyncio.gather(*(crowd.work(session, number) for number, session in enumerate(sessions)))
        passed = time.perf_counter() - begin
    figures[f"200 chips x 2 executors, {5 * jobs} wait, jobs/s"][contender.name].append(crowd.claims / passed)
    figures["200 chips x 2 executors, double claims"][contender.name].append(crowd.doubles)
    await emptied(contender)


class Crowd:
    """Who holds which chip, as the claimers themselves see it."""

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._busy: set[str] = set()
        self.claims = 0
        self.doubles = 0

    async def work(self, session: Session, number: int) -> None:
        executors = [divmod(number * 4 + place, 2) for place in range(4)]
        executors = [(chip % len(CROWD_CHIPS), executor) for chip, executor in executors]
        chance = random.Random(number)  # noqa: S311 - spreads the claims
        while not self._deadline.has_passed:
            chip, executor = chance.choice(executors)
            taken = await session.take(CROWD_CHIPS[chip], executor)
            if taken is None:
                continue
            self.claims += 1
            self.doubles += taken.chip in self._busy
            self._busy.add(taken.chip)
            await asyncio.sleep(0)
            self._busy.discard(taken.chip)
            await session.finish(taken)


# -------------------------------------------------------------------------------------------- an idle worker


async def measure_pick_up(figures: Figures, contender: Contender, jobs: int, seconds: float) -> None:
    """How fast a worker wakes, that works as its package's does, in a process of its own."""
    await emptied(contender)
    with working(contender) as claims:
        async with contender.session() as session:
            await session.enqueue(CHIPS[0])
            heard(claims)
            latencies = await pick_up(session, claims, min(jobs, 100), seconds)
    figures["pick-up by an idle worker, p50 ms"][contender.name].append(Spread(latencies).median)
    figures["pick-up by an idle worker, p99 ms"][contender.name].append(Spread(latencies).percentile(99))


async def measure_idle(figures: Figures, contender: Contender, server_url: str) -> None:
    """What the same worker costs asleep."""
    await emptied(contender)
    with working(contender) as claims:
        async with contender.session() as session:
            await session.enqueue(CHIPS[0])
            heard(claims)
        transactions, wal = await idle_cost(contender, server_url)
    figures["idle worker, transactions/s"][contender.name].append(transactions)
    figures["idle worker, WAL bytes/s"][contender.name].append(wal)


@contextmanager
def working(contender: Contender) -> Iterator[Connection]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=contender.serve, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        process.kill()
        process.join()
        ours.close()


def heard(claims: Connection) -> float:
    """The instant of the next claim."""
    if not claims.poll(ANSWER_SECONDS):
        raise SystemExit("expected the worker to claim the job, got no answer")
    return float(claims.recv())


async def pick_up(session: Session, claims: Connection, jobs: int, seconds: float) -> list[float]:
    """Milliseconds from the answer to the insert to the claim."""
    latencies, deadline = [], Deadline(seconds)
    for _ in range(jobs):
        await asyncio.sleep(random.uniform(0.01, 0.05))  # noqa: S311 - the worker is to be asleep
        await session.enqueue(CHIPS[0])
        committed = time.monotonic()
        latencies.append(1e3 * max(0.0, heard(claims) - committed))
        if deadline.has_passed:
            break
    return latencies


async def idle_cost(contender: Contender, server_url: str) -> tuple[float, float]:
    """Transactions and bytes of WAL a second; the server has nothing else to do."""
    database = psycopg.conninfo.conninfo_to_dict(contender.url)["dbname"]
    statement = (
        "SELECT xact_commit + xact_rollback, pg_current_wal_insert_lsn() - '0/0' FROM pg_stat_database"
        " WHERE datname = %s"
    )
    async with await psycopg.AsyncConnection.connect(server_url, autocommit=True) as connection:
        await asyncio.sleep(STATISTICS_SECONDS)
        before = await (await connection.execute(statement, (database,))).fetchone()
        begin = time.perf_counter()
        await asyncio.sleep(IDLE_SECONDS)
        after = await (await connection.execute(statement, (database,))).fetchone()
        passed = time.perf_counter() - begin
    assert before is not None
    assert after is not None
    return (after[0] - before[0]) / passed, float(after[1] - before[1]) / passed


# -------------------------------------------------------------------------------------------- report


def report(figures: Figures) -> None:
    for title, named in figures.items():
        print(f"\n{title}")
        for name, values in named.items():
            print(f"  {name:22} {Spread(values)}")
    print(
        "\nratios of the medians, SQL to SQL and Python to Python (rates: more is better; ms: less is better)"
    )
    ratios = [
        (title, ours, peer, ratio)
        for (title, named), (ours, peer) in itertools.product(
            figures.items(),
            itertools.product((Ours, OursPython), (ProcrastinateSql, Procrastinate, Pgqueuer)),
        )
        if ours.speaks == peer.speaks and (ratio := ratio_of(figures, title, named, ours, peer)) is not None
    ]
    for title, ours, peer, ratio in ratios:
        print(f"  {title}: {ours.name} / {peer.name} {ratio:.2f}")


def ratio_of(
    figures: Figures, title: str, named: dict[str, list[float]], ours: type[Contender], peer: type[Contender]
) -> float | None:
    own = figures[title.removesuffix(" with a lock per chip")].get(ours.name)
    if not own or not named.get(peer.name) or Spread(named[peer.name]).median == 0:
        return None
    return Spread(own).median / Spread(named[peer.name]).median


if __name__ == "__main__":
    main()
