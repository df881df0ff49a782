"""What the demo shows of QDash's side: figures on disk, documents in MongoDB."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from pydantic import JsonValue

from qdash_queue.cli.demo.accounts import QDASH_DATABASE
from qdash_queue.cli.demo.processes import MARKER, DemoProcesses
from qdash_queue.cli.demo.report import DemoReport
from qdash_queue.client.models import Job
from qdash_queue.client.queue import Queue
from qdash_queue.mirror.connection import connect_mongo, open_qdash
from qdash_queue.mirror.write.qdash_lookup import QDashDatabase

FILES_SHOWN = 4
LAG = """SELECT (SELECT count(*) FROM calib.mirror_lag) AS marks,
                (SELECT count(*) FROM calib.figures WHERE png IS NULL) AS unrendered,
                (SELECT min(render_error) FROM calib.figures) AS trouble,
                (SELECT min(last_error) FROM calib.mirror_lag) AS reason"""


def wait_for_mirror(report: DemoReport, queue: Queue) -> None:
    """Wait until QDash shows everything."""
    report.step("Wait until the mirror has written everything for QDash")

    def caught_up() -> bool | None:
        row = queue.database.rows(LAG)[0]
        report.check(row["trouble"] is None, f"expected all pictures, one failed: {row['trouble']}")
        return True if row["marks"] == 0 and row["unrendered"] == 0 else None

    begun = report.seconds
    report.wait_for(caught_up, "a mirror without lag", seconds=180)
    report.say(f"lag 0 after {report.seconds - begun:.1f} s: every figure has its picture, no mark waits")


def show_mirror(
    report: DemoReport, processes: DemoProcesses, queue: Queue, *, completed: Job, cancelled: Job
) -> dict[str, JsonValue]:
    """Show the files and the documents, and that they say what the queue says."""
    figures = len(queue.figures(completed.job_id)) + len(queue.figures(cancelled.job_id))
    files = _show_files(report, processes.output, figures)
    report.step("What MongoDB holds for QDash")
    with connect_mongo(processes.servers.mongo.url) as client:
        qdash = open_qdash(client, QDASH_DATABASE)
        counts: dict[str, int] = {}
        for name in sorted(qdash.list_collection_names()):
            counts[name] = qdash[name].count_documents({})
            report.say(f"  {counts[name]:6}  {name}")
        for job in (completed, cancelled):
            _check_execution(report, qdash, job, len(queue.task_runs(job.job_id)))
    return {"files": dict(files), "documents": dict(counts)}


def _show_files(report: DemoReport, output: Path, figures: int) -> Counter[str]:
    report.step("Where the figures lie")
    found = sorted(file for file in output.rglob("*") if file.is_file() and file.name != MARKER)
    kinds = Counter(file.suffix for file in found)
    report.say(
        f"{len(found)} files in {output}: {', '.join(f'{count} {kind}' for kind, count in kinds.items())}"
    )
    pictures = [file for file in found if file.suffix == ".png"]
    for file in pictures[:FILES_SHOWN]:
        report.say(f"  {file.relative_to(output)}  ({file.stat().st_size // 1024} KiB)")
    report.say(f"  … {len(pictures)} pictures in all")
    report.check(
        len(pictures) == figures and figures > 0,
        f"expected {figures} pictures on disk, found {len(pictures)}",
    )
    broken = [file for file in pictures if not file.read_bytes().startswith(b"\x89PNG")]
    report.check(not broken, f"expected PNG files, found something else in {broken}")
    return kinds


def _check_execution(report: DemoReport, qdash: QDashDatabase, job: Job, task_runs: int) -> None:
    execution = qdash["execution_history"].find_one({"execution_id": job.execution_id})
    if execution is None:
        report.check(False, f"expected execution {job.execution_id} in MongoDB, found none")  # noqa: FBT003
        return
    results = qdash["task_result_history"].count_documents({"execution_id": job.execution_id})
    report.say(
        f"execution {job.execution_id} ({execution['name']}, chip {execution['chip_id']}): "
        f"status {execution['status']}, {results} task results"
    )
    found = (execution["status"], results)
    report.check(
        found == (job.state.value, task_runs), f"expected {(job.state.value, task_runs)}, found {found}"
    )
