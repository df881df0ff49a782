"""Where a signal's line lies in the IQ plane, in qubex's convention: iq = (distance + i signal) exp(i angle).

The signal grows towards the ground state.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from calibtasks.fits.fit import Complex, Estimate, Real
from calibtasks.fits.least_squares import Weighted
from calibtasks.fits.signal import Signal
from calibtasks.measure.sweep import Sweep


@dataclass(frozen=True)
class IQLine:
    """A line in the IQ plane; all but the angles in the data's unit.

    Attributes:
        angle: rotation that brings the line to the imaginary axis, degrees.
        distance: from the origin.
        offset: of the oscillation's middle along the line.
        noise: of a point across the line.
        reference_phase: of the undriven signal, radians.
        reference: the undriven signal.
    """

    angle: Estimate
    distance: Estimate
    offset: Estimate
    noise: Estimate
    reference_phase: Estimate
    reference: complex

    @classmethod
    def of(cls, signal: Signal, sweeps: Mapping[str, Sweep], found: Weighted, middle: Estimate) -> IQLine:
        """The line of a fitted signal; ``middle`` of its oscillation, from the signal's origin in its units.

        The line rotates about the mean of the data, so an error of its angle moves the foot of the
        perpendicular and the middle too.
        """
        shots = np.concatenate([np.full(sweep.iq.size, float(sweep.shots)) for sweep in sweeps.values()])
        iq = np.concatenate([sweep.iq for sweep in sweeps.values()])
        direction = 1j * signal.unit / signal.scale
        # Relative to the scale, because squares of it may be too large or too small for a number.
        centre = complex(np.average(iq / signal.scale, weights=shots)) * signal.scale * direction.conjugate()
        across = math.sqrt(signal.shot_variance)
        spread = signal.values - np.average(signal.values, weights=signal.shots)
        angle_error = math.sqrt(signal.shot_variance / float(np.sum(signal.shots * spread**2)))
        offset = (signal.origin * direction.conjugate()).imag - middle.value * signal.scale
        noise = across / math.sqrt(float(np.mean(shots))) * signal.scale
        return cls(
            angle=Estimate(math.degrees(cmath.phase(direction)), math.degrees(angle_error)),
            distance=Estimate(
                centre.real,
                math.hypot(across / math.sqrt(shots.sum()) * signal.scale, centre.imag * angle_error),
            ),
            offset=Estimate(offset, math.hypot(middle.error * signal.scale, centre.real * angle_error)),
            noise=Estimate(noise, noise / math.sqrt(2 * signal.values.size)),
            reference_phase=_phase(signal, found),
            reference=signal.origin,
        )

    def place(self, signal: Real) -> Complex:
        """Points of the line at signals from the undriven one, growing from the ground state, shape (n,)."""
        return np.asarray(self.reference - 1j * signal * cmath.rect(1.0, math.radians(self.angle.value)))


def _phase(signal: Signal, found: Weighted) -> Estimate:
    """Of the ground references; a hot qubit's shot noise lies along the line, the readout's everywhere."""
    along = 1 / float(np.sum(found.sigmas[signal.ground] ** -2.0))
    across = signal.shot_variance / float(np.sum(signal.shots[signal.ground]))
    part = (signal.unit / signal.scale / (1j * signal.origin)).real * abs(signal.origin)
    sideways = part**2 * along + (1 - part**2) * across
    return Estimate(cmath.phase(signal.origin), math.sqrt(sideways) * signal.scale / abs(signal.origin))
