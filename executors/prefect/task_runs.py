"""One calibration task as a Prefect task, so that Prefect's pages show it by name."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


def run_visibly(task: str, qid: str, work: Callable[[], Result]) -> Result:
    """Call ``work``: as the Prefect task run ``<task>-<qid>`` inside a flow run, else directly.

    Raises:
        Whatever ``work`` raises.
    """
    # Whoever has not imported Prefect is in no flow run; importing it to ask would cost a script two seconds.
    if "prefect" not in sys.modules:
        return work()
    from prefect.context import FlowRunContext  # noqa: PLC0415

    if FlowRunContext.get() is None:
        return work()
    from executors.prefect.task_wrapper import calibration_task  # noqa: PLC0415

    return calibration_task(task, qid, work)
