from __future__ import annotations

import subprocess
import sys

from tests.support.waiting import PATIENCE

PRELOADED = """
import os, sys
import numpy as np
from executors.child.main import preload

preload()
print(len(os.listdir("/proc/self/task")))
known = set(sys.modules)
from calibtasks.figures.plots import Axis, Figure, Series, fit_figure

points = np.arange(3.0)
Figure.of("decay", fit_figure("T1", "", Axis("Time", "log"), Axis("Signal"), [Series("data", *[points] * 4)]))
print(sorted(set(sys.modules) - known))
"""


def test_what_a_job_draws_is_loaded_before_the_fork_and_no_thread_is_left() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRELOADED], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["1", "[]"]


PROGRESS = """
import multiprocessing, sys
from multiprocessing import resource_tracker
from executors.child.main import preload

preload()
multiprocessing.set_start_method("forkserver", force=True)
from tqdm import tqdm

assert list(tqdm([1])) == [1]
print(resource_tracker._resource_tracker._fd)
"""


def test_a_progress_bar_makes_no_semaphore_that_a_killed_job_would_leave() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRESS], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "None"
