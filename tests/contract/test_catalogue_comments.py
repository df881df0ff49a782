"""The catalogue describes schema calib: every object, whom it is for, and the errors it raises."""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.types.json import Json

from qdash_queue.errors import QueueError
from tests.contract import catalogue
from tests.contract.catalogue import OVERLOAD, PAGE, Connection
from tests.support.databases import Cluster

LONGEST = 400
RIDDLES = re.compile(
    r"\b(whoever|nobody|somebody|anybody|mend|for ever|at rest|looks after|hangs on)\b", re.IGNORECASE
)
CODES = {error.code for error in QueueError.__subclasses__() if error.code}
# The functions of a view's triggers count as the view's. A function that returns a complaint raises none.
_SOURCES = """
SELECT p.pronamespace::regnamespace || '.' || p.proname, pg_get_functiondef(p.oid) FROM pg_proc p
 WHERE p.pronamespace::regnamespace::text IN ('calib', 'calib_private')
   AND p.prorettype <> 'calib_private.complaint'::regtype
UNION ALL
SELECT t.tgrelid::regclass::text, pg_get_functiondef(t.tgfoid) FROM pg_trigger t
 WHERE t.tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'calib'::regnamespace)
"""
_GRANTED = """
SELECT DISTINCT a.grantee::regrole::text FROM pg_proc p, aclexplode(p.proacl) a
 WHERE p.pronamespace = 'calib'::regnamespace AND p.proname = %s AND a.grantee <> p.proowner
"""
_ROLES = "SELECT rolname FROM pg_roles WHERE rolname ~ '^calib_' AND rolname <> 'calib_owner'"
_SAMPLES = {"text": "x", "jsonb": {"a": 1}, "boolean": True, "text[]": ["x"], "uuid": "0" * 32}
_SAMPLE_TIME = "2026-11-30T00:00:00Z"


@pytest.fixture(scope="module")
def connection(postgres_server: Cluster) -> Iterator[Connection]:
    """A superuser in a database of these tests' own; what a test changes is rolled back."""
    with postgres_server.database() as database, psycopg.connect(database.url) as connection:
        yield connection


@pytest.fixture(autouse=True)
def _unchanged(connection: Connection) -> Iterator[None]:
    yield
    connection.rollback()


def test_everything_is_described(connection: Connection) -> None:
    assert catalogue.undescribed(connection) == []


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("COMMENT ON SCHEMA calib IS NULL", "schema calib"),
        ("COMMENT ON VIEW calib.chips IS NULL", "view chips"),
        ("COMMENT ON TYPE calib.swept_job IS NULL", "type swept_job"),
        ("CREATE DOMAIN calib.qid AS text", "type qid"),
        ("COMMENT ON FUNCTION calib.mark(bigint) IS NULL", "function mark(job_id)"),
        ("COMMENT ON COLUMN calib.jobs.waiting_for IS NULL", "column jobs.waiting_for"),
        ("COMMENT ON COLUMN calib.task_runs.note IS 'Own.'; COMMENT ON COLUMN calib.jobs.note IS NULL", None),
        ("COMMENT ON COLUMN calib.figures.name IS NULL", "column figures.name"),
        ("COMMENT ON COLUMN calib.claimed_job.dirty IS NULL", "attribute claimed_job.dirty"),
    ],
)
def test_what_is_not_described_is_found(connection: Connection, statement: str, named: str | None) -> None:
    before = catalogue.undescribed(connection)
    connection.execute(statement.encode())
    found = [each for each in catalogue.undescribed(connection) if each not in before]
    assert found == ([named] if named else [])


def test_descriptions_are_short_and_plain(connection: Connection) -> None:
    for each in [*catalogue.objects(connection), *catalogue.columns(connection)]:
        text = each.text or ""
        assert len(text) <= LONGEST, each
        assert not RIDDLES.search(text), each


def test_a_function_names_the_roles_that_may_call_it(connection: Connection) -> None:
    wrong = {}
    for name, text in _functions(connection):
        granted = {role for (role,) in connection.execute(_GRANTED, (name,))}
        if set(re.findall(r"\bcalib_\w+", text)) != granted:
            wrong[name] = granted
    assert wrong == {}


def test_a_view_or_function_names_the_errors_that_it_raises(connection: Connection) -> None:
    sources: dict[str, str] = {}
    for name, source in connection.execute(_SOURCES):
        sources[name] = sources.get(name, "") + source
    described = [("jobs", next(o.text or "" for o in catalogue.objects(connection) if o.name == "jobs"))]
    wrong = {}
    for name, text in [*described, *_functions(connection)]:
        raised = _raised(f"calib.{name}", sources)
        if set(re.findall(r"\bCQ\d+", text)) != raised:
            wrong[name] = raised
    assert wrong == {}


def test_every_error_has_its_python_class(connection: Connection) -> None:
    sources = " ".join(source for _, source in connection.execute(_SOURCES))
    assert set(re.findall(r"CQ\d{3}", sources)) - {"CQ000"} == CODES


def test_the_columns_that_a_client_gives(connection: Connection) -> None:
    """Every other column is refused."""
    found = connection.execute(
        "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute"
        " WHERE attrelid = 'calib.jobs'::regclass AND attnum > 0"
    ).fetchall()
    answers = {name: _refusal(connection, name, kind) for name, kind in found}
    assert set(answers.values()) == {None, "CQ005"}
    assert [name for name, code in answers.items() if not code] == catalogue.given_columns(connection)


def test_the_tables_of_the_page_are_the_catalogues(connection: Connection) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert re.findall(r"<!-- table: ([\w ]+) -->", text) == [
        "given columns",
        "other columns",
        "views",
        "functions",
        "errors",
    ]
    assert text == catalogue.page(connection, text), "run `make docs` and commit it"
    assert set(catalogue.roles(text)) == {role for (role,) in connection.execute(_ROLES)}


def _refusal(connection: Connection, column: str, kind: str) -> str | None:
    sample = _SAMPLES.get(kind, _SAMPLE_TIME if kind.startswith("timestamp") else 1)
    try:
        with connection.transaction():
            connection.execute(
                "SELECT calib_private.refuse_system_columns("
                "jsonb_populate_record(NULL::calib.jobs, %s::jsonb))",
                (Json({column: sample}),),
            )
    except psycopg.Error as error:
        return error.sqlstate
    return None


def _functions(connection: Connection) -> list[tuple[str, str]]:
    """Name and comment of each function that is not there for an older release only."""
    return [
        (each.name.partition("(")[0], each.text)
        for each in catalogue.objects(connection)
        if each.kind == "function" and each.text and not each.text.startswith(OVERLOAD)
    ]


def _raised(name: str, sources: dict[str, str], seen: set[str] | None = None) -> set[str]:
    """The codes in the source of a function and of all that it calls."""
    seen = set() if seen is None else seen
    if name in seen or name not in sources:
        return set()
    seen.add(name)
    source = sources[name]
    codes = set(re.findall(r"CQ\d{3}", source)) - {"CQ000"}
    for called in re.findall(r"\b(calib(?:_private)?\.\w+)\(", source):
        codes |= _raised(called, sources, seen)
    return codes
