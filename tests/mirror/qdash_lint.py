"""Checks QDash's documents field by field against what QDash's API can read.

QDash validates every document when it reads it. One malformed execution makes the list of all executions of
its chip an error 500, so the mirror's tests run this over everything that was written.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from bson import ObjectId
from pydantic import BaseModel, ConfigDict

from qdash_queue.mirror.write.qdash_lookup import MongoDocument, QDashDatabase

Check = Callable[[object], str | None]

_MISSING = object()
_YEAR_SECONDS = 365 * 86400
_USER_ID = re.compile(r"usr_[0-9a-f]{32}")
_USERNAME = re.compile(r"[a-z0-9][a-z0-9_-]{2,63}")
_QID = re.compile(r"|(0|[1-9]\d*)(-(0|[1-9]\d*))?")
_DAY = re.compile(r"\d{8}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_EXECUTION_ID = re.compile(r"\d{8}-q?\d{3,}")
_PATH = re.compile(r"/[^\0]+")
_VALUE_TYPES = {"float", "int"}
_RUN_VALUE_TYPES = {"int", "float", "str", "list", "range", "np.linspace", "np.logspace", "np.arange"}


class Problem(BaseModel):
    """One field that QDash could not read, or would show wrongly."""

    model_config = ConfigDict(frozen=True)

    collection: str
    document: str
    field: str
    words: str

    def __str__(self) -> str:
        return f"{self.collection} {self.document}: {self.field}: {self.words}"


def lint_database(database: QDashDatabase) -> list[Problem]:
    """Check every document of the collections that the mirror writes to, and the chips it finds.

    Returns:
        The problems; an empty list where QDash can read everything.
    """
    return [
        problem
        for collection in _RULES
        for document in database[collection].find()
        for problem in lint_document(collection, document)
    ]


def lint_references(database: QDashDatabase) -> list[Problem]:
    """Check that what task results speak of exists: execution, task before, files in GridFS."""
    results = database["task_result_history"]
    stored = set(database["fs.files"].distinct("filename"))
    problems = []
    for result in results.find():
        key = {"project_id": result["project_id"], "execution_id": result["execution_id"]}
        paths = result["figure_path"] + result["json_figure_path"] + result["raw_data_path"]
        faults = {
            "execution_id": database["execution_history"].count_documents(key) != 1,
            "upstream_id": bool(result["upstream_id"])
            and results.count_documents(key | {"task_id": result["upstream_id"]}) != 1,
            "figure_path": not stored.issuperset(paths),
            "output_parameter_names": not set(result["output_parameter_names"]).issuperset(
                result["output_parameters"]
            ),
        }
        problems += [
            Problem(
                collection="task_result_history",
                document=result["task_id"],
                field=field,
                words="names something that is not there",
            )
            for field, wrong in faults.items()
            if wrong
        ]
    return problems


def lint_document(collection: str, document: MongoDocument) -> Iterator[Problem]:
    """Check one document of a collection; raises KeyError for a collection that the mirror does not write."""
    name = str(document.get("execution_id") or document.get("qid") or document.get("_id"))
    if "task_id" in document:
        name = f"{name} {document.get('name')} {document.get('qid')}"
    for field, check in _RULES[collection].items():
        words = check(document.get(field, _MISSING))
        if words is not None:
            yield Problem(collection=collection, document=name, field=field, words=words)
    for field, words in _not_for_bson("", document):
        yield Problem(collection=collection, document=name, field=field, words=words)


def _got(value: object) -> str:
    return "nothing" if value is _MISSING else f"{type(value).__name__} {str(value)[:60]!r}"


def text(pattern: re.Pattern[str] | None = None) -> Check:
    """A text, of the pattern if one is given; never null."""

    def check(value: object) -> str | None:
        if not isinstance(value, str):
            return f"expected a text, got {_got(value)}"
        if pattern is not None and not pattern.fullmatch(value):
            return f"expected a text like {pattern.pattern}, got {value!r}"
        return None

    return check


def word(*words: str) -> Check:
    """One of the words, exactly so spelt."""
    return lambda value: None if value in words else f"expected one of {', '.join(words)}, got {_got(value)}"


def kind(wanted: type, name: str) -> Check:
    """A value of the type; never null."""
    return lambda value: None if isinstance(value, wanted) else f"expected {name}, got {_got(value)}"


def or_null(check: Check) -> Check:
    """The key must exist, the value may be null."""
    return lambda value: None if value is None else check(value)


def or_absent(check: Check) -> Check:
    """The field may be missing, but not wrong."""
    return lambda value: None if value is _MISSING else check(value)


def date(value: object) -> str | None:
    """A BSON date, which the reader takes for UTC."""
    return None if isinstance(value, datetime) else f"expected a BSON date, got {_got(value)}"


def number(value: object) -> str | None:
    """A finite number; a truth value is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"expected a number, got {_got(value)}"
    return None if math.isfinite(value) else f"expected a finite number, got {value}"


def elapsed(value: object) -> str | None:
    """Seconds, from 0 to a year."""
    words = number(value)
    if words is not None or not isinstance(value, int | float):
        return words
    return None if 0 <= value <= _YEAR_SECONDS else f"expected 0 s to 365 days, got {value} s"


def list_of(check: Check) -> Check:
    """A list, each item of which passes; never null."""

    def check_list(value: object) -> str | None:
        if not isinstance(value, list):
            return f"expected a list, got {_got(value)}"
        found = (check(item) for item in value)
        return next((words for words in found if words is not None), None)

    return check_list


def map_of(check: Check) -> Check:
    """An object, each value of which passes; never null."""

    def check_map(value: object) -> str | None:
        if not isinstance(value, dict):
            return f"expected an object, got {_got(value)}"
        found = ((name, check(item)) for name, item in value.items())
        return next((f"{name}: {words}" for name, words in found if words is not None), None)

    return check_map


def fields(rules: Mapping[str, Check]) -> Check:
    """An object with these fields."""

    def check(value: object) -> str | None:
        if not isinstance(value, dict):
            return f"expected an object, got {_got(value)}"
        found = ((name, rule(value.get(name, _MISSING))) for name, rule in rules.items())
        return next((f"{name}: {words}" for name, words in found if words is not None), None)

    return check


def _not_for_bson(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _not_for_bson(f"{path}.{name}" if path else str(name), item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _not_for_bson(f"{path}[{index}]", item)
    elif isinstance(value, float) and not math.isfinite(value):
        yield path, f"expected a finite number, got {value}"


_SYSTEM_INFO = fields({"created_at": date, "updated_at": date})
# QDash gives a chip's pages an error 500 where one of these texts is null.
_NOTE = fields({"content": text(), "updated_by": text(), "updated_at": or_null(date)})
_PARAMETER = fields(
    {
        "parameter_name": text(),
        "qid_role": word("", "self", "control", "target", "coupling"),
        "value": number,
        "value_type": word(*_VALUE_TYPES),
        "error": number,
        "unit": text(),
        "description": text(),
        "calibrated_at": date,
        "execution_id": text(),
        "task_id": text(),
    }
)
_INPUT = fields({"value": or_null(number), "error": number, "unit": text(), "value_type": text()})
_RUN_PARAMETER = fields({"unit": text(), "value_type": word(*_RUN_VALUE_TYPES), "description": text()})
_OWNER: dict[str, Check] = {
    "_id": kind(ObjectId, "an ObjectId"),
    "project_id": text(re.compile(r".+")),
    "username": text(_USERNAME),
    "user_id": or_null(text(_USER_ID)),
    "chip_id": text(re.compile(r".+")),
}
_TARGET: dict[str, Check] = _OWNER | {
    "qid": text(_QID),
    "status": text(),
    "data": map_of(_PARAMETER),
    "system_info": _SYSTEM_INFO,
}
_RULES: dict[str, dict[str, Check]] = {
    "execution_history": _OWNER
    | {
        "name": text(re.compile(r".+")),
        "execution_id": text(_EXECUTION_ID),
        "calib_data_path": text(_PATH),
        "note": fields({"flow_run_id": or_absent(text(_UUID)), "qdash_queue": kind(dict, "an object")}),
        "status": word("scheduled", "running", "completed", "failed", "cancelled"),
        "tags": list_of(text()),
        "start_at": or_null(date),
        "end_at": or_null(date),
        "elapsed_time": or_null(elapsed),
        "message": text(),
        "system_info": _SYSTEM_INFO,
    },
    "task_result_history": _OWNER
    | {
        "task_id": text(_UUID),
        "name": text(re.compile(r".+")),
        "execution_id": text(_EXECUTION_ID),
        # QDash's page paints every other word as a red "Failed".
        "status": word("scheduled", "running", "completed", "failed", "cancelled"),
        "upstream_id": text(re.compile(f"|{_UUID.pattern}")),
        "message": text(),
        "stack_trace": text(re.compile(r"(?s).{0,10000}")),
        "input_parameters": map_of(_INPUT),
        "output_parameters": map_of(_PARAMETER),
        "output_parameter_names": list_of(text()),
        "run_parameters": map_of(_RUN_PARAMETER),
        "quality_metrics": map_of(number),
        "note": kind(dict, "an object"),
        "figure_path": list_of(text(_PATH)),
        "json_figure_path": list_of(text(_PATH)),
        "raw_data_path": list_of(text(_PATH)),
        "start_at": or_null(date),
        "end_at": or_null(date),
        "elapsed_time": or_null(elapsed),
        "task_type": word("qubit", "coupling", "global", "system", "mux"),
        "system_info": _SYSTEM_INFO,
        "qid": text(_QID),
        "tags": list_of(text()),
        "cooldown_id": text(),
        "source_task_id": or_absent(or_null(text())),
        "user_note": or_absent(kind(dict, "an object")),
        "ai_review_note": or_absent(kind(dict, "an object")),
        "ai_review": or_absent(kind(dict, "an object")),
        "excluded": or_absent(kind(bool, "true or false")),
        "excluded_reason": or_absent(text()),
    },
    "chip": _OWNER | {"note": _NOTE},
    "qubit": _TARGET | {"note": _NOTE, "metric_notes": kind(dict, "an object")},
    "coupling": _TARGET | {"note": _NOTE, "metric_notes": kind(dict, "an object")},
    "qubit_history": _TARGET | {"recorded_date": text(_DAY), "cooldown_id": text()},
    "coupling_history": _TARGET | {"recorded_date": text(_DAY), "cooldown_id": text()},
    "execution_counter": _OWNER
    | {"date": text(_DAY), "index": kind(int, "a whole number"), "system_info": _SYSTEM_INFO},
    "tag": {name: check for name, check in _OWNER.items() if name != "chip_id"} | {"name": text()},
}
