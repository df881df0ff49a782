"""What a chip needs in the database before jobs can be submitted: logins, project, permission, values."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import LiteralString

import psycopg
import sqlalchemy as sa
from psycopg import sql
from pydantic import BaseModel, ConfigDict

from qdash_queue.cli.error_messages import RefusedError
from qdash_queue.cli.inputs import DESIGN_QUBITS, design_values
from qdash_queue.client.database import Database, sqlalchemy_url
from qdash_queue.client.sqlstates import translated

DEFAULT_TOPOLOGY = f"square-lattice-mux-{DESIGN_QUBITS}"
_PASSWORD_BYTES = 18
_DESIGN_REASON = "design values"
Connection = psycopg.Connection[tuple[object, ...]]


class Part(StrEnum):
    """What a login is for."""

    ADMIN = "calib_admin"
    MEMBER = "calib_submitter"
    EXECUTOR = "calib_executor"
    MIRROR = "calib_mirror"


class Item(BaseModel):
    """One thing of an installation.

    Attributes:
        made: by this call; else it was there and was left as it is.
        url: of a login; with its password only if it was made.
    """

    model_config = ConfigDict(frozen=True)

    kind: str
    name: str
    made: bool
    url: str | None = None


@dataclass(frozen=True)
class Plan:
    """What is wanted. What is there already is left as it is."""

    chip_id: str
    backend: str
    topology: str | None
    project_id: str
    member: str
    admin: str
    mirror: str

    @property
    def executor(self) -> str:
        """The login of the chip's executor."""
        return re.sub(r"[^a-z0-9]+", "_", self.chip_id.lower()) + "_executor"

    @property
    def logins(self) -> dict[Part, str]:
        """Their names."""
        return {
            Part.ADMIN: self.admin,
            Part.MEMBER: self.member,
            Part.EXECUTOR: self.executor,
            Part.MIRROR: self.mirror,
        }


def install(database_url: str, plan: Plan) -> list[Item]:
    """Make what of the plan is not there yet, all or nothing, in a migrated database.

    Args:
        database_url: of a superuser, or of the login with CREATEROLE that migrated.
        plan: what is wanted.

    Raises:
        RefusedError: a login of the plan is a superuser.
        QueueError: the database refuses a name or a value, or the login may not make roles.
        DatabaseUnreachableError: the server does not answer.
    """
    try:
        with psycopg.connect(Database(database_url).conninfo, connect_timeout=5) as connection:
            making = _Making(connection, sqlalchemy_url(database_url), plan)
            making.logins()
            with _acting_as(connection, plan.admin):
                making.project()
                making.chip()
                making.values()
    except psycopg.Error as error:
        raise translated(error) from error
    return making.items


@contextmanager
def _acting_as(connection: Connection, role: str) -> Iterator[None]:
    """Act as the administrator, so that what is created names it; a right granted for this is revoked."""
    row = connection.execute(
        "SELECT pg_has_role(%s::name, CASE WHEN current_setting('server_version_num')::integer >= 160000"
        " THEN 'SET' ELSE 'MEMBER' END)",
        (role,),
    ).fetchone()
    name, borrowed = sql.Identifier(role), row != (True,)
    if borrowed:
        connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(name))
    connection.execute(sql.SQL("SET LOCAL ROLE {}").format(name))
    yield
    connection.execute("RESET ROLE")
    if borrowed:
        connection.execute(sql.SQL("REVOKE {} FROM CURRENT_USER").format(name))


@dataclass
class _Making:
    """In one transaction, which the caller commits."""

    connection: Connection
    url: sa.URL
    plan: Plan
    items: list[Item] = field(default_factory=list)

    def logins(self) -> None:
        for part, name in self.plan.logins.items():
            self.items.append(self._login(name, part))

    def _login(self, name: str, part: Part) -> Item:
        row = self.connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = %s", (name,)).fetchone()
        if row == (True,):
            raise RefusedError(f"{name} is a superuser: expected the name of a login with {part} and no more")
        password = None if row else secrets.token_urlsafe(_PASSWORD_BYTES)
        role = sql.Identifier(name)
        if password is not None:
            # Enciphered here, so that no log of the server's shows it.
            verifier = self.connection.pgconn.encrypt_password(
                password.encode(), name.encode(), b"scram-sha-256"
            )
            self.connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(verifier.decode()))
            )
        if not self._holds("pg_has_role(%s::name, %s::name, 'USAGE')", name, str(part)):
            self.connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(part), role))
        url = self.url.set(drivername="postgresql", username=name, password=password)
        shown = url.render_as_string(hide_password=False)
        return Item(kind=f"login ({part})", name=name, made=password is not None, url=shown)

    def project(self) -> None:
        plan = self.plan
        self._make(
            *("project", plan.project_id),
            self._holds("EXISTS (SELECT FROM calib.projects WHERE project_id = %s)", plan.project_id),
            *("SELECT calib.add_project(%s)", plan.project_id),
        )
        there = "EXISTS (SELECT FROM calib.memberships WHERE project_id = %s AND role_name = %s)"
        self._make(
            *(f"member of project {plan.project_id}", plan.member),
            self._holds(there, plan.project_id, plan.member),
            "SELECT calib.grant_member(%s, %s, %s, 'submitter')",
            *(plan.project_id, plan.member, plan.member),
        )

    def chip(self) -> None:
        plan = self.plan
        there = self._holds("EXISTS (SELECT FROM calib.chips WHERE chip_id = %s)", plan.chip_id)
        topology = plan.topology or (DEFAULT_TOPOLOGY if plan.backend == "fake" else None)
        if not there and topology is None:
            raise RefusedError(
                f"chip {plan.chip_id}: expected its --topology, such as {DEFAULT_TOPOLOGY}, got nothing",
                column="topology",
            )
        # Of a chip that is there the database compares what was asked for.
        same = there and plan.topology is None
        make = "SELECT calib.add_chip(%s, %s, %s)"
        self._make("chip", plan.chip_id, same, make, plan.chip_id, plan.backend, topology, there=there)
        allowed = "EXISTS (SELECT FROM calib.executor_permissions WHERE role_name = %s AND chip_id = %s)"
        self._make(
            *(f"executor of chip {plan.chip_id}", plan.executor),
            self._holds(allowed, plan.executor, plan.chip_id),
            *("SELECT calib.allow_executor(%s, %s)", plan.executor, plan.chip_id),
        )

    def values(self) -> None:
        """Design values, of a simulated chip whose number of qubits they are made for."""
        fits = "EXISTS (SELECT FROM calib.chips WHERE chip_id = %s AND backend = 'fake' AND n_qubits = %s)"
        if not self._holds(fits, self.plan.chip_id, DESIGN_QUBITS):
            return
        self._make(
            *("design values of chip", self.plan.chip_id),
            self._holds("EXISTS (SELECT FROM calib.parameters WHERE chip_id = %s)", self.plan.chip_id),
            "SELECT calib.import_parameters(%s, %s, %s)",
            *(self.plan.chip_id, json.dumps(design_values()), _DESIGN_REASON),
        )

    def _make(
        self,
        kind: str,
        name: str,
        skip: bool,  # noqa: FBT001 - computed at each call
        statement: LiteralString,
        *values: object,
        there: bool | None = None,
    ) -> None:
        if not skip:
            self.connection.execute(statement, values)
        self.items.append(Item(kind=kind, name=name, made=not (skip if there is None else there)))

    def _holds(self, condition: LiteralString, *values: object) -> bool:
        return self.connection.execute(f"SELECT {condition}", values).fetchone() == (True,)
