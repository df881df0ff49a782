"""QDash's quickstart, pasted into files and run on a simulated chip of its name."""

from __future__ import annotations

import difflib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from executors.backends.simchip.device import design_parameters
from qdash_queue.client.parameters import Parameters
from tests.compat import quickstart
from tests.engine.world import World, only_job
from tests.support.waiting import PATIENCE

ROOT = Path(__file__).parents[2]
CHIP = "64Qv3"


@pytest.fixture
def chip(world: World) -> World:
    """The quickstart's chip, with design values."""
    world.add_chip(CHIP, "square-lattice-mux-64")
    design = {
        qid: {name: value.model_dump(include={"value", "error", "unit"}) for name, value in named.items()}
        for qid, named in design_parameters(CHIP, 64).items()
    }
    Parameters(world.database, CHIP).import_values(design, "design values")
    world.offer(CHIP)
    world.executor.stopped()
    return world


def paste_and_run(world: World, folder: Path, name: str, **files: str) -> subprocess.CompletedProcess[str]:
    """Run one of the files in a process in which the finder is installed as the .pth file does it."""
    (folder / "sitecustomize.py").write_text((ROOT / "compat" / "qdash_queue_compat.pth").read_text())
    for file, text in files.items():
        (folder / f"{file}.py").write_text(text)
    return subprocess.run(
        [sys.executable, f"{name}.py"],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, (folder, ROOT, ROOT / "compat"))),
            "QDASH_QUEUE_DATABASE_URL": world.notebook.url,
            "QDASH_QUEUE_STATE_PATH": str(world.state_path),
        },
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def changed_lines(before: str, after: str) -> list[str]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]


def statuses(world: World) -> dict[str, str]:
    job = only_job(world)
    assert (job.flow, job.state, job.chip_id) == ("interactive", "completed", CHIP)
    return {run.task: run.status for run in world.queue.task_runs(job.job_id)}


def test_a_session_as_it_is_written(chip: World, tmp_path: Path) -> None:
    done = paste_and_run(chip, tmp_path, "session", session=quickstart.SESSION)
    assert done.returncode == 0, done.stderr
    assert statuses(chip) == {"CheckRabi": "completed"}
    assert only_job(chip).note == {"label": "20240101-001"}


def test_a_task_as_it_is_written(chip: World, tmp_path: Path) -> None:
    """It is defined where the session of the other snippet runs it."""
    session = "import my_new_task\n" + quickstart.SESSION.replace("CheckRabi", "MyNewTask")
    done = paste_and_run(chip, tmp_path, "session", my_new_task=quickstart.TASK, session=session)
    assert done.returncode == 0, done.stderr
    assert statuses(chip) == {"MyNewTask": "completed"}
    (run,) = chip.queue.task_runs(only_job(chip).job_id)
    assert run.note == {"task_source": "my_new_task"}


def test_the_backend_for_tests_as_it_is_written(chip: World, tmp_path: Path) -> None:
    """In the place of the other configuration in the same file."""
    assert changed_lines(quickstart.TESTING, quickstart.FILLED_TESTING) == [
        "-    ...",
        '+    username="alice", chip_id="64Qv3", qids=["0"],',
    ]
    head, _, tail = quickstart.SESSION.partition("config = CalibConfig(")
    text = head + quickstart.FILLED_TESTING + tail.partition(")\n")[2]
    done = paste_and_run(chip, tmp_path, "testing", testing=text)
    assert done.returncode == 0, done.stderr
    assert statuses(chip) == {"CheckRabi": "completed"}


def test_only_the_flows_dots_are_replaced() -> None:
    """``test_executor.py`` runs it."""
    assert changed_lines(quickstart.FLOW, quickstart.FILLED_FLOW) == [
        "-    ...",
        "+    qids: list[str] = []",
        "-    cal = CalibService(username, chip_id, ...)",
        "+    cal = CalibService(username, chip_id, qids, project_id=project_id, flow_name=flow_name)",
        "-        # ... run tasks ...",
        "+        # ",
        "+        for qid in qids: cal.execute_task('CheckRabi', qid)",
        "+        # run tasks ",
    ]
