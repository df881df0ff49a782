"""The form of the project's own tasks: declared, measured for many targets at once, a verdict per target.

::

    class CheckT1(Protocol):
        '''π, wait, read: the excited population decays with T1.'''

        needs = (*DRIVE, *HALF_PI, *READ)
        settings = {"time_range": ..., "shots": shots_parameter(1024), "interval": INTERVAL}
        yields = (T1,)
        checks = (*STANDARD, reaches_ground)
        what = "T1 decay"

        def acquire(self, lab, targets):
            return {"decay": lab.sweep(targets, lab.on_grid(self.points("time_range")), ...)}

        def fit(self, sweeps, target): ...      # -> a Fit or a NoFit; pure
        def values(self, fit, target): ...      # -> {T1: Estimate}
        def figures(self, sweeps, fit, target): ...
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import JsonValue

from calibtasks.checks import (
    STANDARD,
    Check,
    Checked,
    bad_fit,
    carry_over_known,
    decay_reached,
    decay_resolved,
    fringe_resolved,
    half_pi_halves,
    reaches_ground,
    single_decay,
    starts_excited,
)
from calibtasks.dataset import Dataset
from calibtasks.figures.plots import Axis, Figure, Series, fit_figure, plane_figure, spaced, value_and_error
from calibtasks.fits.decay import DecayFit, fit_echo, fit_relaxation
from calibtasks.fits.fit import Estimate, Fit, NoFit, Quality, Real
from calibtasks.fits.ramsey import RamseyFit, fit_ramsey
from calibtasks.measure.lab import Lab
from calibtasks.measure.settings import INTERVAL, shots_parameter, with_guards
from calibtasks.measure.sweep import Sweep, names_of
from calibtasks.measure.targets import BARRIER, Op, Qubit, Target, Wait
from calibtasks.parameters.declared import DRIVE, HALF_PI, READ, Param, of
from calibtasks.parameters.run_parameters import RunParameter
from calibtasks.results import Artifact, Backend, PostProcessResult, PreProcessResult, RunResult
from calibtasks.task import Read, Task, owner
from qdash_queue.domain import Failure, FiniteRange, ParameterModel, RunParameterModel, TaskType

__all__ = [
    "BARRIER",
    "DRIVE",
    "HALF_PI",
    "INTERVAL",
    "READ",
    "STANDARD",
    "Artifact",
    "Axis",
    "Check",
    "Checked",
    "DecayFit",
    "Estimate",
    "Failure",
    "Figure",
    "FiniteRange",
    "Fit",
    "Lab",
    "NoFit",
    "Op",
    "Param",
    "Protocol",
    "Quality",
    "Qubit",
    "RamseyFit",
    "RunParameter",
    "Series",
    "Sweep",
    "Sweeps",
    "Target",
    "TaskType",
    "Wait",
    "bad_fit",
    "carry_over_known",
    "decay_reached",
    "decay_resolved",
    "fit_echo",
    "fit_figure",
    "fit_ramsey",
    "fit_relaxation",
    "fringe_resolved",
    "half_pi_halves",
    "of",
    "plane_figure",
    "reaches_ground",
    "shots_parameter",
    "single_decay",
    "spaced",
    "starts_excited",
    "value_and_error",
    "with_guards",
]

Sweeps = Mapping[str, Sweep]
"""One target's sweeps by name."""


class Protocol(Task, register=False):
    """A task in the project's form; see the module. Raises TypeError when a class is declared wrongly.

    Attributes:
        needs: stored parameters, required unless optional; of a coupling's qubits with their role.
        settings: the run parameters with their defaults; ``shots`` and ``interval`` among them.
        yields: the parameters that it must set.
        checks: what may be wrong with a fit; the first failure is the verdict.
        what: what is measured, in words, for messages.
    """

    needs: ClassVar[Sequence[Param]] = ()
    settings: ClassVar[Mapping[str, RunParameterModel]] = {}
    yields: ClassVar[Sequence[Param]] = ()
    checks: ClassVar[Sequence[Check]] = STANDARD
    what: ClassVar[str] = ""
    fits = True
    simultaneous = True

    def __init_subclass__(cls, *, register: bool = True, **kwargs: Any) -> None:
        super().__init_subclass__(register=register, **kwargs)

    @classmethod
    def _declare(cls) -> None:
        super()._declare()
        for name in ("shots", "interval"):
            if name not in cls.settings:
                raise TypeError(f"{cls.__qualname__}.settings: expected {name!r} among them")
        for role in ("control", "target") if cls.task_type is TaskType.COUPLING else ("",):
            given = {param.name for param in cls.needs if param.role == role}
            for param in (*DRIVE, *READ):
                if param.name not in given:
                    whose = f" of the {role} qubit" if role else ""
                    raise TypeError(f"{cls.__qualname__}.needs: expected {param.name}{whose} among them")
        cls.input_parameters = {param.key: param.as_input() for param in cls.needs if not param.is_optional}
        cls.run_parameters = cls.settings
        cls.output_parameters = {
            name: output for param in cls.yields for name, output in param.as_outputs().items()
        }
        cls.what = cls.what or cls.name

    def __init__(self, run_parameters: Mapping[str, object] | None = None) -> None:
        super().__init__(run_parameters)
        self._targets: dict[str, Target] = {}

    # ------------------------------------------------------------------ implemented by an author

    @abstractmethod
    def acquire(self, lab: Lab, targets: Sequence[Target]) -> Mapping[str, Mapping[str, Sweep]]:
        """Measure all targets together; the sweeps by name, then by qid."""

    @abstractmethod
    def fit(self, sweeps: Sweeps, target: Target) -> Fit | NoFit:
        """Fit one target's data; pure."""

    @abstractmethod
    def values(self, fit: Any, target: Target) -> Mapping[Param, Estimate]:
        """The values that a fit gives, in their declared units."""

    @abstractmethod
    def figures(self, sweeps: Sweeps, fit: Any, target: Target) -> list[Figure]:
        """Figures of data and fit, whatever the verdict."""

    def note(self, fit: Any, target: Target) -> Mapping[str, JsonValue]:
        """What is recorded beside the values, as JSON; nothing by default."""
        return {}

    def artifacts(self, fit: Any, target: Target) -> list[Artifact]:
        """Files that the task makes, such as a classifier; none by default."""
        return []

    # ------------------------------------------------------------------ used by an author

    def number(self, name: str) -> float:
        """A setting that is a number."""
        return float(self.setting(name))

    def points(self, name: str) -> Real:
        """A setting that is the points of a sweep, shape (n,)."""
        return np.asarray(self.setting(name), dtype=np.float64)

    # ------------------------------------------------------------------ called by the engine

    @classmethod
    def from_record(
        cls, qid: str, input_parameters: Mapping[str, ParameterModel], run_parameters: Mapping[str, object]
    ) -> Self:
        """The task as it once ran on ``qid``, so that its stored data can be analysed again."""
        task = cls(run_parameters)
        task._targets[qid] = task._target(qid, input_parameters, None)
        return task

    def reads(self, backend: Backend, qid: str) -> Sequence[Read]:
        """Where the target's needs are looked up."""
        return [
            Read(param.key, owner(qid, param.role), param.names, param.is_optional)
            for param in self._needs(backend, qid)
        ]

    def prepare(self, backend: Backend, qid: str) -> PreProcessResult:
        """Read the target's needs; raises CalibrationError (``missing_input``) on the first unusable one."""
        inputs = {
            param.key: self._need(backend, qid, param)
            for param in self._needs(backend, qid)
            if not param.is_optional or _stored_name(backend, qid, param) is not None
        }
        self._targets[qid] = self._target(qid, inputs, backend)
        return PreProcessResult(inputs, dict(self.run_parameters))

    def outputs_of(self, qid: str) -> Mapping[str, ParameterModel]:
        """What it yields; of a multiplexer or chip for each of its qubits."""
        if self.task_type in (TaskType.QUBIT, TaskType.COUPLING):
            return self.output_parameters
        each = [param.of(member) for member in self._targets[qid].qubits for param in self.yields]
        return {key: output for param in each for key, output in param.as_outputs().items()}

    def measure(self, backend: Backend, qids: Sequence[str]) -> Mapping[str, RunResult]:
        """Measure the prepared targets together; every sweep's arrays by qid."""
        lab = Lab(backend, int(self.number("shots")), self.number("interval"))
        found = self.acquire(lab, [self._targets[qid] for qid in qids])
        return {
            qid: RunResult(
                Dataset(array for name, by_qid in found.items() for array in by_qid[qid].arrays(name))
            )
            for qid in qids
        }

    def analyse(self, execution_id: str, qid: str, run_result: RunResult) -> PostProcessResult:
        """Fit, check, and draw one target's data."""
        target, data = self._targets[qid], run_result.data
        sweeps = {name: Sweep.from_dataset(data, name) for name in names_of(data)}
        fit = self.fit(sweeps, target)
        if isinstance(fit, NoFit):
            return PostProcessResult(failure=fit.failure)
        checked = Checked(self.what, fit, sweeps)
        failures = (check(checked) for check in self.checks)
        values = self.values(fit, target)
        return PostProcessResult(
            output_parameters=_outputs(values),
            figures=self.figures(sweeps, fit, target),
            r2=fit.quality.r2,
            failure=next((failure for failure in failures if failure is not None), None),
            quality_metrics={**fit.metrics(), **_systematic(values)},
            note=dict(self.note(fit, target)),
            artifacts=self.artifacts(fit, target),
        )

    def _needs(self, backend: Backend, qid: str) -> Sequence[Param]:
        """The needs of a target; of a multiplexer and of a chip those of each of their qubits."""
        if self.task_type in (TaskType.QUBIT, TaskType.COUPLING):
            return self.needs
        return [param.of(member) for member in backend.members(qid) for param in self.needs]

    def _need(self, backend: Backend, qid: str, param: Param) -> ParameterModel:
        """The value under the first of its names that is stored."""
        name = _stored_name(backend, qid, param) or param.name
        declared = param.as_input().model_copy(update={"parameter_name": name})
        found = self.stored(backend, qid, param.key, declared)
        return found.model_copy(update={"parameter_name": name, "qid_role": param.role})

    def _target(self, qid: str, inputs: Mapping[str, ParameterModel], backend: Backend | None) -> Target:
        roles = dict.fromkeys(given.qid_role for given in inputs.values())
        return Target(qid, {role: self._qubit(qid, role, inputs, backend) for role in roles}, dict(inputs))

    def _qubit(
        self, qid: str, role: str, inputs: Mapping[str, ParameterModel], backend: Backend | None
    ) -> Qubit:
        number = owner(qid, role)
        prefix = f"{role}_" if role else ""
        own = {key.removeprefix(prefix): given for key, given in inputs.items() if given.qid_role == role}
        pulse = [name for name in ("hpi_amplitude", "pi_amplitude") if name in own]
        trusted = bool(pulse) and backend is not None
        if backend is not None:
            trusted = trusted and not any(backend.is_suspect(number, name) for name in pulse)
        return Qubit(number, "" if backend is None else backend.label(number), own, trusted)


def _stored_name(backend: Backend, qid: str, param: Param) -> str | None:
    """The first of a need's names under which a value is stored."""
    where = owner(qid, param.role)
    return next((name for name in param.names if backend.has_parameter(where, name)), None)


def _outputs(values: Mapping[Param, Estimate]) -> dict[str, ParameterModel]:
    return {
        key: ParameterModel(
            parameter_name=declared.parameter_name,
            qid_role=declared.qid_role,
            value=found.value,
            error=found.total,
            unit=declared.unit,
            description=declared.description,
        )
        for param, found in values.items()
        for key, declared in param.as_outputs().items()
    }


def _systematic(values: Mapping[Param, Estimate]) -> dict[str, float]:
    return {
        f"{param.key}_systematic_error": found.systematic
        for param, found in values.items()
        if found.systematic
    }
