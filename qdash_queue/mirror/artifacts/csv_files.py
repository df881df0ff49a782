"""Raw data as QDash's CSV files: one line a point, a complex value as two columns."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator, Sequence

# The struct module's letters for numpy's names; a complex number is two floats side by side.
_LETTERS = {
    "bool": "B",
    "int8": "b",
    "uint8": "B",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float16": "e",
    "float32": "f",
    "float64": "d",
    "complex64": "f",
    "complex128": "d",
}
# The same in numpy's short notation: <f8, <c16, |b1.
_SHORT = re.compile(r"[<|](?P<kind>[biufc])(?P<size>\d+)")
_KINDS = {"i": "int", "u": "uint", "f": "float", "c": "complex"}


def raw_data_problem(size: int, dtype: str, shape: Sequence[int]) -> str | None:
    """Why so many bytes cannot be read as such an array; None where they can.

    Args:
        size: in bytes.
        dtype: numpy's name of the type, ``complex128`` or ``<c16``.
        shape: the array's shape.
    """
    name = _long_name(dtype)
    letter = _LETTERS.get(name)
    if letter is None:
        return f'expected raw data of a type like float64 or complex128, got "{dtype}"'
    expected = math.prod(shape) * _columns(name) * struct.calcsize(f"<{letter}")
    if size != expected:
        return f"expected {expected} bytes for {dtype} of shape {list(shape)}, got {size}"
    return None


def raw_data_csv(data: bytes, dtype: str, shape: Sequence[int]) -> bytes:
    """The array as CSV.

    Args:
        data: the values, little-endian, in C order.
        dtype: numpy's name of the type, ``complex128`` or ``<c16``.
        shape: the array's shape; the last axis runs along a line when there are two or more.

    Raises:
        ValueError: the type is not a known one, or the bytes are more or fewer than the shape needs.
    """
    problem = raw_data_problem(len(data), dtype, shape)
    if problem is not None:
        raise ValueError(problem)
    name = _long_name(dtype)
    width = _columns(name) * (shape[-1] if len(shape) > 1 else 1)
    return "".join(_lines(data, f"<{width}{_LETTERS[name]}")).encode()


def _columns(name: str) -> int:
    return 2 if name.startswith("complex") else 1


def _long_name(dtype: str) -> str:
    short = _SHORT.fullmatch(dtype)
    if short is None:
        return dtype
    kind = short["kind"]
    return "bool" if kind == "b" else f"{_KINDS[kind]}{8 * int(short['size'])}"


def _lines(data: bytes, line: str) -> Iterator[str]:
    if data:
        for values in struct.iter_unpack(line, data):
            yield ",".join(map(repr, values)) + "\n"
