"""Raw data as QDash's CSV files: one line a point, a complex value as two columns."""

from __future__ import annotations

import math
import re
import sys
from array import array
from collections.abc import Iterator, Sequence

# The array module's letters for numpy's names; a complex number is two floats side by side.
_LETTERS = {
    "int8": "b",
    "uint8": "B",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float32": "f",
    "float64": "d",
    "complex64": "f",
    "complex128": "d",
    "bool": "B",
}
# The same in numpy's short notation: <f8, <c16, |b1.
_SHORT = re.compile(r"[<|](?P<kind>[biufc])(?P<size>\d+)")
_KINDS = {"i": "int", "u": "uint", "f": "float", "c": "complex"}


class RawDataError(ValueError):
    """Stored raw data cannot be read: its type is unknown or its size does not fit its shape."""


def raw_data_csv(data: bytes, dtype: str, shape: Sequence[int]) -> bytes:
    """The array as CSV.

    Args:
        data: the values, little-endian, in C order.
        dtype: numpy's name of the type, ``complex128`` or ``<c16``.
        shape: the array's shape; the last axis runs along a line when there are two or more.

    Raises:
        RawDataError: the type is not a known one, or the bytes are more or fewer than the shape needs.
    """
    name = _long_name(dtype)
    letter = _LETTERS.get(name)
    if letter is None:
        raise RawDataError(f'expected raw data of a type like float64 or complex128, got "{dtype}"')
    columns = 2 if name.startswith("complex") else 1
    values = array(letter)
    expected = math.prod(shape) * columns * values.itemsize
    if len(data) != expected:
        raise RawDataError(f"expected {expected} bytes for {dtype} of shape {list(shape)}, got {len(data)}")
    values.frombytes(data)
    if sys.byteorder == "big":
        values.byteswap()
    width = columns * (shape[-1] if len(shape) > 1 else 1)
    return "".join(_lines(values, width)).encode()


def _long_name(dtype: str) -> str:
    short = _SHORT.fullmatch(dtype)
    if short is None:
        return dtype
    kind = short["kind"]
    return "bool" if kind == "b" else f"{_KINDS[kind]}{8 * int(short['size'])}"


def _lines(values: Sequence[float], width: int) -> Iterator[str]:
    if width == 0:
        return
    for start in range(0, len(values), width):
        yield ",".join(map(repr, values[start : start + width])) + "\n"
