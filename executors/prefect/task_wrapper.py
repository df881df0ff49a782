"""The Prefect task itself; apart, so that a plain script never imports Prefect."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE

Result = TypeVar("Result")


# Prefect's default policy would hash the arguments: slow, and an error for a backend that holds a lock.
@task(name="calibration task", task_run_name="{task_name}-{qid}", cache_policy=NO_CACHE, persist_result=False)
def calibration_task(task_name: str, qid: str, work: Callable[[], Result]) -> Result:  # noqa: ARG001
    """Call ``work`` under the name ``<task_name>-<qid>``."""
    return work()
