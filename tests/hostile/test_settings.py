"""Nothing that a session may set, make or shout before it speaks changes what the queue does."""

from __future__ import annotations

import json
import select
import time
from collections.abc import Iterator

import psycopg
import pytest

from executors.supervisor.listener import Listener
from qdash_queue.stopping import Wakeup
from tests.contract.meeting import full_life
from tests.hostile.target import ROLES, Target, open_target
from tests.support.databases import Cluster
from tests.support.queue_world import DENIED, PARAMETERS, PROJECT, Connection, outcome

ODD_SETTINGS = [
    *("search_path = pg_temp, public", "timezone = 'Pacific/Kiritimati'", "datestyle = 'SQL, DMY'"),
    *("intervalstyle = 'sql_standard'", "extra_float_digits = -15", "bytea_output = 'escape'"),
    *("standard_conforming_strings = off", "array_nulls = off", "transform_null_equals = on"),
    *("row_security = off", "work_mem = '64kB'", "enable_indexscan = off", "enable_seqscan = off"),
    *(
        "default_transaction_isolation = 'serializable'",
        "client_encoding = 'LATIN1'",
        # The second is an ordinary variable until PL/pgSQL is loaded, which then resets it.
        *("quote_all_identifiers = on", "plpgsql.variable_conflict = use_column"),
    ),
    *(
        "plan_cache_mode = 'force_generic_plan'",
        "jit = on",
        "jit_above_cost = 0",
        "check_function_bodies = off",
    ),
    *("client_min_messages = 'debug5'", "lc_monetary = 'C'", "from_collapse_limit = 1", "xmlbinary = 'hex'"),
]
FORBIDDEN_SETTINGS = [
    *("session_replication_role = replica", "lc_messages = 'C'"),
    *(
        "role = calib_owner",
        "session_authorization = postgres",
        "is_superuser = on",
        "zero_damaged_pages = on",
    ),
    *("session_preload_libraries = 'x'", "log_statement = 'all'", "allow_system_table_mods = on"),
]
# Each raises when it is called; our functions must never find them.
RAISING = "LANGUAGE plpgsql AS $$ BEGIN RAISE 'looked alike'; END $$"
LOOK_ALIKES = f"""
CREATE FUNCTION {{schema}}.jsonb_typeof(jsonb) RETURNS text {RAISING};
CREATE FUNCTION {{schema}}.now() RETURNS timestamptz {RAISING};
CREATE FUNCTION {{schema}}.format(text, text) RETURNS text {RAISING};
CREATE FUNCTION {{schema}}.length(text) RETURNS int {RAISING};
CREATE FUNCTION {{schema}}.same(text, text) RETURNS boolean {RAISING};
CREATE OPERATOR {{schema}}.= (LEFTARG = text, RIGHTARG = text, FUNCTION = {{schema}}.same);
CREATE OPERATOR {{schema}}.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = {{schema}}.same);
"""
STRONG_LOCKS = ["SHARE UPDATE EXCLUSIVE", "SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE"]


@pytest.fixture(scope="module")
def target(postgres_server: Cluster) -> Iterator[Target]:
    with postgres_server.database() as database, open_target(database) as target:
        yield target


ASK = (
    "INSERT INTO calib.jobs (project_id, chip_id, parameters, not_before, timeout_seconds, tags, note)"
    " VALUES (%s, %s, %s, '2020-01-02 00:00+00', 77, '{a}', '{\"x\": 0.1}') RETURNING"
    " pg_catalog.jsonb_build_object('who', username, 'what', parameters, 'tags', tags, 'note', note,"
    " 'when', extract(epoch FROM not_before), 'limit', timeout_seconds, 'state', state)::text AS stored"
)


def ask(target: Target, session: Connection) -> tuple[object, ...]:
    """A good row and a bad one: what is stored, and what is said. Rolled back."""
    row = session.execute(ASK, (PROJECT, target.chip_id, json.dumps(PARAMETERS))).fetchone()
    assert row is not None
    with pytest.raises(psycopg.Error) as refused:
        session.execute(ASK, (PROJECT, target.chip_id, '{"qids": ["0"], "tasks": ["CheckRaby"]}'))
    session.rollback()
    said = refused.value.diag
    return row["stored"], said.sqlstate, said.message_primary


def test_no_setting_of_a_session_changes_the_answers(target: Target) -> None:
    usual = ask(target, target.world.session(target.person("submitter")))
    for setting in ODD_SETTINGS:
        session = target.world.session(target.person("submitter"))
        session.execute(f"SET {setting}".encode())
        session.commit()
        assert ask(target, session) == usual, setting
        session.close()


@pytest.mark.parametrize("schema", ["public", "pg_temp"])
def test_no_look_alike_is_called(target: Target, schema: str) -> None:
    """Made by a superuser where a client cannot, found first on the client's search path."""
    session = target.world.session(target.person("submitter"))
    maker = target.world.owner if schema == "public" else session
    usual = ask(target, target.world.session(target.person("submitter")))
    maker.execute(LOOK_ALIKES.format(schema=schema).encode())
    session.commit()
    try:
        session.execute(f"SET search_path = {schema}, pg_catalog".encode())
        session.commit()
        if schema == "public":  # PostgreSQL itself looks for no function in pg_temp
            with pytest.raises(psycopg.Error, match="looked alike"):
                session.execute("SELECT jsonb_typeof('1'::jsonb)")
            session.rollback()
        assert ask(target, session) == usual
    finally:
        if schema == "public":
            target.world.owner.execute(
                "DROP FUNCTION public.jsonb_typeof, public.now, public.format, public.length, public.same"
                " CASCADE"
            )


@pytest.mark.parametrize("role", ROLES)
def test_what_would_switch_the_guards_off_is_refused(target: Target, role: str) -> None:
    session = target.world.session(target.person(role), autocommit=True)
    for setting in FORBIDDEN_SETTINGS:
        assert outcome(session, f"SET {setting}") in (DENIED, "55P02"), setting
    for statement in (
        "ALTER SYSTEM SET fsync = off",
        "CREATE ROLE x SUPERUSER",
        "GRANT calib_owner TO calib_reader",
        "GRANT calib_owner TO CURRENT_USER",
        "SELECT pg_read_file('/etc/passwd')",
        "COPY (SELECT 1) TO PROGRAM 'touch /tmp/hostile-was-here'",
        "COPY (SELECT 1) TO '/tmp/hostile-was-here'",
        "SELECT lo_import('/etc/passwd')",
        "CREATE EVENT TRIGGER t ON ddl_command_start EXECUTE FUNCTION f()",
        "ALTER FUNCTION calib.schema_version() OWNER TO CURRENT_USER",
        "SECURITY LABEL ON SCHEMA calib IS 'x'",
        "COMMENT ON SCHEMA calib IS 'x'",
        "REINDEX SCHEMA calib_private",
        "CREATE SCHEMA calib_x",
        "ANALYZE calib_private.jobs; DROP TABLE calib_private.jobs",
    ):
        assert outcome(session, statement) in (DENIED, "42883", "22023"), statement
    assert target.damage() == ""


@pytest.mark.parametrize("role", ROLES)
def test_no_view_can_be_locked_strongly(target: Target, role: str) -> None:
    """Every view of the catalogue, so that a new one is covered; a strong lock goes down to the tables."""
    session = target.world.session(target.person(role))
    for row in target.world.rows(
        "SELECT relname FROM pg_class WHERE relnamespace = 'calib'::regnamespace AND relkind = 'v'"
    ):
        for lock in STRONG_LOCKS:
            statement = f"LOCK TABLE calib.{row['relname']} IN {lock} MODE NOWAIT"
            assert outcome(session, statement) == DENIED, statement


def test_a_statement_out_of_time_or_of_a_reader_stores_nothing(target: Target) -> None:
    before = target.stored()
    rows = "INSERT INTO calib.jobs (project_id, chip_id, flow) SELECT 'demo', 'HOSTILE1', 'repeat'"
    for setting, code in (
        ("statement_timeout = '2ms'", "57014"),
        ("default_transaction_read_only = on", "25006"),
    ):
        session = target.world.session(target.person("submitter"), autocommit=True)
        session.execute(f"SET {setting}".encode())
        with pytest.raises(psycopg.Error) as refused:
            session.execute(f"{rows} FROM generate_series(1, 500)".encode())
        assert refused.value.sqlstate == code
    assert target.stored() == before


def test_a_flood_of_notifications_wakes_the_executor_and_nothing_else(target: Target) -> None:
    """Ten thousand payloads on its channel, most of them garbage: it listens on and is woken again."""
    world, chip_id = target.world, target.world.chip()
    executor = world.ready(chip_id)
    wakeup = Wakeup()
    with Listener(world.machine.database, f"calib_{chip_id}", wakeup):
        flooding = world.session(target.person("reader"), autocommit=True)
        flooding.execute(
            "SELECT pg_notify(%s, CASE n %% 4 WHEN 0 THEN 'cancel:' || n"
            " WHEN 1 THEN repeat(chr(n %% 900 + 1), 2000) WHEN 2 THEN '''; DROP TABLE x; --' || n"
            " ELSE n::text END) FROM generate_series(1, 10000) n",
            (f"calib_{chip_id}",),
        )
        job_id = world.submit(chip_id)
        claimed = executor.claim()
        assert claimed is not None
        assert claimed.job_id == job_id
        full_life(world, claimed)
        assert world.job(job_id)["cancel_requested"] is False
        _woken_again(target, wakeup, chip_id)


def _woken_again(target: Target, wakeup: Wakeup, chip_id: str) -> None:
    """The flood has been read to its end: a notification that comes now is heard."""
    deadline = time.monotonic() + 30
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < 0.3:
        assert time.monotonic() < deadline
        if _is_set(wakeup):
            quiet_since = time.monotonic()
    target.world.submit(chip_id)
    while not _is_set(wakeup):
        assert time.monotonic() < deadline


def _is_set(wakeup: Wakeup) -> bool:
    readable = bool(select.select([wakeup], [], [], 0.05)[0])
    wakeup.clear()
    return readable
