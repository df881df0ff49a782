"""Checks of measured values that give a sentence, or nothing."""

from __future__ import annotations

import math
from typing import Any


def finite_value_error(
    value: Any, name: str, *, minimum: float | None = None, maximum: float | None = None
) -> str | None:
    """Why ``value`` is no finite number from ``minimum`` to ``maximum``; None if it is."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return f"expected a number as {name}, got {value!r}"
    if not math.isfinite(number):
        return f"expected a finite {name}, got {number}"
    if minimum is not None and number < minimum:
        return f"expected {name} of at least {minimum:g}, got {number:g}"
    if maximum is not None and number > maximum:
        return f"expected {name} of at most {maximum:g}, got {number:g}"
    return None


def first_validation_error(*errors: str | None) -> str | None:
    """The first that is an error; None if none is."""
    return next((error for error in errors if error is not None), None)
