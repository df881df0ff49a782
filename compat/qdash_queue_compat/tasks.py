"""QDash's classes of tasks, on this project's gate and parameters."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from calibtasks import base, results
from calibtasks.parameters.overrides import overrides_for
from calibtasks.parameters.run_parameters import refuse
from calibtasks.results import PreProcessResult, missing_input
from calibtasks.task import REGISTRY, Read, Task, finite, owner
from executors.engine.gate import judge_data
from qdash_queue.domain import Failure, FailureKind, ParameterModel, TaskType
from qdash_queue_compat.backend import ServedBackend
from qdash_queue_compat.figures import named
from qdash_queue_compat.parameters import InputParameterSpec, OutputParameterSpec, RunParameterSpec
from qdash_queue_compat.results import PostProcessResult, RunResult


class BaseTask(base.BaseTask, register=False):
    """A task in either of QDash's contracts, or in the short form; a class without a name is not registered.

    Attributes:
        backend: the kind of backend that it is written for; one for ``fake`` is refused on instruments.
        is_mux_level: measured once for all qubits of a multiplexer, and analysed for each.
        input_parameters: on an object, the values in force, before ``preprocess`` is called.
        output_parameters: on an object, copies that ``postprocess`` fills.
    """

    backend: ClassVar[str] = "qubex"
    is_mux_level: ClassVar[bool] = False
    input_spec: ClassVar[Mapping[str, InputParameterSpec]] = {}
    run_spec: ClassVar[Mapping[str, RunParameterSpec]] = {}
    output_spec: ClassVar[Mapping[str, OutputParameterSpec]] = {}

    def __init_subclass__(cls, *, register: bool = True, **kwargs: object) -> None:
        cls._read_declarations()
        super().__init_subclass__(register=register and bool(cls.name), **kwargs)

    @classmethod
    def _read_declarations(cls) -> None:
        """Make specifications and models agree, whichever of them the class declares."""
        own: Mapping[str, Any] = dict(vars(cls))
        if "input_spec" not in own and "input_parameters" in own:
            cls.input_spec = {
                name: InputParameterSpec.of(each) for name, each in own["input_parameters"].items()
            }
        cls.input_parameters = {name: spec.create_model() for name, spec in cls.input_spec.items()}
        if "run_spec" in own:
            cls.run_parameters = {name: spec.create_model() for name, spec in cls.run_spec.items()}
        if "output_spec" in own:
            cls.output_parameters = {name: spec.create_model() for name, spec in cls.output_spec.items()}
        if cls.is_mux_level:
            cls.task_type = TaskType.MUX
        if cls.task_type == TaskType.COUPLING:
            # QDash stores all of a coupling's outputs with the coupling; their role steers reading only.
            cls.output_parameters = _with_role(cls.output_parameters, "")

    def __init__(self, run_parameters: Mapping[str, object] | None = None) -> None:
        super().__init__(run_parameters)
        self.output_parameters = _with_role(type(self).output_parameters)
        self.members: tuple[str, ...] = ()
        self._served: ServedBackend | None = None

    # ------------------------------------------------------------------ used by an author

    def preprocess(self, backend: Any, qid: str) -> PreProcessResult:
        """What the task is measured with; the inputs have been read."""
        return PreProcessResult(dict(self.input_parameters), dict(self.run_parameters))

    def batch_run(self, backend: Any, qids: list[str]) -> RunResult:
        """Never called: QDash's tasks are measured target by target."""
        raise NotImplementedError(f"{self.name} is measured on one target at a time")

    def attach_execution_id(self, execution_id: str) -> dict[str, ParameterModel]:
        """The outputs with the execution's id."""
        return self._attach("execution_id", execution_id)

    def attach_task_id(self, task_id: str) -> dict[str, ParameterModel]:
        """The outputs with the id of the task's record."""
        return self._attach("task_id", task_id)

    def _attach(self, name: str, value: str) -> dict[str, ParameterModel]:
        for output in self.output_parameters.values():
            setattr(output, name, value)
        return dict(self.output_parameters)

    # ------------------------------------------------------------------ called by the engine

    def outputs_of(self, qid: str) -> Mapping[str, ParameterModel]:
        """The declared outputs; of a multiplexer once for each of its qubits."""
        if not self.is_mux_level:
            return type(self).output_parameters
        return {
            f"{member}_{name}": declared.model_copy(
                update={"parameter_name": declared.parameter_name or name, "qid_role": member}
            )
            for member in self.members
            for name, declared in type(self).output_parameters.items()
        }

    def reads(self, backend: results.Backend, qid: str) -> Sequence[Read]:
        """Where the target's inputs are looked up."""
        target = self._members_of(backend, qid)[0]
        return [
            Read(name, place, spec.names(name))
            for name, spec in type(self).input_spec.items()
            for place in _places(target, spec)
        ]

    def _members_of(self, backend: results.Backend, qid: str) -> tuple[str, ...]:
        """The qubits that it is analysed for; it is measured on the first."""
        return backend.members(qid) if self.is_mux_level else (qid,)

    def prepare(self, backend: Any, qid: str) -> PreProcessResult:
        """Read the inputs, let ``preprocess`` change them, and check what it leaves.

        Raises CalibrationError: ``missing_input`` on the first that is unusable, ``invalid_request`` for a
        task of another backend.
        """
        if self.backend == "fake" and backend.kind != "fake":
            message = f"{self.name} is written for QDash's simulator and makes up its values"
            raise refuse(f"{message}: it cannot run on {backend.kind}", "wrong_backend")
        self.members = self._members_of(backend, qid)
        self._served = ServedBackend(backend, self.task_type)
        target = self.members[0]
        specs = type(self).input_spec
        self.input_parameters = {
            name: self._resolved(backend, target, name, spec) for name, spec in specs.items()
        }
        prepared = super().prepare(self._served, target)
        for name, spec in specs.items():
            value = finite(self.name, name, prepared.input_parameters.get(name))
            for expected in spec.violations(value):
                raise missing_input(
                    f"{self.name} on {qid}: expected {name} {expected}, got {value:g}", "input_bounds"
                )
        return prepared

    def _resolved(self, backend: Any, target: str, name: str, spec: InputParameterSpec) -> ParameterModel:
        """The stored value, else the default; an own value of the pair's qubit stands before the pair's."""
        places = _places(target, spec)
        for stored_name in spec.names(name):
            for place in places:
                if backend.has_parameter(place, stored_name):
                    return self._read(backend, target, place, stored_name, spec)
        if spec.default is None:
            return self._read(backend, target, places[0], spec.names(name)[0], spec)
        return spec.create_model()

    def _read(
        self, backend: Any, target: str, place: str, name: str, spec: InputParameterSpec
    ) -> ParameterModel:
        # A declaration without a unit takes the value in the unit that it has.
        unit = spec.unit or backend.parameter(place, name).unit
        found = self.stored(backend, place, name, ParameterModel(unit=unit))
        role = place if self.is_mux_level else spec.qid_role if place != target else ""
        return found.model_copy(update={"parameter_name": name, "qid_role": role})

    def measure(self, backend: Any, qids: Sequence[str]) -> Mapping[str, results.RunResult]:
        """``run`` on the one target, for a multiplexer on the first of its qubits."""
        (qid,) = qids
        target = self.members[0]
        result = super().measure(self._served, [target])[target]  # type: ignore[arg-type]
        if not isinstance(result, RunResult):
            result = RunResult(result.data, result.library_values)
        return {qid: result}

    def analyse(
        self, execution_id: str, qid: str, run_result: results.RunResult
    ) -> results.PostProcessResult:
        """``postprocess`` on each qubit; a ``run`` that gave nothing is not analysed, as QDash does not."""
        if not isinstance(run_result, RunResult) or (run_result.raw_result is None and not run_result.data):
            return results.PostProcessResult()
        parts = [self._analysed(execution_id, member, run_result) for member in self.members]
        return results.PostProcessResult(
            output_parameters={name: each for part in parts for name, each in part.output_parameters.items()},
            figures=[figure for part in parts for figure in part.figures],
            r2=self._r2(run_result),
            failure=next((part.failure for part in parts if part.failure is not None), None),
        )

    def _analysed(self, execution_id: str, member: str, run_result: RunResult) -> results.PostProcessResult:
        self.qid = member
        self.output_parameters = _with_role(type(self).output_parameters)
        is_short = len(inspect.signature(self.postprocess).parameters) == 2
        arguments = (run_result,) if is_short else (execution_id, run_result, member)
        postprocess: Callable[..., object] = self.postprocess
        result = postprocess(self._served, *arguments)
        if isinstance(result, results.PostProcessResult):
            return result
        result = result if result is not None else PostProcessResult()
        if not isinstance(result, PostProcessResult):
            raise TypeError(
                f"{self.name}.postprocess: expected a PostProcessResult, got {type(result).__name__}"
            )
        prefix = f"{member}_" if self.is_mux_level else ""
        run_result.add_raw_data(result.raw_data, prefix)
        return results.PostProcessResult(
            {
                f"{prefix}{name}": self._output(member, name, each)
                for name, each in result.output_parameters.items()
            },
            named(result.figures, prefix),
            failure=_refused(result.validation_error) or judge_data(self, member, run_result),
        )

    def _output(self, member: str, name: str, given: ParameterModel) -> ParameterModel:
        """A value as plain numbers, under the role that its declaration has here."""
        changes: dict[str, object] = {
            "value": None if given.value is None else float(given.value),
            "error": float(given.error or 0.0),
            "qid_role": given.qid_role if self.task_type != TaskType.COUPLING else "",
        }
        if self.is_mux_level:
            changes |= {"parameter_name": given.parameter_name or name, "qid_role": member}
        return given.model_copy(update=changes)

    def _r2(self, run_result: RunResult) -> float | None:
        """The lowest of the fits; NaN, which the gate refuses, where a fit gave none."""
        if run_result.r2 is None:
            return None
        given = [run_result.r2[member] for member in self.members if member in run_result.r2]
        known = [float(value) for value in given if value is not None and math.isfinite(value)]
        return min(known) if known and len(known) == len(given) else math.nan


class QubexTask(BaseTask, register=False):
    """A task that measures through qubex's ``Experiment``."""

    def get_experiment(self, backend: Any) -> Any:
        """The connected ``Experiment``."""
        return backend.get_instance()

    def get_qubit_label(self, backend: Any, qid: str) -> str:
        """The qubit's name on the instrument."""
        return str(self.get_experiment(backend).get_qubit_label(int(qid)))

    def get_resonator_label(self, backend: Any, qid: str) -> str:
        """The resonator's name on the instrument."""
        return str(self.get_experiment(backend).get_resonator_label(int(qid)))

    def save_calibration(self, backend: Any) -> None:
        """Write qubex's calibration note, a file of this job only."""
        self.get_experiment(backend).calib_note.save()

    def _get_calibration_value(self, param_name: str) -> float:
        return self.input(param_name)

    @contextmanager
    def _apply_parameter_overrides(self, backend: Any, qid: str) -> Iterator[None]:
        """Let qubex measure with this task's frequency and amplitudes."""
        experiment, label = self.get_experiment(backend), self.get_qubit_label(backend, qid)
        held = {}
        try:
            for name in {"readout_amplitude", "control_amplitude"} & self.input_parameters.keys():
                amplitudes = getattr(experiment.params, name)
                held[name] = amplitudes[label]
                amplitudes[label] = self.input(name)
            with self._apply_frequency_override(backend, qid):
                yield
        finally:
            for name, amplitude in held.items():
                getattr(experiment.params, name)[label] = amplitude

    @contextmanager
    def _apply_frequency_override(self, backend: Any, qid: str) -> Iterator[None]:
        """Let qubex drive at this task's ``qubit_frequency``, if it has that input."""
        if "qubit_frequency" not in self.input_parameters:
            yield
            return
        frequencies = {self.get_qubit_label(backend, qid): self.input("qubit_frequency")}
        with self.get_experiment(backend).modified_frequencies(frequencies):
            yield


class FakeTask(BaseTask, register=False):
    """A task for QDash's simulator; it runs on simulated chips only."""

    backend = "fake"

    def get_label(self, qid: str) -> str:
        """The qubit's label on a chip of 64 qubits."""
        return qid_to_label(qid)


def qid_to_label(qid: str, num_qubits: int = 64) -> str:
    """``Q05`` for ``5``; padded to two digits, or to the digits of the number of qubits."""
    if not qid.isdecimal():
        raise ValueError(f'expected a qubit such as "5", got {qid!r}')
    return f"Q{qid.zfill(max(2, len(str(num_qubits))))}"


def generate_task_instances(
    task_names: Sequence[str], task_details: Mapping[str, Any], backend: str
) -> dict[str, Task]:
    """The tasks with their run parameters; CalibrationError (``invalid_request``) on an unknown one."""
    found = {name: REGISTRY.find(name) for name in task_names}
    return {
        name: task(overrides_for(name, task.run_parameters, {}, {name: task_details.get(name) or {}}))
        for name, task in found.items()
    }


def is_mux_task(task_name: str, backend: str = "") -> bool:
    """Whether a task is measured on multiplexers."""
    return REGISTRY.find(task_name).task_type is TaskType.MUX


def _places(target: str, spec: InputParameterSpec) -> list[str]:
    """Whose the value may be, in order."""
    return list(dict.fromkeys((owner(target, spec.qid_role), target)))


def _with_role(declared: Mapping[str, ParameterModel], role: str | None = None) -> dict[str, ParameterModel]:
    """Copies, all with that role if one is given."""
    changes = {} if role is None else {"qid_role": role}
    return {name: each.model_copy(update=changes) for name, each in declared.items()}


def _refused(validation_error: str | None) -> Failure | None:
    if validation_error is None:
        return None
    return Failure(kind=FailureKind.OUT_OF_RANGE, cause="validation", message=validation_error)
