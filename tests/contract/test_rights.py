"""Rights belong to roles, a superuser has those that were granted, and all of them can be taken away."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest

from qdash_queue.client.leases import Executor
from qdash_queue.domain import JobState
from qdash_queue.errors import (
    DatabaseUnreachableError,
    ExecutorRefusedError,
    IllegalTransitionError,
    LeaseLostError,
    NotPermittedError,
    QueueError,
    UnknownNameError,
)
from tests.support.queue_world import PROJECT, VIEWS_OF_JOBS, Person, QueueWorld, insert, outcome

JOBS = "SELECT job_id FROM calib.jobs"


@dataclass(frozen=True)
class Named:
    """A login of a fixed name, which a test drops, renames and makes again."""

    world: QueueWorld
    name: str

    def make(self, group: str = "calib_submitter") -> None:
        self.world.owner.execute(f"CREATE ROLE {self.name} LOGIN PASSWORD 'x' IN ROLE {group}".encode())

    def drop(self) -> str:
        """Drop it; what the views show in its place."""
        number = self.world.value("SELECT %s::regrole::oid::text", self.name)
        self.world.owner.execute(f"DROP ROLE {self.name}".encode())
        return str(number)

    def says(self, statement: str, name: str = "") -> str:
        calib = self.world.calib
        with psycopg.connect(calib.server.url_of(calib.name, name or self.name, "x")) as connection:
            try:
                return str(connection.execute(statement.encode()).rowcount)
            except psycopg.Error as error:
                return error.sqlstate or "lost"


@pytest.fixture
def zoe(world: QueueWorld) -> Iterator[Named]:
    named = Named(world, "zoe_in_tests")
    named.make()
    yield named
    for name in (named.name, "zoe_married"):
        world.owner.execute(f"DROP ROLE IF EXISTS {name}".encode())


def members(world: QueueWorld) -> list[str]:
    return [row["role_name"] for row in world.rows("SELECT role_name FROM calib.memberships")]


# ------------------------------------------------------------------ the role itself


def test_a_role_made_again_inherits_no_membership(world: QueueWorld, zoe: Named) -> None:
    world.submit(world.chip())
    world.admin.grant_member(PROJECT, zoe.name, "zoe", "submitter")
    assert int(zoe.says(JOBS)) > 0
    number = zoe.drop()
    zoe.make()
    assert zoe.says(JOBS) == "0"
    assert zoe.says("INSERT INTO calib.jobs (project_id, chip_id) VALUES ('demo', 'X')") == "CQ003"
    assert number in members(world)
    assert zoe.name not in members(world)
    world.admin.revoke_member(PROJECT, number)
    assert number not in members(world)


def test_a_renamed_role_keeps_its_membership(world: QueueWorld, zoe: Named) -> None:
    world.submit(world.chip())
    world.admin.grant_member(PROJECT, zoe.name, "zoe", "submitter")
    world.owner.execute(f"ALTER ROLE {zoe.name} RENAME TO zoe_married".encode())
    # Renaming clears the password of a server that stores MD5.
    world.owner.execute("ALTER ROLE zoe_married PASSWORD 'x'")
    assert int(zoe.says(JOBS, "zoe_married")) > 0
    assert "zoe_married" in members(world)
    world.admin.revoke_member(PROJECT, "zoe_married")


def test_a_role_made_again_inherits_no_permission(world: QueueWorld, zoe: Named) -> None:
    chip_id = world.chip()
    zoe.drop()
    zoe.make("calib_executor")
    world.admin.allow_executor(zoe.name, chip_id)
    register = f"SELECT calib.register_executor('{chip_id}/zoe', '{chip_id}', 'fake', 'h', 1, '1')"
    assert zoe.says(register) == "1"
    number = zoe.drop()
    zoe.make("calib_executor")
    assert zoe.says(register) == "CQ021"
    world.admin.allow_executor(zoe.name, chip_id)
    # The executor of that name was another role's.
    world.rows("SELECT calib.disallow_executor(%s, %s)", number, chip_id)
    shown = world.rows("SELECT role_name FROM calib.executor_permissions WHERE chip_id = %s", chip_id)
    assert {row["role_name"] for row in shown} == {world.machine.name, zoe.name}
    world.admin.disallow_executor(zoe.name, chip_id)


def test_names_are_shown_as_they_are(world: QueueWorld) -> None:
    world.owner.execute('CREATE ROLE "Odd Name-1" IN ROLE calib_submitter')
    world.admin.grant_member(PROJECT, "Odd Name-1", "odd", "reader")
    assert "Odd Name-1" in members(world)
    world.admin.revoke_member(PROJECT, "Odd Name-1")
    world.owner.execute('DROP ROLE "Odd Name-1"')


# ------------------------------------------------------------------ superusers


@pytest.fixture(scope="module")
def superuser(world: QueueWorld) -> Person:
    """A superuser who was granted nothing."""
    person = world.person("superuser")
    world.owner.execute(f"ALTER ROLE {person.name} SUPERUSER".encode())
    return person


def test_a_superuser_without_a_membership_reads_no_project(world: QueueWorld, superuser: Person) -> None:
    claimed, _ = world.running(world.chip())
    for view in VIEWS_OF_JOBS:
        statement = f"SELECT FROM calib.{view} WHERE job_id = {claimed.job_id}"
        assert superuser.database.rows(statement) == [], view
    for view in ("projects", "memberships"):
        assert superuser.database.rows(f"SELECT FROM calib.{view}") == [], view


def test_a_superuser_without_a_membership_may_do_nothing(world: QueueWorld, superuser: Person) -> None:
    claimed, lease = world.running(world.chip())
    chip_id, job_id, claim = claimed.chip_id, claimed.job_id, claimed.claim
    session = world.session(superuser, autocommit=True)
    for statement in (
        f"INSERT INTO calib.jobs (project_id, chip_id, flow) VALUES ('{PROJECT}', '{chip_id}', 'repeat')",
        f"SELECT calib.pause_chip('{chip_id}', 'because')",
        f"SELECT calib.set_parameter('{chip_id}', '0', 'qubit_frequency', 4.2, 0, 'GHz', 'because')",
        f"SELECT calib.heartbeat({job_id}, '{claim}'::uuid)",
        f"SELECT calib.conclude({job_id}, '{claim}'::uuid, 'completed')",
        "SELECT calib.add_project('mine')",
        f"SELECT calib.grant_member('{PROJECT}', '{superuser.name}', 'root', 'operator')",
        f"SELECT calib.revoke_member('{PROJECT}', '{world.ana.name}')",
        f"SELECT calib.archive_project('{PROJECT}')",
        "SELECT calib.add_chip('MINE', 'fake', 'linear-2')",
        f"SELECT calib.set_chip('{chip_id}', 1)",
        f"SELECT calib.retire_chip('{chip_id}')",
        f"SELECT calib.allow_executor('{superuser.name}', '{chip_id}')",
        f"SELECT calib.disallow_executor('{world.machine.name}', '{chip_id}')",
        "SELECT calib.set_time_zone('Europe/Berlin')",
        "SELECT calib.set_retention(NULL, NULL, NULL, NULL)",
        "SELECT calib.prune(1)",
        "SELECT calib.sweep()",
        f"SELECT calib.unsynced_flow_runs('{chip_id}')",
        f"SELECT calib.flow_run_synced({job_id}, 1)",
        f"SELECT calib.chips_to_reconcile('{chip_id}')",
        "SELECT calib.register_mirror('mine', 'host', 1, '1')",
        "SELECT calib.take_marks(10, 1)",
        "SELECT calib.mark_done(1, 1)",
        "SELECT calib.mark_failed(1, '')",
        "SELECT calib.mark_refused(1, 1, '', '[]', 5)",
        "SELECT calib.mark(1)",
        "SELECT calib.mark_all()",
        "SELECT calib.retry_marks()",
        "SELECT calib.unrendered_figures(10)",
        "SELECT calib.store_png(1, NULL, 'none')",
    ):
        assert outcome(session, statement) == "CQ003", statement
    for statement in (
        f"SELECT calib.register_executor('mine', '{chip_id}', 'fake', 'h', 1, '1')",
        f"SELECT calib.register_catalogue('{chip_id}', 'fake', '1', '[]', '[]')",
        f"SELECT calib.claim('{chip_id}', '{chip_id}/one', gen_random_uuid())",
    ):
        assert outcome(session, statement) == "CQ021", statement
    cancel = f"UPDATE calib.jobs SET cancel_requested = true WHERE job_id = {job_id}"
    assert session.execute(cancel.encode()).rowcount == 0
    assert lease.heartbeat() is None


def test_a_superuser_has_what_was_granted(world: QueueWorld) -> None:
    """By way of another role too, but not what it could only take by SET ROLE."""
    person = world.person("granted")
    world.owner.execute("CREATE ROLE staff_in_tests")
    world.owner.execute(f"ALTER ROLE {person.name} SUPERUSER".encode())
    world.owner.execute(f"GRANT staff_in_tests TO {person.name}".encode())
    try:
        with pytest.raises(NotPermittedError, match="expected a member of calib_admin"):
            person.database.execute("SELECT calib.add_project('granted')")
        world.owner.execute("GRANT calib_admin TO staff_in_tests")
        person.database.execute("SELECT calib.add_project('granted')")
        if world.owner.info.server_version >= 160000:
            world.owner.execute("GRANT calib_admin TO staff_in_tests WITH INHERIT FALSE")
            with pytest.raises(NotPermittedError):
                person.database.execute("SELECT calib.add_project('granted')")
    finally:
        world.owner.execute("DROP ROLE staff_in_tests")


# ------------------------------------------------------------------ taken away


def test_who_is_no_member_any_more_may_do_nothing(own_world: QueueWorld) -> None:
    chip_id = own_world.chip()
    job_id = own_world.submit(chip_id, own_world.ben)
    own_world.admin.revoke_member(PROJECT, own_world.ben.name)
    own_world.admin.revoke_member(PROJECT, own_world.ben.name)
    session = own_world.session(own_world.ben, autocommit=True)
    assert session.execute(JOBS).fetchall() == []
    cancel = f"UPDATE calib.jobs SET cancel_requested = true WHERE job_id = {job_id}"
    assert session.execute(cancel.encode()).rowcount == 0
    with pytest.raises(NotPermittedError):
        own_world.submit(chip_id, own_world.ben)
    with pytest.raises(UnknownNameError, match=f"unknown job {job_id}"):
        own_world.ben.queue.requeue(job_id)
    assert own_world.job(job_id)["state"] == "scheduled"
    with pytest.raises(UnknownNameError, match='unknown database role "nobody_at_all"'):
        own_world.admin.revoke_member(PROJECT, "nobody_at_all")
    with pytest.raises(UnknownNameError, match="unknown project"):
        own_world.admin.revoke_member("nowhere", own_world.ben.name)


def test_an_executor_that_is_not_allowed_any_more_loses_its_lease(own_timed: QueueWorld) -> None:
    world = own_timed
    claimed, lease = world.running(world.chip())
    world.admin.disallow_executor(world.machine.name, claimed.chip_id)
    world.admin.disallow_executor(world.machine.name, claimed.chip_id)
    executor = world.executor(claimed.chip_id)
    for refused in (
        lease.heartbeat,
        lambda: lease.conclude(JobState.COMPLETED),
        lease.finish,
        lambda: lease.plan_tasks([]),
    ):
        with pytest.raises(LeaseLostError, match="may not execute on chip"):
            refused()
    for verb in (executor.claim, executor.register):
        with pytest.raises(ExecutorRefusedError, match="may not execute on chip"):
            verb()
    world.advance(31)
    executor.seen()
    assert world.rows("SELECT FROM calib.executors WHERE alive") == []
    other = world.person("second_machine", "calib_executor")
    Executor(other.database, claimed.chip_id, "fake", "1.0").sweep()
    ended = world.job(claimed.job_id)
    assert (ended["state"], ended["failure_kind"]) == ("failed", "lost")


def test_an_archived_project_takes_no_jobs(own_world: QueueWorld) -> None:
    world = own_world
    chip_id = world.chip()
    running, lease = world.running(chip_id)
    waiting = [world.submit(chip_id), world.submit(chip_id, world.ben)]
    assert world.admin.archive_project(PROJECT) == 2
    assert world.admin.archive_project(PROJECT) == 0
    for job_id in waiting:
        job = world.job(job_id)
        assert (job["state"], job["cancel_reason"]) == ("cancelled", "project demo was archived")
    for asked in (lambda: world.submit(chip_id), lambda: world.ana.queue.requeue(waiting[0])):
        with pytest.raises(IllegalTransitionError, match='project "demo" is archived: it takes no jobs'):
            asked()
    lease.conclude(JobState.COMPLETED)
    assert lease.finish() is JobState.COMPLETED
    assert len(world.ana.queue.list()) == 3
    row = world.ana.database.row("SELECT archived_at, archived_by FROM calib.projects")
    assert row is not None
    assert row["archived_by"] == world.people["root"].name
    assert running.job_id == world.ana.queue.get(running.job_id).job_id
    with pytest.raises(UnknownNameError, match="unknown project"):
        world.admin.archive_project("nowhere")


def test_a_retired_chip_takes_no_jobs_and_no_executor(own_world: QueueWorld) -> None:
    world = own_world
    chip_id = world.chip()
    claimed, lease = world.running(chip_id)
    with pytest.raises(IllegalTransitionError, match=f'chip "{chip_id}" runs job {claimed.job_id}'):
        world.admin.retire_chip(chip_id)
    lease.conclude(JobState.COMPLETED)
    lease.finish()
    waiting = world.submit(chip_id)
    assert world.admin.retire_chip(chip_id) == 1
    assert world.admin.retire_chip(chip_id) == 0
    assert world.job(waiting)["cancel_reason"] == f"chip {chip_id} was retired"
    with pytest.raises(IllegalTransitionError, match=f'chip "{chip_id}" was retired by'):
        world.submit(chip_id)
    with pytest.raises(IllegalTransitionError, match="was retired by"):
        world.ready(chip_id, "late")
    assert world.executor(chip_id).claim() is None
    assert world.ana.queue.get(claimed.job_id).state is JobState.COMPLETED
    retired = world.rows("SELECT retired_by FROM calib.chips WHERE chip_id = %s", chip_id)
    assert retired == [{"retired_by": world.people["root"].name}]


@pytest.mark.parametrize("verb", ["archive_project", "retire_chip"])
def test_a_job_in_an_open_transaction_does_not_slip_in(own_world: QueueWorld, verb: str) -> None:
    """It was accepted before the end: the verb waits for it, and cancels it."""
    world = own_world
    chip_id = world.chip()
    session = world.session(world.ana)
    job_id = insert(session, project_id=PROJECT, chip_id=chip_id, flow="repeat")["job_id"]
    subject = PROJECT if verb == "archive_project" else chip_id
    cancelled: list[int] = []
    ending = threading.Thread(target=lambda: cancelled.append(getattr(world.admin, verb)(subject)))
    ending.start()
    world.wait_until_blocked(world.people["root"])
    session.commit()
    ending.join()
    assert cancelled == [1]
    assert world.job(job_id)["state"] == "cancelled"


@pytest.mark.parametrize("verb", ["archive_project", "retire_chip"])
def test_a_job_that_comes_while_it_ends_is_refused(own_world: QueueWorld, verb: str) -> None:
    world = own_world
    chip_id = world.chip()
    subject = PROJECT if verb == "archive_project" else chip_id
    ana, admin = world.ana, world.session(world.person("root"))
    admin.execute(f"SELECT calib.{verb}(%s)".encode(), (subject,))
    refused: list[Exception] = []

    def ask() -> None:
        try:
            world.submit(chip_id)
        except (QueueError, DatabaseUnreachableError) as error:
            refused.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    world.wait_until_blocked(ana)
    admin.commit()
    asking.join()
    assert [type(error) for error in refused] == [IllegalTransitionError]
    assert world.rows(JOBS) == []


@pytest.mark.parametrize("verb", ["archive_project", "retire_chip"])
def test_an_old_snapshot_is_refused(own_world: QueueWorld, verb: str) -> None:
    admin = own_world.session(own_world.person("root"))
    admin.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    assert outcome(admin, f"SELECT calib.{verb}('{PROJECT}')") == "CQ010"


# ------------------------------------------------------------------ notebooks
