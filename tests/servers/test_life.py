"""A server ends with its owner, and a detached one is stopped by its directory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from qdash_queue.embedded.mongo import MongoServer
from qdash_queue.embedded.process import (
    EmbeddedServerError,
    Lifetime,
    PortTakenError,
    ProcessSpec,
    ServerProcess,
    stop_detached,
)
from tests.support.waiting import PATIENCE, until

OWNER = """
import sys
from pathlib import Path
from threading import Thread
from qdash_queue.embedded.mongo import MongoServer
server = MongoServer(Path(sys.argv[1]) if sys.argv[1:] else None)
# From a thread that ends at once: a server must not end with it.
thread = Thread(target=server.start)
thread.start()
thread.join()
print(server._process.pid, server.home, flush=True)
sys.stdin.read()
"""


def _gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def _process(tmp_path: Path, code: str, **spec: object) -> ServerProcess:
    return ServerProcess(
        ProcessSpec("script", [sys.executable, "-c", code], tmp_path, os.environ, **spec)  # type: ignore[arg-type]
    )


def _server_of(process: ServerProcess) -> psutil.Process:
    watchdog = psutil.Process(process.pid)
    until(lambda: bool(watchdog.children()))
    return watchdog.children()[0]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_server_ends_with_a_killed_owner(tmp_path: Path, end: signal.Signals) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with owner:
        assert owner.stdout is not None
        watchdog = psutil.Process(int(owner.stdout.readline().split()[0]))
        server = watchdog.children()[0]
        assert server.name() == "mongod"
        owner.send_signal(end)
        owner.wait()
        until(lambda: _gone(watchdog) and _gone(server))
    # It was asked, not killed: MongoDB wrote that it had finished.
    assert '"Now exiting"' in (tmp_path / "mongod.log").read_text()


def test_killed_owners_temporary_folder_is_removed() -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with owner:
        assert owner.stdout is not None
        home = Path(owner.stdout.readline().split()[1].decode())
        assert (home / "data").exists()
        owner.kill()
        owner.wait()
        until(lambda: not home.exists())


def test_server_ends_with_a_killed_watchdog(tmp_path: Path) -> None:
    process = _process(tmp_path, "import time; time.sleep(3000)")
    server = _server_of(process)
    os.kill(process.pid, signal.SIGKILL)
    until(lambda: _gone(server))
    process.stop()


def test_server_that_ignores_the_signal_is_killed_with_its_children(tmp_path: Path) -> None:
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(3000)'])\n"
        "print('deaf', flush=True)\n"
        "time.sleep(3000)\n"
    )
    process = _process(tmp_path, code, grace_seconds=0.3)
    process.wait_until(lambda: "deaf" in process.log_text(), seconds=PATIENCE)
    server = _server_of(process)
    family = [server, *server.children()]
    assert len(family) == 2
    process.stop()
    until(lambda: all(_gone(member) for member in family))
    assert "killed" in process.log_text()


def test_early_end_is_reported_with_the_logs_end(tmp_path: Path) -> None:
    process = _process(tmp_path, "print('the disk is full'); raise SystemExit(3)")
    with pytest.raises(EmbeddedServerError, match=r"(?s)script ended with status 3 .*the disk is full"):
        process.wait_until(lambda: False, seconds=PATIENCE)


def test_server_that_does_not_answer_is_reported_and_stopped(tmp_path: Path) -> None:
    process = _process(tmp_path, "import time; time.sleep(3000)")
    with pytest.raises(EmbeddedServerError, match=r"script did not answer within 0.2 s"):
        process.wait_until(lambda: False, seconds=0.2)
    assert not process.is_running()


def test_taken_port_is_an_error_of_its_own(tmp_path: Path) -> None:
    process = _process(tmp_path, "print('Address already in use'); raise SystemExit(1)")
    with pytest.raises(PortTakenError):
        process.wait_until(lambda: False, seconds=PATIENCE)


def test_unknown_program_is_reported(tmp_path: Path) -> None:
    process = ServerProcess(ProcessSpec("nothing", ["/nonexistent/program"], tmp_path, os.environ))
    with pytest.raises(EmbeddedServerError, match=r"(?s)ended with status 127.*No such file"):
        process.wait_until(lambda: False, seconds=PATIENCE)


def test_detached_server_runs_until_stopped_by_its_directory(tmp_path: Path) -> None:
    server = MongoServer(tmp_path / "mongo", lifetime=Lifetime.DETACHED).start()
    assert server._process is not None
    watchdog = psutil.Process(server._process.pid)
    server.release()
    assert watchdog.children()[0].name() == "mongod"
    assert stop_detached(tmp_path) == ["mongod"]
    until(lambda: _gone(watchdog))
    assert stop_detached(tmp_path) == []


@pytest.mark.parametrize("name", ["plain", "Süd 7"])
def test_detached_server_is_found_however_its_directory_is_spelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder, link = tmp_path / name, tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    for started_in, stopped_by in ((folder, Path(name)), (folder, link), (link, folder)):
        spec = ProcessSpec("sleep", ["sleep", "600"], started_in, os.environ, lifetime=Lifetime.DETACHED)
        process = ServerProcess(spec)
        server = _server_of(process)
        try:
            assert stop_detached(stopped_by) == ["sleep"]
            until(lambda server=server: _gone(server))  # type: ignore[misc]
        finally:
            process.stop()


def test_another_process_with_the_stored_id_is_not_stopped(tmp_path: Path) -> None:
    (tmp_path / "mongod.pid").write_text(str(os.getpid()))
    assert stop_detached(tmp_path) == []
