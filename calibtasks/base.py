"""The base of a calibration task: declared inputs, run parameters and outputs, and three methods.

A task author writes one class, with imports from here alone::

    class MyTask(BaseTask):
        name = "MyTask"
        input_parameters = {"qubit_frequency": ParameterModel(unit="GHz")}
        output_parameters = {"t1": OutputParameter(unit="μs", believable=FiniteRange(low=0.1, high=5000))}

        def run(self, backend, qid): ...                                  # measures
        def postprocess(self, backend, execution_id, run_result, qid): ...  # data -> values, figures

Its definition registers the class. The engine calls ``call_preprocess``, ``call_run`` and
``call_postprocess``, which also accept the short forms ``preprocess(backend)``, ``run(backend)`` and
``postprocess(backend, result)``; there the qubit is ``self.qid``.
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Protocol, Self, cast

import plotly.graph_objects as go
from pydantic import ConfigDict

from calibtasks.dataset import Dataset, MeasuredArray
from calibtasks.figures.plots import Figure
from calibtasks.parameters.overrides import overridden
from calibtasks.parameters.run_parameters import RunParameter, RunValue, evaluate, schema
from qdash_queue.domain import (
    CalibrationError,
    Failure,
    FailureKind,
    FiniteRange,
    ParameterModel,
    RunParameterModel,
    TaskType,
)

__all__ = [
    "Backend",
    "BaseTask",
    "Dataset",
    "Figure",
    "MeasuredArray",
    "OutputParameter",
    "PostProcessResult",
    "PreProcessResult",
    "RunParameter",
    "RunResult",
]

DIMENSIONLESS: Final = frozenset({"", "a.u.", "–", "-"})
"""QDash's spellings of "no unit"."""


class OutputParameter(ParameterModel):
    """A declared output: its unit, description, and the range outside which a value is refused.

    ``exact``: chosen and not measured (a pulse's length), so that it needs no error.
    """

    model_config = ConfigDict(frozen=True)

    believable: FiniteRange | None = None
    exact: bool = False


class Backend(Protocol):
    """The part of a backend that a task uses, whichever backend it is."""

    def get_instance(self) -> Any:
        """The connected qubex ``Experiment``."""

    def parameter(self, qid: str, name: str) -> ParameterModel:
        """The current value; raises CalibrationError (``missing_input``) when there is none."""

    def label(self, qid: str) -> str:
        """The instrument's name of the qubit (``Q05`` for ``5``)."""


@dataclass(frozen=True)
class PreProcessResult:
    """The inputs and run parameters of this run, as they are recorded."""

    input_parameters: dict[str, ParameterModel] = field(default_factory=dict)
    run_parameters: dict[str, RunParameterModel] = field(default_factory=dict)


@dataclass(frozen=True)
class RunResult:
    """Raw data of one run, and the measuring library's own results (name -> value)."""

    data: Dataset = field(default_factory=Dataset)
    library_values: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class PostProcessResult:
    """The result of a task, before the gate accepts or refuses it.

    ``failure`` is for what only the task can detect (no signal, a fit at its bound); values and figures given
    with it are kept as measured but refused. ``r2`` is the fit's coefficient of determination.
    """

    output_parameters: dict[str, ParameterModel] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    r2: float | None = None
    failure: Failure | None = None
    quality_metrics: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given = cast("list[Figure | go.Figure]", self.figures)
        named = [
            item if isinstance(item, Figure) else Figure.of(f"figure_{index}", item)
            for index, item in enumerate(given)
        ]
        object.__setattr__(self, "figures", named)


def same_unit(first: str, second: str) -> bool:
    """Whether two units are the same (``""``, ``a.u.`` and ``–`` all mean none; both letters μ are one)."""
    one, two = (unit.replace("µ", "μ") for unit in (first, second))
    return one == two or {one, two} <= DIMENSIONLESS


def missing_input(message: str, cause: str, remedy: str = "") -> CalibrationError:
    """The error for a stored value that a task needs and cannot use."""
    return CalibrationError(
        Failure(kind=FailureKind.MISSING_INPUT, cause=cause, message=message, remedy=remedy)
    )


class BaseTask(ABC):
    """One calibration task; see the module. Raises TypeError when a class is declared wrongly.

    Attributes:
        name: unique, by default the class's.
        task_type: qubit, coupling, chip or control system; by default one qubit.
        input_parameters: required stored values (name -> unit and description); filled by ``preprocess``.
        run_parameters: run parameters with their defaults; overridden by the constructor's argument.
        output_parameters: values that it must set, with unit and believable range.
        timeout: seconds after which it is stopped.
        fits: whether it fits, so that an R² is required.
        r2_threshold: an R² must be above this.
        qid: the qubit or coupling of the present run.
    """

    name: ClassVar[str] = ""
    task_type: ClassVar[TaskType] = TaskType.QUBIT
    description: ClassVar[str] = ""
    input_parameters: Mapping[str, ParameterModel] = {}
    run_parameters: Mapping[str, RunParameterModel] = {}
    output_parameters: Mapping[str, ParameterModel] = {}
    timeout: ClassVar[float] = 3600.0
    fits: ClassVar[bool] = False
    r2_threshold: ClassVar[float] = 0.7
    qid: str = ""

    _registry: ClassVar[dict[str, type[BaseTask]]] = {}

    def __init_subclass__(cls, *, register: bool = True, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not register:
            return
        cls.name = cls.__dict__.get("name") or cls.__name__
        cls.task_type = TaskType(cls.task_type)
        if not cls.timeout > 0:
            raise TypeError(f"{cls.__qualname__}.timeout: expected seconds above 0, got {cls.timeout}")
        _check_signatures(cls)
        other = BaseTask._registry.get(cls.name)
        if other is not None:
            raise TypeError(
                f"a task named {cls.name!r} is already defined by {other.__module__}.{other.__qualname__};"
                f" give {cls.__module__}.{cls.__qualname__} another name"
            )
        BaseTask._registry[cls.name] = cls

    def __init__(self, run_parameters: Mapping[str, object] | None = None) -> None:
        self.input_parameters = dict(type(self).input_parameters)
        self.run_parameters = overridden(self.name, type(self).run_parameters, run_parameters or {})

    @classmethod
    def defined(cls) -> dict[str, type[BaseTask]]:
        """Every task class defined so far, by name."""
        return dict(BaseTask._registry)

    @classmethod
    def forget(cls, name: str) -> None:
        """Remove a name from the registry, so that a notebook can define its class again."""
        BaseTask._registry.pop(name, None)

    @classmethod
    def run_parameters_schema(cls) -> dict[str, Any]:
        """JSON Schema of the run parameters that a job may override, as plain values."""
        return schema(cls.run_parameters)

    @classmethod
    def from_record(
        cls,
        input_parameters: Mapping[str, ParameterModel],
        run_parameters: Mapping[str, object],
    ) -> Self:
        """The task as it once ran, so that ``postprocess`` can be run again on stored data."""
        task = cls(run_parameters)
        task.input_parameters = dict(input_parameters)
        return task

    # ------------------------------------------------------------------ implemented by an author

    def preprocess(self, backend: Backend, qid: str) -> PreProcessResult:
        """Read the declared inputs; raises CalibrationError (``missing_input``) on the first unusable one."""
        self.input_parameters = {
            name: self._stored(backend, qid, name, declared)
            for name, declared in type(self).input_parameters.items()
        }
        return PreProcessResult(dict(self.input_parameters), dict(self.run_parameters))

    @abstractmethod
    def run(self, backend: Backend, qid: str) -> RunResult:
        """Measure; never fit, never write."""

    @abstractmethod
    def postprocess(
        self, backend: Backend | None, execution_id: str, run_result: RunResult, qid: str
    ) -> PostProcessResult:
        """Fit the data and check the fit; uses neither backend nor database, so ``backend`` may be None."""

    # ------------------------------------------------------------------ used by an author

    def input(self, name: str) -> float:
        """The value of an input, in its declared unit; raises CalibrationError when it was not read."""
        value = self.input_parameters[name].value if name in self.input_parameters else None
        if value is None or not math.isfinite(value):
            raise missing_input(f"{self.name} needs {name}, which was not read", "input_not_read")
        return float(value)

    def setting(self, name: str) -> RunValue:
        """The evaluated run parameter: a number, a string or sweep points (1-D float64)."""
        return evaluate(name, self.run_parameters[name])

    def output(self, name: str, value: float, error: float = 0.0) -> ParameterModel:
        """A measured value of a declared output, with its unit and description filled in."""
        declared = type(self).output_parameters[name]
        return ParameterModel(
            parameter_name=declared.parameter_name or name,
            qid_role=declared.qid_role,
            value=value,
            value_type=declared.value_type,
            error=error,
            unit=declared.unit,
            description=declared.description,
        )

    # ------------------------------------------------------------------ called by the engine

    def call_preprocess(self, backend: Backend, qid: str) -> PreProcessResult:
        """``preprocess`` in either form; if it returns nothing, the result is made from the declarations."""
        self.qid = qid
        result = _call(self.preprocess, (backend, qid), (backend,))
        if isinstance(result, PreProcessResult):
            return result
        return PreProcessResult(dict(self.input_parameters), dict(self.run_parameters))

    def call_run(self, backend: Backend, qid: str) -> RunResult:
        """``run`` in either form; a mapping of arrays becomes a dataset without units."""
        self.qid = qid
        result = _call(self.run, (backend, qid), (backend,))
        if isinstance(result, RunResult):
            return result
        if isinstance(result, Dataset):
            return RunResult(result)
        if isinstance(result, Mapping):
            return RunResult(Dataset.of(**result))
        if result is None:
            return RunResult()
        raise TypeError(f"{self.name}.run: expected a RunResult, got {type(result).__name__}")

    def call_postprocess(
        self, backend: Backend | None, execution_id: str, run_result: RunResult, qid: str
    ) -> PostProcessResult:
        """``postprocess`` in either form; if it returns nothing, the result is empty."""
        self.qid = qid
        result = _call(self.postprocess, (backend, execution_id, run_result, qid), (backend, run_result))
        if isinstance(result, PostProcessResult):
            return result
        if result is None:
            return PostProcessResult()
        raise TypeError(f"{self.name}.postprocess: expected a PostProcessResult, got {type(result).__name__}")

    def _stored(self, backend: Backend, qid: str, name: str, declared: ParameterModel) -> ParameterModel:
        stored = backend.parameter(qid, declared.parameter_name or name)
        if not same_unit(stored.unit, declared.unit):
            raise missing_input(
                f"{self.name} on qubit {qid}: expected {name} in {declared.unit!r}, got {stored.unit!r}",
                "wrong_unit",
                f"store {name} in {declared.unit or 'no unit'}",
            )
        return stored


_FORMS: Final[Mapping[str, tuple[int, int, str]]] = {
    "preprocess": (1, 2, "(self, backend, qid)"),
    "run": (1, 2, "(self, backend, qid)"),
    "postprocess": (2, 4, "(self, backend, execution_id, run_result, qid)"),
}


def _count(method: Callable[..., object]) -> int:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(method).parameters.values()
    if any(item.kind is inspect.Parameter.VAR_POSITIONAL for item in parameters):
        return -1
    return sum(item.kind in kinds for item in parameters)


def _check_signatures(cls: type[BaseTask]) -> None:
    for method, (short, full, signature) in _FORMS.items():
        count = _count(getattr(cls, method))
        if count not in (-1, short + 1, full + 1):
            raise TypeError(
                f"{cls.__qualname__}.{method}: expected {method}{signature}, got {count - 1} arguments"
            )


def _call(method: Callable[..., object], full: tuple[object, ...], short: tuple[object, ...]) -> object:
    return method(*(short if _count(method) == len(short) else full))
