"""Who is speaking, and what they may do to whose jobs."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import psycopg
import pytest

from tests.support.queue_world import DENIED, PROJECT, VIEWS_OF_JOBS, Connection, QueueWorld, insert, outcome


@pytest.fixture
def web(world: QueueWorld) -> Iterator[Connection]:
    """A web server's login that may become two people but inherits nothing of theirs."""
    role = world.person("web").name
    for name in ("web_ana", "web_ben"):
        world.owner.execute(f"CREATE ROLE {name} NOLOGIN IN ROLE calib_submitter".encode())
        world.admin.grant_member(PROJECT, name, name, "submitter")
        inherit = " WITH INHERIT FALSE" if world.owner.info.server_version >= 160000 else ""
        world.owner.execute(f"GRANT {name} TO {role}{inherit}".encode())
    world.owner.execute(f"ALTER ROLE {role} NOINHERIT".encode())
    with world.session(world.people["web"], autocommit=True) as session:
        yield session
    for name in ("web_ana", "web_ben"):
        world.admin.revoke_member(PROJECT, name)
    world.owner.execute("DROP ROLE web_ana, web_ben")


def test_a_definer_function_sees_the_role_that_was_set(world: QueueWorld, web: Connection) -> None:
    chip_id = world.chip()
    web.execute("SET ROLE web_ana")
    job = insert(web, project_id=PROJECT, chip_id=chip_id, flow="repeat")
    assert (job["submitted_by"], job["username"]) == ("web_ana", "web_ana")
    web.execute("SET ROLE web_ben")
    with pytest.raises(psycopg.Error, match=f"web_ben may not change job {job['job_id']} of web_ana"):
        web.execute("UPDATE calib.jobs SET cancel_requested = true WHERE job_id = %s", (job["job_id"],))
    web.execute("SET ROLE web_ana")
    web.execute("UPDATE calib.jobs SET cancel_requested = true WHERE job_id = %s", (job["job_id"],))
    stored = world.job(job["job_id"])
    assert (stored["state"], stored["cancel_requested_by"]) == ("cancelled", "web_ana")
    actors = world.rows("SELECT DISTINCT actor FROM calib.job_events WHERE job_id = %s", job["job_id"])
    assert actors == [{"actor": "web_ana"}]


def test_a_role_that_was_not_taken_counts_for_nothing(world: QueueWorld, web: Connection) -> None:
    """The web's login may become people, but without SET ROLE it is none of them."""
    web.execute("SET ROLE web_ana")
    assert web.execute("SELECT project_id FROM calib.projects").fetchall() == [{"project_id": PROJECT}]
    web.execute("RESET ROLE")
    # Asked as the owner would ask on the login's behalf, because the login itself may read nothing at all.
    with pytest.raises(psycopg.Error) as refused:
        web.execute("SELECT project_id FROM calib.projects")
    assert refused.value.sqlstate == DENIED
    world.owner.execute("GRANT USAGE ON SCHEMA calib_private TO PUBLIC")
    world.owner.execute("GRANT EXECUTE ON FUNCTION calib_private.actor_is(regrole) TO PUBLIC")
    try:
        row = web.execute("SELECT calib_private.actor_is('web_ana') AS is_ana").fetchone()
        assert row == {"is_ana": False}
    finally:
        world.owner.execute("REVOKE USAGE ON SCHEMA calib_private FROM PUBLIC")
        world.owner.execute("REVOKE EXECUTE ON FUNCTION calib_private.actor_is(regrole) FROM PUBLIC")


@pytest.mark.parametrize(
    "spoof",
    [
        "SELECT set_config('role', '{operator}', false)",
        "SELECT set_config('role', 'calib_admin', true)",
        "SET LOCAL role = 'calib_owner'",
        "SELECT set_config('session_authorization', '{operator}', false)",
        "SET SESSION AUTHORIZATION '{operator}'",
        "SELECT set_config('is_superuser', 'on', false)",
    ],
)
def test_nobody_can_pretend_to_be_another(world: QueueWorld, spoof: str) -> None:
    session = world.session(world.ana)
    with pytest.raises(psycopg.Error):
        session.execute(spoof.format(operator=world.olga.name).encode())
    session.rollback()
    job = insert(session, project_id=PROJECT, chip_id=world.chip(), flow="repeat")
    assert job["submitted_by"] == world.ana.name
    session.rollback()


def test_own_settings_change_nobody(world: QueueWorld) -> None:
    """A client's own variables with tempting names are just variables."""
    session = world.session(world.ana)
    for name in ("calib.actor", "calib.now", "app.user", "request.jwt.claims"):
        session.execute("SELECT set_config(%s, %s, false)", (name, world.olga.name))
    session.execute(
        "CREATE TEMP TABLE memberships (project_id text, role_name text, username text, access text)"
    )
    session.execute("CREATE FUNCTION pg_temp.actor() RETURNS text RETURN 'calib_admin'")
    session.execute("SET search_path = pg_temp, calib, pg_catalog")
    job = insert(session, project_id=PROJECT, chip_id=world.chip(), flow="repeat")
    assert job["submitted_by"] == world.ana.name
    session.rollback()


def test_no_setting_of_a_client_shifts_the_clock(world: QueueWorld) -> None:
    """Every setting that a client may change, moved as far as it goes: the instant stays."""
    session = world.session(world.ana, autocommit=True)
    changed = 0
    chip_id = world.chip()
    for row in world.rows(
        "SELECT name, vartype, enumvals, max_val, min_val, setting FROM pg_settings WHERE context = 'user'"
        " AND (name ~ 'time|date|zone|interval|style|lc_|lock|snapshot|commit' OR category ~ 'Locale|Client')"
        " AND name !~ 'timeout|search_path|role|session_authorization|read_only'"
    ):
        values = row["enumvals"] or {
            "bool": ["on", "off"],
            "string": ["Pacific/Kiritimati", "SQL, DMY", "C"],
        }.get(row["vartype"], [row["max_val"], row["min_val"]])
        for value in values:
            try:
                session.execute("SELECT set_config(%s, %s, false)", (row["name"], value))
                changed += 1
            except psycopg.Error:
                continue
    assert changed > 20
    stored = session.execute(
        "INSERT INTO calib.jobs (project_id, chip_id, flow) VALUES (%s, %s, 'repeat') RETURNING job_id",
        (PROJECT, chip_id),
    ).fetchone()
    assert stored is not None
    off = world.rows(
        "SELECT abs(extract(epoch FROM clock_timestamp() - submitted_at)) AS seconds"
        " FROM calib.jobs WHERE job_id = %s",
        stored["job_id"],
    )
    assert off[0]["seconds"] < 5
    volatile = world.rows("SELECT prosrc, proconfig FROM pg_proc WHERE oid = 'calib_private.now'::regproc")
    assert volatile[0]["prosrc"].split() == ["BEGIN", "RETURN", "clock_timestamp();", "END"]


# ------------------------------------------------------------------ membership


def test_rows_show_to_members_only(world: QueueWorld) -> None:
    world.admin.add_project("other")
    stranger = world.person("stranger", "calib_operator")
    world.admin.grant_member("other", stranger.name, "stranger", "operator")
    claimed, lease = world.running(world.chip())
    lease.set_flow_run(uuid.uuid4())
    for view in VIEWS_OF_JOBS:
        assert stranger.database.rows(f"SELECT * FROM calib.{view} WHERE job_id = {claimed.job_id}") == []
    assert [row["project_id"] for row in stranger.database.rows("SELECT * FROM calib.projects")] == ["other"]
    assert world.ben.database.rows(f"SELECT * FROM calib.mirror_lag WHERE job_id = {claimed.job_id}") != []
    session = world.session(stranger, autocommit=True)
    update = "UPDATE calib.jobs SET cancel_requested = true WHERE job_id = %s"
    assert session.execute(update, (claimed.job_id,)).rowcount == 0
    with pytest.raises(psycopg.Error, match=f"unknown job {claimed.job_id}"):
        session.execute("SELECT calib.requeue(%s)", (claimed.job_id,))
    with pytest.raises(psycopg.Error, match=f'{stranger.name} may not submit to project "demo"'):
        insert(session, project_id=PROJECT, chip_id=claimed.chip_id, flow="repeat")


def test_a_leaky_function_sees_no_row_of_another_project(world: QueueWorld) -> None:
    world.admin.add_project("leak")
    spy = world.person("spy", "calib_submitter")
    world.admin.grant_member("leak", spy.name, "spy", "submitter")
    world.submit(world.chip(), note={"secret": "resonance"})
    session = world.session(spy, autocommit=True)
    said: list[str] = []
    session.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
    session.execute(
        "CREATE FUNCTION pg_temp.tell(v jsonb) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS"
        " $$ BEGIN RAISE NOTICE '%', v; RETURN true; END $$"
    )
    assert session.execute("SELECT * FROM calib.jobs WHERE pg_temp.tell(note)").fetchall() == []
    assert said == []


def test_a_reader_of_the_project_may_not_submit(world: QueueWorld) -> None:
    reader = world.person("rita", "calib_submitter", access="reader")
    with pytest.raises(psycopg.Error) as refused:
        insert(world.session(reader), project_id=PROJECT, chip_id=world.chip(), flow="repeat")
    assert refused.value.sqlstate == "CQ003"


def test_submitting_for_another_needs_the_operators_right(world: QueueWorld) -> None:
    chip_id = world.chip()
    with pytest.raises(psycopg.Error, match='may submit as "ana" only, not as "ben"'):
        insert(world.session(world.ana), project_id=PROJECT, chip_id=chip_id, flow="repeat", username="ben")
    job = insert(
        world.session(world.olga), project_id=PROJECT, chip_id=chip_id, flow="repeat", username="ben"
    )
    assert (job["username"], job["submitted_by"]) == ("ben", world.olga.name)
    assert (
        insert(world.session(world.ana), project_id=PROJECT, chip_id=chip_id, flow="repeat")["username"]
        == "ana"
    )


def test_who_may_cancel_and_reorder(world: QueueWorld) -> None:
    chip_id = world.chip()
    for change in ("cancel_requested = true", "priority = 3"):
        job_id = world.submit(chip_id, world.ana)
        statement = f"UPDATE calib.jobs SET {change} WHERE job_id = {job_id}"
        session = world.session(world.ben, autocommit=True)
        with pytest.raises(
            psycopg.Error, match=f"{world.ben.name} may not change job {job_id} of {world.ana.name}"
        ):
            session.execute(statement.encode())
        # Operator of the project by membership, but without the role.
        half = world.session(world.person("half", "calib_submitter", access="operator"), autocommit=True)
        with pytest.raises(psycopg.Error, match="may not change job"):
            half.execute(statement.encode())
        assert world.session(world.olga, autocommit=True).execute(statement.encode()).rowcount == 1


def test_an_executor_needs_the_chips_permission(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    other = world.session(world.person("other_machine", "calib_executor"), autocommit=True)
    for statement, code in (
        (f"SELECT calib.register_executor('x', '{claimed.chip_id}', 'fake', 'h', 1, '1')", "CQ021"),
        (f"SELECT calib.register_catalogue('{claimed.chip_id}', 'fake', '1', '[]', '[]')", "CQ021"),
        (f"SELECT calib.claim('{claimed.chip_id}', '{claimed.chip_id}/one', gen_random_uuid())", "CQ021"),
        (f"SELECT calib.heartbeat({claimed.job_id}, '{claimed.claim}'::uuid)", "CQ003"),
        (f"SELECT calib.conclude({claimed.job_id}, '{claimed.claim}'::uuid, 'completed')", "CQ003"),
        (f"SELECT calib.finish({claimed.job_id}, '{claimed.claim}'::uuid)", "CQ003"),
        (f"SELECT calib.end_job({claimed.job_id}, '{claimed.claim}'::uuid, 'completed')", "CQ003"),
        (f"SELECT calib.give_back({claimed.job_id}, '{claimed.claim}'::uuid, '')", "CQ003"),
    ):
        assert outcome(other, statement) == code, statement
    assert lease.heartbeat() is None


def test_an_executor_of_the_wrong_kind_is_refused(world: QueueWorld) -> None:
    world.admin.add_chip("REAL", "qubex", "linear-2")
    world.admin.allow_executor(world.machine.name, "REAL")
    session = world.session(world.machine)
    with pytest.raises(
        psycopg.Error, match='chip "REAL" is driven by backend "qubex": an executor of backend "fake"'
    ):
        session.execute("SELECT calib.register_executor('x', 'REAL', 'fake', 'h', 1, '1')")
