"""The administrator's verbs: projects, members, chips, who may execute."""

from __future__ import annotations

from qdash_queue.database import Database


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

    def grant_member(self, project_id: str, role_name: str, username: str, access: str) -> None:
        """Let a database role into a project as ``username``, with access reader, submitter or operator."""
        self.database.execute(
            "SELECT calib.grant_member(:project_id, :role_name, :username, :access)",
            project_id=project_id,
            role_name=role_name,
            username=username,
            access=access,
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

    def allow_executor(self, role_name: str, chip_id: str) -> None:
        """Let a database role serve a chip."""
        self.database.execute(
            "SELECT calib.allow_executor(:role_name, :chip_id)", role_name=role_name, chip_id=chip_id
        )

    def set_time_zone(self, time_zone: str) -> None:
        """Set the zone in which the queue's days begin."""
        self.database.execute("SELECT calib.set_time_zone(:time_zone)", time_zone=time_zone)
