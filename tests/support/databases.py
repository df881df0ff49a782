"""PostgreSQL for tests: one server a session, one migrated template, one cheap copy of it for each test."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import psycopg
from psycopg import sql

from qdash_queue import migrate

TEMPLATE = "calib_template"
RIGHTS = ("calib_admin", "calib_executor", "calib_mirror")

Connection = psycopg.Connection[tuple[object, ...]]


class ServerUnderTest(Protocol):
    """A PostgreSQL server, in a container or embedded."""

    @property
    def url(self) -> str:
        """URL of a database that is always there, as superuser."""

    def url_of(self, database: str, user: str = ..., password: str | None = ...) -> str:
        """URL of one database for one login role."""


@dataclass
class Cluster:
    """A running server with the template made."""

    server: ServerUnderTest
    version: str

    @classmethod
    def prepare(cls, server: ServerUnderTest) -> Cluster:
        """Migrate the template database once for all tests."""
        with psycopg.connect(server.url, autocommit=True) as connection:
            row = connection.execute("SHOW server_version").fetchone()
            connection.execute(f"CREATE DATABASE {TEMPLATE}")
            migrate.upgrade(server.url_of(TEMPLATE))
            connection.execute(f"ALTER DATABASE {TEMPLATE} WITH ALLOW_CONNECTIONS false IS_TEMPLATE true")
        return cls(server, str(row[0]) if row else "unknown")

    @contextmanager
    def database(self, template: str = TEMPLATE) -> Iterator[CalibDatabase]:
        """A database of one's own, dropped afterwards with the roles that were made for it."""
        database = CalibDatabase(self.server, name=f"test_{secrets.token_hex(6)}")
        name = sql.Identifier(database.name)
        with psycopg.connect(self.server.url, autocommit=True) as connection:
            # By files, not by its log: a test's server need not survive a crash.
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                    name, sql.Identifier(template)
                )
            )
            try:
                yield database
            finally:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
                # After the database: what a role owns or was granted there is gone with it.
                for role in database.roles:
                    connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


@dataclass
class CalibDatabase:
    """One migrated, empty database, and login roles for it."""

    server: ServerUnderTest
    name: str
    roles: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """URL as superuser, who was granted nothing."""
        return self.server.url_of(self.name)

    @cached_property
    def overseer(self) -> LoginRole:
        """A superuser who was granted every right: sees and changes everything, tables and views alike."""
        return self.login(*RIGHTS, superuser=True)

    def login(self, *granted: str, name: str | None = None, superuser: bool = False) -> LoginRole:
        """Make a login role that is a member of the given roles, such as `calib_submitter`.

        Args:
            granted: group roles.
            name: of the login; a fixed one is taken for the whole server until the test ends.
            superuser: whether it is one; without a granted role it still may not say anything to the queue.
        """
        role = name or f"login_{secrets.token_hex(6)}"
        password = secrets.token_hex(8)
        identifier = sql.Identifier(role)
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN {} PASSWORD {}").format(
                    identifier, sql.SQL("SUPERUSER" if superuser else ""), sql.Literal(password)
                )
            )
            self.roles.append(role)
            for group in granted:
                connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(group), identifier))
        return LoginRole(role, self.server.url_of(self.name, role, password))

    @contextmanager
    def connect(self, *granted: str) -> Iterator[Connection]:
        """An autocommit connection: as a new login with these roles, or as the overseer without any."""
        url = self.login(*granted).url if granted else self.overseer.url
        with psycopg.connect(url, autocommit=True) as connection:
            yield connection


@dataclass(frozen=True)
class LoginRole:
    """A login and the URL that logs it in."""

    name: str
    url: str
