"""Settings of a measurement: declared once on the task, evaluated and overridden strictly."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from qdash_queue.domain import CalibrationError, Failure, FailureKind, FiniteRange, RunParameterModel

RunValue = int | float | str | NDArray[np.float64]
"""An evaluated run parameter: a number, a word, or the points of a sweep."""

MAX_POINTS = 100_000
"""Longest sweep that is believed to be meant."""

_TRIPLES = ("range", "np.arange", "np.linspace", "np.logspace")


class RunParameter(RunParameterModel):
    """A declared run parameter; ``limits`` bounds the number, or each point of the sweep."""

    model_config = ConfigDict(frozen=True)

    limits: FiniteRange | None = None


def refuse(message: str, cause: str) -> CalibrationError:
    """The error for a request that can never be run as asked."""
    return CalibrationError(Failure(kind=FailureKind.INVALID_REQUEST, cause=cause, message=message))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_integer(value: object) -> bool:
    return _is_number(value) and float(value) == int(value)  # type: ignore[call-overload,arg-type]


def _bad(name: str, expected: str, value: object) -> CalibrationError:
    return refuse(f"run parameter {name!r}: expected {expected}, got {value!r}", "bad_run_parameter")


def _scalar(name: str, kind: str, value: object) -> int | float | str:
    if kind == "str":
        if not isinstance(value, str):
            raise _bad(name, "a string", value)
        return value
    if kind == "int":
        if not _is_integer(value):
            raise _bad(name, "an integer", value)
        return int(value)  # type: ignore[call-overload,no-any-return]
    if not _is_number(value):
        raise _bad(name, "a finite number", value)
    return float(value)  # type: ignore[arg-type]


def _points(name: str, kind: str, value: object) -> NDArray[np.float64]:
    if not isinstance(value, list | tuple) or not all(_is_number(item) for item in value):
        raise _bad(name, "a list of finite numbers", value)
    numbers = [float(item) for item in value]
    if kind == "list":
        return np.asarray(numbers, dtype=np.float64)
    if len(numbers) != 3:
        raise _bad(name, f"three numbers for {kind}", value)
    first, last, third = numbers
    if kind == "range" and not all(item.is_integer() for item in numbers):
        raise _bad(name, "three integers for range", value)
    if kind in ("np.linspace", "np.logspace"):
        if not third.is_integer() or not 2 <= third <= MAX_POINTS:
            raise _bad(name, f"a whole number of points from 2 to {MAX_POINTS}", value)
        # What overflows is refused as not finite, not warned about.
        with np.errstate(over="ignore", invalid="ignore"):
            return (np.linspace if kind == "np.linspace" else np.logspace)(first, last, int(third))
    if third == 0 or not 0 < (last - first) / third <= MAX_POINTS:
        raise _bad(name, f"a step that leads from {first:g} to {last:g} in 1 to {MAX_POINTS} points", value)
    return np.arange(first, last, third, dtype=np.float64)


def evaluate(name: str, parameter: RunParameterModel) -> RunValue:
    """The number, word or sweep points (1-D float64, in the parameter's unit) that ``parameter`` stands for.

    Raises CalibrationError (``invalid_request``) when the value does not fit its type or leaves its limits.
    """
    kind = parameter.value_type
    result: RunValue
    if kind == "list" or kind in _TRIPLES:
        result = _points(name, kind, parameter.value)
        if result.size == 0 or not np.all(np.isfinite(result)):
            raise _bad(name, "at least one finite point", parameter.value)
    else:
        result = _scalar(name, kind, parameter.value)
    limits = parameter.limits if isinstance(parameter, RunParameter) else None
    if limits is not None and not isinstance(result, str):
        low, high = float(np.min(result)), float(np.max(result))
        if low not in limits or high not in limits:
            span = f"values from {limits.low:g} to {limits.high:g} {parameter.unit}".rstrip()
            raise _bad(name, span, parameter.value)
    return result


def overridden(
    task: str, declared: Mapping[str, RunParameterModel], overrides: Mapping[str, object]
) -> dict[str, RunParameterModel]:
    """``declared`` with ``overrides`` in place, each a plain value or ``{"value", "value_type"?}``.

    Raises CalibrationError (``invalid_request``) on an unknown name or a value that cannot be evaluated.
    """
    unknown = [name for name in overrides if name not in declared]
    if unknown:
        known = ", ".join(sorted(declared)) or "none"
        raise refuse(f"{task} has no run parameter {unknown[0]!r} (it has: {known})", "unknown_run_parameter")
    result = {name: parameter.model_copy() for name, parameter in declared.items()}
    for name, given in overrides.items():
        result[name] = _override(name, declared[name], given)
        evaluate(name, result[name])
    return result


def _override(name: str, declared: RunParameterModel, given: object) -> RunParameterModel:
    fields: dict[str, object] = {"value": given}
    if isinstance(given, RunParameterModel):
        fields = {"value": given.value, "value_type": given.value_type}
    elif isinstance(given, Mapping):
        stray = [key for key in given if key not in ("value", "value_type", "unit", "description", "limits")]
        if stray or "value" not in given:
            raise _bad(name, 'a value or {"value": ..., "value_type": ...}', dict(given))
        fields = {key: given[key] for key in ("value", "value_type") if key in given}
        if given.get("unit", declared.unit) != declared.unit:
            raise _bad(name, f"the unit {declared.unit!r}", given["unit"])
    if isinstance(fields["value"], tuple):
        fields["value"] = list(fields["value"])
    try:
        checked = RunParameterModel.model_validate(
            {**fields, "value_type": fields.get("value_type", declared.value_type)}
        )
    except ValueError:
        raise _bad(name, f"a value of type {declared.value_type}", given) from None
    return declared.model_copy(update={"value": fields["value"], "value_type": checked.value_type})


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
    words = f"{parameter.description} [{parameter.unit}]" if parameter.unit else parameter.description
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
        words = f"{words}; the arguments of {kind}"
        item = "integer" if kind == "range" else "number"
        entry = {"type": "array", "items": {"type": item}, "minItems": 3, "maxItems": 3}
    return {"description": words, "default": parameter.value, **entry}
