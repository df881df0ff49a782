"""Carries out a schedule of injuries, and puts back in place what they took away; repairs nothing else."""

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
from tests.chaos.schedule import Injury, Kind, Schedule
from tests.chaos.servers import kill, program_of
from tests.chaos.stage import Slot, Stage, Start

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
class Surgeon:
    """Hurts one stage as a schedule says; one thread for each injury, because some of them last."""

    stage: Stage
    executors: list[Slot]
    mirror: Slot
    schedule: Schedule
    done: Counter[Kind] = field(default_factory=Counter)
    missed: Counter[Kind] = field(default_factory=Counter)
    deaths: list[Death] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    diary: list[str] = field(default_factory=list)
    _busy: dict[tuple[str, int], threading.Lock] = field(default_factory=dict)
    _threads: list[threading.Thread] = field(default_factory=list)

    def operate(self) -> None:
        """Carry out the whole schedule; everything is back in its place afterwards."""
        begun = time.monotonic()
        for injury in self.schedule.injuries:
            time.sleep(max(0.0, begun + injury.at - time.monotonic()))
            thread = threading.Thread(target=self._hurt, args=(injury, begun), daemon=True)
            thread.start()
            self._threads.append(thread)
        time.sleep(max(0.0, begun + self.schedule.seconds - time.monotonic()))
        for thread in self._threads:
            thread.join(120)

    def _hurt(self, injury: Injury, begun: float) -> None:
        busy = self._busy.setdefault(injury.place, threading.Lock())
        if not busy.acquire(blocking=False):
            self.missed[injury.kind] += 1  # On a slow machine the victim has not recovered yet.
            return
        try:
            met = self._deed(injury.kind)(injury)
        except Exception as error:  # noqa: BLE001 - the run goes on; the report tells
            self.troubles.append(f"{injury}: {type(error).__name__}: {error}")
            return
        finally:
            busy.release()
        self.diary.append(
            f"{time.monotonic() - begun:7.2f} {injury.kind} {injury.victim} {injury.seconds} {met}"
        )
        (self.done if met else self.missed)[injury.kind] += 1

    def _deed(self, kind: Kind) -> Callable[[Injury], object]:
        return {
            Kind.KILL_EXECUTOR: self._kill_executor,
            Kind.STOP_EXECUTOR: self._stop_executor,
            Kind.KILL_CHILD: self._kill_child,
            Kind.STOP_CHILD: self._stop_child,
            Kind.STOP_FAMILY: self._stop_family,
            Kind.KILL_MIRROR: self._kill_mirror,
            Kind.STOP_MIRROR: self._stop_mirror,
            Kind.CRASH_POSTGRES: lambda injury: self._restart(self.stage.postgres, injury),
            Kind.CRASH_BACKEND: self._crash_backend,
            Kind.CUT_CONNECTIONS: self._cut_connections,
            Kind.KILL_MONGO: lambda injury: self._restart(self.stage.mongo, injury),
            Kind.LOSE_MONGO: lambda injury: self._restart(self.stage.mongo, injury),
            Kind.REFUSE_DOCUMENTS: self._refuse_documents,
            Kind.KILL_PREFECT: lambda injury: self._restart(self.stage.prefect, injury),
            Kind.STOP_PREFECT: self._stop_prefect,
            Kind.LOSE_PREFECT: lambda injury: self._restart(self.stage.prefect, injury),
            Kind.REFUSE_FILES: self._refuse_files,
            Kind.FILL_DISK: self._fill_disk,
            Kind.JUMP_CLOCK: self._jump_clock,
        }[kind]

    # ------------------------------------------------------------------ processes

    def _executor(self, injury: Injury) -> Start | None:
        """The chip's working executor, or now and then the one that stands by."""
        chip_id = self.stage.size.chip_ids[injury.victim]
        starts = [slot.present for slot in self.executors if slot.name.startswith(f"{chip_id}-")]
        living = [start for start in starts if start.is_alive]
        holder = self._in_time(lambda: self._holder(chip_id)) or ""
        working = [start for start in living if f":{start.process.pid}:" in holder]
        others = [start for start in living if start not in working]
        if working and int(injury.at * 1000) % 5:
            return working[0]
        return next(iter(others or working), None)

    def _holder(self, chip_id: str) -> str:
        words = "SELECT executor_id FROM calib.executors WHERE chip_id = %s AND job_id IS NOT NULL"
        row = self._ask(words, chip_id)
        return str(row[0]) if row else ""

    def _child(self, injury: Injury) -> psutil.Process | None:
        """The process of the chip's running job."""
        row = self._in_time(lambda: self._flow_started(injury))
        if row is None:
            return None
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(int(str(row[0])))
        return None

    def _flow_started(self, injury: Injury) -> TupleRow | None:
        return self._ask(
            "SELECT e.detail->>'pid' FROM calib.job_events e JOIN calib.jobs j USING (job_id, attempt)"
            " WHERE j.chip_id = %s AND j.state = 'running' AND e.event = 'flow_started'"
            " ORDER BY event_id DESC",
            self.stage.size.chip_ids[injury.victim],
        )

    def _in_time(self, ask: Callable[[], T | None]) -> T | None:
        """The first answer that is one; an idle chip is waited for a little."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not (answer := ask()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return answer

    def _kill_executor(self, injury: Injury) -> object:
        start = self._executor(injury)
        if start is None:
            return None
        start.is_injured = True
        self.deaths.append(Death(start.process.pid, time.time()))
        start.process.kill()
        return start.tag

    def _stop_executor(self, injury: Injury) -> object:
        start = self._executor(injury)
        return start and _freeze([psutil.Process(start.process.pid)], injury.seconds)

    def _stop_family(self, injury: Injury) -> object:
        start = self._executor(injury)
        return start and _freeze(start.family(), injury.seconds)

    def _kill_child(self, injury: Injury) -> object:
        child = self._child(injury)
        if child is not None:
            child.kill()
        return child

    def _stop_child(self, injury: Injury) -> object:
        child = self._child(injury)
        return child and _freeze([child], injury.seconds)

    def _kill_mirror(self, _injury: Injury) -> object:
        start = self.mirror.present
        start.is_injured = True
        start.process.kill()
        return start.tag

    def _stop_mirror(self, injury: Injury) -> object:
        return _freeze([psutil.Process(self.mirror.present.process.pid)], injury.seconds)

    def _jump_clock(self, injury: Injury) -> object:
        """The clock of an executor and all its processes, or now and then of the mirror."""
        number = int(injury.at * 1000)
        start = self.mirror.present if number % 4 == 0 else self._executor(injury)
        hours = (number % 23 + 1) * (1 if number % 2 else -1)
        if start is None:
            return None
        start.set_clock(3600.0 * hours)
        try:
            time.sleep(injury.seconds)
        finally:
            start.set_clock(0.0)
        return f"{start.tag} by {hours} h"

    # ------------------------------------------------------------------ servers

    def _restart(self, server: EmbeddedServer, injury: Injury) -> object:
        kill(server)
        time.sleep(injury.seconds)
        server.start()
        return server.name

    def _stop_prefect(self, injury: Injury) -> object:
        program = program_of(self.stage.prefect)
        return program and _freeze([program], injury.seconds)

    def _cut_connections(self, injury: Injury) -> object:
        """A third of all connections of clients."""
        row = self._ask(
            "SELECT count(*) FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = 'calib' AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            " AND (pid + %s) %% 3 = 0) cut",
            int(injury.at * 1000),
        )
        return row and row[0]

    def _crash_backend(self, injury: Injury) -> object:
        """One backend dies of a signal: PostgreSQL then ends all others and recovers as after a power cut."""
        row = self._ask(
            "SELECT pid FROM pg_stat_activity WHERE datname = 'calib' AND backend_type = 'client backend'"
            " AND pid <> pg_backend_pid() ORDER BY (pid * 7919 + %s) %% 101",
            int(injury.at * 1000),
        )
        if row is None:
            return None
        os.kill(int(str(row[0])), signal.SIGKILL)
        return row[0]

    def _refuse_documents(self, injury: Injury) -> object:
        with pymongo.MongoClient[dict[str, object]](self.stage.mongo.url, timeoutMS=3000) as client:
            client.admin.command(_OUT_OF_DISK)
            try:
                time.sleep(injury.seconds)
            finally:
                client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
        return "failCommand"

    def _refuse_files(self, injury: Injury) -> object:
        with self.stage.disk.refused():
            time.sleep(injury.seconds)
        return self.stage.data_path.name

    def _fill_disk(self, injury: Injury) -> object:
        with self.stage.disk.full():
            time.sleep(injury.seconds)
        return self.stage.disk.fullness

    def _ask(self, words: str, value: object) -> TupleRow | None:
        url = self.stage.database.overseer.url
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
