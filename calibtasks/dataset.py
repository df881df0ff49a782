"""Raw data of a measurement: named arrays with units, and their serialised form."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_KINDS = "fciub"


@dataclass(frozen=True)
class RawArray:
    """One array as bytes: C order, little endian, ``dtype`` in numpy's notation (``<f8``, ``<c16``, ...)."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    unit: str
    data: bytes


@dataclass(frozen=True)
class MeasuredArray:
    """A measured (or set) array of any shape, in ``unit``; complex values are IQ data."""

    name: str
    values: NDArray[Any]
    unit: str
    description: str = ""

    def __post_init__(self) -> None:
        values = np.asarray(self.values)
        if values.dtype.kind not in _KINDS:
            raise ValueError(f"array {self.name!r}: expected numbers, got dtype {values.dtype}")
        object.__setattr__(self, "values", values)

    def to_raw(self) -> RawArray:
        """The array as bytes."""
        dtype = self.values.dtype.newbyteorder("<")
        data = np.ascontiguousarray(self.values, dtype=dtype).tobytes()
        return RawArray(self.name, dtype.str, self.values.shape, self.unit, data)

    @classmethod
    def from_raw(cls, raw: RawArray) -> MeasuredArray:
        """The array back from bytes; ValueError when size, shape and dtype do not fit together."""
        dtype = np.dtype(raw.dtype)
        expected = math.prod(raw.shape) * dtype.itemsize
        if len(raw.data) != expected:
            raise ValueError(
                f"array {raw.name!r}: expected {expected} bytes for shape {tuple(raw.shape)}"
                f" of {raw.dtype}, got {len(raw.data)}"
            )
        values = np.frombuffer(raw.data, dtype=dtype).reshape(raw.shape).copy()
        return cls(raw.name, values, raw.unit)


class Dataset:
    """The arrays of one measurement, by name, in the order given. ValueError on a name given twice."""

    def __init__(self, arrays: Iterable[MeasuredArray] = ()) -> None:
        self._arrays: dict[str, MeasuredArray] = {}
        for array in arrays:
            if array.name in self._arrays:
                raise ValueError(f"array {array.name!r} is given twice in one dataset")
            self._arrays[array.name] = array

    def __iter__(self) -> Iterator[MeasuredArray]:
        return iter(self._arrays.values())

    def __len__(self) -> int:
        return len(self._arrays)

    def __contains__(self, name: object) -> bool:
        return name in self._arrays

    def __getitem__(self, name: str) -> MeasuredArray:
        try:
            return self._arrays[name]
        except KeyError:
            have = ", ".join(self._arrays) or "none"
            raise KeyError(f"no array {name!r} in the dataset (it holds: {have})") from None

    def values(self, name: str) -> NDArray[Any]:
        """The numbers of the array ``name``; KeyError when there is none."""
        return self[name].values

    def to_raw(self) -> list[RawArray]:
        """Every array as bytes, in order."""
        return [array.to_raw() for array in self]

    @classmethod
    def from_raw(cls, arrays: Iterable[RawArray]) -> Dataset:
        """The dataset back from bytes."""
        return cls(MeasuredArray.from_raw(raw) for raw in arrays)

    @classmethod
    def of(cls, **arrays: ArrayLike) -> Dataset:
        """A dataset of arrays without units, by keyword."""
        return cls(MeasuredArray(name, np.asarray(values), "") for name, values in arrays.items())
