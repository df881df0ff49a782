"""The demo: the whole of it once, and what it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qdash_queue.cli.demo.processes import MARKER
from qdash_queue.cli.demo.report import DemoFailedError, DemoReport
from qdash_queue.embedded.process import Lifetime, ProcessSpec, ServerProcess
from tests.cli.desk import CHIP, Desk, type_in
from tests.support.queue_world import PROJECT
from tests.support.waiting import PATIENCE, until

INSERT = "INSERT INTO calib.jobs (project_id, chip_id, parameters) VALUES ('{}', '{}', '{}') RETURNING job_id"
PARAMETERS = '{"qids": ["0"], "tasks": ["CheckT1"]}'


@pytest.mark.demo
@pytest.mark.slow
def test_the_demo_sees_all_that_it_claims(tmp_path: Path) -> None:
    output = tmp_path / "figures"
    done = subprocess.run(
        [sys.executable, "-m", "qdash_queue.cli", "demo", "--json", "--output", str(output)],
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * PATIENCE,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    summary = json.loads(done.stdout)
    assert summary["documents"]["execution_history"] == 2
    assert summary["documents"]["task_result_history"] == 32
    assert summary["files"][".png"] == len(list(output.rglob("*.png"))) >= 16
    report = done.stderr
    assert "INSERT INTO calib.jobs" in report
    assert "alice=> " in report
    assert "UPDATE 0" in report
    assert report.count("ERROR:  CQ") == 3
    assert "no process is left" in report
    folder = next(line for line in report.splitlines() if line.startswith("in /"))[3:]
    assert not Path(folder).exists()


def test_somebody_elses_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("chapter 1")
    outcome = type_in("demo", "--output", str(tmp_path))
    assert "expected a new or empty folder" in outcome.err.splitlines()[-1]
    assert outcome.status == 3
    assert (tmp_path / "thesis.tex").exists()


def test_only_a_kept_demo_can_be_stopped(tmp_path: Path) -> None:
    assert "expected the folder of a kept demo" in type_in("demo", "--stop", str(tmp_path)).sentence


@pytest.mark.parametrize("spelled", ["kept", "link"])
def test_a_kept_demo_is_stopped_by_any_spelling_of_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelled: str
) -> None:
    home = tmp_path / "kept" / "mirror"
    home.mkdir(parents=True)
    (tmp_path / "kept" / MARKER).touch()
    (tmp_path / "link").symlink_to("kept")
    monkeypatch.chdir(tmp_path)
    process = ServerProcess(
        ProcessSpec("mirror", ["sleep", "600"], home, os.environ, lifetime=Lifetime.DETACHED)
    )
    try:
        until((home / "mirror.pid").exists, "the guard to write its file")
        assert type_in("demo", "--stop", spelled, "--json").document["stopped"] == "mirror"
        # Its guard has seen the server's end and removed its file, and may take a moment to be gone itself.
        until(lambda: not process.is_running(), "the guard to end")
        assert not (tmp_path / "kept").exists()
    finally:
        process.stop()


def test_the_story_shows_sql_as_a_terminal_does(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    report = DemoReport()
    with report.psql("alice", desk.roles["submitter"].url) as terminal:
        rows, tag = terminal.run(INSERT.format(PROJECT, CHIP, PARAMETERS))
        refused = terminal.refused(INSERT.format(PROJECT, "SIM17", PARAMETERS))
        desk.queue.cancel(1)
        _, late = terminal.run("UPDATE calib.jobs SET cancel_requested = true WHERE job_id = 1")
        codes = [notice.code for notice in terminal.notices]
        with pytest.raises(DemoFailedError, match="expected the database to refuse"):
            terminal.refused("SELECT 1")
    assert (rows, tag) == ([(1,)], "INSERT 0 1")
    assert (refused.code, late, codes) == ("CQ001", "UPDATE 0", ["CQ011"])
    shown = capsys.readouterr().out
    assert "alice=> INSERT INTO" in shown
    assert '  ERROR:  CQ001: unknown chip "SIM17": did you mean "SIM16"?' in shown
    assert "  WARNING:  CQ011: job 1 was not cancelled" in shown


def test_what_was_not_seen_ends_the_story() -> None:
    report = DemoReport()
    with pytest.raises(DemoFailedError, match=r"expected rain within 0 s, got none"):
        report.wait_for(lambda: None, "rain", seconds=0.0)
    assert report.wait_for(lambda: "rain", "rain") == "rain"
