"""Pulse-level dynamics of one three-level transmon: Lindblad equation, solved exactly piece by piece.

In the frame that rotates with a drive of frequency f (GHz), with n the level number and h = 1,

    H/2π = -(f - f_q) n + α n(n-1)/2 + (Ω(t) a† + h.c.)/2,        Ω = drive strength × amplitude,

and the collapse operators are a√γ↓ (relaxation), |1⟩⟨0|√γ↑ (thermal excitation, chosen so that the
populations of levels 0 and 1 relax with exactly T1) and n√(2γφ) (white dephasing, so that superpositions
decay with T2). A waveform is piecewise constant, so its propagator is a product of matrix exponentials, which
are cached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm

from executors.backends.simchip.device import QubitTruth

Complex = NDArray[np.complex128]
Real = NDArray[np.float64]

LEVELS: Final = 3
_TWO_PI: Final = 2 * np.pi
_LOWER: Final[Complex] = np.diag(np.sqrt(np.arange(1.0, LEVELS)), 1).astype(np.complex128)
_NUMBER: Final[Complex] = np.diag(np.arange(LEVELS)).astype(np.complex128)
_KERR: Final[Complex] = np.diag(np.arange(LEVELS) * (np.arange(LEVELS) - 1) / 2).astype(np.complex128)
_LEVEL_DIFFERENCE: Final[Real] = np.subtract.outer(np.arange(float(LEVELS)), np.arange(float(LEVELS))).ravel()
_CACHE_LIMIT: Final = 20_000
_TIME_TOLERANCE_NS: Final = 1e-6
_Key = TypeVar("_Key")


@dataclass(frozen=True)
class Pulse:
    """A drive pulse: ``gain * exp(i phase) * samples``, in units of control amplitude, from ``start_ns``.

    Each sample is ``step_ns`` long; ``frequency_ghz`` is the carrier's, and ``phase`` its phase in radians.
    """

    start_ns: float
    samples: Complex
    step_ns: float
    frequency_ghz: float
    gain: float = 1.0
    phase: float = 0.0

    @property
    def end_ns(self) -> float:
        """When the last sample is over."""
        return self.start_ns + len(self.samples) * self.step_ns

    def until(self, time_ns: float) -> Pulse:
        """The part of the pulse before ``time_ns``."""
        kept = round(max(0.0, time_ns - self.start_ns) / self.step_ns)
        if kept >= len(self.samples):
            return self
        return Pulse(
            self.start_ns, self.samples[:kept], self.step_ns, self.frequency_ghz, self.gain, self.phase
        )


def _commutator(hamiltonian: Complex) -> Complex:
    identity = np.eye(LEVELS)
    return -1j * _TWO_PI * (np.kron(hamiltonian, identity) - np.kron(identity, hamiltonian.T))


def _dissipator(operators: Sequence[Complex]) -> Complex:
    identity = np.eye(LEVELS)
    total = np.zeros((LEVELS**2, LEVELS**2), dtype=np.complex128)
    for operator in operators:
        square = operator.conj().T @ operator
        total += np.kron(operator, operator.conj())
        total -= 0.5 * (np.kron(square, identity) + np.kron(identity, square.T))
    return total


@dataclass
class Transmon:
    """Solves for the populations of one transmon; keeps the propagators of the waveforms it has seen."""

    truth: QubitTruth
    _segments: dict[tuple[complex, float, float], Complex] = field(default_factory=dict, repr=False)
    _pulses: dict[tuple[bytes, float, float], Complex] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        truth = self.truth
        occupation = truth.thermal / (1 - 2 * truth.thermal)
        relaxation = 1 / (truth.t1 * (1 + 2 * occupation))
        dephasing = 1 / truth.t2 - 1 / (2 * truth.t1)
        if dephasing < 0:
            raise ValueError(f"expected T2 of at most 2 T1, got T1 {truth.t1:g} ns and T2 {truth.t2:g} ns")
        excite = np.zeros((LEVELS, LEVELS), dtype=np.complex128)
        excite[1, 0] = np.sqrt(relaxation * occupation)
        self._decay = _dissipator(
            [np.sqrt(relaxation * (1 + occupation)) * _LOWER, excite, np.sqrt(2 * dephasing) * _NUMBER]
        )

    def populations(self, pulses: Sequence[Pulse], at_ns: float) -> Real:
        """Populations of the levels, shape (3,), at ``at_ns``, driven by ``pulses``; thermal at 0.

        Pulses come in time order. Raises ValueError when two overlap on the drive line.
        """
        state = np.zeros(LEVELS**2, dtype=np.complex128)
        state[0], state[LEVELS + 1] = 1 - self.truth.thermal, self.truth.thermal
        now = 0.0
        for pulse in pulses:
            if pulse.start_ns >= at_ns - _TIME_TOLERANCE_NS:
                break
            if pulse.start_ns < now - _TIME_TOLERANCE_NS:
                raise ValueError(f"two pulses overlap at {pulse.start_ns:g} ns on one drive line")
            state = self._idle(pulse.start_ns - now) @ state
            state = self._drive(pulse.until(at_ns), state)
            now = min(pulse.end_ns, at_ns)
        state = self._idle(at_ns - now) @ state
        populations = np.clip(state.reshape(LEVELS, LEVELS).diagonal().real, 0.0, None)
        return np.asarray(populations / populations.sum(), dtype=np.float64)

    def _drive(self, pulse: Pulse, state: Complex) -> Complex:
        """From the qubit's frame into the drive's at the pulse's start, through it, and back at its end."""
        detuning = _TWO_PI * (pulse.frequency_ghz - self.truth.frequency)
        into = np.exp(1j * _LEVEL_DIFFERENCE * (detuning * pulse.start_ns - pulse.phase))
        back = np.exp(-1j * _LEVEL_DIFFERENCE * (detuning * pulse.end_ns - pulse.phase))
        driven: Complex = back * (self._propagator(pulse) @ (into * state))
        return driven

    def _propagator(self, pulse: Pulse) -> Complex:
        drive = pulse.gain * pulse.samples
        key = (drive.tobytes(), pulse.step_ns, pulse.frequency_ghz)
        known = self._pulses.get(key)
        if known is None:
            edges = np.flatnonzero(np.diff(drive) != 0) + 1
            starts = np.concatenate([[0], edges])
            lengths = np.diff(np.concatenate([starts, [len(drive)]])) * pulse.step_ns
            known = np.eye(LEVELS**2, dtype=np.complex128)
            for amplitude, length in zip(drive[starts], lengths, strict=True):
                known = self._segment(complex(amplitude), float(length), pulse.frequency_ghz) @ known
            _keep(self._pulses, key, known)
        return known

    def _idle(self, duration_ns: float) -> Complex:
        return self._segment(0j, duration_ns, self.truth.frequency)

    def _segment(self, amplitude: complex, duration_ns: float, frequency_ghz: float) -> Complex:
        key = (amplitude, round(duration_ns, 6), frequency_ghz)
        known = self._segments.get(key)
        if known is None:
            truth = self.truth
            rabi = truth.drive * amplitude
            raising = 0.5 * rabi * _LOWER.conj().T
            hamiltonian = (truth.frequency - frequency_ghz) * _NUMBER + truth.anharmonicity * _KERR
            hamiltonian = hamiltonian + raising + raising.conj().T
            known = expm((_commutator(hamiltonian) + self._decay) * duration_ns)
            _keep(self._segments, key, known)
        return known


def _keep(cache: dict[_Key, Complex], key: _Key, value: Complex) -> None:
    if len(cache) >= _CACHE_LIMIT:
        cache.clear()
    cache[key] = value
