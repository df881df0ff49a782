"""One calibration task as a Prefect task, so that Prefect's pages show it by name.

Prefect is imported inside the functions: a plain script does without it, which saves it two seconds.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")


def run_visibly(task: str, qid: str, work: Callable[[], Result]) -> Result:
    """Call ``work``: as the Prefect task run ``<task>-<qid>`` inside a flow run, else directly.

    Raises:
        Whatever ``work`` raises.
    """
    if "prefect" not in sys.modules:  # Then this is no flow run.
        return work()
    from prefect.context import FlowRunContext  # noqa: PLC0415

    if FlowRunContext.get() is None:
        return work()
    result: Result = _prefect_task()(task, qid, work)
    return result


@functools.cache
def _prefect_task() -> Callable[..., Any]:
    from prefect import task  # noqa: PLC0415
    from prefect.cache_policies import NO_CACHE  # noqa: PLC0415

    # Prefect's default policy would hash the arguments: slow, and an error for a backend that holds a lock.
    @task(
        name="calibration task",
        task_run_name="{task_name}-{qid}",
        cache_policy=NO_CACHE,
        persist_result=False,
    )
    def calibration_task(task_name: str, qid: str, work: Callable[[], Any]) -> Any:  # noqa: ARG001
        return work()

    return calibration_task
