"""Clients: producers and cancellers, in plain SQL with the rights of their roles, and Prefect's API."""

from __future__ import annotations

import json
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

import httpx
import psycopg

from tests.chaos.flows import Manner
from tests.chaos.installation import Installation
from tests.support.queue_world import PROJECT

Connection = psycopg.Connection[tuple[object, ...]]

_MANNERS = {
    Manner.WELL: 50,
    Manner.FAMILY: 6,
    Manner.FAIL: 6,
    Manner.DEAF: 6,
    Manner.TIGHT: 4,
    Manner.MASKED: 3,
    Manner.CRASH: 3,
    Manner.LEAVE: 3,
    Manner.POISON: 1,
}
_REAL_SHARE = 0.06
_RUNNING_SHARE = 0.8
_RECONNECT_SECONDS = 0.3


@dataclass
class ClientRecord:
    """What clients did and what the queue answered."""

    accepted: dict[str, int] = field(default_factory=dict)
    """Ticket of the client to the number of its job, for every INSERT that was answered."""
    unanswered: set[str] = field(default_factory=set)
    """Tickets whose INSERT was cut off; the job may exist or not."""
    cancelled: dict[int, str] = field(default_factory=dict)
    """Jobs whose cancel was taken (UPDATE 1, or Prefect's yes), by cancel path."""
    cancel_paths: Counter[str] = field(default_factory=Counter)
    refusals: list[str] = field(default_factory=list)
    """Answers that no client should get."""


@dataclass
class Load:
    """Threads that submit and cancel until they are stopped."""

    installation: Installation
    seed: int
    record: ClientRecord = field(default_factory=ClientRecord)
    producers: int = 2
    cancellers: int = 2
    backlog: int = 4
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        bodies: list[tuple[Callable[[random.Random], None], int]] = [
            *((self._produce, number) for number in range(self.producers)),
            *((self._cancel, 100 + number) for number in range(self.cancellers)),
        ]
        for body, number in bodies:
            source = random.Random(self.seed * 1000 + number)
            thread = threading.Thread(target=body, args=(source,), daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop all clients."""
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    # ------------------------------------------------------------------ producers

    def _produce(self, source: random.Random) -> None:
        self._while_connected(
            self.installation.submitter_url, lambda connection: self._submit(connection, source)
        )

    def _submit(self, connection: Connection, source: random.Random) -> None:
        chip_id = source.choice(self.installation.size.chip_ids)
        row = connection.execute(
            "SELECT jobs_waiting FROM calib.chips WHERE chip_id = %s", (chip_id,)
        ).fetchone()
        if row is not None and int(str(row[0])) < self.backlog:
            self._insert(connection, chip_id, source)
        self._stop.wait(source.uniform(0.05, 0.5))

    def _insert(self, connection: Connection, chip_id: str, source: random.Random) -> None:
        ticket = uuid.UUID(int=source.getrandbits(128)).hex
        flow, parameters, attempts = _job(source)
        self.record.unanswered.add(ticket)
        row = connection.execute(
            "INSERT INTO calib.jobs (project_id, chip_id, flow, parameters, priority, max_attempts, note)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING job_id",
            (
                *(PROJECT, chip_id, flow, json.dumps(parameters), source.randint(-1, 1), attempts),
                json.dumps({"ticket": ticket}),
            ),
        ).fetchone()
        assert row is not None
        self.record.accepted[ticket] = int(str(row[0]))
        self.record.unanswered.discard(ticket)

    # ------------------------------------------------------------------ cancellers

    def _cancel(self, source: random.Random) -> None:
        self._while_connected(
            self.installation.operator_url, lambda connection: self._cancel_one(connection, source)
        )

    def _cancel_one(self, connection: Connection, source: random.Random) -> None:
        self._stop.wait(source.uniform(1.0, 5.0))
        rows = connection.execute(
            "SELECT job_id, flow_run_id FROM calib.jobs WHERE state = %s AND NOT cancel_requested"
            " ORDER BY job_id",
            ("running" if source.random() < _RUNNING_SHARE else "scheduled",),
        ).fetchall()
        if not rows:
            return
        job_id, flow_run_id = source.choice(rows)
        if flow_run_id is not None and source.random() < 0.5:
            self._cancel_in_prefect(int(str(job_id)), str(flow_run_id))
        else:
            self._cancel_by_row(connection, int(str(job_id)), source.choice(["now", "after_task"]), source)

    def _cancel_by_row(self, connection: Connection, job_id: int, mode: str, source: random.Random) -> None:
        self._ask_to_cancel(connection, job_id, mode)
        if mode == "after_task" and source.random() < 0.3:
            self._stop.wait(source.uniform(0.0, 0.5))
            self._ask_to_cancel(connection, job_id, "now")

    def _ask_to_cancel(self, connection: Connection, job_id: int, mode: str) -> None:
        self.record.cancel_paths[f"row {mode}"] += 1
        done = connection.execute(
            "UPDATE calib.jobs SET cancel_requested = true, cancel_mode = %s, cancel_reason = 'chaos'"
            " WHERE job_id = %s",
            (mode, job_id),
        )
        if done.rowcount == 1:
            self.record.cancelled[job_id] = f"row {mode}"

    def _cancel_in_prefect(self, job_id: int, flow_run_id: str) -> None:
        """As QDash's Cancel button does: the run is forced to Cancelling."""
        self.record.cancel_paths["Prefect"] += 1
        try:
            answer = httpx.post(
                f"{self.installation.prefect.url}/flow_runs/{flow_run_id}/set_state",
                json={"state": {"type": "CANCELLING", "name": "Cancelling"}, "force": True},
                timeout=3,
            )
        except httpx.HTTPError:
            return
        if answer.is_success:
            self.record.cancelled.setdefault(job_id, "Prefect")

    # ------------------------------------------------------------------ connections

    def _while_connected(self, url: str, act: Callable[[Connection], None]) -> None:
        """Repeat ``act``; a lost connection is opened again, as clients do."""
        while not self._stop.is_set():
            try:
                with psycopg.connect(url, autocommit=True, connect_timeout=3) as connection:
                    while not self._stop.is_set():
                        act(connection)
            except psycopg.Error as error:
                if (
                    error.sqlstate is not None
                    and error.sqlstate.startswith("CQ")
                    and error.sqlstate != "CQ012"
                ):
                    self.record.refusals.append(str(error))
                time.sleep(_RECONNECT_SECONDS)


def _job(source: random.Random) -> tuple[str, dict[str, object], int]:
    qid = str(source.randrange(16))
    if source.random() < _REAL_SHARE:
        return "calibrate", {"qids": [qid], "tasks": ["CheckRabi"]}, 1
    manner = source.choices(list(_MANNERS), list(_MANNERS.values()))[0]
    parameters: dict[str, object] = {
        "tasks": source.randint(1, 4),
        "seconds": round(source.uniform(0.02, 0.5), 2),
        "manner": manner.value,
        "qid": qid,
    }
    return "drill", parameters, source.choice([1, 2, 2, 3])
