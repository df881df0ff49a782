"""A chip served by a release's programs while its database is upgraded to the present schema."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from qdash_queue import migrate
from qdash_queue.embedded.prefect_server import PrefectServer
from tests.executors.fleet import Fleet, open_relay
from tests.support.databases import CalibDatabase
from tests.support.executor_world import ROOT
from tests.support.queue_world import Person, open_queue_world
from tests.support.waiting import until
from tests.upgrade.release import CHIP, PROJECT, TASKS, TOPOLOGY, USER, Release

CONNECTED_CLIENT = Path(__file__).parent / "connected_client.py"


@dataclass
class UpgradeWorld:
    """One chip, executors of the release and of the present tree, and people who use the release.

    Attributes:
        released: executors of the release.
        present: executors of the present tree, for the same chip.
    """

    release: Release
    database: CalibDatabase
    operator: Person
    mirror: Person
    released: Fleet
    present: Fleet

    def command(self, *words: str) -> Any:
        """The answer of the release's ``qdash-queue`` to an operator."""
        return self.release.command(self.operator.url, *words)

    def submit(self, *qids: str, max_attempts: int = 1) -> int:
        """A job submitted by the release's command."""
        words = (
            "--qids",
            ",".join(qids),
            "--tasks",
            ",".join(TASKS),
            "--max-attempts",
            str(max_attempts),
        )
        return int(self.command("submit", PROJECT, CHIP, *words)["job_id"])

    def job(self, job_id: int) -> dict[str, Any]:
        """The row, by columns that every schema has."""
        row = self.released.owner.row(
            "SELECT state, attempt, tasks_total, tasks_done, tasks_failed, failure_kind, failure_message"
            " FROM calib.jobs WHERE job_id = %(job_id)s",
            job_id=job_id,
        )
        assert row is not None
        return dict(row)

    def measuring(self, job_id: int) -> None:
        """Wait until a task is done and others are still to come."""
        until(lambda: self.job(job_id)["tasks_done"] >= 1, f"the first task of job {job_id}")
        assert self.job(job_id)["state"] == "running"

    def ended(self, job_id: int) -> dict[str, Any]:
        """The row of a job that has ended."""
        ends = ("completed", "failed", "cancelled")
        until(lambda: self.job(job_id)["state"] in ends, f"job {job_id} to end")
        return self.job(job_id)

    @contextmanager
    def connected_client(self, job_id: int) -> Iterator[ConnectedClient]:
        """A client of the release that reads a job repeatedly."""
        connected_client = ConnectedClient()
        with subprocess.Popen(
            [sys.executable, str(CONNECTED_CLIENT), self.operator.url, str(job_id)],
            cwd=self.release.folder,
            env=self.release.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            yield connected_client
            out, _ = process.communicate("", timeout=60)
        connected_client.status = process.returncode
        if out:
            seen = json.loads(out)
            connected_client.reads, connected_client.refused = seen["reads"], seen["refused"]


@dataclass
class ConnectedClient:
    """What a client saw that stayed connected across the upgrade."""

    status: int | None = None
    reads: int = 0
    refused: int = 0


@dataclass
class Upgrade:
    """What happened when the schema changed in the middle of a job."""

    running: int
    following: int
    state_afterwards: str = ""
    connected_client: ConnectedClient = field(default_factory=ConnectedClient)


def upgrade_under_load(world: UpgradeWorld) -> Upgrade:
    """Migrate while the release's executor measures, a job waits and a client reads."""
    world.released.need(1)
    # The first executor of a chip: releases before 0.7.0 call it ready as soon as it has registered.
    until(lambda: world.released.owner.rows("SELECT FROM calib.flows"), "the first executor's flows")
    happened = Upgrade(running=world.submit(*map(str, range(6))), following=world.submit("0"))
    with world.connected_client(happened.running) as happened.connected_client:
        world.measuring(happened.running)
        assert migrate.upgrade(world.database.url) == migrate.head()
        happened.state_afterwards = world.job(happened.running)["state"]
        world.ended(happened.following)
    return happened


@contextmanager
def set_up(
    release: Release, database: CalibDatabase, prefect_server: PrefectServer, folder: Path
) -> Iterator[UpgradeWorld]:
    """The release's schema with a project, people and a chip, all made by the release's commands."""
    with (
        open_queue_world(database, bare=True) as queue_world,
        open_relay(prefect_server) as (relay, prefect),
    ):
        operator = queue_world.person("operator", "calib_operator")
        fleet = partial(Fleet, CHIP, queue_world, operator.queue, prefect_server, relay, prefect, folder)
        world = UpgradeWorld(
            release,
            database,
            operator,
            queue_world.person("mirror", "calib_mirror"),
            fleet(code=(release.folder,)),
            fleet(code=(ROOT,)),
        )
        design = folder / "design.json"
        design.write_text(json.dumps(release.design()), encoding="utf-8")
        admin = queue_world.person("root", "calib_admin")
        release.command(database.url, "migrate")
        for words in (
            ("projects", "add", PROJECT),
            ("members", "grant", PROJECT, operator.name, "--username", USER, "--access", "operator"),
            ("chips", "add", CHIP, "--backend", "fake", "--topology", TOPOLOGY),
            ("executors", "allow", queue_world.machine.name, CHIP),
            ("parameters", "import", CHIP, str(design), "--reason", "design values"),
        ):
            release.command(admin.url, *words)
        try:
            yield world
        finally:
            for each in (world.released, world.present):
                each.close()
