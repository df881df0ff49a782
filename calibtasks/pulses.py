"""The tasks' pulses, as qubex draws them."""

from __future__ import annotations

from typing import Any, Final

from qubex.pulse import FlatTop

from calibtasks.base import missing_input

HALF_PI_RAMP_NS: Final = 12.0
"""Rise time of the half-π pulse; qubex's own."""


def half_pi_pulse(amplitude: float, length: float) -> Any:
    """A flat-top pulse of ``length`` ns with 12 ns ramps; CalibrationError when it is too short for them."""
    if length < 2 * HALF_PI_RAMP_NS:
        raise missing_input(
            f"expected hpi_length of at least {2 * HALF_PI_RAMP_NS:g} ns, got {length:g} ns", "hpi_too_short"
        )
    return FlatTop(duration=length, amplitude=amplitude, tau=HALF_PI_RAMP_NS)


def half_pi_area(length: float) -> float:
    """Area (ns) of a half-π pulse of amplitude 1: its Rabi angle over 2π times its Rabi frequency in GHz."""
    pulse = half_pi_pulse(1.0, length)
    return float(pulse.real.sum() * pulse.sampling_period)


def rabi_pulse(amplitude: float, time: float, ramp: float) -> Any:
    """A flat-top pulse with a plateau of ``time`` ns and ramps of ``ramp`` ns."""
    return FlatTop(duration=time + 2 * ramp, amplitude=amplitude, tau=ramp)
