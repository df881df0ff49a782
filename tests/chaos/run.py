"""One whole run: set up, run clients and faults, wait until nothing is pending, audit, report."""

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
from tests.chaos.fault_injector import Death, FaultInjector
from tests.chaos.installation import Installation, ServiceManager, Size, set_up
from tests.chaos.load import ClientRecord, Load
from tests.chaos.schedule import Kind, Schedule

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
        seconds: during which faults are injected.
        mean_gap: seconds between faults, on average.
        stall_seconds: after so long without any progress the run stops waiting.
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
    faults: Counter[Kind] = field(default_factory=Counter)
    missed: Counter[Kind] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    jobs: Counter[str] = field(default_factory=Counter)
    cancel_paths: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    pauses: list[str] = field(default_factory=list)
    recoveries: list[float] = field(default_factory=list)
    cancels: list[float] = field(default_factory=list)
    task_results: int = 0
    fullness: str = ""
    idle_after: float = 0.0
    violations: list[Violation] = field(default_factory=list)

    def lines(self) -> list[str]:
        """The report as lines of text."""
        return [
            self._headline(),
            f"faults: {self.faults.total()} (and {self.missed.total()} without a target)",
            *(f"  {n:4d} {kind.value}" for kind, n in sorted(self.faults.items())),
            f"the full disk was {self.fullness}",
            f"jobs: {self.jobs.total()}, task results: {self.task_results}",
            *(f"  {n:4d} {state}" for state, n in sorted(self.jobs.items())),
            f"failures by kind: {_counted(self.failures)}",
            f"cancels requested: {_counted(self.cancel_paths)}",
            f"from an executor's death to its free chip: {_spread(self.recoveries)}",
            f"from a cancel to the end of its job: {_spread(self.cancels)}",
            f"chips paused and resumed by the operator: {len(self.pauses)}",
            *(f"  {words}" for words in self.pauses),
            *(f"a fault could not be injected: {words}" for words in self.errors),
            f"violations: {len(self.violations)}",
            *(f"  {violation}" for violation in self.violations[:50]),
        ]

    def _headline(self) -> str:
        plan = self.plan
        victims = f"{plan.size.chips} chips with {plan.size.executors} executors each"
        return f"seed {plan.seed}, {plan.seconds:g} s against {victims}; idle {self.idle_after:.1f} s later"


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{n} {word}" for word, n in sorted(counts.items())) or "none"


def _spread(seconds: list[float]) -> str:
    if not seconds:
        return "none"
    return f"{len(seconds)}, mean {statistics.mean(seconds):.1f} s, max {max(seconds):.1f} s"


@dataclass
class TimedOutput:
    """Prints lines with the time since the start."""

    print_line: Say
    begun: float = field(default_factory=time.monotonic)

    def say(self, words: str) -> None:
        """Print it with the seconds since the start."""
        self.print_line(f"{time.monotonic() - self.begun:6.1f} s: {words}")


def run(plan: Plan, say: Say) -> Report:
    """Carry the plan out; the report holds all violations."""
    schedule = Schedule.make(plan.seed, plan.seconds, plan.size.chips, plan.mean_gap)
    report = Report(plan)
    say = TimedOutput(say).say
    with set_up(plan.size) as installation:
        say(f"seed {plan.seed}: {len(schedule.faults)} faults planned; its folder is {installation.folder}")
        executors, mirror = installation.executor_services(), installation.mirror_service()
        with ServiceManager([*executors, mirror]) as manager:
            installation.wait_until_ready(_READY_SECONDS)
            say("all executors are ready")
            injector = FaultInjector(installation, executors, mirror, schedule)
            with Load(installation, plan.seed) as load:
                injector.inject_all()
            say("all faults are over; waiting until nothing is pending")
            _wait_until_idle(installation, plan, report, say)
            _audit(installation, manager, load.record, injector, report)
        if report.violations:
            _keep_evidence(installation, injector, say)
    return report


def _wait_until_idle(installation: Installation, plan: Plan, report: Report, say: Say) -> None:
    """Wait until nothing is pending; give up only when there is no more progress."""
    begun = moved = said = time.monotonic()
    before: tuple[object, ...] = ()
    while (now := time.monotonic()) < moved + plan.stall_seconds:
        with suppress(psycopg.OperationalError, httpx.HTTPError):
            waiting, progress = _progress(installation, report)
            if waiting == (0, 0, 0, 0):
                break
            if (waiting, progress) != before:
                before, moved = (waiting, progress), now
            if now > said + _SAY_SECONDS:
                said = now
                say(f"{now - begun:.0f} s: jobs, marks, flow runs to sync, flow runs open: {waiting}")
        time.sleep(0.5)
    report.idle_after = time.monotonic() - begun


def _progress(installation: Installation, report: Report) -> tuple[tuple[object, ...], object]:
    """What is still waited for, and how far the event log has come."""
    with psycopg.connect(installation.database.overseer.url, autocommit=True) as connection:
        _resume_chips(connection, report)
        row = connection.execute(_QUIET).fetchone()
        assert row is not None
        *waiting, progress = row
    return (*waiting, count_open_flow_runs(installation.prefect.url)), progress


def _resume_chips(connection: Connection, report: Report) -> None:
    """The operator resumes paused chips; the queue never does that by itself."""
    for chip_id, reason in connection.execute(
        "SELECT chip_id, pause_reason FROM calib.chips WHERE paused"
    ).fetchall():
        report.pauses.append(f"{chip_id}: {reason}")
        connection.execute("SELECT calib.resume_chip(%s)", (chip_id,))


def _audit(
    installation: Installation,
    manager: ServiceManager,
    record: ClientRecord,
    injector: FaultInjector,
    report: Report,
) -> None:
    report.faults, report.missed, report.errors = injector.done, injector.missed, injector.errors
    report.cancel_paths, report.fullness = record.cancel_paths, installation.disk.fullness
    found = report.violations
    found += audit_processes(manager.services, seconds=_LEAVE_SECONDS)
    with psycopg.connect(installation.database.overseer.url, autocommit=True) as connection:
        found += audit(connection)
        found += audit_clients(connection, record.accepted, record.unanswered)
        found += (Violation("clients get right answers", words) for words in record.refusals)
        found += audit_prefect(connection, installation.prefect.url)
        found += audit_hooks(connection, installation.evidence)
        found += audit_touches(installation.evidence)
        client = connect_mongo(installation.mongo.url)
        found += audit_mirror(connection, open_qdash(client, "qdash"), installation.data_path)
        client.close()
        _count(connection, injector.deaths, report)
    found += (Violation("a process ends after SIGTERM", name) for name in manager.stop_all(_LEAVE_SECONDS))
    # One that got the signal while it was starting ends once its imports are done.
    found += audit_processes(manager.services, seconds=_LEAVE_SECONDS)
    found += (
        Violation("no process ends by itself", words)
        for words in manager.unexpected_ends(installation.poisoned())
    )


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


def _keep_evidence(installation: Installation, injector: FaultInjector, say: Say) -> None:
    """Copy what explains the violations: processes' logs, the faults, the event log."""
    kept = installation.folder.with_name(f"{installation.folder.name}-evidence")
    kept.mkdir()
    (kept / "faults.txt").write_text("\n".join(injector.log))
    for path in (installation.folder / "logs").iterdir():
        path.rename(kept / path.name)
    with (
        psycopg.connect(installation.database.overseer.url) as connection,
        (kept / "events.tsv").open("wb") as file,
        connection.cursor().copy(
            "COPY (SELECT event_id, job_id, at, actor, event, old_state, new_state, attempt, fence, detail"
            " FROM calib_private.job_events ORDER BY event_id) TO STDOUT"
        ) as copy,
    ):
        for block in copy:
            file.write(block)
    say(f"evidence is kept in {kept}")
