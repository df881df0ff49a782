"""The administrator's verbs: projects, members, chips, executor permissions."""

from __future__ import annotations

from qdash_queue.client.database import Database


class Admin:
    """Needs the role ``calib_admin``. Every verb may be repeated."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def add_project(self, project_id: str, description: str = "") -> None:
        """Add a project."""
        self.database.execute(
            "SELECT calib.add_project(%(project_id)s, %(description)s)",
            project_id=project_id,
            description=description,
        )

    def archive_project(self, project_id: str) -> int:
        """Archive a project: it accepts no jobs, waiting ones are cancelled, all data stay readable.

        Returns:
            How many waiting jobs were cancelled.
        """
        return int(
            self.database.value("SELECT calib.archive_project(%(project_id)s)", project_id=project_id) or 0
        )

    def grant_member(self, project_id: str, role_name: str, username: str, access: str) -> None:
        """Grant a role access (reader, submitter or operator) to a project as ``username``."""
        self.database.execute(
            "SELECT calib.grant_member(%(project_id)s, %(role_name)s, %(username)s, %(access)s)",
            project_id=project_id,
            role_name=role_name,
            username=username,
            access=access,
        )

    def revoke_member(self, project_id: str, role_name: str) -> None:
        """Revoke a role's access to a project; a dropped role is named by its number."""
        self.database.execute(
            "SELECT calib.revoke_member(%(project_id)s, %(role_name)s)",
            project_id=project_id,
            role_name=role_name,
        )

    def add_chip(self, chip_id: str, backend: str, topology: str) -> None:
        """Add a chip with its qubits and couplings; backend and topology cannot be changed later."""
        self.database.execute(
            "SELECT calib.add_chip(%(chip_id)s, %(backend)s, %(topology)s)",
            chip_id=chip_id,
            backend=backend,
            topology=topology,
        )

    def set_chip(
        self,
        chip_id: str,
        max_waiting: int | None = None,
        *,
        max_waiting_per_project: int | None = None,
        submitter_priority: int | None = None,
    ) -> None:
        """Change how many jobs may wait for a chip, and the highest priority that a submitter may give."""
        self.database.execute(
            "SELECT calib.set_chip(%(chip_id)s, CAST(%(max_waiting)s AS integer),"
            " CAST(%(max_waiting_per_project)s AS integer), CAST(%(submitter_priority)s AS integer))",
            chip_id=chip_id,
            max_waiting=max_waiting,
            max_waiting_per_project=max_waiting_per_project,
            submitter_priority=submitter_priority,
        )

    def retire_chip(self, chip_id: str) -> int:
        """Retire a chip: it accepts no jobs, waiting ones are cancelled, all data stay readable.

        Returns:
            How many waiting jobs were cancelled.

        Raises:
            IllegalTransitionError: a job runs on it.
        """
        return int(self.database.value("SELECT calib.retire_chip(%(chip_id)s)", chip_id=chip_id) or 0)

    def allow_executor(self, role_name: str, chip_id: str) -> None:
        """Permit a database role to serve a chip."""
        self.database.execute(
            "SELECT calib.allow_executor(%(role_name)s, %(chip_id)s)", role_name=role_name, chip_id=chip_id
        )

    def disallow_executor(self, role_name: str, chip_id: str) -> None:
        """Withdraw a role's permission to serve a chip; a job that it runs there is lost."""
        self.database.execute(
            "SELECT calib.disallow_executor(%(role_name)s, %(chip_id)s)", role_name=role_name, chip_id=chip_id
        )

    def set_time_zone(self, time_zone: str) -> None:
        """Set the zone in which the queue's days begin."""
        self.database.execute("SELECT calib.set_time_zone(%(time_zone)s)", time_zone=time_zone)
