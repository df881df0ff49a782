"""Run parameters: declared once on the task, evaluated strictly."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from qdash_queue.domain import CalibrationError, Failure, FailureKind, FiniteRange, RunParameterModel

RunValue = int | float | str | NDArray[np.float64]
"""An evaluated run parameter: a number, a string, or the points of a sweep."""

MAX_POINTS = 100_000
"""Longest sweep that is accepted."""

_TRIPLES = ("range", "np.arange", "np.linspace", "np.logspace")


class RunParameter(RunParameterModel):
    """A declared run parameter; ``limits`` bounds the number, or each point of the sweep."""

    model_config = ConfigDict(frozen=True)

    limits: FiniteRange | None = None


def refuse(message: str, cause: str) -> CalibrationError:
    """The error for an invalid request."""
    return CalibrationError(Failure(kind=FailureKind.INVALID_REQUEST, cause=cause, message=message))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_integer(value: object) -> bool:
    return _is_number(value) and float(value) == int(value)  # type: ignore[call-overload,arg-type]


def bad_value(name: str, expected: str, value: object) -> CalibrationError:
    """The error for a run parameter's value that cannot be used."""
    return refuse(f"run parameter {name!r}: expected {expected}, got {value!r}", "bad_run_parameter")


def _scalar(name: str, kind: str, value: object) -> int | float | str:
    if kind == "str":
        if not isinstance(value, str):
            raise bad_value(name, "a string", value)
        return value
    if kind == "int":
        if not _is_integer(value):
            raise bad_value(name, "an integer", value)
        return int(value)  # type: ignore[call-overload,no-any-return]
    if not _is_number(value):
        raise bad_value(name, "a finite number", value)
    return float(value)  # type: ignore[arg-type]


def _points(name: str, kind: str, value: object) -> NDArray[np.float64]:
    if not isinstance(value, list | tuple) or not all(_is_number(item) for item in value):
        raise bad_value(name, "a list of finite numbers", value)
    numbers = [float(item) for item in value]
    if kind == "list":
        return np.asarray(numbers, dtype=np.float64)
    if len(numbers) != 3:
        raise bad_value(name, f"three numbers for {kind}", value)
    first, last, third = numbers
    if kind == "range" and not all(item.is_integer() for item in numbers):
        raise bad_value(name, "three integers for range", value)
    if kind in ("np.linspace", "np.logspace"):
        if not third.is_integer() or not 2 <= third <= MAX_POINTS:
            raise bad_value(name, f"a whole number of points from 2 to {MAX_POINTS}", value)
        # What overflows is refused as not finite, not warned about.
        with np.errstate(over="ignore", invalid="ignore"):
            return (np.linspace if kind == "np.linspace" else np.logspace)(first, last, int(third))
    if third == 0 or not 0 < (last - first) / third <= MAX_POINTS:
        raise bad_value(
            name, f"a step that leads from {first:g} to {last:g} in 1 to {MAX_POINTS} points", value
        )
    return np.arange(first, last, third, dtype=np.float64)


def evaluate(name: str, parameter: RunParameterModel) -> RunValue:
    """The value of ``parameter``: a number, a string or sweep points (1-D float64), in its unit.

    Raises CalibrationError (``invalid_request``) when the value does not fit its type or leaves its limits.
    """
    kind = parameter.value_type
    result: RunValue
    if kind == "list" or kind in _TRIPLES:
        result = _points(name, kind, parameter.value)
        if result.size == 0 or not np.all(np.isfinite(result)):
            raise bad_value(name, "at least one finite point", parameter.value)
    else:
        result = _scalar(name, kind, parameter.value)
    limits = parameter.limits if isinstance(parameter, RunParameter) else None
    if limits is not None and not isinstance(result, str):
        low, high = float(np.min(result)), float(np.max(result))
        if low not in limits or high not in limits:
            span = f"values from {limits.low:g} to {limits.high:g} {parameter.unit}".rstrip()
            raise bad_value(name, span, parameter.value)
    return result


def schema(declared: Mapping[str, RunParameterModel]) -> dict[str, Any]:
    """JSON Schema of the overrides that ``declared`` allows, as plain values of each declared type."""
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: _property(parameter) for name, parameter in declared.items()},
    }


def _property(parameter: RunParameterModel) -> dict[str, Any]:
    kind = parameter.value_type
    limits = parameter.limits if isinstance(parameter, RunParameter) else None
    bounds = {} if limits is None else {"minimum": limits.low, "maximum": limits.high}
    description = f"{parameter.description} [{parameter.unit}]" if parameter.unit else parameter.description
    if kind == "str":
        entry: dict[str, Any] = {"type": "string"}
    elif kind in ("int", "float"):
        entry = {"type": "integer" if kind == "int" else "number", **bounds}
    elif kind == "list":
        entry = {
            "type": "array",
            "items": {"type": "number", **bounds},
            "minItems": 1,
            "maxItems": MAX_POINTS,
        }
    else:
        description = f"{description}; the arguments of {kind}"
        item = "integer" if kind == "range" else "number"
        entry = {"type": "array", "items": {"type": item}, "minItems": 3, "maxItems": 3}
    return {"description": description, "default": parameter.value, **entry}
