"""Commands about projects and their members."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from qdash_queue.cli.context import Json, Session

PROJECTS = (
    "SELECT project_id, description, created_by, CAST(archived_at AS text) AS archived_at, archived_by"
    " FROM calib.projects ORDER BY project_id"
)
MEMBERS = (
    "SELECT project_id, role_name, username, access FROM calib.memberships"
    " WHERE CAST(%(project_id)s AS text) IS NULL OR project_id = %(project_id)s ORDER BY"
    " project_id, role_name"
)

projects = typer.Typer(help="List, add and archive projects.", invoke_without_command=True)
members = typer.Typer(help="List members of projects; grant and revoke access.", invoke_without_command=True)


@projects.callback()
def list_projects(context: typer.Context, *, json: Json = False) -> None:
    """List the projects that you can read."""
    if context.invoked_subcommand is None:
        session = Session.of(context, as_json=json)
        found = session.records(PROJECTS)
        session.answer(found, lambda views: views.records(found, "no readable project"))


@projects.command("add")
def add_project(
    context: typer.Context,
    project_id: Annotated[str, typer.Argument(help="Name: letters, digits, _ and -.", show_default=False)],
    *,
    description: Annotated[str, typer.Option(help="Description.")] = "",
    json: Json = False,
) -> None:
    """Add a project."""
    session = Session.of(context, as_json=json)
    session.admin.add_project(project_id, description)
    session.done(f"project {project_id} exists", project_id=project_id)


@projects.command("archive")
def archive_project(
    context: typer.Context,
    project_id: Annotated[str, typer.Argument(help="The project.", show_default=False)],
    *,
    json: Json = False,
) -> None:
    """Archive a project: it accepts no jobs, waiting ones are cancelled, all data stay readable."""
    session = Session.of(context, as_json=json)
    cancelled = session.admin.archive_project(project_id)
    session.done(
        f"project {project_id} is archived; waiting jobs cancelled: {cancelled}",
        project_id=project_id,
        cancelled=cancelled,
    )


@members.callback()
def list_members(
    context: typer.Context,
    *,
    project: Annotated[str | None, typer.Option(help="Only of this project.")] = None,
    json: Json = False,
) -> None:
    """List the members of projects."""
    if context.invoked_subcommand is None:
        session = Session.of(context, as_json=json)
        found = session.records(MEMBERS, project_id=project)
        session.answer(found, lambda views: views.records(found, "no readable member"))


@members.command("grant")
def grant_member(
    context: typer.Context,
    project_id: Annotated[str, typer.Argument(help="The project.", show_default=False)],
    role_name: Annotated[str, typer.Argument(help="Database role.", show_default=False)],
    *,
    username: Annotated[
        str | None, typer.Option(help="User name in QDash; the role's name by default.", show_default=False)
    ] = None,
    access: Annotated[
        Literal["reader", "submitter", "operator"], typer.Option(help="What the member may do.")
    ] = "submitter",
    json: Json = False,
) -> None:
    """Grant a database role access to a project."""
    session = Session.of(context, as_json=json)
    name = username or role_name
    session.admin.grant_member(project_id, role_name, name, access)
    session.done(
        f"{role_name} is {access} of project {project_id} as {name}",
        project_id=project_id,
        role_name=role_name,
        username=name,
        access=access,
    )


@members.command("revoke")
def revoke_member(
    context: typer.Context,
    project_id: Annotated[str, typer.Argument(help="The project.", show_default=False)],
    role_name: Annotated[
        str, typer.Argument(help="Database role; for a dropped role, its number.", show_default=False)
    ],
    *,
    json: Json = False,
) -> None:
    """Revoke a database role's access to a project; its waiting jobs stay."""
    session = Session.of(context, as_json=json)
    session.admin.revoke_member(project_id, role_name)
    session.done(
        f"{role_name} is not a member of project {project_id}", project_id=project_id, role_name=role_name
    )
