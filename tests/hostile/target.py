"""A queue under attack, with a login of each role, and the checks that it took no damage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from executors.flows import catalogue_flows, catalogue_tasks, load_flows
from qdash_queue.client.leases import Executor
from qdash_queue.client.models import ClaimedJob
from tests.hostile.hostile_values import CANARY
from tests.support.databases import CalibDatabase
from tests.support.queue_world import PARAMETERS, REPEAT, Connection, Person, QueueWorld, open_queue_world

ROLES = ("reader", "submitter", "operator", "executor", "mirror", "admin")
ACCESS = {"reader": "reader", "submitter": "submitter", "operator": "operator"}
TOUCHED = Path("/tmp/hostile-was-here")

# Everything that an injected statement would change: what there is, whose it is, who may do what.
FINGERPRINT = """
SELECT md5(string_agg(fact, ';' ORDER BY fact)) AS fingerprint FROM (
  SELECT format('%s %s %s', oid::regclass, relowner, relacl) FROM pg_class
   WHERE relnamespace::regnamespace::text ~ '^calib|public'
  UNION ALL SELECT format('%s %s %s %s', oid::regprocedure, md5(prosrc), proowner, proacl) FROM pg_proc
             WHERE pronamespace::regnamespace::text ~ '^calib|public'
  UNION ALL SELECT format('%s %s', oid::regnamespace, nspacl) FROM pg_namespace WHERE nspname !~ '^pg_'
  UNION ALL SELECT format('%s %s %s %s', rolname, rolsuper, rolcreaterole, rolcanlogin) FROM pg_roles
  UNION ALL SELECT format('%s in %s', member, roleid) FROM pg_auth_members
) AS facts(fact)
"""


@dataclass
class Target:
    """A queue with one chip that has the project's own flows and tasks, and a session of each role."""

    world: QueueWorld
    chip_id: str
    sessions: dict[str, Connection] = field(default_factory=dict)

    @cached_property
    def fingerprint(self) -> str:
        """The catalogue at the start."""
        return str(self.world.value(FINGERPRINT))

    @property
    def registrar(self) -> Executor:
        """The executor that registers the chip's flows and tasks."""
        return self.world.executor(self.chip_id, "registrar")

    def person(self, role: str) -> Person:
        """The person of a role, a member of the project where the role is one of people."""
        if role == "executor":
            return self.world.machine  # It holds the leases.
        return self.world.person(f"p-{role}", f"calib_{role}", access=ACCESS.get(role))

    def session(self, role: str) -> Connection:
        """The role's own session in autocommit."""
        if role not in self.sessions:
            self.sessions[role] = self.world.session(self.person(role), autocommit=True)
        return self.sessions[role]

    def stored(self) -> int:
        """How many jobs there are."""
        count = self.world.value("SELECT count(*) FROM calib_private.jobs")
        assert isinstance(count, int)
        return count

    def delete_jobs(self) -> None:
        """Delete all jobs."""
        self.world.owner.execute(
            "UPDATE calib_private.leases SET job_id = NULL, executor_id = NULL, expires_at = NULL;"
            "DELETE FROM calib_private.jobs"
        )

    def running_job(self) -> ClaimedJob:
        """A job that the executor of this target holds."""
        job_id = self.world.submit(self.chip_id, flow="repeat", parameters={**PARAMETERS}, max_attempts=10)
        executor = self.world.ready(self.chip_id)
        claimed = executor.claim(3600, job_id)
        assert claimed is not None
        return claimed

    def damage(self) -> str:
        """What a hostile text has changed outside the queue's functions; empty if nothing."""
        found = self.world.rows(f"SELECT said FROM {CANARY}")
        if found:
            return f"executed: {[row['said'] for row in found]}"
        if self.world.value(FINGERPRINT) != self.fingerprint:
            return "the catalogue has changed"
        return f"{TOUCHED} was made" if TOUCHED.exists() else ""


@contextmanager
def open_target(calib: CalibDatabase) -> Iterator[Target]:
    """A target on a migrated database."""
    TOUCHED.unlink(missing_ok=True)
    with open_queue_world(calib) as world:
        world.owner.execute(f"CREATE TABLE {CANARY} (said text)")
        world.owner.execute(f"ALTER TABLE {CANARY} OWNER TO calib_owner")
        world.add_chip("HOSTILE1", "linear-2")
        world.admin.set_chip("HOSTILE1", 1_000_000)
        target = Target(world, "HOSTILE1")
        flows = [*catalogue_flows(load_flows().values()), REPEAT]
        target.registrar.register_catalogue(flows, catalogue_tasks())
        for role in ROLES:
            target.session(role)
        world.ana.queue.chips()
        assert target.fingerprint
        yield target
