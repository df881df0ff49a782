"""The administrator's verbs: projects, members, chips, who may execute."""

from __future__ import annotations

from qdash_queue.client.database import Database


class Admin:
    """Needs the role ``calib_admin``. Every verb may be repeated."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def add_project(self, project_id: str, description: str = "") -> None:
        """Make a project."""
        self.database.execute(
            "SELECT calib.add_project(:project_id, :description)",
            project_id=project_id,
            description=description,
        )

    def archive_project(self, project_id: str) -> int:
        """Let a project ask for nothing any more; what waits is cancelled, everything can still be read.

        Returns:
            How many waiting jobs were cancelled.
        """
        return int(
            self.database.value("SELECT calib.archive_project(:project_id)", project_id=project_id) or 0
        )

    def grant_member(self, project_id: str, role_name: str, username: str, access: str) -> None:
        """Let a database role into a project as ``username``, with access reader, submitter or operator."""
        self.database.execute(
            "SELECT calib.grant_member(:project_id, :role_name, :username, :access)",
            project_id=project_id,
            role_name=role_name,
            username=username,
            access=access,
        )

    def revoke_member(self, project_id: str, role_name: str) -> None:
        """Take a role out of a project; a role that was dropped goes by the number shown in its place."""
        self.database.execute(
            "SELECT calib.revoke_member(:project_id, :role_name)", project_id=project_id, role_name=role_name
        )

    def add_chip(self, chip_id: str, backend: str, topology: str) -> None:
        """Make a chip with its qubits and couplings; backend and topology are fixed for ever."""
        self.database.execute(
            "SELECT calib.add_chip(:chip_id, :backend, :topology)",
            chip_id=chip_id,
            backend=backend,
            topology=topology,
        )

    def set_chip(self, chip_id: str, max_waiting: int) -> None:
        """Change how many jobs may wait for a chip."""
        self.database.execute(
            "SELECT calib.set_chip(:chip_id, CAST(:max_waiting AS integer))",
            chip_id=chip_id,
            max_waiting=max_waiting,
        )

    def retire_chip(self, chip_id: str) -> int:
        """Let nothing be asked of a chip any more; what waits is cancelled, everything can still be read.

        Returns:
            How many waiting jobs were cancelled.

        Raises:
            IllegalTransitionError: a job runs on it.
        """
        return int(self.database.value("SELECT calib.retire_chip(:chip_id)", chip_id=chip_id) or 0)

    def allow_executor(self, role_name: str, chip_id: str) -> None:
        """Let a database role serve a chip."""
        self.database.execute(
            "SELECT calib.allow_executor(:role_name, :chip_id)", role_name=role_name, chip_id=chip_id
        )

    def disallow_executor(self, role_name: str, chip_id: str) -> None:
        """Let a database role serve a chip no more; a job that it runs there is lost."""
        self.database.execute(
            "SELECT calib.disallow_executor(:role_name, :chip_id)", role_name=role_name, chip_id=chip_id
        )

    def set_time_zone(self, time_zone: str) -> None:
        """Set the zone in which the queue's days begin."""
        self.database.execute("SELECT calib.set_time_zone(:time_zone)", time_zone=time_zone)
