"""The doctor's checks of rights: those of its own login, and those of roles that no longer exist."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
from psycopg.rows import DictRow

from qdash_queue.cli.doctor.findings import Finding, fine, note, problem

Connection = psycopg.Connection[DictRow]

# A login may be told not to inherit the rights of a role that it is a member of. To PostgreSQL a superuser is
# in every role; the queue checks what was granted.
_ROLES = """
WITH RECURSIVE granted(role) AS (
  SELECT oid FROM pg_roles WHERE rolname = current_user
  UNION SELECT m.roleid FROM granted g JOIN pg_auth_members m ON m.member = g.role)
SELECT r.rolname, pg_has_role(current_user, r.oid, 'USAGE') AS inherited
  FROM granted g JOIN pg_roles r ON r.oid = g.role WHERE starts_with(r.rolname, 'calib_') ORDER BY r.rolname
"""
_ORPHANS = """
SELECT format('%s is a member of project %s', m.role_name, m.project_id) AS words,
  format('members revoke %s %s', m.project_id, m.role_name) AS command
  FROM calib.memberships m WHERE NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = m.role_name)
UNION ALL
SELECT format('%s may execute on chip %s', p.role_name, p.chip_id),
  format('executors disallow %s %s', p.role_name, p.chip_id)
  FROM calib.executor_permissions p WHERE NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = p.role_name)
ORDER BY 2
"""


@dataclass(frozen=True)
class Login:
    """The login that runs the doctor.

    Attributes:
        members: roles of the queue that it is a member of.
        inherits: those whose rights it has.
    """

    name: str
    is_superuser: bool
    members: list[str]
    inherits: list[str]

    @property
    def reads(self) -> bool:
        """Whether it may read the views."""
        return self.is_superuser or "calib_reader" in self.inherits


def current_login(connection: Connection) -> Login:
    """The current login and its rights."""
    me = connection.execute("SELECT rolname, rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    roles = connection.execute(_ROLES).fetchall()
    return Login(
        str(me["rolname"]) if me else "",
        bool(me and me["rolsuper"]),
        [str(role["rolname"]) for role in roles],
        [str(role["rolname"]) for role in roles if role["inherited"]],
    )


def role_finding(who: Login) -> Finding:
    """What the login may do."""
    if "calib_reader" in who.inherits:
        return fine("role", f"{who.name} is a member of {', '.join(who.inherits)}")
    if who.is_superuser:
        return note(
            "role",
            f"{who.name} is a superuser to whom no calib_* role was granted: it sees no project and changes"
            " nothing in the queue",
            "Use the logins that qdash-queue setup made.",
        )
    if "calib_reader" not in who.members:
        words = f"{who.name} is a member of no calib_* role and has no rights here"
        return problem("role", words, f"GRANT calib_submitter TO {who.name};")
    return problem(
        "role",
        f"{who.name} is a member of {', '.join(who.members)} without inheriting their rights, and has no"
        " rights here",
        f"ALTER ROLE {who.name} INHERIT; and since PostgreSQL 16 also"
        f" GRANT {who.members[-1]} TO {who.name} WITH INHERIT TRUE;",
    )


def project_findings(connection: Connection, who: Login) -> Iterator[Finding]:
    """The projects that the login sees."""
    rows = connection.execute("SELECT project_id FROM calib.projects ORDER BY project_id").fetchall()
    if rows:
        yield fine("projects", f"{who.name} sees {', '.join(str(row['project_id']) for row in rows)}")
    elif "calib_admin" in who.inherits:
        yield problem("projects", "there is no project yet", "Make one: qdash-queue projects add NAME.")
    elif "calib_submitter" in who.inherits:
        yield problem(
            "projects",
            f"{who.name} is a member of no project and can submit nothing",
            f"Ask an administrator: qdash-queue members grant PROJECT {who.name} --access submitter.",
        )


def orphan_findings(connection: Connection) -> Iterator[Finding]:
    """Rights of roles that were dropped. They give no access, and only an administrator can remove them."""
    for row in connection.execute(_ORPHANS).fetchall():
        yield note(
            "rights",
            f"a role that no longer exists: {row['words']}",
            f"Remove it: qdash-queue {row['command']}",
        )
