"""Makes in MongoDB what QDash's own API makes: a user, a project and its owner, a chip with all its rows.

A stand-in for QDash's own set-up (``POST /auth/register``, ``POST /chips``), for demo and tests, where
no QDash runs. Against a real QDash use its API: it also hashes the password and hands out the token. The user
made here cannot log in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict
from pymongo import ASCENDING

from qdash_queue.mirror.write.indexes import ensure_indexes
from qdash_queue.mirror.write.qdash_lookup import MongoDocument, QDashDatabase

# The unique indexes of what only QDash makes.
_UNIQUE_KEYS = (
    ("user", ("user_id",)),
    ("user", ("username",)),
    ("user", ("access_token",)),
    ("project", ("project_id",)),
    ("project", ("owner_username", "name")),
    ("project_membership", ("project_id", "username")),
    ("chip", ("project_id", "chip_id", "username")),
    ("qubit", ("project_id", "qid", "chip_id", "username")),
    ("coupling", ("project_id", "qid", "chip_id", "username")),
)
# No bcrypt hash looks like this, so no password fits.
_NO_PASSWORD = "!"  # noqa: S105 - the absence of one


class ChipPlan(BaseModel):
    """A chip as QDash would make it: its topology's name, its qubits and its edges ``(control, target)``."""

    model_config = ConfigDict(frozen=True)

    chip_id: str
    topology_id: str
    qids: list[str]
    edges: list[tuple[str, str]]

    @property
    def coupling_qids(self) -> list[str]:
        """QDash makes a coupling in both directions of every edge."""
        return [qid for a, b in self.edges for qid in (f"{a}-{b}", f"{b}-{a}")]


class QDashSetup:
    """Makes QDash's rows, each once; what is there already stays as it is."""

    def __init__(self, database: QDashDatabase, at: AwareDatetime | None = None) -> None:
        self._database = database
        self._at = at or datetime.now(UTC)

    def make_indexes(self) -> None:
        """QDash's unique indexes, as its API makes them when it starts."""
        for collection, fields in _UNIQUE_KEYS:
            self._database[collection].create_index([(field, ASCENDING) for field in fields], unique=True)
        ensure_indexes(self._database)

    def make_user(self, username: str) -> str:
        """A user; returns its id."""
        user_id = "usr_" + _stable(f"user {username}", 32)
        self._insert(
            "user",
            {"username": username},
            {
                "user_id": user_id,
                "hashed_password": _NO_PASSWORD,
                # QDash finds the caller by this text; one that is never shown cannot be known.
                "access_token": f"none-{_stable(f'token {username} {self._at}', 32)}",
                "display_name": username,
                "organization": "",
                "avatar_key": "",
                "default_project_id": None,
                "must_change_password": False,
                "disabled": False,
                "system_role": "user",
                "system_info": self._system_info(),
            },
        )
        found = self._database["user"].find_one({"username": username})
        return str(found["user_id"]) if found else user_id

    def make_project(self, project_id: str, owner: str) -> None:
        """A project and its owner's membership; the owner must be a user."""
        user_id = self.make_user(owner)
        self._insert(
            "project",
            {"project_id": project_id},
            {
                "owner_user_id": user_id,
                "owner_username": owner,
                "name": project_id,
                "description": "",
                "tags": [],
                "default_role": "viewer",
                "system_info": self._system_info(),
            },
        )
        self.make_member(project_id, owner, "owner")

    def make_member(self, project_id: str, username: str, role: str) -> None:
        """A membership with role owner, editor or viewer."""
        self._insert(
            "project_membership",
            {"project_id": project_id, "username": username},
            {
                "user_id": self.make_user(username),
                "role": role,
                "status": "active",
                "invited_by": None,
                "invited_by_user_id": None,
                "last_accessed_at": None,
                "system_info": self._system_info(),
            },
        )

    def make_chip(self, project_id: str, username: str, plan: ChipPlan) -> None:
        """A chip with one row for each qubit and two for each edge."""
        owner = {"project_id": project_id, "username": username}
        user_id = self.make_user(username)
        self._insert(
            "chip",
            owner | {"chip_id": plan.chip_id},
            {
                "user_id": user_id,
                "size": len(plan.qids),
                "current_cooldown_id": None,
                "activity_status": "active",
                "topology_id": plan.topology_id,
                "installed_at": self._at,
                "note": {"content": "", "updated_by": "", "updated_at": None},
                "system_info": self._system_info(),
            },
        )
        for collection, qids in (("qubit", plan.qids), ("coupling", plan.coupling_qids)):
            self._make_targets(collection, owner | {"chip_id": plan.chip_id}, user_id, qids)

    def _make_targets(self, collection: str, chip: dict[str, str], user_id: str, qids: Iterable[str]) -> None:
        for qid in qids:
            self._insert(
                collection,
                chip | {"qid": qid},
                {
                    "user_id": user_id,
                    "status": "pending",
                    "data": {},
                    "note": {"content": "", "updated_by": "", "updated_at": None},
                    "metric_notes": {},
                    "system_info": self._system_info(),
                },
            )

    def _insert(self, collection: str, key: dict[str, str], rest: MongoDocument) -> None:
        self._database[collection].update_one(key, {"$setOnInsert": rest}, upsert=True)

    def _system_info(self) -> MongoDocument:
        return {"created_at": self._at, "updated_at": self._at}


def _stable(words: str, length: int) -> str:
    return hashlib.sha256(words.encode()).hexdigest()[:length]
