"""What the catalogue says about schema calib, and the tables of docs/sql.md made from it.

`make docs` writes them anew.
"""

from __future__ import annotations

import inspect
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString

import psycopg

from qdash_queue import migrate
from qdash_queue.embedded.postgres import PostgresServer
from qdash_queue.embedded.process import Durability
from qdash_queue.errors import QueueError

PAGE = Path(__file__).parents[2] / "docs" / "sql.md"
OVERLOAD = "As release "
"""How the comment of an overload begins that is only there for an older release."""
_GIVEN = re.compile(r"Default: |Required in an INSERT")

Connection = psycopg.Connection[tuple[Any, ...]]

_OBJECTS: LiteralString = """
SELECT 'schema', nspname::text, obj_description(oid, 'pg_namespace')
  FROM pg_namespace WHERE nspname ~ '^calib'
UNION ALL
SELECT 'view', relname, obj_description(oid, 'pg_class') FROM pg_class
 WHERE relnamespace = 'calib'::regnamespace AND relkind <> 'c'
UNION ALL
SELECT 'type', typname, obj_description(oid, 'pg_type') FROM pg_type t
 WHERE typnamespace = 'calib'::regnamespace AND typelem = 0
   AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind <> 'c')
UNION ALL
SELECT 'function', format('%s(%s)', proname, (
         SELECT string_agg(regexp_replace(n, '^p_', ''), ', ' ORDER BY i)
           FROM unnest(proargnames[:pronargs]) WITH ORDINALITY a(n, i))), obj_description(oid, 'pg_proc')
  FROM pg_proc WHERE pronamespace = 'calib'::regnamespace
ORDER BY 1, 2
"""
_COLUMNS: LiteralString = """
SELECT c.relname, a.attname, c.relkind = 'v', col_description(c.oid, a.attnum)
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
 WHERE c.relnamespace = 'calib'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY c.relname, a.attnum
"""


@dataclass(frozen=True)
class Described:
    """A schema, view, type, function or column, and its comment."""

    kind: str
    name: str
    text: str | None


def objects(connection: Connection) -> list[Described]:
    """Every schema of ours, and everything in schema calib but columns."""
    return [Described(*row) for row in connection.execute(_OBJECTS)]


def columns(connection: Connection) -> list[Described]:
    """Every column of every view and composite type, named ``view.column``."""
    return [
        Described("column" if of_view else "attribute", f"{owner}.{name}", text)
        for owner, name, of_view, text in connection.execute(_COLUMNS)
    ]


def undescribed(connection: Connection) -> list[str]:
    """What has no comment and needs one.

    Among columns of views with the same name, one has a comment that holds for all, or each has its own. An
    attribute of a type needs one if no view has a column of its name.
    """
    missing = [f"{each.kind} {each.name}" for each in objects(connection) if not each.text]
    namesakes = defaultdict[str, list[Described]](list)
    found = columns(connection)
    for each in found:
        if each.kind == "column":
            namesakes[each.name.partition(".")[2]].append(each)
    for same in namesakes.values():
        if sum(bool(each.text) for each in same) != 1:
            missing += [f"column {each.name}" for each in same if not each.text]
    missing += [
        f"attribute {each.name}"
        for each in found
        if each.kind == "attribute" and not each.text and each.name.partition(".")[2] not in namesakes
    ]
    return missing


def given_columns(connection: Connection) -> list[str]:
    """The columns of calib.jobs that a client may give in an INSERT, as their comments have it."""
    return [name for name, text in _job_columns(connection) if _GIVEN.search(text)]


def _job_columns(connection: Connection) -> Iterator[tuple[str, str]]:
    for each in columns(connection):
        view, _, name = each.name.partition(".")
        if view == "jobs":
            yield name, each.text or ""


def roles(text: str) -> list[str]:
    """The roles of clients in the order of the page's table of them."""
    return re.findall(r"^\| `(calib_\w+)` \|", text, re.MULTILINE)


def tables(connection: Connection, roles: Sequence[str]) -> Mapping[str, str]:
    """Each table of the page by its name; functions in the order of the roles that they are for."""
    jobs = {f"`{name}`": text for name, text in _job_columns(connection)}
    given = {f"`{name}`" for name in given_columns(connection)}
    found = [each for each in objects(connection) if each.text and not each.text.startswith(OVERLOAD)]
    views = {f"`calib.{each.name}`": each.text or "" for each in found if each.kind == "view"}
    functions = {f"`{each.name}`": each.text or "" for each in found if each.kind == "function"}

    def rank(function: tuple[str, str]) -> int:
        return min(roles.index(role) for role in re.findall(r"\bcalib_\w+", function[1]))

    errors = {
        f"{error.code} `{error.__name__}`": (inspect.getdoc(error) or "").replace("``", "`")
        for error in sorted(QueueError.__subclasses__(), key=lambda error: error.code)
        if error.code
    }
    return {
        "given columns": _table("column", {name: jobs[name] for name in jobs if name in given}),
        "other columns": _table("column", {name: jobs[name] for name in jobs if name not in given}),
        "views": _table("view", views),
        "functions": _table("function", dict(sorted(functions.items(), key=rank))),
        "errors": _table("SQLSTATE and Python", errors),
    }


def _table(title: str, rows: Mapping[str, str]) -> str:
    lines = [f"| {title} | meaning |", "|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {' '.join(text.split())} |" for name, text in rows.items())])


def page(connection: Connection, text: str) -> str:
    """The page with its tables, each between `<!-- table: name -->` and `<!-- end -->`, made anew."""
    made = tables(connection, roles(text))
    return re.sub(
        r"(?s)(<!-- table: ([\w ]+) -->\n).*?\n(<!-- end -->)",
        lambda found: f"{found[1]}{made[found[2]]}\n{found[3]}",
        text,
    )


def write(file: Path = PAGE) -> None:
    """Write the page's tables from a fresh database."""
    with PostgresServer(durability=Durability.FAST) as server:
        migrate.upgrade(server.url)
        with psycopg.connect(server.url) as connection:
            file.write_text(page(connection, file.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    write()
