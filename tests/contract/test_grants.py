"""Who may do what: every role against every view, function and table, verb by verb.

The matrix below is the claim; the catalogue says what there is. A view or function without a row here fails.
"""

from __future__ import annotations

import pytest

from tests.support.queue_world import DENIED, Connection, QueueWorld, Row, outcome

ROLES = ["nobody", "reader", "submitter", "operator", "notebook", "executor", "mirror", "admin"]
GROUPS = {
    "reader": {"reader"},
    "submitter": {"reader", "submitter"},
    "operator": {"reader", "submitter", "operator"},
    "notebook": {"reader", "submitter", "notebook"},
    "executor": {"reader", "executor"},
    "mirror": {"reader", "mirror"},
    "admin": {"reader", "submitter", "operator", "admin"},
    "nobody": set[str](),
}
VIEWS = {
    *("jobs", "projects", "memberships", "chips", "qubits", "couplings", "flows", "tasks", "executors"),
    *("attempts", "job_events", "task_runs", "sweeps", "stages", "figures", "raw_data", "settings"),
    *("mirror_lag", "parameters", "parameter_history", "retention", "mirrors", "executor_permissions"),
    *("job_counts", "known_parameters"),
}
# Which groups each function is granted to.
FUNCTIONS = {
    "schema_version": {"reader"},
    "oldest_served_version": {"reader"},
    "why_waits": {"reader"},
    "find_jobs": {"reader"},
    "waiting_jobs": {"reader"},
    "recent_events": {"reader"},
    "parameters_as_of": {"reader"},
    "parameters_at": {"reader"},
    "requeue": {"submitter"},
    "cancel_jobs": {"submitter"},
    "submit_many": {"submitter"},
    "pause_chip": {"operator"},
    "resume_chip": {"operator"},
    "set_parameter": {"operator"},
    "import_parameters": {"operator"},
    "revert_parameter": {"operator"},
    "register_executor": {"executor", "notebook"},
    "executor_seen": {"executor"},
    "executor_stopped": {"executor", "notebook"},
    "register_catalogue": {"executor"},
    "claim": {"executor", "notebook"},
    "heartbeat": {"executor", "notebook"},
    "cancel_from_prefect": {"executor"},
    "set_flow_run": {"executor"},
    "log_event": {"executor"},
    "quiesced": {"executor", "notebook"},
    "quiesce_failed": {"executor", "notebook"},
    "plan_tasks": {"executor", "notebook"},
    "start_sweep": {"executor", "notebook"},
    "end_sweep": {"executor", "notebook"},
    "record_stage": {"executor", "notebook"},
    "record_task": {"executor", "notebook"},
    "conclude": {"executor", "notebook"},
    "finish": {"executor", "notebook"},
    "end_job": {"executor", "notebook"},
    "give_back": {"executor"},
    "try_again": {"executor"},
    "sweep": {"executor", "mirror"},
    "unsynced_flow_runs": {"executor"},
    "flow_run_synced": {"executor"},
    "chips_to_reconcile": {"executor"},
    "take_marks": {"mirror"},
    "announce_jobs": {"mirror"},
    "mark_done": {"mirror"},
    "mark_failed": {"mirror"},
    "mark": {"mirror", "admin"},
    "mark_all": {"mirror", "admin"},
    "mark_refused": {"mirror"},
    "retry_marks": {"mirror", "admin"},
    "register_mirror": {"mirror"},
    "mirror_seen": {"mirror"},
    "mirror_stopped": {"mirror"},
    "unrendered_figures": {"mirror"},
    "store_png": {"mirror"},
    "add_project": {"admin"},
    "archive_project": {"admin"},
    "grant_member": {"admin"},
    "revoke_member": {"admin"},
    "add_chip": {"admin"},
    "set_chip": {"admin"},
    "retire_chip": {"admin"},
    "allow_executor": {"admin"},
    "disallow_executor": {"admin"},
    "set_time_zone": {"admin"},
    "set_retention": {"admin"},
    "prune": {"mirror", "admin"},
}
CHANGEABLE = {
    *("cancel_requested", "cancel_mode", "cancel_reason", "priority", "not_before", "not_after"),
    *("timeout_seconds", "tags", "note"),
}
# Weak locks that reading or inserting takes anyway; the strong ones would stop the queue.
WEAK_LOCKS = {
    "reader": {"ACCESS SHARE"},
    "submitter": {"ACCESS SHARE", "ROW SHARE", "ROW EXCLUSIVE"},
}
LOCKS = [
    *("ACCESS SHARE", "ROW SHARE", "ROW EXCLUSIVE", "SHARE UPDATE EXCLUSIVE", "SHARE"),
    *("SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE"),
]


@pytest.fixture(scope="module")
def sessions(world: QueueWorld) -> dict[str, Connection]:
    """A session of a login with one role each; `nobody` has none. Nothing they do is kept."""
    members = {"submitter": "submitter", "operator": "operator", "reader": "reader"}
    return {
        role: world.session(
            world.person(
                f"p_{role}", *([] if role == "nobody" else [f"calib_{role}"]), access=members.get(role)
            )
        )
        for role in ROLES
    }


# Or: no such thing can be done to a view of this kind.
REFUSED = (DENIED, "42809", "55000")


def test_the_matrix_names_every_view_and_function(world: QueueWorld) -> None:
    views = world.rows(
        "SELECT relname FROM pg_class WHERE relnamespace = 'calib'::regnamespace AND relkind IN"
        " ('v', 'm', 'r', 'f', 'S')"
    )
    assert {row["relname"] for row in views} == VIEWS
    functions = world.rows("SELECT proname FROM pg_proc WHERE pronamespace = 'calib'::regnamespace")
    assert {row["proname"] for row in functions} == set(FUNCTIONS)


@pytest.mark.parametrize("role", ROLES)
def test_views_can_be_read_and_nothing_else(
    world: QueueWorld, sessions: dict[str, Connection], role: str
) -> None:
    session = sessions[role]
    reads = "done" if "reader" in GROUPS[role] else DENIED
    for view in sorted(VIEWS):
        assert outcome(session, f"SELECT * FROM calib.{view}") == reads, view
        for statement in (
            f"DELETE FROM calib.{view}",
            f"TRUNCATE calib.{view}",
            f"CREATE TRIGGER t INSTEAD OF INSERT ON calib.{view} EXECUTE FUNCTION tsvector_update_trigger()",
            f"DROP VIEW calib.{view}",
            f"CREATE OR REPLACE VIEW calib.{view} AS SELECT 1",
        ):
            assert outcome(session, statement) in REFUSED, statement
        if view != "jobs":
            assert outcome(session, f"INSERT INTO calib.{view} DEFAULT VALUES") in REFUSED, view


@pytest.mark.parametrize("role", ROLES)
def test_columns_of_jobs_that_can_be_changed(
    world: QueueWorld, sessions: dict[str, Connection], role: str
) -> None:
    columns = world.rows(
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
    world: QueueWorld, sessions: dict[str, Connection], role: str
) -> None:
    for row in _functions(world, "calib"):
        allowed = bool(FUNCTIONS[row["proname"]] & GROUPS[role])
        arguments = ", ".join(f"NULL::{kind}" for kind in row["kinds"])
        answer = outcome(sessions[role], f"SELECT calib.{row['proname']}({arguments})")
        if allowed:
            # Called with nothing: done or refused in our words, but never for want of the right to call.
            assert answer != DENIED, row["signature"]
        else:
            assert answer == DENIED, row["signature"]


def _functions(world: QueueWorld, schema: str) -> list[Row]:
    return world.rows(
        "SELECT p.proname, p.oid::regprocedure::text AS signature, p.prosecdef, p.proconfig,"
        " p.proacl::text AS acl,"
        "  array(SELECT format_type(k, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY AS t(k, n)"
        " ORDER BY n) AS kinds"
        "  FROM pg_proc p WHERE p.pronamespace = %s::regnamespace ORDER BY 2",
        schema,
    )


@pytest.mark.parametrize("role", ROLES)
def test_the_private_schema_is_closed(world: QueueWorld, sessions: dict[str, Connection], role: str) -> None:
    tables = world.rows(
        "SELECT relname, relkind FROM pg_class WHERE relnamespace = 'calib_private'::regnamespace"
        " AND relkind IN ('r', 'S')"
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
    for function in _functions(world, "calib_private"):
        arguments = ", ".join(f"NULL::{kind}" for kind in function["kinds"])
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


def test_nothing_is_executable_by_public(world: QueueWorld) -> None:
    for function in [*_functions(world, "calib"), *_functions(world, "calib_private")]:
        assert function["acl"] is not None, function["signature"]
        grantees = str(function["acl"]).strip("{}").split(",")
        assert not [grant for grant in grantees if grant.startswith("=")], function["signature"]


def test_every_function_pins_its_search_path(world: QueueWorld) -> None:
    for function in [*_functions(world, "calib"), *_functions(world, "calib_private")]:
        config = function["proconfig"]
        assert isinstance(config, list), function["signature"]
        paths = [entry for entry in config if entry.startswith("search_path=")]
        assert paths, function["signature"]
        assert paths[0].startswith("search_path=pg_catalog, "), function["signature"]
        assert paths[0].endswith("pg_temp"), function["signature"]
