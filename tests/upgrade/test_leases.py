"""Executors of a release and of the present tree, by their calls, on a schema that was upgraded."""

from __future__ import annotations

import itertools
import random
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import psycopg
import pytest

from qdash_queue import migrate
from tests.contract.lab import PROJECT, Lab, open_lab
from tests.support.databases import CalibDatabase
from tests.upgrade.release import Release

CLIENTS = 12
SECONDS = 5
OLD_CLAIM = "SELECT job_id, fence FROM calib.claim(%s, %s, 30, CAST(NULL AS bigint))"
NEW_CLAIM = "SELECT job_id, %s FROM calib.claim(%s, %s, %s, 30, NULL)"
INSERT = "INSERT INTO calib.jobs (project_id, chip_id, flow, parameters) VALUES (%s, %s, 'repeat', '{}')"

pytestmark = pytest.mark.slow


@dataclass
class Race:
    """Chips, each with a lock that its holder takes: whoever finds it taken shares the chip."""

    lab: Lab
    chip_ids: list[str]
    until: float
    taken: list[int] = field(default_factory=list)
    shared: list[int] = field(default_factory=list)
    busy: dict[str, threading.Lock] = field(init=False)

    def __post_init__(self) -> None:
        self.busy = {chip_id: threading.Lock() for chip_id in self.chip_ids}

    def run(self, number: int) -> None:
        """Claim and finish as a release does, or as the present tree does; each job is followed by one."""
        chance = random.Random(number)
        with (
            psycopg.connect(self.lab.machine.url, autocommit=True) as session,
            psycopg.connect(self.lab.ana.url, autocommit=True) as client,
        ):
            while time.monotonic() < self.until:
                chip_id = chance.choice(self.chip_ids)
                who, claim = (chip_id, f"{chip_id}/{number}"), uuid.uuid4()
                if number % 2:
                    row = session.execute(OLD_CLAIM, who).fetchone()
                else:
                    row = session.execute(NEW_CLAIM, (claim, *who, claim)).fetchone()
                if row is None:
                    continue
                alone = self.busy[chip_id].acquire(blocking=False)
                (self.taken if alone else self.shared).append(row[0])
                session.execute("SELECT calib.heartbeat(%s, %s, 30)", row)
                session.execute("SELECT calib.conclude(%s, %s, 'completed')", row)
                if alone:
                    self.busy[chip_id].release()
                client.execute(INSERT, (PROJECT, chip_id))
                session.execute("SELECT calib.finish(%s, %s)", row)


def test_no_chip_is_shared_by_old_calls_and_new_ones(release: Release, empty_database: CalibDatabase) -> None:
    release.command(empty_database.url, "migrate")
    migrate.upgrade(empty_database.url)
    with open_lab(empty_database) as lab, ThreadPoolExecutor(CLIENTS) as pool:
        chip_ids = [lab.chip() for _ in range(4)]
        for chip_id, number in itertools.product(chip_ids, range(CLIENTS)):
            lab.ready(chip_id, f"{number}")
            lab.submit(chip_id, flow="repeat", parameters={})
        race = Race(lab, chip_ids, time.monotonic() + SECONDS)
        for done in [pool.submit(race.run, number) for number in range(CLIENTS)]:
            done.result(timeout=SECONDS + 60)
        assert race.shared == []
        assert len(race.taken) == len(set(race.taken)) > CLIENTS
        ended = lab.value("SELECT count(*) FROM calib.jobs WHERE state = 'completed'")
        assert ended == len(race.taken)
