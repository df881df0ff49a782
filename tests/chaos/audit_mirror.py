"""Proves that MongoDB and the files say what PostgreSQL says: nothing missing, doubled or else."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from qdash_queue.mirror.write.qdash_lookup import MongoDocument, QDashDatabase
from tests.chaos.auditor import Connection, Violation
from tests.mirror.qdash_lint import lint_database, lint_references

IN_QDASH = PurePosixPath("/app/calib_data")
SHOWN = {"skipped": "cancelled"}

_JOBS = """
SELECT job_id, execution_id, state, flow_run_id::text, chip_id, username,
       extract(epoch FROM finished_at), version
  FROM calib.jobs WHERE execution_id IS NOT NULL"""
_TASK_RUNS = """
SELECT t.task_run_id::text, t.job_id, t.status, t.task, t.qid, j.execution_id,
       (SELECT count(*) FROM calib.figures f WHERE f.task_run_id = t.task_run_id AND f.png IS NOT NULL),
       (SELECT count(*) FROM calib.figures f WHERE f.task_run_id = t.task_run_id),
       (SELECT count(*) FROM calib.raw_data r WHERE r.task_run_id = t.task_run_id),
       CASE WHEN t.status = 'completed' THEN t.output_parameters ELSE '{}' END
  FROM calib.task_runs t JOIN calib.jobs j USING (job_id)"""


def audit_mirror(connection: Connection, qdash: QDashDatabase, data_path: Path) -> list[Violation]:
    """Compare all that the mirror should have written with all that is there."""
    return [
        *_executions(connection, qdash),
        *_task_results(connection, qdash),
        *_files(connection, qdash, data_path),
        *_parameters(connection, qdash),
        *(Violation("QDash can read everything", str(problem)) for problem in lint_database(qdash)),
        *(Violation("QDash can read everything", str(problem)) for problem in lint_references(qdash)),
    ]


def _by_key(
    qdash: QDashDatabase, collection: str, key: str, check: str
) -> tuple[dict[str, MongoDocument], list[Violation]]:
    """The collection's documents by their key, and those that are there more than once."""
    found: dict[str, MongoDocument] = {}
    count: Counter[str] = Counter()
    for document in qdash[collection].find():
        found[document[key]] = document
        count[document[key]] += 1
    return found, [
        Violation(check, f"{collection}: {word} is there {n} times") for word, n in count.items() if n > 1
    ]


def _executions(connection: Connection, qdash: QDashDatabase) -> Iterator[Violation]:
    check = "executions equal jobs"
    documents, doubled = _by_key(qdash, "execution_history", "execution_id", check)
    yield from doubled
    for (
        job_id,
        execution_id,
        state,
        flow_run_id,
        chip_id,
        username,
        finished_at,
        version,
    ) in connection.execute(_JOBS):
        document = documents.pop(str(execution_id), None)
        if document is None:
            yield Violation(check, f"job {job_id}: no execution {execution_id}")
            continue
        note = document["note"]
        end = document["end_at"]
        there = (document["status"], document["chip_id"], document["username"], note.get("flow_run_id"))
        if there != (state, chip_id, username, flow_run_id):
            yield Violation(
                check, f"job {job_id}: {there}, expected {(state, chip_id, username, flow_run_id)}"
            )
        if note["qdash_queue"]["version"] != version:
            yield Violation(
                check, f"job {job_id}: version {note['qdash_queue']['version']}, expected {version}"
            )
        # MongoDB keeps milliseconds.
        if end is None or abs(end.timestamp() - float(str(finished_at))) > 0.002:
            yield Violation(check, f"job {job_id}: ended at {end}, expected {finished_at}")
    for execution_id in documents:
        yield Violation(check, f"execution {execution_id} is of no job")


def _task_results(connection: Connection, qdash: QDashDatabase) -> Iterator[Violation]:
    check = "task results equal task runs"
    documents, doubled = _by_key(qdash, "task_result_history", "task_id", check)
    yield from doubled
    for row in connection.execute(_TASK_RUNS):
        task_run_id, job_id, status, task, qid, execution_id, pngs, figures, arrays, outputs = row
        document = documents.pop(str(task_run_id), None)
        words = f"job {job_id}: {task} on {qid} ({task_run_id})"
        if document is None:
            yield Violation(check, f"{words}: missing")
            continue
        there = (document["status"], document["name"], document["qid"], document["execution_id"])
        expected = (SHOWN.get(str(status), status), task, qid, execution_id)
        if there != expected:
            yield Violation(check, f"{words}: {there}, expected {expected}")
        counts = tuple(len(document[f"{kind}_path"]) for kind in ("figure", "json_figure", "raw_data"))
        if counts != (pngs, figures, arrays):
            yield Violation(check, f"{words}: {counts} paths, expected {(pngs, figures, arrays)}")
        assert isinstance(outputs, dict)
        values = {name: output["value"] for name, output in document["output_parameters"].items()}
        if values != {name: output["value"] for name, output in outputs.items()}:
            yield Violation(check, f"{words}: outputs {values}, expected {outputs}")
    for task_id in documents:
        yield Violation(check, f"task result {task_id} is of no task run")


def _files(connection: Connection, qdash: QDashDatabase, data_path: Path) -> Iterator[Violation]:
    check = "files equal figures and raw data"
    on_disk = {path.relative_to(data_path).as_posix() for path in data_path.rglob("*") if path.is_file()}
    in_gridfs: Counter[str] = Counter(document["filename"] for document in qdash["fs.files"].find())
    named: Counter[str] = Counter()
    for document in qdash["task_result_history"].find():
        contents = _contents(connection, document["task_id"])
        for kind in ("figure", "json_figure", "raw_data"):
            for path, content in zip(document[f"{kind}_path"], contents[kind], strict=False):
                relative = PurePosixPath(path).relative_to(IN_QDASH).as_posix()
                named[relative] += 1
                yield from _compare(data_path / relative, kind, content)
                if in_gridfs.pop(path, 0) != 1:
                    yield Violation(check, f"{path} is not in GridFS exactly once")
    yield from (Violation(check, f"{path} is named {n} times") for path, n in named.items() if n > 1)
    yield from (Violation(check, f"{path} belongs to no task result") for path in on_disk - set(named))
    yield from (Violation(check, f"{path} in GridFS belongs to no task result") for path in in_gridfs)


def _contents(connection: Connection, task_id: str) -> dict[str, list[bytes]]:
    figures = connection.execute(
        "SELECT png, plotly::text FROM calib.figures WHERE task_run_id = %s ORDER BY (png IS NULL), ordinal",
        (task_id,),
    ).fetchall()
    arrays = connection.execute(
        "SELECT shape[1] FROM calib.raw_data WHERE task_run_id = %s ORDER BY ordinal", (task_id,)
    ).fetchall()
    return {
        "figure": [bytes(png) for png, _ in figures if isinstance(png, bytes)],
        "json_figure": [str(plotly).encode() for _, plotly in figures],
        "raw_data": [str(lines).encode() for (lines,) in arrays],
    }


def _compare(path: Path, kind: str, content: bytes) -> Iterator[Violation]:
    check = "files equal figures and raw data"
    if not path.is_file():
        yield Violation(check, f"{path.name} is missing")
        return
    there = path.read_bytes()
    if kind == "raw_data":
        same = len(there.splitlines()) == int(content)
    elif kind == "json_figure":
        same = json.loads(there) == json.loads(content)
    else:
        same = there == content
    if not same:
        yield Violation(check, f"{path.name} has another content than PostgreSQL")


def _parameters(connection: Connection, qdash: QDashDatabase) -> Iterator[Violation]:
    check = "QDash's parameters are those in force"
    shown = {(row["chip_id"], row["qid"]): row["data"] for row in qdash["qubit"].find()}
    rows = connection.execute("SELECT chip_id, qid, name, value, task_run_id::text FROM calib.parameters")
    for chip_id, qid, name, value, task_run_id in rows:
        entry = shown.get((chip_id, qid), {}).get(name)
        if entry is None or (entry["value"], entry["task_id"]) != (value, task_run_id or ""):
            yield Violation(
                check, f"chip {chip_id} qid {qid}: {name} is {entry}, expected {value} of {task_run_id}"
            )
