"""What QDash's database and folders hold, as the tests compare it."""

from __future__ import annotations

from typing import Any

from qdash_queue.mirror.documents.layout import Layout
from qdash_queue.mirror.write.qdash_lookup import QDashDatabase
from tests.mirror.qdash_lint import lint_database, lint_references
from tests.support.chip_jobs import CHIP

MIRRORED = (
    "execution_history",
    "task_result_history",
    "execution_counter",
    "tag",
    "qubit_history",
    "coupling_history",
    "fs.files",
    "fs.chunks",
)
State = dict[str, Any]


def state_of(qdash: QDashDatabase, layout: Layout) -> State:
    """Everything the mirror wrote, but for the ids and dates that MongoDB and GridFS choose."""
    state: State = {}
    for collection in (*MIRRORED, "qubit", "coupling"):
        documents = []
        for document in qdash[collection].find():
            # A file's id is made of its path and content; all others are MongoDB's choice.
            if collection != "fs.files":
                document.pop("_id")
            document.pop("uploadDate", None)
            documents.append(document)
        state[collection] = sorted(documents, key=repr)
    state["files"] = {
        str(path.relative_to(layout.base)): path.read_bytes()
        for path in layout.base.rglob("*")
        if path.is_file()
    }
    return state


def result_of(qdash: QDashDatabase, task: str, qid: str = "0") -> dict[str, Any]:
    found = qdash["task_result_history"].find_one({"name": task, "qid": qid})
    assert found is not None
    return found


def execution_of(qdash: QDashDatabase, execution_id: str | None) -> dict[str, Any]:
    found = qdash["execution_history"].find_one({"execution_id": execution_id})
    assert found is not None
    return found


def qubit_of(qdash: QDashDatabase, qid: str = "0") -> dict[str, Any]:
    found = qdash["qubit"].find_one({"qid": qid, "chip_id": CHIP})
    assert found is not None
    return found


def assert_readable(qdash: QDashDatabase) -> None:
    assert [str(problem) for problem in lint_database(qdash)] == []
    assert [str(problem) for problem in lint_references(qdash)] == []
