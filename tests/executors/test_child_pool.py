"""Child processes that cannot be started."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from multiprocessing import forkserver, resource_tracker
from pathlib import Path

import pytest

from executors.child.forkserver import PARENT, SOCKET_FOLDER
from executors.job.messages import ChildSetup
from executors.supervisor.child_pool import ChildError, ChildPool
from executors.supervisor.scratch import ScratchFolders
from tests.support.waiting import PATIENCE, until


@pytest.fixture(scope="module")
def children(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChildPool]:
    setup = ChildSetup(
        database_url="postgresql://nobody@127.0.0.1:1/nowhere",
        backend_kind="fake",
        instrument_dir=tmp_path_factory.mktemp("instruments"),
        seed=0,
        log_level=30,
    )
    with pytest.MonkeyPatch.context() as environment:
        # Taken back at the end: what is told to this forkserver is not meant for later tests' executors.
        for name in (PARENT, SOCKET_FOLDER):
            environment.setenv(name, "")
        with ChildPool(setup) as children:
            yield children
    # What multiprocessing leaves running until the interpreter's end.
    forkserver._forkserver._stop()  # type: ignore[attr-defined]
    resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined]


def test_a_message_for_a_dead_child_is_refused_in_words(children: ChildPool) -> None:
    child = children.take()
    child.kill(signal.SIGKILL)

    def refusal() -> str:
        try:
            child.send("a message")  # type: ignore[arg-type]
        except ChildError as error:
            return str(error)
        return ""

    # Its guard, which goes after it, holds the other end of the pipe too.
    assert until(refusal, "a message to be refused") == "the child died before it had its message"
    child.reap()


def test_a_dead_spare_is_replaced(children: ChildPool) -> None:
    assert children.is_warm(PATIENCE)
    children.drop_spare()
    assert not children.has_spare
    assert children.is_warm(PATIENCE)


def test_a_machine_without_room_for_a_process_is_refused_in_words(
    children: ChildPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    children.drop_spare()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))  # A child needs a pipe.
    try:
        children.refill()
        has_spare, warm = children.has_spare, children.is_warm(1)
        with pytest.raises(ChildError, match="did not start or died"):
            children.take()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert not has_spare
    assert not warm
    assert children.is_warm(PATIENCE)


def test_a_folder_is_made_before_it_is_needed_and_removed_afterwards(tmp_path: Path) -> None:
    folders = ScratchFolders(tmp_path)
    folders.prepare()
    (prepared,) = (tmp_path / "jobs").iterdir()
    with folders.take() as folder:
        assert folder == prepared
        (folder / "left").write_text("by the job")
    assert list((tmp_path / "jobs").iterdir()) == []
    folders.prepare()
    folders.close()
    assert list((tmp_path / "jobs").iterdir()) == []
    (tmp_path / "jobs").rmdir()
    (tmp_path / "jobs").write_text("a file in the folder's place")
    with pytest.raises(OSError, match=r"exists|Not a directory"):
        folders.prepare()
