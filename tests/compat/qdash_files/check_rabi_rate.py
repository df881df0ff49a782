"""A task file in the manner of QDash's, in its second contract: specifications on the class."""

from typing import ClassVar

from qdash.datamodel.task import InputParameterSpec, OutputParameterSpec, RunParameterSpec
from qdash.workflow.calibtasks.base import PostProcessResult, PreProcessResult, RunResult
from qdash.workflow.calibtasks.qubex.base import QubexTask
from qdash.workflow.calibtasks.qubex.validation import finite_value_error
from qdash.workflow.engine.backend.qubex import QubexBackend
from qubex.measurement.measurement_defaults import DEFAULT_INTERVAL


class CheckRabiRate(QubexTask):
    """Measure how fast a weak drive turns the qubit."""

    name: str = "CheckRabiRate"
    task_type: str = "qubit"
    input_spec: ClassVar[dict[str, InputParameterSpec]] = {
        "control_frequency": InputParameterSpec.required_database(
            fallback_parameter_names=("qubit_frequency",), unit="GHz", greater_than=0
        ),
        "control_amplitude": InputParameterSpec.required_database(
            unit="a.u.", greater_than=0, less_than_or_equal=1
        ),
        "drive_scale": InputParameterSpec.database_or_default(default=0.5),
    }
    run_spec: ClassVar[dict[str, RunParameterSpec]] = {
        "time_range": RunParameterSpec(unit="ns", value_type="range", default=(0, 401, 16)),
        "shots": RunParameterSpec(unit="a.u.", value_type="int", default=512, description="Number of shots"),
        "interval": RunParameterSpec(unit="ns", value_type="int", default=DEFAULT_INTERVAL),
    }
    output_spec: ClassVar[dict[str, OutputParameterSpec]] = {
        "rabi_rate": OutputParameterSpec(unit="MHz", description="Rabi frequency at this drive"),
    }

    def preprocess(self, backend: QubexBackend, qid: str) -> PreProcessResult:
        return super().preprocess(backend, qid)

    def run(self, backend: QubexBackend, qid: str) -> RunResult:
        exp = self.get_experiment(backend)
        label = self.get_qubit_label(backend, qid)
        drive = self._get_calibration_value("control_amplitude") * self.input_parameters["drive_scale"].value
        result = exp.rabi_experiment(
            amplitudes={label: drive},
            frequencies={label: self._get_calibration_value("control_frequency")},
            time_range=self.run_parameters["time_range"].get_value(),
            n_shots=self.run_parameters["shots"].get_value(),
            shot_interval=self.run_parameters["interval"].get_value(),
            plot=False,
            store_params=False,
        )
        return RunResult(raw_result=result)

    def postprocess(
        self, backend: QubexBackend, execution_id: str, run_result: RunResult, qid: str
    ) -> PostProcessResult:
        label = self.get_qubit_label(backend, qid)
        rabi = run_result.raw_result.rabi_params[label]
        self.output_parameters["rabi_rate"].value = rabi.frequency * 1e3
        return PostProcessResult(
            output_parameters=self.attach_execution_id(execution_id),
            figures=[run_result.raw_result.data[label].plot(return_figure=True)],
            validation_error=finite_value_error(rabi.r2, "R²", minimum=0.5),
        )
