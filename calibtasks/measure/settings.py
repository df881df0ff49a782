"""Settings that many tasks share."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from calibtasks.parameters.run_parameters import RunParameter
from qdash_queue.domain import FiniteRange

INTERVAL: Final = RunParameter(
    unit="ns",
    value_type="int",
    value=153600,
    description="wait from the end of one shot to the next",
    limits=FiniteRange(low=1_000, high=1_000_000_000),
)

GUARD_POINTS: Final = (0.13, 0.29, 0.53, 0.79)
"""Extra times, in steps of the sweep, at which no two frequencies below fifty foldings agree."""


def with_guards(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """The times, and a few between the first two, which distinguish a fast oscillation from a slow one."""
    if times.size < 2:
        return times
    return np.concatenate([times, times[0] + (times[1] - times[0]) * np.asarray(GUARD_POINTS)])


def shots_parameter(shots: int) -> RunParameter:
    """The number of shots per point, by default ``shots``."""
    return RunParameter(
        value_type="int",
        value=shots,
        description="shots per point",
        limits=FiniteRange(low=1, high=1_000_000),
    )
