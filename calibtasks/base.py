"""The base of a user's calibration task: declared inputs, run parameters and outputs, and three methods.

A task author writes one class, with imports from here alone::

    class MyTask(BaseTask):
        name = "MyTask"
        input_parameters = {"qubit_frequency": ParameterModel(unit="GHz")}
        output_parameters = {"t1": OutputParameter(unit="μs", believable=FiniteRange(low=0.1, high=5000))}

        def run(self, backend, qid): ...                                  # measures
        def postprocess(self, backend, execution_id, run_result, qid): ...  # data -> values, figures

Its definition registers the class; it measures one target at a time. The short forms ``preprocess(backend)``,
``run(backend)`` and ``postprocess(backend, result)`` are accepted too; there the qubit is ``self.qid``.
"""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Self

from calibtasks.dataset import Dataset, MeasuredArray
from calibtasks.figures.plots import Figure
from calibtasks.parameters.run_parameters import RunParameter
from calibtasks.results import (
    Backend,
    OutputParameter,
    PostProcessResult,
    PreProcessResult,
    RunResult,
)
from calibtasks.task import REGISTRY, Task, finite
from qdash_queue.domain import ParameterModel

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


class BaseTask(Task, register=False):
    """One calibration task of one target; see the module. Raises TypeError when a class is declared wrongly.

    Attributes:
        qid: the qubit or coupling of the present run.
    """

    qid: str = ""

    def __init_subclass__(cls, *, register: bool = True, **kwargs: object) -> None:
        super().__init_subclass__(register=register, **kwargs)

    @classmethod
    def _declare(cls) -> None:
        super()._declare()
        for method, (short, full, signature) in _FORMS.items():
            count = _count(getattr(cls, method))
            if count not in (-1, short + 1, full + 1):
                raise TypeError(
                    f"{cls.__qualname__}.{method}: expected {method}{signature}, got {count - 1} arguments"
                )

    def __init__(self, run_parameters: Mapping[str, object] | None = None) -> None:
        super().__init__(run_parameters)
        self.input_parameters = dict(type(self).input_parameters)

    @classmethod
    def forget(cls, name: str) -> None:
        """Remove a name from the registry, so that a notebook can define its class again."""
        REGISTRY.forget(name)

    @classmethod
    def from_record(
        cls, qid: str, input_parameters: Mapping[str, ParameterModel], run_parameters: Mapping[str, object]
    ) -> Self:
        """The task as it once ran, so that ``postprocess`` can be run again on stored data."""
        task = cls(run_parameters)
        task.qid, task.input_parameters = qid, dict(input_parameters)
        return task

    # ------------------------------------------------------------------ implemented by an author

    def preprocess(self, backend: Backend, qid: str) -> PreProcessResult:
        """Read the declared inputs; raises CalibrationError (``missing_input``) on the first unusable one."""
        self.input_parameters = {
            name: self.stored(backend, qid, name, declared)
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
        return finite(self.name, name, self.input_parameters.get(name))

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

    def prepare(self, backend: Backend, qid: str) -> PreProcessResult:
        """``preprocess`` in either form; if it returns nothing, the result is made from the declarations."""
        self.qid = qid
        result = _call(self.preprocess, (backend, qid), (backend,))
        if isinstance(result, PreProcessResult):
            return result
        return PreProcessResult(dict(self.input_parameters), dict(self.run_parameters))

    def measure(self, backend: Backend, qids: Sequence[str]) -> Mapping[str, RunResult]:
        """``run`` in either form on the one target; a mapping of arrays becomes a dataset without units."""
        (self.qid,) = qids
        result = _call(self.run, (backend, self.qid), (backend,))
        if isinstance(result, Dataset):
            result = RunResult(result)
        elif isinstance(result, Mapping):
            result = RunResult(Dataset.of(**result))
        elif result is None:
            result = RunResult()
        if not isinstance(result, RunResult):
            raise TypeError(f"{self.name}.run: expected a RunResult, got {type(result).__name__}")
        return {self.qid: result}

    def analyse(self, execution_id: str, qid: str, run_result: RunResult) -> PostProcessResult:
        """``postprocess`` in either form; if it returns nothing, the result is empty."""
        self.qid = qid
        result = _call(self.postprocess, (None, execution_id, run_result, qid), (None, run_result))
        if isinstance(result, PostProcessResult):
            return result
        if result is None:
            return PostProcessResult()
        raise TypeError(f"{self.name}.postprocess: expected a PostProcessResult, got {type(result).__name__}")


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


def _call(method: Callable[..., object], full: tuple[object, ...], short: tuple[object, ...]) -> object:
    return method(*(short if _count(method) == len(short) else full))
