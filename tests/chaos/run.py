"""One whole run: set the stage, let clients and injuries loose, wait until all is quiet, audit, report."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import httpx
import psycopg

from qdash_queue.mirror.connection import connect_mongo, open_qdash
from tests.chaos.audit_mirror import audit_mirror
from tests.chaos.audit_outside import (
    audit_hooks,
    audit_prefect,
    audit_processes,
    audit_touches,
    count_open_flow_runs,
)
from tests.chaos.auditor import Connection, Violation, audit, audit_clients
from tests.chaos.injuries import Death, Surgeon
from tests.chaos.load import Ledger, Load
from tests.chaos.schedule import Kind, Schedule
from tests.chaos.stage import Size, Stage, Steward, set_up

Say = Callable[[str], None]

_READY_SECONDS = 600.0
_LEAVE_SECONDS = 120.0
_SAY_SECONDS = 10.0
_QUIET = """
SELECT (SELECT count(*) FROM calib.jobs WHERE state IN ('scheduled', 'running')) AS jobs,
       (SELECT count(*) FROM calib.mirror_lag) AS marks,
       (SELECT count(*) FROM calib.attempts WHERE flow_run_id IS NOT NULL AND NOT prefect_synced) AS runs,
       (SELECT max(event_id) FROM calib.job_events) AS progress"""


@dataclass(frozen=True)
class Plan:
    """What to do; equal plans make equal schedules.

    Attributes:
        seed: of schedule and load.
        seconds: of violence.
        mean_gap: seconds between injuries, on average.
        stall_seconds: what is not quiet afterwards, and has not changed for so long, is held to stay so.
    """

    seed: int
    seconds: float
    size: Size = Size()  # noqa: RUF009 - frozen
    mean_gap: float = 2.0
    stall_seconds: float = 180.0


@dataclass
class Report:
    """What was done and what was found."""

    plan: Plan
    injuries: Counter[Kind] = field(default_factory=Counter)
    missed: Counter[Kind] = field(default_factory=Counter)
    troubles: list[str] = field(default_factory=list)
    jobs: Counter[str] = field(default_factory=Counter)
    doors: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    pauses: list[str] = field(default_factory=list)
    recoveries: list[float] = field(default_factory=list)
    cancels: list[float] = field(default_factory=list)
    task_results: int = 0
    fullness: str = ""
    drained_after: float = 0.0
    violations: list[Violation] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The report for people."""
        return [
            self._headline(),
            f"injuries: {self.injuries.total()} (and {self.missed.total()} that met nobody)",
            *(f"  {n:4d} {kind.value}" for kind, n in sorted(self.injuries.items())),
            f"the full disk was {self.fullness}",
            f"jobs: {self.jobs.total()}, task results: {self.task_results}",
            *(f"  {n:4d} {state}" for state, n in sorted(self.jobs.items())),
            f"failures by kind: {_counted(self.failures)}",
            f"cancels asked: {_counted(self.doors)}",
            f"from an executor's death to its free chip: {_spread(self.recoveries)}",
            f"from a cancel to the end of its job: {_spread(self.cancels)}",
            f"chips paused and resumed by the operator: {len(self.pauses)}",
            *(f"  {words}" for words in self.pauses),
            *(f"an injury could not be done: {words}" for words in self.troubles),
            f"violations: {len(self.violations)}",
            *(f"  {violation}" for violation in self.violations[:50]),
        ]

    def _headline(self) -> str:
        plan = self.plan
        victims = f"{plan.size.chips} chips with {plan.size.executors} executors each"
        return (
            f"seed {plan.seed}, {plan.seconds:g} s against {victims}; quiet {self.drained_after:.1f} s later"
        )


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{n} {word}" for word, n in sorted(counts.items())) or "none"


def _spread(seconds: list[float]) -> str:
    if not seconds:
        return "none"
    return f"{len(seconds)}, mean {statistics.mean(seconds):.1f} s, max {max(seconds):.1f} s"


@dataclass
class Stopwatch:
    """Says when things are said."""

    hearer: Say
    begun: float = field(default_factory=time.monotonic)

    def say(self, words: str) -> None:
        """Say it with the seconds since the beginning."""
        self.hearer(f"{time.monotonic() - self.begun:6.1f} s: {words}")


def run(plan: Plan, say: Say) -> Report:
    """Carry the plan out; the report holds all violations."""
    schedule = Schedule.make(plan.seed, plan.seconds, plan.size.chips, plan.mean_gap)
    report = Report(plan)
    say = Stopwatch(say).say
    with set_up(plan.size) as stage:
        say(f"seed {plan.seed}: {len(schedule.injuries)} injuries planned; the stage is in {stage.folder}")
        executors, mirror = stage.executor_slots(), stage.mirror_slot()
        with Steward([*executors, mirror]) as steward:
            stage.wait_until_ready(_READY_SECONDS)
            say("all executors are ready")
            surgeon = Surgeon(stage, executors, mirror, schedule)
            with Load(stage, plan.seed) as load:
                surgeon.operate()
            say("the violence is over; waiting until all is quiet")
            _drain(stage, plan, report, say)
            _audit(stage, steward, load.ledger, surgeon, report)
        if report.violations:
            _keep_evidence(stage, surgeon, say)
    return report


def _drain(stage: Stage, plan: Plan, report: Report, say: Say) -> None:
    """Wait until all is quiet, however long that takes on a slow machine; give up when nothing moves."""
    begun = moved = said = time.monotonic()
    before: tuple[object, ...] = ()
    while (now := time.monotonic()) < moved + plan.stall_seconds:
        with suppress(psycopg.OperationalError, httpx.HTTPError):
            waiting, progress = _look(stage, report)
            if waiting == (0, 0, 0, 0):
                break
            if (waiting, progress) != before:
                before, moved = (waiting, progress), now
            if now > said + _SAY_SECONDS:
                said = now
                say(f"{now - begun:.0f} s: jobs, marks, flow runs to tell, flow runs open: {waiting}")
        time.sleep(0.5)
    report.drained_after = time.monotonic() - begun


def _look(stage: Stage, report: Report) -> tuple[tuple[object, ...], object]:
    """What is still waited for, and how far the event log has come."""
    with psycopg.connect(stage.database.overseer.url, autocommit=True) as connection:
        _operate(connection, report)
        row = connection.execute(_QUIET).fetchone()
        assert row is not None
        *waiting, progress = row
    return (*waiting, count_open_flow_runs(stage.prefect.url)), progress


def _operate(connection: Connection, report: Report) -> None:
    """The operator looks at paused chips and lets them go on; the queue never does that by itself."""
    for chip_id, reason in connection.execute(
        "SELECT chip_id, pause_reason FROM calib.chips WHERE paused"
    ).fetchall():
        report.pauses.append(f"{chip_id}: {reason}")
        connection.execute("SELECT calib.resume_chip(%s)", (chip_id,))


def _audit(stage: Stage, steward: Steward, ledger: Ledger, surgeon: Surgeon, report: Report) -> None:
    report.injuries, report.missed, report.troubles = surgeon.done, surgeon.missed, surgeon.troubles
    report.doors, report.fullness = ledger.doors, stage.disk.fullness
    found = report.violations
    found += audit_processes(steward.slots, seconds=_LEAVE_SECONDS)
    with psycopg.connect(stage.database.overseer.url, autocommit=True) as connection:
        found += audit(connection)
        found += audit_clients(connection, ledger.accepted, ledger.unanswered)
        found += (Violation("clients get right answers", words) for words in ledger.refusals)
        found += audit_prefect(connection, stage.prefect.url)
        found += audit_hooks(connection, stage.witness)
        found += audit_touches(stage.witness)
        client = connect_mongo(stage.mongo.url)
        found += audit_mirror(connection, open_qdash(client, "qdash"), stage.data_path)
        client.close()
        _count(connection, surgeon.deaths, report)
    found += (Violation("who is told to leave leaves", name) for name in steward.stop_all(_LEAVE_SECONDS))
    # One that was told to leave while it came up leaves once its imports are done.
    found += audit_processes(steward.slots, seconds=_LEAVE_SECONDS)
    found += (Violation("nobody falls over by himself", words) for words in steward.fallen(stage.poisoned()))


def _count(connection: Connection, deaths: list[Death], report: Report) -> None:
    for state, kind, n in connection.execute(
        "SELECT state, failure_kind, count(*) FROM calib.jobs GROUP BY 1, 2"
    ):
        report.jobs[str(state)] += int(str(n))
        if kind is not None:
            report.failures[str(kind)] += int(str(n))
    row = connection.execute("SELECT count(*) FROM calib.task_runs WHERE status = 'completed'").fetchone()
    report.task_results = int(str(row[0])) if row else 0
    for death in deaths:
        held = connection.execute(
            "SELECT extract(epoch FROM ended_at) - %s FROM calib.attempts WHERE executor_id LIKE %s"
            " AND extract(epoch FROM started_at) < %s AND extract(epoch FROM ended_at) > %s",
            (death.at, f"%:{death.pid}:%", death.at, death.at),
        ).fetchone()
        if held is not None:
            report.recoveries.append(float(str(held[0])))
    report.cancels = [
        float(str(seconds))
        for (seconds,) in connection.execute(
            "SELECT extract(epoch FROM finished_at - cancel_requested_at) FROM calib.jobs"
            " WHERE state = 'cancelled' AND finished_at > cancel_requested_at"
        )
    ]


def _keep_evidence(stage: Stage, surgeon: Surgeon, say: Say) -> None:
    """Copy what tells how it came to the violations: logs, diary, event log."""
    kept = stage.folder.with_name(f"{stage.folder.name}-evidence")
    kept.mkdir()
    (kept / "diary.txt").write_text("\n".join(surgeon.diary))
    for path in (stage.folder / "logs").iterdir():
        path.rename(kept / path.name)
    with (
        psycopg.connect(stage.database.overseer.url) as connection,
        (kept / "events.tsv").open("wb") as file,
        connection.cursor().copy(
            "COPY (SELECT event_id, job_id, at, actor, event, old_state, new_state, attempt, fence, detail"
            " FROM calib_private.job_events ORDER BY event_id) TO STDOUT"
        ) as copy,
    ):
        for block in copy:
            file.write(block)
    say(f"evidence is kept in {kept}")
