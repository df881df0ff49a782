"""Measured values as people write them: value ± error unit, no more digits than the error allows."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

_SMALLEST_PLAIN = 1e-4
_LARGEST_PLAIN = 1e7
# A double has no more digits, and near its ends no power of ten to divide by.
_DIGITS = 1e15
_SMALLEST_POWER = 1e-300
_LARGEST_POWER = 1e300


def amount(value: float | None, error: float, unit: str) -> str:
    """A value with one standard deviation, the error to two digits and the value to the same place.

    >>> amount(25.3123, 0.4177, "μs")
    '25.31 ± 0.42 μs'
    """
    if value is None:
        return "no value"
    tail = f" {unit}" if unit and unit != "a.u." else ""
    if not (error > 0 and math.isfinite(error)):
        return f"{value:.7g}{tail}"
    scale = max(abs(value), error)
    if error < scale / _DIGITS or not _SMALLEST_POWER < scale < _LARGEST_POWER:
        return f"{value:.7g} ± {error:.2g}{tail}"
    if not _SMALLEST_PLAIN <= scale < _LARGEST_PLAIN:
        return _scientific(value, error, scale) + tail
    places = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{places}f} ± {error:.{places}f}{tail}"


def _scientific(value: float, error: float, scale: float) -> str:
    power = math.floor(math.log10(scale))
    value, error = value / 10.0**power, error / 10.0**power
    places = max(0, 1 - math.floor(math.log10(error)))
    return f"({value:.{places}f} ± {error:.{places}f})e{power}"


def moment(at: datetime | None) -> str:
    """An instant in the reader's own time zone, to the second; "-" for none."""
    return "-" if at is None else at.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def clock(at: datetime) -> str:
    """The time of the day in the reader's own time zone, to the millisecond."""
    return at.astimezone().strftime("%H:%M:%S.%f")[:-3]


def between(start: datetime | None, end: datetime | None) -> str:
    """How long it took; "-" where one end is missing."""
    if start is None or end is None:
        return "-"
    seconds = (end - start).total_seconds()
    return f"{seconds:.2f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def age(kept: timedelta | None) -> str:
    """How long something is kept, as ``retention set`` takes it.

    >>> age(timedelta(days=90))
    '90d'
    """
    if kept is None:
        return "forever"
    hours = kept / timedelta(hours=1)
    return f"{hours / 24:g}d" if hours % 24 == 0 else f"{hours:g}h"
