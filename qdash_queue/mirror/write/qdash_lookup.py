"""What must already be in QDash before a job can be shown there.

Users, projects, chips, qubits and couplings are QDash's to make. The mirror only looks them up; where one is
missing it says which one and how to make it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pymongo.database import Database as MongoDatabase

from qdash_queue.errors import QdashQueueError

MongoDocument = dict[str, Any]
QDashDatabase = MongoDatabase[MongoDocument]


class MissingInQDashError(QdashQueueError):
    """Something that QDash has to make is not there yet; the message names it and says how to make it."""


class Target(BaseModel):
    """A qubit or coupling in QDash.

    Attributes:
        data: of each of its rows; there is more than one where several users made the chip.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    collection: str
    history_collection: str
    qid: str
    username: str
    user_id: str | None = None
    status: str = "pending"
    data: list[dict[str, Any]] = Field(default_factory=list)


class ChipPlace(BaseModel):
    """Where a chip's parameters go in one project."""

    model_config = ConfigDict(frozen=True)

    project_id: str
    chip_id: str
    cooldown_id: str
    targets: dict[str, Target] = Field(default_factory=dict)


class Place(ChipPlace):
    """Where a job's documents go: ids that only QDash knows."""

    user_id: str


class QDashLookup:
    """Finds what QDash made."""

    def __init__(self, database: QDashDatabase) -> None:
        self._database = database

    def place_of(self, project_id: str, chip_id: str, username: str) -> Place:
        """Where the documents of a user's job go, without its qubits and couplings.

        Raises:
            MissingInQDashError: QDash lacks the user, the project or the chip.
        """
        user = self._database["user"].find_one({"username": username}, {"user_id": 1})
        if user is None or not isinstance(user.get("user_id"), str):
            raise MissingInQDashError(
                f'QDash has no user "{username}": make it there (an administrator, POST /auth/register)'
            )
        self._require_project(project_id)
        return Place(
            project_id=project_id,
            chip_id=chip_id,
            user_id=user["user_id"],
            cooldown_id=self._require_chip(project_id, chip_id),
        )

    def with_targets(self, place: Place, qids: Iterable[str]) -> Place:
        """The place with its qubits and couplings.

        Raises:
            MissingInQDashError: QDash lacks one of them.
        """
        return place.model_copy(update={"targets": self._targets(place.project_id, place.chip_id, qids)})

    def chip_place(self, project_id: str, chip_id: str, qids: Iterable[str]) -> ChipPlace:
        """Where the chip's parameters go in the project.

        Raises:
            MissingInQDashError: QDash lacks the chip there, or a qubit or coupling of it.
        """
        return ChipPlace(
            project_id=project_id,
            chip_id=chip_id,
            cooldown_id=self._require_chip(project_id, chip_id),
            targets=self._targets(project_id, chip_id, qids),
        )

    def projects_with_chip(self, chip_id: str, among: Iterable[str]) -> list[str]:
        """Those of the projects in which QDash has the chip."""
        query = {"chip_id": chip_id, "project_id": {"$in": list(among)}}
        return sorted(self._database["chip"].distinct("project_id", query))

    def _targets(self, project_id: str, chip_id: str, qids: Iterable[str]) -> dict[str, Target]:
        wanted = sorted({qid for qid in qids if qid})
        found: dict[str, Target] = {}
        of_kind = {
            "qubit": [qid for qid in wanted if "-" not in qid],
            "coupling": [qid for qid in wanted if "-" in qid],
        }
        for collection, qids_of_kind in of_kind.items():
            if not qids_of_kind:
                continue
            query = {"project_id": project_id, "chip_id": chip_id, "qid": {"$in": qids_of_kind}}
            for row in self._database[collection].find(query).sort("_id"):
                # As QDash does: the row of the qid, whichever user owns it.
                target = found.setdefault(row["qid"], _target(collection, row))
                target.data.append(row["data"] if isinstance(row.get("data"), dict) else {})
        for qid in wanted:
            if qid not in found:
                kind = "coupling" if "-" in qid else "qubit"
                raise MissingInQDashError(
                    f'QDash has no {kind} "{qid}" of chip "{chip_id}" in project "{project_id}": '
                    "make the chip there in its full size (POST /chips)"
                )
        return found

    def _require_project(self, project_id: str) -> None:
        if self._database["project"].find_one({"project_id": project_id}, {"_id": 1}) is None:
            raise MissingInQDashError(
                f'QDash has no project "{project_id}": make it there, and use its id in the queue too'
            )

    def _require_chip(self, project_id: str, chip_id: str) -> str:
        chip = self._database["chip"].find_one(
            {"project_id": project_id, "chip_id": chip_id}, {"current_cooldown_id": 1}
        )
        if chip is None:
            raise MissingInQDashError(
                f'QDash has no chip "{chip_id}" in project "{project_id}": make it there (POST /chips)'
            )
        return chip.get("current_cooldown_id") or ""


def _target(collection: str, row: MongoDocument) -> Target:
    return Target(
        collection=collection,
        history_collection=f"{collection}_history",
        qid=row["qid"],
        username=row["username"],
        user_id=row.get("user_id"),
        status=row.get("status") or "pending",
    )
