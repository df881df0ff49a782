"""The tasks' pulses, made by qubex."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, Final

import numpy as np
from qubex.pulse import FlatTop, get_sampling_period

from calibtasks.parameters.run_parameters import refuse
from calibtasks.results import missing_input

HALF_PI_RAMP_NS: Final = 12.0
"""Rise time of the half-π pulse; qubex's own."""
_STEP_NS: Final = 4.0


def half_pi_pulse(amplitude: float, length: float) -> Any:
    """A flat-top pulse of ``length`` ns with 12 ns ramps.

    Raises CalibrationError when it is too short for them, or no whole number of samples.
    """
    if length < 2 * HALF_PI_RAMP_NS:
        raise missing_input(
            f"expected a pulse of at least {2 * HALF_PI_RAMP_NS:g} ns, got {length:g} ns", "pulse_too_short"
        )
    step = float(get_sampling_period())
    if not math.isclose(length / step, round(length / step), abs_tol=1e-6):
        # Whole numbers of ns on the grid are this far apart: 2 ns at 0.4 ns = 2/5 ns a sample.
        whole = Fraction(step).limit_denominator(1000).numerator
        below = math.floor(length / whole) * whole
        raise refuse(
            f"expected a pulse in whole samples of {step:g} ns, got {length:g} ns:"
            f" {below} and {below + whole} ns are nearest",
            "off_sampling_grid",
        )
    return FlatTop(duration=length, amplitude=amplitude, tau=HALF_PI_RAMP_NS)


def pulse_steps(length: float) -> tuple[Any, float]:
    """Heights of such a pulse in about 4 ns steps, in parts of its amplitude, and a step's length in ns."""
    pulse = half_pi_pulse(1.0, length)
    values = np.asarray(pulse.real, dtype=np.float64)
    count = max(1, round(length / _STEP_NS))
    # The area up to each edge, so that a step need be no whole number of samples.
    area = np.concatenate([[0.0], np.cumsum(values)]) / values.size
    edges = np.interp(np.linspace(0, values.size, count + 1), np.arange(values.size + 1), area)
    return np.diff(edges) * count, length / count


def turning_ns(length: float) -> float:
    """Free evolution, in ns, that turns a superposition by as much as a detuning does in two half-π pulses.

    A superposition of sin θ, of an angle θ from 0 to π/2 within the pulse.
    """
    heights, step = pulse_steps(length)
    angle = (np.cumsum(heights) - heights / 2) / heights.sum() * np.pi / 2
    return float(2 * np.sum(np.sin(angle)) * step)


def rabi_pulse(amplitude: float, time: float, ramp: float) -> Any:
    """A flat-top pulse with a plateau of ``time`` ns and ramps of ``ramp`` ns."""
    return FlatTop(duration=time + 2 * ramp, amplitude=amplitude, tau=ramp)
