"""What a task of QDash's returns: its raw result, its values and figures."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from calibtasks import results
from calibtasks.dataset import Dataset, MeasuredArray
from calibtasks.results import PreProcessResult
from qdash_queue.domain import ParameterModel

__all__ = ["PostProcessResult", "PreProcessResult", "RunResult"]

_DEPTH: Final = 5
_KINDS: Final = "fciu"


@dataclass(frozen=True)
class RunResult(results.RunResult):
    """A raw result of any form; its numbers are recorded as the raw data.

    Attributes:
        raw_result: what the measuring library gave.
        r2: of the fit by qid; None where nothing was fitted.
    """

    raw_result: Any = None
    r2: Mapping[str, float | None] | None = None

    def __post_init__(self) -> None:
        if self.raw_result is not None:
            object.__setattr__(self, "data", dataset_of(self.raw_result))

    def has_r2(self) -> bool:
        """Whether there was a fit."""
        return self.r2 is not None

    def add_raw_data(self, arrays: Sequence[Any], prefix: str = "") -> None:
        """Record further arrays, which the analysis has brought, beside those of the raw result."""
        added = [
            MeasuredArray(f"{prefix}raw_data_{number}", np.asarray(array), "")
            for number, array in enumerate(arrays)
        ]
        object.__setattr__(self, "data", Dataset([*self.data, *added]))


@dataclass
class PostProcessResult:
    """Values, figures and further raw data; with ``validation_error`` they are kept and refused."""

    output_parameters: dict[str, ParameterModel] = field(default_factory=dict)
    figures: list[Any] = field(default_factory=list)
    raw_data: list[Any] = field(default_factory=list)
    validation_error: str | None = None


def dataset_of(raw_result: object) -> Dataset:
    """The arrays of numbers in a library's result, without units; its single numbers if it has no array."""
    found = dict(_numbers(raw_result, (), _DEPTH))
    arrays = {name: array for name, array in found.items() if array.ndim > 0}
    return Dataset(MeasuredArray(name, array, "") for name, array in (arrays or found).items())


def _numbers(value: object, path: tuple[str, ...], depth: int) -> Iterator[tuple[str, NDArray[Any]]]:
    if isinstance(value, np.ndarray | np.number | float | complex | int) and not isinstance(value, bool):
        array = np.asarray(value)
        if array.dtype.kind in _KINDS:
            yield ".".join(path) or "raw", array
            return
    if depth > 0:
        for name, inner in _parts(value).items():
            yield from _numbers(inner, (*path, str(name)), depth - 1)


def _parts(value: object) -> Mapping[Any, object]:
    """What is inside: of a mapping, of the dataclasses that qubex uses, of a list, of an object with data."""
    if isinstance(value, Mapping):
        return value
    if dataclasses.is_dataclass(value):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    if isinstance(value, list | tuple):
        array = _array_of(value)
        return dict(enumerate(value)) if array is None else {"values": array}
    data = getattr(value, "data", None)
    return {} if data is None else {"data": data}


def _array_of(values: Sequence[object]) -> NDArray[Any] | None:
    try:
        array = np.asarray(values)
    except ValueError:  # of lists of different lengths
        return None
    return array if array.size and array.dtype.kind in _KINDS else None
