"""A task file in the manner of QDash's, in its first contract: models on the class."""

from typing import ClassVar

import numpy as np
from qdash.common.visualization.figure_metadata import set_figure_role
from qdash.datamodel.task import ParameterModel, RunParameterModel
from qdash.workflow.calibtasks.base import PostProcessResult, RunResult
from qdash.workflow.calibtasks.qubex.base import QubexTask
from qdash.workflow.calibtasks.qubex.validation import finite_value_error, first_validation_error
from qdash.workflow.engine.backend.qubex import QubexBackend
from qubex.measurement.measurement_defaults import DEFAULT_INTERVAL


class CheckT1(QubexTask):
    """Measure the relaxation time by qubex's own experiment."""

    name: str = "CheckT1"
    task_type: str = "qubit"
    timeout: int = 60 * 10
    r2_threshold: float = 0.7
    input_parameters: ClassVar[dict[str, ParameterModel | None]] = {
        "qubit_frequency": None,
        "hpi_amplitude": ParameterModel(unit="a.u.", description="Half pi pulse"),
        "readout_length": ParameterModel(unit="ns", value=1024),
    }
    run_parameters: ClassVar[dict[str, RunParameterModel]] = {
        "time_range": RunParameterModel(
            unit="ns", value_type="np.logspace", value=(2, np.log10(500 * 1000), 21), description="Waits"
        ),
        "shots": RunParameterModel(unit="", value_type="int", value=512, description="Number of shots"),
        "interval": RunParameterModel(
            unit="ns", value_type="int", value=DEFAULT_INTERVAL, description="Time between shots"
        ),
    }
    output_parameters: ClassVar[dict[str, ParameterModel]] = {
        "t1": ParameterModel(unit="μs", description="T1 time"),
    }

    def run(self, backend: QubexBackend, qid: str) -> RunResult:
        exp = self.get_experiment(backend)
        label = self.get_qubit_label(backend, qid)
        with self._apply_parameter_overrides(backend, qid):
            result = exp.t1_experiment(
                time_range=self.run_parameters["time_range"].get_value(),
                n_shots=self.run_parameters["shots"].get_value(),
                shot_interval=self.run_parameters["interval"].get_value(),
                targets=[label],
                plot=False,
                save_image=False,
            )
        self.save_calibration(backend)
        return RunResult(raw_result=result, r2={qid: result.data[label].r2})

    def postprocess(
        self, backend: QubexBackend, execution_id: str, run_result: RunResult, qid: str
    ) -> PostProcessResult:
        data = run_result.raw_result.data[self.get_qubit_label(backend, qid)]
        self.output_parameters["t1"].value = data.t1 * 0.001
        self.output_parameters["t1"].error = data.t1_err * 0.001
        figure = set_figure_role(data.plot(return_figure=True), "raw")
        return PostProcessResult(
            output_parameters=self.attach_execution_id(execution_id),
            figures=[figure],
            raw_data=[data.data],
            validation_error=first_validation_error(finite_value_error(data.t1, "t1", minimum=0)),
        )
