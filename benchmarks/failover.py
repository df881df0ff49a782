"""A primary dies before its standby has the claim: how long two executors share a chip, whose writes count.

    python -m benchmarks.failover [--rounds 20]

Everything is real: a primary and an asynchronous streaming standby on two ports, two executors of one role
with the default lease, which find the primary by libpq's list of hosts, Prefect's server. In each round the
standby stops to replicate just before a claim, the primary is killed with SIGKILL as soon as the job touches
the chip, and the standby is promoted; in the next round a new standby takes the dead server's port. The
promoted server knows the job as one that waits, and gives it out again under the same fence. The flow writes
down each touch of the chip, and its process with each result. The exit status is 1 if one write of the former
holder was taken.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import psutil
import psycopg

from benchmarks.conditions import Spread, print_conditions, until
from benchmarks.installation import Installation, installed
from qdash_queue.client.database import Database
from qdash_queue.client.leases import Lease
from qdash_queue.domain import CancelMode, JobState
from qdash_queue.embedded.postgres import SUPERUSER, PostgresServer
from qdash_queue.embedded.prefect_server import PrefectServer
from qdash_queue.embedded.process import free_port
from qdash_queue.errors import LeaseLostError

HEAD_START = timedelta(seconds=3)
ONE_ROW = (
    "SELECT a.claim, a.executor_id, a.fence, a.started_at FROM calib_private.attempts a WHERE job_id = %(id)s"
)


class LoopbackPostgres(PostgresServer):
    """Listens on a given loopback port, without a password."""

    def __init__(self, directory: Path, port: int) -> None:
        super().__init__(directory)
        self._port = port
        self.settings["listen_addresses"] = "127.0.0.1"

    def _choose_port(self) -> int:
        return self._port

    def kill(self) -> None:
        """End it as a crash of its machine would, and remove its files."""
        postmaster = psutil.Process(int((self.home / "data" / "postmaster.pid").read_text().split()[0]))
        for process in (postmaster, *postmaster.children(recursive=True)):
            process.kill()
        self.stop()
        shutil.rmtree(self.home)


class Standby(LoopbackPostgres):
    """A streaming copy of a primary."""

    def __init__(self, directory: Path, port: int, primary: LoopbackPostgres) -> None:
        super().__init__(directory, port)
        self._source = f"host=127.0.0.1 port={primary.port} user={SUPERUSER}"

    def stop_replicating(self) -> None:
        """Receive nothing any more."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET primary_conninfo = ''")
            connection.execute("SELECT pg_reload_conf()")
            receivers = "SELECT FROM pg_stat_wal_receiver"
            until(lambda: not connection.execute(receivers).rowcount, "the standby to stop replicating")

    def _create_cluster(self) -> None:
        program = str(self._runnable / "pg_basebackup")
        subprocess.run(
            [program, "-d", self._source, "-D", str(self._data), "-R", "-X", "stream", "-c", "fast"],
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
        taken: writes of the former holder that the promoted server took.
        exit_code: of the former holder.
    """

    shared: float
    taken: int
    exit_code: int


@dataclass
class Failover:
    """The present primary, and the executors that use whichever is the primary."""

    folder: Path
    ports: tuple[int, int]
    primary: LoopbackPostgres
    chip: Installation
    rounds: list[Round] = field(default_factory=list)

    def run_round(self) -> Round:
        number = len(self.rounds) + 1
        evidence = self.folder / f"touches-{number}.log"
        chip = self.chip
        executors = chip.need(2)
        (port,) = set(self.ports) - {self.primary.port}
        standby = Standby(self.folder / f"server-{number}", port, self.primary)
        standby.start()
        job_id = chip.submit(
            "touch",
            {"tasks": 20, "seconds": 1.5, "evidence": str(evidence)},
            not_before=datetime.now(UTC) + HEAD_START,
        )
        with psycopg.connect(standby.url, autocommit=True) as copy:
            waits = "SELECT FROM calib_private.jobs WHERE job_id = %s AND state = 'scheduled'"
            until(lambda: copy.execute(waits, (job_id,)).rowcount, "the standby to have the job")
            standby.stop_replicating()
            former_pid = chip.happened(job_id, "flow_started").detail["pid"]
            assert isinstance(former_pid, int)
            until(lambda: touches(evidence, former_pid), "the job to touch the chip")
            former = chip.owner.rows(ONE_ROW, id=job_id)[0]
            assert copy.execute(waits, (job_id,)).rowcount, "the claim was not lost"
        self.primary.kill()
        self._promote(standby)
        pid = chip.happened(job_id, "flow_started").detail["pid"]
        assert isinstance(pid, int)
        until(lambda: touches(evidence, pid), "the new holder to touch the chip")
        (holder,) = [each for each in executors if f":{each.process.pid}:" in former["executor_id"]]
        exit_code = holder.process.wait(60)
        present = chip.owner.rows(ONE_ROW, id=job_id)[0]
        assert (present["fence"], present["executor_id"] == former["executor_id"]) == (former["fence"], False)
        taken = self._results_of(job_id, former_pid)
        taken += self._call_former_verbs(job_id, former["claim"], present["claim"])
        chip.queue.cancel(job_id, CancelMode.NOW)
        chip.ended(job_id)
        last_touch = touches(evidence, former_pid)[-1]
        self.rounds.append(Round(max(0.0, last_touch - present["started_at"].timestamp()), taken, exit_code))
        return self.rounds[-1]

    def _promote(self, standby: Standby) -> None:
        with psycopg.connect(standby.url, autocommit=True) as connection:
            connection.execute("SELECT pg_promote()")
        self.primary = standby

    def _call_former_verbs(self, job_id: int, former: UUID, present: UUID) -> int:
        """How many calls the promoted server takes that show the former holder's own claim."""
        database = Database(self.chip.executor_url)
        Lease(database, job_id, present).heartbeat()  # Taken: it is the claim that is refused below.
        lease, taken = Lease(database, job_id, former), 0
        for verb in (lease.heartbeat, partial(lease.conclude, JobState.COMPLETED), lease.finish):
            with suppress(LeaseLostError):
                verb()
                taken += 1
        database.close()
        return taken

    def _results_of(self, job_id: int, pid: int) -> int:
        found = self.chip.owner.value(
            "SELECT count(*) FROM calib.task_runs WHERE job_id = %(id)s AND (note ->> 'pid')::integer ="
            " %(pid)s",
            id=job_id,
            pid=pid,
        )
        return int(found)


def touches(evidence: Path, pid: int) -> list[float]:
    """When a process touched the chip, in seconds of the machine's clock."""
    lines = evidence.read_text().splitlines() if evidence.exists() else []
    return [float(at) for who, at in map(str.split, lines) if int(who) == pid]


@contextmanager
def failover(folder: Path) -> Iterator[Failover]:
    ports = (free_port(), free_port())
    url = (
        f"postgresql://{SUPERUSER}@/postgres?host=127.0.0.1,127.0.0.1&port={ports[0]},{ports[1]}"
        "&target_session_attrs=read-write"
    )
    with (
        PrefectServer(folder / "prefect") as prefect,
        LoopbackPostgres(folder / "server-0", ports[0]) as primary,
        installed(folder, url, prefect) as chip,
    ):
        print_conditions(url)
        setup = Failover(folder, ports, primary, chip)
        try:
            yield setup
        finally:
            chip.end()
            setup.primary.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20)
    count = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="qdq-") as name:
        Path(name).chmod(0o755)
        with failover(Path(name)) as setup:
            for number in range(count):
                last = setup.run_round()
                print(
                    f"round {number + 1}: the chip was shared for {last.shared:.2f} s, {last.taken} writes of"
                    f" the former holder were taken, it ended with {last.exit_code}",
                    flush=True,
                )
    taken = sum(each.taken for each in setup.rounds)
    shared = Spread([each.shared for each in setup.rounds])
    print(f"{count} failovers: shared for {shared} s, {taken} writes taken")
    return 1 if taken else 0


if __name__ == "__main__":
    sys.exit(main())
