"""One sweep of a calibration task as a Prefect task, so that Prefect's pages show it by name.

Prefect is imported inside the functions: a plain script does without it, which saves it two seconds.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

_SHOWN: Final = 8
"""Most qids that a task run's name holds."""


def run_visibly(task: str, qids: Sequence[str], work: Callable[[], None]) -> None:
    """Call ``work``: as a Prefect task run such as ``CheckT1-0,4,8`` inside a flow run, else directly.

    Raises:
        Whatever ``work`` raises.
    """
    if "prefect" not in sys.modules:  # Then this is no flow run.
        work()
        return
    from prefect.context import FlowRunContext  # noqa: PLC0415

    if FlowRunContext.get() is None:
        work()
        return
    _prefect_task()(task, _shown(qids), work)


def _shown(qids: Sequence[str]) -> str:
    rest = len(qids) - _SHOWN
    return ",".join(qids[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


@functools.cache
def _prefect_task() -> Callable[..., Any]:
    from prefect import task  # noqa: PLC0415
    from prefect.cache_policies import NO_CACHE  # noqa: PLC0415

    # Prefect's default policy would hash the arguments: slow, and an error for a backend that holds a lock.
    @task(
        name="calibration task",
        task_run_name="{task_name}-{qids}",
        cache_policy=NO_CACHE,
        persist_result=False,
    )
    def calibration_task(task_name: str, qids: str, work: Callable[[], None]) -> None:  # noqa: ARG001
        work()

    return calibration_task
