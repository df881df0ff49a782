"""The doctor's checks of PostgreSQL; a check is skipped if what it depends on is missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import psycopg
from psycopg.rows import DictRow, dict_row

from qdash_queue.cli.doctor.findings import Finding, fine, note, problem
from qdash_queue.cli.doctor.mirror import mirror_findings
from qdash_queue.cli.doctor.rights import current_login, orphan_findings, project_findings, role_finding
from qdash_queue.cli.doctor.servers import mongo_findings, prefect_findings
from qdash_queue.cli.doctor.transactions import notification_findings, transaction_findings
from qdash_queue.client.database import Database
from qdash_queue.client.leases import READY, READY_BUT
from qdash_queue.errors import DatabaseUnreachableError
from qdash_queue.migrate import head
from qdash_queue.settings import Settings

EXTENSIONS = ("pg_trgm", "btree_gist")
# The doctor must not wait for the locks that it reports.
PATIENCE = b"SET lock_timeout = '2s'; SET statement_timeout = '10s'"

Connection = psycopg.Connection[DictRow]


def examine(settings: Settings) -> list[Finding]:
    """Check every server that the settings name; reads only."""
    found = list(_guarded("database", _database_findings(settings.database_url)))
    found += prefect_findings(settings.prefect_api_url)
    found += mongo_findings(settings)
    return found


def _guarded(about: str, findings: Iterable[Finding]) -> Iterator[Finding]:
    """The findings; an error that stops one check is a finding itself, and the other checks continue."""
    try:
        yield from findings
    except psycopg.errors.LockNotAvailable:
        yield problem(
            about,
            "could not be checked: another session holds a lock on it",
            "Let that session end; after half a minute a superuser's doctor names it among the transactions.",
        )
    except psycopg.Error as error:
        words = " ".join((error.diag.message_primary or str(error)).split())
        yield problem(about, f"could not be checked: {words}", "Fix this and run doctor again.")


def _database_findings(url: str) -> Iterator[Finding]:
    try:
        connection = psycopg.connect(
            Database(url, application_name="qdash-queue doctor").conninfo,
            autocommit=True,
            connect_timeout=5,
            row_factory=dict_row,
        )
    except DatabaseUnreachableError as error:
        yield problem("database", str(error), "Set the variable, or run qdash-queue up, which prints it.")
        return
    except psycopg.Error as error:
        yield _unreachable(error)
        return
    with connection:
        role = connection.execute("SELECT current_user AS name").fetchone()
        me = str(role["name"]) if role else ""
        info = connection.info
        where = f"{info.dbname} at {info.host}:{info.port}"
        connection.execute(PATIENCE)
        yield fine("database", f"{where} answers {me} (PostgreSQL {info.server_version // 10000})")
        yield from _schema_findings(connection)


def _unreachable(error: psycopg.Error) -> Finding:
    """A connection that failed has no SQLSTATE: only the server's words tell why."""
    words = " ".join(str(error).split())
    remedies = {
        "database": (
            'database "',
            "does not exist",
            "Make it: CREATE DATABASE name; then run qdash-queue migrate.",
        ),
        "role": ('role "', "does not exist", "Make it: CREATE ROLE name LOGIN IN ROLE calib_submitter."),
        "password": ("password", "failed", "Correct the password in QDASH_QUEUE_DATABASE_URL."),
        "no password": (
            "no password",
            "supplied",
            "Put the password into QDASH_QUEUE_DATABASE_URL, or use ~/.pgpass.",
        ),
        "pg_hba": ("pg_hba.conf", "", "Allow this machine and role in the server's pg_hba.conf."),
    }
    for first, second, remedy in remedies.values():
        if first in words and second in words:
            return problem("database", f"PostgreSQL answers and refuses: {words}", remedy)
    return problem(
        "database",
        f"PostgreSQL does not answer: {words}",
        "Start it, or correct QDASH_QUEUE_DATABASE_URL; qdash-queue up starts one of its own.",
    )


def _schema_findings(connection: Connection) -> Iterator[Finding]:
    missing = _missing_extensions(connection)
    there = _rows(
        connection,
        "SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
        " WHERE n.nspname = 'calib' AND p.proname = 'schema_version'",
    )
    if not there:
        yield problem(
            "schema", "schema not installed", "Run qdash-queue migrate as an owner of the database."
        )
        yield from _unavailable_extensions(connection, missing)
        return
    if missing:
        yield problem(
            "extensions",
            f"the extension {', '.join(missing)} is missing in schema calib_ext",
            "As a superuser: " + " ".join(f"CREATE EXTENSION {name} SCHEMA calib_ext;" for name in missing),
        )
    who = current_login(connection)
    yield role_finding(who)
    if not who.reads:
        return
    # First, because it reads no table that one of them may have locked.
    yield from _guarded("transactions", transaction_findings(connection))
    yield from _guarded("notifications", notification_findings(connection))
    yield from _guarded("schema", _version_findings(connection))
    yield from _guarded("projects", project_findings(connection, who))
    yield from _guarded("rights", orphan_findings(connection))
    yield from _guarded("chips", _chip_findings(connection))
    yield from _guarded("mirror", mirror_findings(connection))


def _missing_extensions(connection: Connection) -> list[str]:
    rows = _rows(connection, "SELECT extname FROM pg_extension")
    return [name for name in EXTENSIONS if name not in {row["extname"] for row in rows}]


def _unavailable_extensions(connection: Connection, missing: Sequence[str]) -> Iterator[Finding]:
    rows = _rows(connection, "SELECT name FROM pg_available_extensions")
    available = {row["name"] for row in rows}
    for name in missing:
        if name not in available:
            yield problem(
                "extensions",
                f"this server does not have the extension {name}, which the queue needs",
                "Install PostgreSQL's contrib package on the server (on Debian: postgresql-contrib).",
            )


def _version_findings(connection: Connection) -> Iterator[Finding]:
    row = connection.execute("SELECT calib.schema_version() AS version").fetchone()
    version, wanted = int(row["version"]) if row else 0, int(head())
    if version < wanted:
        yield problem(
            "schema",
            f"the schema is behind: version {version}, this program needs {wanted}",
            "Run qdash-queue migrate as an owner of the database.",
        )
    elif version > wanted:
        yield note(
            "schema",
            f"the schema is newer: version {version}, this program needs {wanted}",
            "The schema is backward compatible; update this program to use new features.",
        )
    else:
        yield fine("schema", f"version {version}, as this program needs")


def _chip_findings(connection: Connection) -> Iterator[Finding]:
    chips = _rows(
        connection,
        "SELECT c.chip_id, c.paused, c.pause_reason, c.jobs_waiting,"
        " EXISTS (SELECT FROM calib.flows f WHERE f.chip_id = c.chip_id) AS registered,"
        " ARRAY(SELECT e.condition FROM calib.executors e WHERE e.chip_id = c.chip_id AND e.alive"
        "   ORDER BY e.executor_id) AS conditions"
        " FROM calib.chips c ORDER BY c.chip_id",
    )
    if not chips:
        yield note(
            "chips", "there is no chip yet", "Make one: qdash-queue chips add NAME --backend … --topology …."
        )
    for chip in chips:
        yield _chip_finding(chip)
        yield from _flow_findings(chip)


def _chip_finding(chip: DictRow) -> Finding:
    name, about = chip["chip_id"], f"chip {chip['chip_id']}"
    waiting = f"; jobs waiting: {chip['jobs_waiting']}" if chip["jobs_waiting"] else ""
    if not chip["registered"]:
        return problem(
            about,
            "no executor has registered for it: no job can be submitted",
            f"Start one beside its instruments: qdash-executor --chip {name}.",
        )
    if not chip["conditions"]:
        return problem(about, f"no executor is alive{waiting}", f"Start one: qdash-executor --chip {name}.")
    if not any(each == READY or each.startswith(READY_BUT) for each in chip["conditions"]):
        return problem(
            about,
            f"its executor is not ready: {chip['conditions'][0]}{waiting}",
            "Fix this; it resumes automatically.",
        )
    if chip["paused"]:
        return note(
            about, f"paused: {chip['pause_reason']}{waiting}", f"qdash-queue resume {name} starts jobs again."
        )
    return fine(about, f"an executor is ready{waiting}")


def _flow_findings(chip: DictRow) -> Iterator[Finding]:
    reports = {each.removeprefix(READY_BUT) for each in chip["conditions"] if each.startswith(READY_BUT)}
    for report in sorted(reports):
        yield problem(
            f"flows of {chip['chip_id']}",
            report,
            "Correct the file and start the executor again; its log names all that is not offered.",
        )


def _rows(connection: Connection, query: str, *values: object) -> list[DictRow]:
    return connection.execute(query.encode(), values or None).fetchall()
