"""A run of the tests that is killed leaves no process behind."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.support import processes
from tests.support.waiting import PATIENCE, until, until_while_running

ROOT = Path(__file__).parents[1]
MARK = "QDASH_TEST_KILLED"
READY = "QDASH_TEST_READY"
WORLD = """
import os
import signal
import subprocess
from pathlib import Path

def hold():
    # In a session of its own, as an executor is, and under no guard.
    with subprocess.Popen(["sleep", "3000"], start_new_session=True):
        Path(os.environ["QDASH_TEST_READY"]).write_text(str(os.getpid()))
        signal.pause()

def test_servers_and_an_executor_at_work(fleet, mongo_url):
    fleet.need(1)
    fleet.started(fleet.submit("sleep", {"seconds": 3000}))
    hold()

def test_a_server(mongo_url):
    hold()
"""


@pytest.fixture
def mark() -> Iterator[str]:
    """A variable with its value that all processes of the killed run bear."""
    made = f"{MARK}={uuid.uuid4().hex}"
    yield made
    processes.end(processes.bearing(made))


@contextmanager
def _running(folder: Path, mark: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A run of the world's tests, by now in the middle of one."""
    world, ready, output = folder / "test_world.py", folder / "ready", folder / "output"
    world.write_text(WORLD)
    name, value = mark.split("=")
    command = [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "-p", "no:cacheprovider"]
    with (
        output.open("wb") as file,
        subprocess.Popen(
            [*command, "-p", "tests.conftest", *options, str(world)],
            env={**os.environ, name: value, READY: str(ready)},
            cwd=ROOT,
            stdout=file,
            stderr=subprocess.STDOUT,
        ) as run,
    ):
        try:
            until_while_running(run, lambda: ready.exists() and ready.read_text(), "the world stood")
            yield run
        except AssertionError as error:
            error.add_note(output.read_text())
            raise
        finally:
            run.kill()


def _family(run: subprocess.Popen[bytes], mark: str) -> set[psutil.Process]:
    """All processes of the run; PostgreSQL writes its title over its environment, but hangs in the tree."""
    family = {psutil.Process(run.pid), *map(psutil.Process, processes.bearing(mark))}
    return family.union(*(one.children(recursive=True) for one in family))


def _is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def _expect_nothing_left(family: set[psutil.Process], mark: str) -> None:
    until(lambda: all(map(_is_gone, family)), "the killed run's processes to end")
    until(lambda: not processes.bearing(mark), "what they started meanwhile to end")


@pytest.mark.slow
def test_a_killed_run_takes_servers_executors_and_jobs_along(tmp_path: Path, mark: str) -> None:
    with _running(tmp_path, mark, "-p", "tests.executors.conftest", "-k", "executor") as run:
        family = _family(run, mark)
        names = {process.name() for process in family}
        assert {"postgres", "mongod", "sleep"} <= names, names
        assert any("executors" in one.cmdline() for one in family)
        run.kill()
        run.wait(PATIENCE)
        _expect_nothing_left(family, mark)


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["controller", "worker"])
def test_a_killed_process_of_a_run_in_several_takes_its_own_along(
    tmp_path: Path, mark: str, victim: str
) -> None:
    with _running(tmp_path, mark, "-k", "test_a_server", "-n", "1") as run:
        family = _family(run, mark)
        assert {"mongod", "sleep"} <= {process.name() for process in family}
        worker = psutil.Process(int((tmp_path / "ready").read_text()))
        assert worker.pid != run.pid
        (psutil.Process(run.pid) if victim == "controller" else worker).kill()
        # Told of a worker's death, the run ends by itself, and red.
        assert run.wait(PATIENCE) != 0
        _expect_nothing_left(family, mark)
