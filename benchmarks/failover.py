"""A primary dies before its standby has the claim: how long two executors share a chip, whose writes count.

    python -m benchmarks.failover [--rounds 20]

Everything is real: a primary and an asynchronous streaming standby, two executors of one role with the
default lease, which reach the primary through one address, Prefect's server. In each round the line between
the two servers is cut just before a claim, the primary is killed with SIGKILL as soon as the job measures,
and the standby is promoted. It knows the job as one that waits, and gives it out again under the same fence.
The flow writes down each touch of the chip, and its process with each result. The exit status is 1 if one
write of the former holder was taken.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import psycopg
import sqlalchemy as sa
from prefect.client.orchestration import SyncPrefectClient

from benchmarks.conditions import Spread, migrate_and_grant, print_conditions
from qdash_queue.client.admin import Admin
from qdash_queue.client.database import Database
from qdash_queue.client.queue import Queue
from qdash_queue.domain import CancelMode
from qdash_queue.embedded.postgres import SUPERUSER, PostgresServer
from qdash_queue.embedded.process import free_port
from qdash_queue.embedded.servers import EmbeddedServers, Kind
from qdash_queue.errors import LeaseLostError
from qdash_queue.settings import Settings
from tests.chaos.flows import EVIDENCE
from tests.chaos.installation import PLUGIN
from tests.executors.fleet import PROJECT, ROOT, Fleet
from tests.executors.relay import Relay
from tests.support.waiting import until

CHIP = "SIM-16"
MACHINE_PASSWORD = "machine"  # noqa: S105 - of a server that lives for minutes
DRILL = {"tasks": 20, "seconds": 1.5, "manner": "well", "qid": "0"}
HEAD_START = timedelta(seconds=2)
FORMER_VERBS = (
    "heartbeat(:job_id, :fence)",
    "conclude(:job_id, :fence, 'completed')",
    "finish(:job_id, :fence)",
)


class LoopbackPostgres(PostgresServer):
    """Listens on a loopback port, so that a relay can stand before it; without a password."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.settings["listen_addresses"] = "127.0.0.1"

    def _choose_port(self) -> int:
        return free_port()

    def url_of(self, database: str, user: str = SUPERUSER, password: str | None = None) -> str:
        return f"postgresql://{user}:{password or ''}@127.0.0.1:{self.port}/{database}"


class Standby(LoopbackPostgres):
    """A streaming copy of a primary, which it reaches through a relay of its own."""

    def __init__(self, directory: Path, primary: PostgresServer) -> None:
        super().__init__(directory)
        self.relay = Relay(primary.port)

    def promote(self) -> None:
        """Make it the primary."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SELECT pg_promote()")

    def _create_cluster(self) -> None:
        source = f"host=127.0.0.1 port={self.relay.port} user={SUPERUSER}"
        program = str(self._runnable / "pg_basebackup")
        subprocess.run(
            [program, "-d", source, "-D", str(self._data), "-R", "-X", "stream", "-c", "fast"],
            **self._run_as,
            cwd=self.home,
            check=True,
        )

    def _answers(self) -> bool:
        return self._logged("ready to accept read-only connections")


@dataclass(frozen=True)
class Round:
    """What one failover cost.

    Attributes:
        shared: seconds from the new holder's claim to the former holder's last touch.
        heard: writes of the former holder that the promoted server took.
        exit_code: of the former holder.
    """

    shared: float
    heard: int
    exit_code: int


@dataclass
class Failover:
    """The present primary behind one address, and the executors that use it."""

    folder: Path
    primary: PostgresServer
    relay: Relay
    fleet: Fleet
    rounds: int = 0

    def run_round(self) -> Round:
        self.rounds += 1
        fleet = self.fleet
        fleet.need(2)
        standby = Standby(self.folder / f"server-{self.rounds}", self.primary)
        standby.start()
        job = fleet.queue.submit(
            PROJECT, CHIP, DRILL, flow="drill", not_before=datetime.now(UTC) + HEAD_START
        )
        with psycopg.connect(standby.url, autocommit=True) as copy:
            waits = "SELECT FROM calib_private.jobs WHERE job_id = %s AND state = 'scheduled'"
            until(lambda: copy.execute(waits, (job.job_id,)).rowcount, "the standby to have the job")
            standby.relay.cut()
            former_pid = fleet.started(job.job_id)
            former = fleet.holder(job.job_id)
            fence = fleet.owner.value("SELECT fence FROM calib_private.leases WHERE chip_id = :id", id=CHIP)
            until(lambda: self._touches(former_pid), "the job to measure")
            assert copy.execute(waits, (job.job_id,)).rowcount, "the claim was not lost"
        self._replace_primary(standby)
        pid = fleet.started(job.job_id)
        until(lambda: self._touches(pid), "the new holder to measure")
        exit_code = former.leave()
        rows = fleet.owner.rows(
            "SELECT a.executor_id, extract(epoch FROM a.started_at)::float AS at, a.fence,"
            " (SELECT count(*) FROM calib.job_events e WHERE e.job_id = a.job_id AND event = 'concluded')"
            " + (SELECT count(*) FROM calib.task_runs t WHERE t.job_id = a.job_id"
            "   AND (t.note ->> 'pid')::integer = :former) AS heard"
            " FROM calib_private.attempts a WHERE a.job_id = :id",
            id=job.job_id,
            former=former_pid,
        )
        assert len(rows) == 1
        assert rows[0]["fence"] == fence, "the same fence was given out again"
        heard = rows[0]["heard"] + self._call_former_verbs(job.job_id, fence)
        claimed_at = rows[0]["at"] - time.time() + time.monotonic()
        fleet.queue.cancel(job.job_id, CancelMode.NOW)
        fleet.ended(job.job_id)
        return Round(max(0.0, self._touches(former_pid)[-1] - claimed_at), heard, exit_code)

    def _call_former_verbs(self, job_id: int, fence: int) -> int:
        """How many calls the promoted server takes that show job and fence, as the former holder knows."""
        taken = 0
        database = Database(self.fleet.executor_url)
        for verb in FORMER_VERBS:
            with suppress(LeaseLostError):
                database.execute(f"SELECT calib.{verb}", job_id=job_id, fence=fence)
                taken += 1
        database.close()
        return taken

    def _touches(self, pid: int) -> list[float]:
        """When a process touched the chip, by the machine's monotonic clock."""
        evidence = Path(os.environ[EVIDENCE]) / f"touches-{CHIP}.log"
        lines = evidence.read_text().splitlines() if evidence.exists() else []
        return [float(at) for at, _, who in map(str.split, lines) if int(who) == pid]

    def _replace_primary(self, standby: Standby) -> None:
        gone, self.primary = self.primary, standby
        postmaster = psutil.Process(int((gone.home / "data" / "postmaster.pid").read_text().split()[0]))
        for process in (postmaster, *postmaster.children(recursive=True)):
            process.kill()
        self.relay.cut()
        standby.promote()
        self.relay.target_port = standby.port
        self.relay.restore()
        gone.stop()
        shutil.rmtree(gone.home)


@contextmanager
def failover(folder: Path) -> Iterator[Failover]:
    (folder / "evidence").mkdir()
    (folder / "fleet").mkdir()
    os.environ[EVIDENCE] = str(folder / "evidence")
    with (
        EmbeddedServers(folder / "servers", kinds={Kind.PREFECT}) as servers,
        LoopbackPostgres(folder / "server-0") as primary,
    ):
        relay = Relay(primary.port)
        owner_url = sa.make_url(primary.url).set(port=relay.port).render_as_string(hide_password=False)
        migrate_and_grant(owner_url)
        owner = Database(owner_url)
        owner.execute(f"CREATE ROLE machine LOGIN PASSWORD '{MACHINE_PASSWORD}' IN ROLE calib_executor")
        admin = Admin(owner)
        admin.add_project(PROJECT)
        admin.grant_member(PROJECT, "postgres", "owner", "operator")
        admin.add_chip(CHIP, "fake", "square-lattice-mux-16")
        admin.allow_executor("machine", CHIP)
        print_conditions(owner_url)
        defaults = Settings()
        machine_url = sa.make_url(owner_url).set(username="machine", password=MACHINE_PASSWORD)
        fleet = Fleet(
            chip_id=CHIP,
            queue=Queue(owner),
            owner=owner,
            executor_url=machine_url.render_as_string(hide_password=False),
            relay=Relay(servers.prefect.port),
            folder=folder / "fleet",
            prefect_environment=servers.prefect.client_environment,
            prefect=SyncPrefectClient(servers.prefect.url),
            code=(ROOT, PLUGIN),
            lease_seconds=defaults.lease_seconds,
            heartbeat_seconds=defaults.heartbeat_seconds,
        )
        setup = Failover(folder, primary, relay, fleet)
        try:
            yield setup
        finally:
            fleet.close()
            setup.primary.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    count = parser.parse_args().rounds
    rounds: list[Round] = []
    with tempfile.TemporaryDirectory(prefix="qdq-") as name:
        Path(name).chmod(0o755)
        with failover(Path(name)) as setup:
            for number in range(count):
                rounds.append(setup.run_round())
                last = rounds[-1]
                print(
                    f"round {number + 1}: the chip was shared for {last.shared:.2f} s, {last.heard} writes of"
                    f" the former holder were taken, it ended with {last.exit_code}",
                    flush=True,
                )
    heard = sum(each.heard for each in rounds)
    print(f"{count} failovers: shared for {Spread([each.shared for each in rounds])} s, {heard} writes taken")
    return 1 if heard else 0


if __name__ == "__main__":
    sys.exit(main())
