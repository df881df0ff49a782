"""The process from which all children of an executor are forked; light, so that it can start first of all."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing import forkserver, util
from multiprocessing.context import ForkServerContext
from pathlib import Path

_PRELOAD = "executors.child.forkserver_preload"
PARENT = "QDASH_QUEUE_FORKSERVER_PARENT"
"""Names the forkserver's parent, which may die before the forkserver can ask for a signal at that death."""
SOCKET_FOLDER = "QDASH_QUEUE_FORKSERVER_FOLDER"
"""Tells the forkserver where its socket lies, for the removal when its parent is killed and cannot do it."""

FLOWS_FOLDER = "QDASH_QUEUE_FORKSERVER_FLOWS"
"""Tells the forkserver the absolute path of the folder of flows; empty if there is none."""


def child_context() -> ForkServerContext:
    """What starts children, each born with everything imported."""
    os.environ[PARENT] = str(os.getpid())
    os.environ[SOCKET_FOLDER] = util.get_temp_dir()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_PRELOAD])
    return context


def start_forkserver(flows_folder: Path | None) -> None:
    """Let the forkserver import while this process does; the calling thread must outlive the children."""
    os.environ[FLOWS_FOLDER] = str(flows_folder or "")
    child_context()
    forkserver.ensure_running()
