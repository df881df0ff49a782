"""What a task is given and what it returns: the backend's part, raw data, values, figures, a verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import plotly.graph_objects as go
from pydantic import JsonValue

from calibtasks.dataset import Dataset
from calibtasks.figures.plots import Figure
from calibtasks.parameters.outputs import OutputParameter
from qdash_queue.domain import (
    CalibrationError,
    Failure,
    FailureKind,
    ParameterModel,
    RunParameterModel,
)

__all__ = [
    "Artifact",
    "Backend",
    "OutputParameter",
    "PostProcessResult",
    "PreProcessResult",
    "RunResult",
    "missing_input",
    "same_unit",
]

DIMENSIONLESS = frozenset({"", "a.u.", "–", "-"})
"""QDash's spellings of "no unit"."""


class Backend(Protocol):
    """The part of a backend that a task uses, whichever backend it is."""

    def get_instance(self) -> Any:
        """The connected qubex ``Experiment``."""

    def parameter(self, qid: str, name: str) -> ParameterModel:
        """The current value; raises CalibrationError (``missing_input``) when there is none."""

    def has_parameter(self, qid: str, name: str) -> bool:
        """Whether there is a current value that is a finite number."""

    def is_suspect(self, qid: str, name: str) -> bool:
        """Whether a value that this one was measured with has moved since by more than its tolerance."""

    def label(self, qid: str) -> str:
        """The instrument's name of the qubit (``Q05`` for ``5``)."""

    def members(self, qid: str) -> tuple[str, ...]:
        """The session's qubits of a multiplexer (by its number), or all of them (``""``)."""


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
class Artifact:
    """A file that a task makes beside its values, such as a classifier."""

    name: str
    data: bytes


@dataclass(frozen=True)
class PostProcessResult:
    """The result of a task, before the gate accepts or refuses it.

    ``failure`` is for what only the task can detect (no signal, a fit at its bound); values and figures given
    with it are kept as measured but refused. ``r2`` is the fit's coefficient of determination, ``note`` what
    is recorded beside the values.
    """

    output_parameters: dict[str, ParameterModel] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    r2: float | None = None
    failure: Failure | None = None
    quality_metrics: dict[str, float] = field(default_factory=dict)
    note: dict[str, JsonValue] = field(default_factory=dict)
    artifacts: list[Artifact] = field(default_factory=list)

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
