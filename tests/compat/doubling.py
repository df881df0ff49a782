"""A task in QDash's first contract that the tests vary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from qdash_queue_compat.results import PostProcessResult, RunResult
from qdash_queue_compat.tasks import (
    QubexTask,
)

from qdash_queue.domain import ParameterModel


class Doubling(QubexTask):
    """Gives twice its input."""

    task_type = "qubit"  # type: ignore[assignment]
    input_parameters: ClassVar[Mapping[str, Any]] = {"qubit_frequency": None}  # type: ignore[misc]
    output_parameters = {"double": ParameterModel(unit="GHz")}  # noqa: RUF012
    r2: ClassVar[Any] = None
    error: ClassVar[str | None] = None
    figures: ClassVar[list[Any]] = []

    def run(self, backend: Any, qid: str) -> RunResult:
        value = self._get_calibration_value("qubit_frequency")
        return RunResult(raw_result={"level": np.array([value])}, r2=self.r2)

    def postprocess(self, backend: Any, execution_id: str, run_result: Any, qid: str) -> Any:
        self.output_parameters["double"].value = 2 * run_result.raw_result["level"][0]
        return PostProcessResult(
            output_parameters=self.attach_execution_id(execution_id),
            figures=self.figures,
            validation_error=self.error,
        )
