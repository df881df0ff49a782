"""Injects the faults of a schedule and ends those that last; repairs nothing else."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

import psutil
import psycopg
import pymongo
from psycopg.rows import TupleRow

from qdash_queue.embedded.server import EmbeddedServer
from tests.chaos.installation import Installation, Service, Start
from tests.chaos.schedule import Fault, Kind, Schedule
from tests.support.killable_servers import kill, program_of

T = TypeVar("T")
_PATIENCE_SECONDS = 3.0
# Writes of every kind fail as on a full disk; reads go on.
_OUT_OF_DISK = {
    "configureFailPoint": "failCommand",
    "mode": "alwaysOn",
    "data": {"errorCode": 14031, "failCommands": ["insert", "update", "findAndModify"]},
}


@dataclass(frozen=True)
class Death:
    """An executor that was killed: which process, and when by the wall clock."""

    pid: int
    at: float


@dataclass
class FaultInjector:
    """Injects a schedule's faults into an installation; one thread for each, because some of them last."""

    installation: Installation
    executors: list[Service]
    mirror: Service
    schedule: Schedule
    done: Counter[Kind] = field(default_factory=Counter)
    missed: Counter[Kind] = field(default_factory=Counter)
    deaths: list[Death] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    _busy: dict[tuple[str, int], threading.Lock] = field(default_factory=dict)
    _threads: list[threading.Thread] = field(default_factory=list)

    def inject_all(self) -> None:
        """Inject the whole schedule; no fault lasts longer than this call."""
        begun = time.monotonic()
        for fault in self.schedule.faults:
            time.sleep(max(0.0, begun + fault.at - time.monotonic()))
            thread = threading.Thread(target=self._inject, args=(fault, begun), daemon=True)
            thread.start()
            self._threads.append(thread)
        time.sleep(max(0.0, begun + self.schedule.seconds - time.monotonic()))
        for thread in self._threads:
            thread.join(120)

    def _inject(self, fault: Fault, begun: float) -> None:
        busy = self._busy.setdefault(fault.place, threading.Lock())
        if not busy.acquire(blocking=False):
            self.missed[fault.kind] += 1  # On a slow machine the target has not recovered yet.
            return
        try:
            met = self._action(fault.kind)(fault)
        except Exception as error:  # noqa: BLE001 - the run goes on; the report names it
            self.errors.append(f"{fault}: {type(error).__name__}: {error}")
            return
        finally:
            busy.release()
        self.log.append(f"{time.monotonic() - begun:7.2f} {fault.kind} {fault.victim} {fault.seconds} {met}")
        (self.done if met else self.missed)[fault.kind] += 1

    def _action(self, kind: Kind) -> Callable[[Fault], object]:
        return {
            Kind.KILL_EXECUTOR: self._kill_executor,
            Kind.STOP_EXECUTOR: self._stop_executor,
            Kind.KILL_CHILD: self._kill_child,
            Kind.STOP_CHILD: self._stop_child,
            Kind.STOP_FAMILY: self._stop_family,
            Kind.KILL_MIRROR: self._kill_mirror,
            Kind.STOP_MIRROR: self._stop_mirror,
            Kind.CRASH_POSTGRES: lambda fault: self._restart(self.installation.postgres, fault),
            Kind.CRASH_BACKEND: self._crash_backend,
            Kind.CUT_CONNECTIONS: self._cut_connections,
            Kind.KILL_MONGO: lambda fault: self._restart(self.installation.mongo, fault),
            Kind.LOSE_MONGO: lambda fault: self._restart(self.installation.mongo, fault),
            Kind.REFUSE_DOCUMENTS: self._refuse_documents,
            Kind.KILL_PREFECT: lambda fault: self._restart(self.installation.prefect, fault),
            Kind.STOP_PREFECT: self._stop_prefect,
            Kind.LOSE_PREFECT: lambda fault: self._restart(self.installation.prefect, fault),
            Kind.REFUSE_FILES: self._refuse_files,
            Kind.FILL_DISK: self._fill_disk,
            Kind.JUMP_CLOCK: self._jump_clock,
        }[kind]

    # ------------------------------------------------------------------ processes

    def _executor(self, fault: Fault) -> Start | None:
        """The chip's working executor, or sometimes the idle one."""
        chip_id = self.installation.size.chip_ids[fault.victim]
        starts = [service.present for service in self.executors if service.name.startswith(f"{chip_id}-")]
        living = [start for start in starts if start.is_alive]
        holder = self._in_time(lambda: self._holder(chip_id)) or ""
        working = [start for start in living if f":{start.process.pid}:" in holder]
        others = [start for start in living if start not in working]
        if working and int(fault.at * 1000) % 5:
            return working[0]
        return next(iter(others or working), None)

    def _holder(self, chip_id: str) -> str:
        words = "SELECT executor_id FROM calib.executors WHERE chip_id = %s AND job_id IS NOT NULL"
        row = self._ask(words, chip_id)
        return str(row[0]) if row else ""

    def _child(self, fault: Fault) -> psutil.Process | None:
        """The process of the chip's running job."""
        row = self._in_time(lambda: self._flow_started(fault))
        if row is None:
            return None
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(int(str(row[0])))
        return None

    def _flow_started(self, fault: Fault) -> TupleRow | None:
        return self._ask(
            "SELECT e.detail->>'pid' FROM calib.job_events e JOIN calib.jobs j USING (job_id, attempt)"
            " WHERE j.chip_id = %s AND j.state = 'running' AND e.event = 'flow_started'"
            " ORDER BY event_id DESC",
            self.installation.size.chip_ids[fault.victim],
        )

    def _in_time(self, ask: Callable[[], T | None]) -> T | None:
        """The first true answer; waits a little for an idle chip."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not (answer := ask()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return answer

    def _kill_executor(self, fault: Fault) -> object:
        start = self._executor(fault)
        if start is None:
            return None
        start.was_hit = True
        self.deaths.append(Death(start.process.pid, time.time()))
        start.process.kill()
        return start.tag

    def _stop_executor(self, fault: Fault) -> object:
        start = self._executor(fault)
        return start and _freeze([psutil.Process(start.process.pid)], fault.seconds)

    def _stop_family(self, fault: Fault) -> object:
        start = self._executor(fault)
        return start and _freeze(start.family(), fault.seconds)

    def _kill_child(self, fault: Fault) -> object:
        child = self._child(fault)
        if child is not None:
            child.kill()
        return child

    def _stop_child(self, fault: Fault) -> object:
        child = self._child(fault)
        return child and _freeze([child], fault.seconds)

    def _kill_mirror(self, _injury: Fault) -> object:
        start = self.mirror.present
        start.was_hit = True
        start.process.kill()
        return start.tag

    def _stop_mirror(self, fault: Fault) -> object:
        return _freeze([psutil.Process(self.mirror.present.process.pid)], fault.seconds)

    def _jump_clock(self, fault: Fault) -> object:
        """The clock of an executor and all its processes, or sometimes of the mirror."""
        number = int(fault.at * 1000)
        start = self.mirror.present if number % 4 == 0 else self._executor(fault)
        hours = (number % 23 + 1) * (1 if number % 2 else -1)
        if start is None:
            return None
        start.set_clock(3600.0 * hours)
        try:
            time.sleep(fault.seconds)
        finally:
            start.set_clock(0.0)
        return f"{start.tag} by {hours} h"

    # ------------------------------------------------------------------ servers

    def _restart(self, server: EmbeddedServer, fault: Fault) -> object:
        kill(server)
        time.sleep(fault.seconds)
        server.start()
        return server.name

    def _stop_prefect(self, fault: Fault) -> object:
        program = program_of(self.installation.prefect)
        return program and _freeze([program], fault.seconds)

    def _cut_connections(self, fault: Fault) -> object:
        """A third of all connections of clients."""
        row = self._ask(
            "SELECT count(*) FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = 'calib' AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            " AND (pid + %s) %% 3 = 0) cut",
            int(fault.at * 1000),
        )
        return row and row[0]

    def _crash_backend(self, fault: Fault) -> object:
        """One backend dies of a signal: PostgreSQL then ends all others and recovers as after a power cut."""
        row = self._ask(
            "SELECT pid FROM pg_stat_activity WHERE datname = 'calib' AND backend_type = 'client backend'"
            " AND pid <> pg_backend_pid() ORDER BY (pid * 7919 + %s) %% 101",
            int(fault.at * 1000),
        )
        if row is None:
            return None
        os.kill(int(str(row[0])), signal.SIGKILL)
        return row[0]

    def _refuse_documents(self, fault: Fault) -> object:
        with pymongo.MongoClient[dict[str, object]](self.installation.mongo.url, timeoutMS=3000) as client:
            client.admin.command(_OUT_OF_DISK)
            try:
                time.sleep(fault.seconds)
            finally:
                client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
        return "failCommand"

    def _refuse_files(self, fault: Fault) -> object:
        with self.installation.disk.refused():
            time.sleep(fault.seconds)
        return self.installation.data_path.name

    def _fill_disk(self, fault: Fault) -> object:
        with self.installation.disk.full():
            time.sleep(fault.seconds)
        return self.installation.disk.fullness

    def _ask(self, words: str, value: object) -> TupleRow | None:
        url = self.installation.database.overseer.url
        try:
            with psycopg.connect(url, autocommit=True, connect_timeout=3) as connection:
                return connection.execute(words, (value,)).fetchone()
        except psycopg.Error:
            return None


def _freeze(processes: list[psutil.Process], seconds: float) -> object:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    try:
        time.sleep(seconds)
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()
    return [process.pid for process in processes]
