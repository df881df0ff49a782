"""Each mistake that QDash's API stumbles over is found, by its field's name."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import ObjectId

from qdash_queue.mirror import Mirror
from qdash_queue.mirror.write.qdash_lookup import QDashDatabase
from tests.mirror.qdash_lint import lint_database, lint_document
from tests.support.chip_jobs import ChipJobs

AT = datetime(2026, 1, 31, tzinfo=UTC)
INFO = {"created_at": AT, "updated_at": AT}
OWNER = {
    "_id": ObjectId("6b04752dd71f9715d815a6a2"),
    "project_id": "demo",
    "username": "alice",
    "user_id": "usr_" + "a" * 32,
    "chip_id": "SIM16",
}
T1 = {
    "parameter_name": "t1",
    "qid_role": "",
    "value": 41.5,
    "value_type": "float",
    "error": 0.5,
    "unit": "μs",
    "description": "",
    "calibrated_at": AT,
    "execution_id": "20260131-q001",
    "task_id": "11111111-2222-4333-8444-555555555555",
}
NOTE = {"content": "", "updated_by": "", "updated_at": None}
GOOD: dict[str, dict[str, Any]] = {
    "execution_history": OWNER
    | {
        "name": "calibrate",
        "execution_id": "20260131-q001",
        "calib_data_path": "/app/calib_data/alice/20260131/q001",
        "note": {"qdash_queue": {}},
        "status": "completed",
        "tags": ["calibrate"],
        "start_at": AT,
        "end_at": None,
        "elapsed_time": 1.5,
        "message": "",
        "system_info": INFO,
    },
    "task_result_history": OWNER
    | {
        "task_id": T1["task_id"],
        "name": "CheckT1",
        "execution_id": "20260131-q001",
        "status": "completed",
        "upstream_id": "",
        "message": "",
        "stack_trace": "",
        "input_parameters": {},
        "output_parameters": {"t1": T1},
        "output_parameter_names": ["t1"],
        "run_parameters": {},
        "quality_metrics": {"r2": 0.98},
        "note": {},
        "figure_path": [],
        "json_figure_path": [],
        "raw_data_path": [],
        "start_at": AT,
        "end_at": AT,
        "elapsed_time": 1.5,
        "task_type": "qubit",
        "system_info": INFO,
        "qid": "0",
        "tags": [],
        "cooldown_id": "",
    },
    "qubit": OWNER
    | {
        "qid": "0",
        "status": "pending",
        "data": {"t1": T1},
        "note": NOTE,
        "metric_notes": {},
        "system_info": INFO,
    },
    "chip": OWNER | {"note": NOTE},
    "qubit_history": OWNER
    | {
        "qid": "0",
        "status": "pending",
        "data": {"t1": T1},
        "recorded_date": "20260131",
        "cooldown_id": "",
        "system_info": INFO,
    },
    "execution_counter": OWNER | {"date": "20260131", "index": 0, "system_info": INFO},
}
ABSENT = object()


def broken() -> Iterator[tuple[str, str, object]]:
    """QDash's known stumbling blocks: collection, field, the bad value."""
    for field in GOOD["execution_history"]:
        yield "execution_history", field, ABSENT
    for field in GOOD["task_result_history"]:
        yield "task_result_history", field, ABSENT
    for field in ("note", "tags", "message"):
        yield "execution_history", field, None
    for elapsed in (-1.0, 400 * 86400.0, "soon"):
        yield "execution_history", "elapsed_time", elapsed
    for field in ("upstream_id", "message", "stack_trace", "cooldown_id", "json_figure_path"):
        yield "task_result_history", field, None
    yield "execution_history", "_id", "20260131-q001"
    yield "execution_history", "status", "COMPLETED"
    yield "execution_history", "username", "Alice Smith"
    yield "execution_history", "start_at", "2026-01-31T00:00:00Z"
    yield "execution_history", "note", {"qdash_queue": {}, "flow_run_id": "none"}
    yield "task_result_history", "status", "skipped"
    yield "task_result_history", "task_type", "Qubit"
    yield "task_result_history", "task_id", "1"
    yield "task_result_history", "quality_metrics", {"r2": None}
    yield "task_result_history", "figure_path", [None]
    for qid in ("Q00", "00", 0, "0-01"):
        yield "task_result_history", "qid", qid
    for value in (None, "41.5", [41.5], True, math.nan):
        yield "task_result_history", "output_parameters", {"t1": T1 | {"value": value}}
    yield "task_result_history", "output_parameters", {"t1": 41.5}
    yield "qubit", "data", {"t1": T1 | {"error": None}}
    yield "qubit", "data", {"t1": T1 | {"calibrated_at": "2026-01-31"}}
    yield "qubit", "metric_notes", None
    for collection in ("chip", "qubit"):
        yield collection, "note", NOTE | {"updated_by": None}
    yield "qubit_history", "recorded_date", "2026-01-31"
    yield "execution_counter", "index", "0"


@pytest.mark.parametrize("collection", GOOD)
def test_good_documents_pass(collection: str) -> None:
    assert list(lint_document(collection, GOOD[collection])) == []


@pytest.mark.parametrize(("collection", "field", "value"), broken())
def test_each_mistake_is_named(collection: str, field: str, value: object) -> None:
    document = copy.deepcopy(GOOD[collection])
    if value is ABSENT:
        del document[field]
    else:
        document[field] = value
    assert field in {problem.field.split(".")[0] for problem in lint_document(collection, document)}


def test_finds_a_mistake_among_mirrored_documents(
    world: ChipJobs, mirror: Mirror, qdash: QDashDatabase
) -> None:
    world.run(["0"], ["CheckT1"])
    mirror.run_once()
    assert lint_database(qdash) == []
    qdash["task_result_history"].update_one({}, {"$set": {"message": None}})
    (problem,) = lint_database(qdash)
    assert (problem.collection, problem.field) == ("task_result_history", "message")
    assert "valid string" in str(problem)
