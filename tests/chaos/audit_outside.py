"""Proves that Prefect, the files of evidence and the processes agree with PostgreSQL."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import httpx
import psutil

from tests.chaos.auditor import Connection, Violation
from tests.chaos.installation import Service
from tests.support.executor_world import tag_of

# What an attempt's outcome may look like in Prefect.
STATES = {
    "completed": {"COMPLETED"},
    "cancelled": {"CANCELLED"},
    "failed": {"FAILED", "CRASHED"},
    "requeued": {"FAILED", "CRASHED"},
}
FINAL = {"COMPLETED", "CANCELLED", "FAILED", "CRASHED"}
_PAGE = 200


def audit_prefect(connection: Connection, api_url: str, tags: Collection[str] = ()) -> list[Violation]:
    """Every attempt's flow run is in the state of the attempt, and no flow run is left open.

    A requeued attempt may be Cancelled in Prefect too, where the next one has cancelled the job for it.
    Only flow runs with all these tags are checked.
    """
    runs = flow_runs(api_url, tags)
    found = []
    attempts = connection.execute(
        "SELECT a.job_id, a.attempt, a.flow_run_id, a.outcome, j.state FROM calib.attempts a"
        " JOIN calib.jobs j USING (job_id) WHERE a.flow_run_id IS NOT NULL"
    )
    for job_id, attempt, flow_run_id, outcome, job_state in attempts:
        state = runs.pop(str(flow_run_id), "missing")
        allowed = STATES.get(str(outcome), set())
        if outcome == "requeued" and job_state == "cancelled":
            allowed = allowed | STATES["cancelled"]
        if state not in allowed:
            words = f"job {job_id} attempt {attempt} is {outcome}, its flow run {flow_run_id} {state}"
            found.append(Violation("Prefect's runs are in the state of their attempts", words))
    check = "no flow run is left open"
    return found + [
        Violation(check, f"flow run {run} of no known attempt is {state}")
        for run, state in runs.items()
        if state not in FINAL
    ]


def count_open_flow_runs(api_url: str) -> int:
    """How many of Prefect's flow runs have not ended."""
    query = {"flow_runs": {"state": {"type": {"not_any_": sorted(FINAL)}}}}
    answer = httpx.post(f"{api_url}/flow_runs/count", json=query, timeout=30)
    return int(answer.raise_for_status().json())


def flow_runs(api_url: str, tags: Collection[str]) -> dict[str, str]:
    """Prefect's flow runs with these tags: number to type of state."""
    runs: dict[str, str] = {}
    while True:
        answer = httpx.post(
            f"{api_url}/flow_runs/filter",
            json={
                "limit": _PAGE,
                "offset": len(runs),
                "sort": "ID_DESC",
                "flow_runs": {"tags": {"all_": list(tags)}} if tags else {},
            },
            timeout=30,
        )
        page = answer.raise_for_status().json()
        runs |= {run["id"]: str(run["state_type"]) for run in page}
        if len(page) < _PAGE:
            return runs


def audit_touches(folder: Path) -> list[Violation]:
    """No executor touched a chip after a later holder had, by the order of the flows' own evidence."""
    found = []
    for path in sorted(folder.glob("touches-*.log")):
        newest, late = 0, Counter[tuple[int, int]]()
        for line in path.read_text().splitlines():
            fence = int(line.split()[1])
            if fence < newest:
                late[fence, newest] += 1
            newest = max(newest, fence)
        found += [
            Violation(
                "no executor touches a chip leased by another",
                f"{path.stem}: {n} touches under fence {old} after fence {new}",
            )
            for (old, new), n in late.items()
        ]
    return found


def audit_hooks(connection: Connection, folder: Path) -> list[Violation]:
    """The cancellation hook ran exactly once for each job whose event log records it.

    The flow run that it ran for may be an earlier attempt's, which was cancelled while no executor lived.
    """
    path = folder / "hooks.log"
    ran = Counter(path.read_text().split()) if path.exists() else Counter[str]()
    found = [Violation("the hook runs once", f"flow run {run}: {n} times") for run, n in ran.items() if n > 1]
    said = connection.execute(
        "SELECT e.job_id, count(*),"
        " (SELECT string_agg(a.flow_run_id::text, ' ') FROM calib.attempts a WHERE a.job_id = e.job_id)"
        " FROM calib.job_events e JOIN calib.jobs j USING (job_id)"
        " WHERE e.event = 'hook_ran' AND NOT e.detail ? 'problem' AND j.flow = 'drill' GROUP BY e.job_id"
    )
    counts = [(job_id, events, sum(ran[run] for run in str(runs).split())) for job_id, events, runs in said]
    return found + [
        Violation("the hook runs once", f"job {job_id}: {events} events, {runs} runs")
        for job_id, events, runs in counts
        if (events, runs) != (1, 1)
    ]


def audit_processes(services: list[Service], seconds: float) -> list[Violation]:
    """Of the starts that are over, no process lives ``seconds`` later."""
    dead = {start.tag for service in services for start in service.starts if not start.is_alive}
    deadline = time.monotonic() + seconds
    while (left := _tagged(dead)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return [Violation("no process outlives its executor", words) for words in left]


def _tagged(tags: set[str]) -> list[str]:
    found = []
    for process in psutil.process_iter():
        tag = tag_of(process)
        # A process may end in between.
        with suppress(psutil.Error, OSError):
            if tag in tags:
                found.append(f"{process.pid} of {tag}: {' '.join(process.cmdline())[:120]}")
    return found
