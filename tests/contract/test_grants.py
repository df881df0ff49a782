"""Who may do what: every role against every view, function and table, verb by verb.

The matrix below is the claim; the catalogue says what there is. A view or function without a row here fails.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import psycopg
import pytest

from tests.contract.lab import PROJECT, Connection, Lab, insert

ROLES = ["nobody", "reader", "submitter", "operator", "executor", "mirror", "admin"]
GROUPS = {
    "reader": {"reader"},
    "submitter": {"reader", "submitter"},
    "operator": {"reader", "submitter", "operator"},
    "executor": {"reader", "executor"},
    "mirror": {"reader", "mirror"},
    "admin": {"reader", "submitter", "operator", "admin"},
    "nobody": set[str](),
}
VIEWS = {
    *("jobs", "projects", "memberships", "chips", "qubits", "couplings", "flows", "tasks", "executors"),
    *("attempts", "job_events", "task_runs", "figures", "raw_data", "settings", "mirror_lag"),
    *("parameters", "parameter_history"),
}
# Which groups each function is granted to.
FUNCTIONS = {
    "schema_version": {"reader"},
    "parameters_as_of": {"reader"},
    "requeue": {"submitter"},
    "pause_chip": {"operator"},
    "resume_chip": {"operator"},
    "set_parameter": {"operator"},
    "import_parameters": {"operator"},
    "revert_parameter": {"operator"},
    "register_executor": {"executor"},
    "executor_seen": {"executor"},
    "executor_stopped": {"executor"},
    "register_catalogue": {"executor"},
    "claim": {"executor"},
    "heartbeat": {"executor"},
    "cancel_from_prefect": {"executor"},
    "set_flow_run": {"executor"},
    "log_event": {"executor"},
    "quiesced": {"executor"},
    "quiesce_failed": {"executor"},
    "plan_tasks": {"executor"},
    "start_task": {"executor"},
    "record_task": {"executor"},
    "conclude": {"executor"},
    "finish": {"executor"},
    "give_back": {"executor"},
    "sweep": {"executor", "mirror"},
    "unsynced_flow_runs": {"executor"},
    "flow_run_synced": {"executor"},
    "take_marks": {"mirror"},
    "mark_done": {"mirror"},
    "mark_failed": {"mirror"},
    "mark": {"mirror", "admin"},
    "mark_all": {"mirror", "admin"},
    "unrendered_figures": {"mirror"},
    "store_png": {"mirror"},
    "add_project": {"admin"},
    "grant_member": {"admin"},
    "add_chip": {"admin"},
    "set_chip": {"admin"},
    "allow_executor": {"admin"},
    "set_time_zone": {"admin"},
}
CHANGEABLE = {"cancel_requested", "cancel_mode", "cancel_reason", "priority"}
# Weak locks that whoever reads or inserts takes anyway; the strong ones would stop the queue.
WEAK_LOCKS = {
    "reader": {"ACCESS SHARE"},
    "submitter": {"ACCESS SHARE", "ROW SHARE", "ROW EXCLUSIVE"},
}
LOCKS = [
    *("ACCESS SHARE", "ROW SHARE", "ROW EXCLUSIVE", "SHARE UPDATE EXCLUSIVE", "SHARE"),
    *("SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE"),
]


@pytest.fixture(scope="module")
def sessions(lab: Lab) -> dict[str, Connection]:
    """A session of a login with one role each; `nobody` has none. Nothing they do is kept."""
    members = {"submitter": "submitter", "operator": "operator", "reader": "reader"}
    return {
        role: lab.session(
            lab.person(
                f"p_{role}", *([] if role == "nobody" else [f"calib_{role}"]), access=members.get(role)
            )
        )
        for role in ROLES
    }


def outcome(session: Connection, statement: str) -> str:
    """`done`, or the SQLSTATE; rolled back in any case."""
    try:
        session.execute(statement.encode())
    except psycopg.Error as error:
        return error.sqlstate or "lost"
    else:
        return "done"
    finally:
        session.rollback()


DENIED = "42501"
# Or: no such thing can be done to a view of this kind.
REFUSED = (DENIED, "42809", "55000")


def test_the_matrix_names_every_view_and_function(lab: Lab) -> None:
    views = lab.rows(
        "SELECT relname FROM pg_class WHERE relnamespace = 'calib'::regnamespace AND relkind IN ('v', 'm', 'r', 'f', 'S')"
    )
    assert {row["relname"] for row in views} == VIEWS
    functions = lab.rows("SELECT proname FROM pg_proc WHERE pronamespace = 'calib'::regnamespace")
    assert sorted(row["proname"] for row in functions) == sorted(FUNCTIONS)


@pytest.mark.parametrize("role", ROLES)
def test_views_can_be_read_and_nothing_else(lab: Lab, sessions: dict[str, Connection], role: str) -> None:
    session = sessions[role]
    reads = "done" if "reader" in GROUPS[role] else DENIED
    for view in sorted(VIEWS):
        assert outcome(session, f"SELECT * FROM calib.{view}") == reads, view
        for statement in (
            f"DELETE FROM calib.{view}",
            f"TRUNCATE calib.{view}",
            f"CREATE TRIGGER t INSTEAD OF INSERT ON calib.{view} FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            f"DROP VIEW calib.{view}",
            f"CREATE OR REPLACE VIEW calib.{view} AS SELECT 1",
        ):
            assert outcome(session, statement) in REFUSED, statement
        if view != "jobs":
            assert outcome(session, f"INSERT INTO calib.{view} DEFAULT VALUES") in REFUSED, view


@pytest.mark.parametrize("role", ROLES)
def test_columns_of_jobs_that_can_be_changed(lab: Lab, sessions: dict[str, Connection], role: str) -> None:
    columns = lab.rows(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'calib.jobs'::regclass AND attnum > 0"
    )
    submits = "submitter" in GROUPS[role]
    for column in (row["attname"] for row in columns):
        expected = "done" if submits and column in CHANGEABLE else DENIED
        statement = f"UPDATE calib.jobs SET {column} = NULL WHERE job_id = -1"
        assert outcome(sessions[role], statement) == expected, column
    inserted = outcome(sessions[role], "INSERT INTO calib.jobs (project_id, chip_id) VALUES ('nowhere', 'X')")
    assert inserted == ("CQ001" if submits else DENIED)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("view", ["jobs", "chips"])
def test_no_strong_lock_on_a_view(sessions: dict[str, Connection], role: str, view: str) -> None:
    """A lock on a view goes down to the tables; a strong one would stop every executor."""
    weak = set[str]().union(*(WEAK_LOCKS.get(group, set()) for group in GROUPS[role]))
    for lock in LOCKS:
        answer = outcome(sessions[role], f"LOCK TABLE calib.{view} IN {lock} MODE NOWAIT")
        if lock not in weak:
            assert answer == DENIED, lock


def test_strong_locks_are_refused_to_the_operator_who_may_update(sessions: dict[str, Connection]) -> None:
    for lock in LOCKS[3:]:
        assert outcome(sessions["operator"], f"LOCK TABLE calib.jobs IN {lock} MODE NOWAIT") == DENIED


@pytest.mark.parametrize("role", ROLES)
def test_functions_are_granted_as_the_matrix_says(
    lab: Lab, sessions: dict[str, Connection], role: str
) -> None:
    for row in _functions(lab, "calib"):
        allowed = bool(FUNCTIONS[row["proname"]] & GROUPS[role])
        arguments = ", ".join(f"NULL::{kind}" for kind in row["kinds"])
        answer = outcome(sessions[role], f"SELECT calib.{row['proname']}({arguments})")
        if allowed:
            # Called with nothing: done or refused in our words, but never for want of the right to call.
            assert answer != DENIED, row["signature"]
        else:
            assert answer == DENIED, row["signature"]


def _functions(lab: Lab, schema: str) -> list[dict[str, object]]:
    return lab.rows(
        "SELECT p.proname, p.oid::regprocedure::text AS signature, p.prosecdef, p.proconfig, p.proacl::text AS acl,"
        "  array(SELECT format_type(k, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY AS t(k, n) ORDER BY n) AS kinds"
        "  FROM pg_proc p WHERE p.pronamespace = %s::regnamespace ORDER BY 2",
        schema,
    )


@pytest.mark.parametrize("role", ROLES)
def test_the_private_schema_is_closed(lab: Lab, sessions: dict[str, Connection], role: str) -> None:
    tables = lab.rows(
        "SELECT relname, relkind FROM pg_class WHERE relnamespace = 'calib_private'::regnamespace AND relkind IN ('r', 'S')"
    )
    assert len(tables) > 20
    for row in tables:
        if row["relkind"] == "S":
            assert outcome(sessions[role], f"SELECT nextval('calib_private.{row['relname']}')") == DENIED
            continue
        name = f"calib_private.{row['relname']}"
        for statement in (
            f"SELECT FROM {name}",
            f"INSERT INTO {name} DEFAULT VALUES",
            f"DELETE FROM {name}",
            f"TRUNCATE {name}",
            f"LOCK TABLE {name} IN ACCESS SHARE MODE",
            f"COPY {name} TO STDOUT",
        ):
            assert outcome(sessions[role], statement) == DENIED, statement
    for function in _functions(lab, "calib_private"):
        arguments = ", ".join(f"NULL::{kind}" for kind in function["kinds"])  # type: ignore[attr-defined]
        if "trigger" in str(function["signature"]) or "calib_private." in arguments:
            continue
        statement = f"SELECT calib_private.{function['proname']}({arguments})"
        assert outcome(sessions[role], statement) == DENIED, statement


@pytest.mark.parametrize("role", ROLES)
def test_nothing_can_be_made_in_our_schemas(sessions: dict[str, Connection], role: str) -> None:
    for schema in ("calib", "calib_private", "calib_ext"):
        for statement in (
            f"CREATE TABLE {schema}.t ()",
            f"CREATE FUNCTION {schema}.f() RETURNS int RETURN 1",
        ):
            assert outcome(sessions[role], statement) == DENIED, statement
    assert outcome(sessions[role], "SET ROLE calib_owner") == DENIED
    assert outcome(sessions[role], "SET SESSION AUTHORIZATION calib_owner") == DENIED
    assert outcome(sessions[role], "SET session_replication_role = replica") == DENIED


def test_nothing_is_executable_by_public(lab: Lab) -> None:
    for function in [*_functions(lab, "calib"), *_functions(lab, "calib_private")]:
        assert function["acl"] is not None, function["signature"]
        grantees = str(function["acl"]).strip("{}").split(",")
        assert not [grant for grant in grantees if grant.startswith("=")], function["signature"]


def test_every_function_pins_its_search_path(lab: Lab) -> None:
    for function in [*_functions(lab, "calib"), *_functions(lab, "calib_private")]:
        config = function["proconfig"]
        assert isinstance(config, list), function["signature"]
        paths = [entry for entry in config if entry.startswith("search_path=")]
        assert paths, function["signature"]
        assert paths[0].startswith("search_path=pg_catalog, "), function["signature"]
        assert paths[0].endswith("pg_temp"), function["signature"]


# ------------------------------------------------------------------ who is speaking


@pytest.fixture
def web(lab: Lab) -> Iterator[Connection]:
    """A web server's login that may become ana and ben, who cannot log in here, but inherits nothing of theirs."""
    role = lab.person("web").name
    for name in ("web_ana", "web_ben"):
        lab.owner.execute(f"CREATE ROLE {name} NOLOGIN IN ROLE calib_submitter".encode())
        lab.admin.grant_member(PROJECT, name, name, "submitter")
        inherit = " WITH INHERIT FALSE" if lab.owner.info.server_version >= 160000 else ""
        lab.owner.execute(f"GRANT {name} TO {role}{inherit}".encode())
    lab.owner.execute(f"ALTER ROLE {role} NOINHERIT".encode())
    with lab.session(lab.people["web"], autocommit=True) as session:
        yield session
    lab.owner.execute("DELETE FROM calib_private.memberships WHERE role_name LIKE 'web%'")
    lab.owner.execute("DROP ROLE web_ana, web_ben")


def test_a_definer_function_sees_the_role_that_was_set(lab: Lab, web: Connection) -> None:
    chip_id = lab.chip()
    web.execute("SET ROLE web_ana")
    job = insert(web, project_id=PROJECT, chip_id=chip_id, flow="repeat")
    assert (job["submitted_by"], job["username"]) == ("web_ana", "web_ana")
    web.execute("SET ROLE web_ben")
    with pytest.raises(psycopg.Error, match=f"web_ben may not change job {job['job_id']} of web_ana"):
        web.execute("UPDATE calib.jobs SET cancel_requested = true WHERE job_id = %s", (job["job_id"],))
    web.execute("SET ROLE web_ana")
    web.execute("UPDATE calib.jobs SET cancel_requested = true WHERE job_id = %s", (job["job_id"],))
    stored = lab.job(job["job_id"])
    assert (stored["state"], stored["cancel_requested_by"]) == ("cancelled", "web_ana")
    actors = lab.rows("SELECT DISTINCT actor FROM calib.job_events WHERE job_id = %s", job["job_id"])
    assert actors == [{"actor": "web_ana"}]


def test_a_role_that_was_not_taken_counts_for_nothing(lab: Lab, web: Connection) -> None:
    """The web's login may become people, but without SET ROLE it is none of them."""
    web.execute("SET ROLE web_ana")
    assert web.execute("SELECT project_id FROM calib.projects").fetchall() == [{"project_id": PROJECT}]
    web.execute("RESET ROLE")
    # Asked as the owner would ask on the login's behalf, because the login itself may read nothing at all.
    with pytest.raises(psycopg.Error) as refused:
        web.execute("SELECT project_id FROM calib.projects")
    assert refused.value.sqlstate == DENIED
    lab.owner.execute("GRANT USAGE ON SCHEMA calib_private TO PUBLIC")
    lab.owner.execute("GRANT EXECUTE ON FUNCTION calib_private.actor_is(text) TO PUBLIC")
    try:
        row = web.execute("SELECT calib_private.actor_is('web_ana') AS is_ana").fetchone()
        assert row == {"is_ana": False}
    finally:
        lab.owner.execute("REVOKE USAGE ON SCHEMA calib_private FROM PUBLIC")
        lab.owner.execute("REVOKE EXECUTE ON FUNCTION calib_private.actor_is(text) FROM PUBLIC")


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
def test_nobody_can_pretend_to_be_another(lab: Lab, spoof: str) -> None:
    session = lab.session(lab.ana)
    with pytest.raises(psycopg.Error):
        session.execute(spoof.format(operator=lab.olga.name).encode())
    session.rollback()
    job = insert(session, project_id=PROJECT, chip_id=lab.chip(), flow="repeat")
    assert job["submitted_by"] == lab.ana.name
    session.rollback()


def test_own_settings_change_nobody(lab: Lab) -> None:
    """A client's own variables with tempting names are just variables."""
    session = lab.session(lab.ana)
    for name in ("calib.actor", "calib.now", "app.user", "request.jwt.claims"):
        session.execute("SELECT set_config(%s, %s, false)", (name, lab.olga.name))
    session.execute(
        "CREATE TEMP TABLE memberships (project_id text, role_name text, username text, access text)"
    )
    session.execute("CREATE FUNCTION pg_temp.actor() RETURNS text RETURN 'calib_admin'")
    session.execute("SET search_path = pg_temp, calib, pg_catalog")
    job = insert(session, project_id=PROJECT, chip_id=lab.chip(), flow="repeat")
    assert job["submitted_by"] == lab.ana.name
    session.rollback()


def test_no_setting_of_a_client_shifts_the_clock(lab: Lab) -> None:
    """Every setting that a client may change, moved as far as it goes: the stored instant stays the instant."""
    session = lab.session(lab.ana, autocommit=True)
    changed = 0
    chip_id = lab.chip()
    for row in lab.rows(
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
    row = session.execute(
        "INSERT INTO calib.jobs (project_id, chip_id, flow) VALUES (%s, %s, 'repeat') RETURNING job_id",
        (PROJECT, chip_id),
    ).fetchone()
    assert row is not None
    off = lab.rows(
        "SELECT abs(extract(epoch FROM clock_timestamp() - submitted_at)) AS seconds"
        " FROM calib.jobs WHERE job_id = %s",
        row["job_id"],
    )
    assert off[0]["seconds"] < 5
    volatile = lab.rows("SELECT prosrc, proconfig FROM pg_proc WHERE oid = 'calib_private.now'::regproc")
    assert volatile[0]["prosrc"].strip() == "SELECT clock_timestamp()"


# ------------------------------------------------------------------ membership


def test_rows_show_to_members_only(lab: Lab) -> None:
    lab.admin.add_project("other")
    stranger = lab.person("stranger", "calib_operator")
    lab.admin.grant_member("other", stranger.name, "stranger", "operator")
    claimed, lease = lab.running(lab.chip())
    lease.set_flow_run(uuid.uuid4())
    for view in ("jobs", "attempts", "job_events", "task_runs", "figures", "raw_data", "mirror_lag"):
        assert stranger.database.rows(f"SELECT * FROM calib.{view} WHERE job_id = {claimed.job_id}") == []
    assert [row["project_id"] for row in stranger.database.rows("SELECT * FROM calib.projects")] == ["other"]
    assert lab.ben.database.rows(f"SELECT * FROM calib.mirror_lag WHERE job_id = {claimed.job_id}") != []
    session = lab.session(stranger, autocommit=True)
    update = "UPDATE calib.jobs SET cancel_requested = true WHERE job_id = %s"
    assert session.execute(update, (claimed.job_id,)).rowcount == 0
    with pytest.raises(psycopg.Error, match=f"unknown job {claimed.job_id}"):
        session.execute("SELECT calib.requeue(%s)", (claimed.job_id,))
    with pytest.raises(psycopg.Error, match=f'{stranger.name} may not submit to project "demo"'):
        insert(session, project_id=PROJECT, chip_id=claimed.chip_id, flow="repeat")


def test_a_leaky_function_sees_no_row_of_another_project(lab: Lab) -> None:
    lab.admin.add_project("leak")
    spy = lab.person("spy", "calib_submitter")
    lab.admin.grant_member("leak", spy.name, "spy", "submitter")
    lab.submit(lab.chip(), note={"secret": "resonance"})
    session = lab.session(spy, autocommit=True)
    said: list[str] = []
    session.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
    session.execute(
        "CREATE FUNCTION pg_temp.tell(v jsonb) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS"
        " $$ BEGIN RAISE NOTICE '%', v; RETURN true; END $$"
    )
    assert session.execute("SELECT * FROM calib.jobs WHERE pg_temp.tell(note)").fetchall() == []
    assert said == []


def test_a_reader_of_the_project_may_not_submit(lab: Lab) -> None:
    reader = lab.person("rita", "calib_submitter", access="reader")
    with pytest.raises(psycopg.Error) as refused:
        insert(lab.session(reader), project_id=PROJECT, chip_id=lab.chip(), flow="repeat")
    assert refused.value.sqlstate == "CQ003"


def test_submitting_for_another_needs_the_operators_right(lab: Lab) -> None:
    chip_id = lab.chip()
    with pytest.raises(psycopg.Error, match='may submit as "ana" only, not as "ben"'):
        insert(lab.session(lab.ana), project_id=PROJECT, chip_id=chip_id, flow="repeat", username="ben")
    job = insert(lab.session(lab.olga), project_id=PROJECT, chip_id=chip_id, flow="repeat", username="ben")
    assert (job["username"], job["submitted_by"]) == ("ben", lab.olga.name)
    assert (
        insert(lab.session(lab.ana), project_id=PROJECT, chip_id=chip_id, flow="repeat")["username"] == "ana"
    )


def test_who_may_cancel_and_reorder(lab: Lab) -> None:
    chip_id = lab.chip()
    for change in ("cancel_requested = true", "priority = 3"):
        job_id = lab.submit(chip_id, lab.ana)
        statement = f"UPDATE calib.jobs SET {change} WHERE job_id = {job_id}"
        session = lab.session(lab.ben, autocommit=True)
        with pytest.raises(
            psycopg.Error, match=f"{lab.ben.name} may not change job {job_id} of {lab.ana.name}"
        ):
            session.execute(statement.encode())
        # Operator of the project by membership, but without the role.
        half = lab.session(lab.person("half", "calib_submitter", access="operator"), autocommit=True)
        with pytest.raises(psycopg.Error, match="may not change job"):
            half.execute(statement.encode())
        assert lab.session(lab.olga, autocommit=True).execute(statement.encode()).rowcount == 1


def test_an_executor_needs_the_chips_permission(lab: Lab) -> None:
    claimed, lease = lab.running(lab.chip())
    other = lab.session(lab.person("other_machine", "calib_executor"), autocommit=True)
    for statement, code in (
        (f"SELECT calib.register_executor('x', '{claimed.chip_id}', 'fake', 'h', 1, '1')", "CQ021"),
        (f"SELECT calib.register_catalogue('{claimed.chip_id}', 'fake', '1', '[]', '[]')", "CQ021"),
        (f"SELECT calib.claim('{claimed.chip_id}', '{claimed.chip_id}/one')", "CQ021"),
        (f"SELECT calib.heartbeat({claimed.job_id}, {claimed.fence})", "CQ003"),
        (f"SELECT calib.conclude({claimed.job_id}, {claimed.fence}, 'completed')", "CQ003"),
        (f"SELECT calib.finish({claimed.job_id}, {claimed.fence})", "CQ003"),
        (f"SELECT calib.give_back({claimed.job_id}, {claimed.fence}, '')", "CQ003"),
    ):
        assert outcome(other, statement) == code, statement
    assert lease.heartbeat() is None


def test_an_executor_of_the_wrong_kind_is_refused(lab: Lab) -> None:
    lab.admin.add_chip("REAL", "qubex", "linear-2")
    lab.admin.allow_executor(lab.machine.name, "REAL")
    session = lab.session(lab.machine)
    with pytest.raises(
        psycopg.Error, match='chip "REAL" is driven by backend "qubex": an executor of backend "fake"'
    ):
        session.execute("SELECT calib.register_executor('x', 'REAL', 'fake', 'h', 1, '1')")
