"""Imported once by the forkserver, so that every child is born with Prefect, qubex and the flows loaded.

The forkserver must stay single-threaded; it is the parent of all children and dies with the supervisor.
"""

import os
import shutil
import signal
import warnings
from pathlib import Path

import executors.child.forkserver
import executors.child.importing
import executors.child.process_guard

_GRACE_SECONDS = 5


def _parent_is_dead(_signal: int, _frame: object) -> None:
    # The default action of SIGALRM ends the forkserver; that kills what is left of its children, even one
    # that holds the GIL. Until then they may end by themselves, because their pipe has ended too.
    signal.alarm(_GRACE_SECONDS)
    _remove_socket()


def _remove_socket() -> None:
    shutil.rmtree(os.environ[executors.child.forkserver.SOCKET_FOLDER], ignore_errors=True)


def _load() -> None:
    # Imported here, because that takes seconds in which the supervisor may die.
    with executors.child.importing.heavy_imports():
        from executors.child.main import preload  # noqa: PLC0415
        from executors.flows import load_flows  # noqa: PLC0415

        preload()
        folder = os.environ.get(executors.child.forkserver.FLOWS_FOLDER)
        load_flows(Path(folder) if folder else None)


signal.signal(signal.SIGUSR1, _parent_is_dead)
executors.child.process_guard.die_with_parent(signal.SIGUSR1)
executors.child.process_guard.adopt_orphans()
# It reaps the orphans that it adopted, and needs no warning about them.
warnings.filterwarnings("ignore", message="forkserver: waitpid returned unexpected pid")
if os.environ.get(executors.child.forkserver.PARENT) != str(os.getppid()):
    _remove_socket()
    os._exit(0)  # The supervisor has died already, too early for a signal.
_load()
