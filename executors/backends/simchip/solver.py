"""Pulse-level dynamics of one three-level transmon: Lindblad equation, solved exactly piece by piece.

In the frame that rotates with a drive of frequency f (GHz), with n the level number and h = 1,

    H/2π = -(f - f_q) n + α n(n-1)/2 + (Ω(t) a† + h.c.)/2,        Ω = drive strength × amplitude,

and the collapse operators are a√γ↓ (relaxation), |1⟩⟨0|√γ↑ (thermal excitation, chosen so that the
populations of levels 0 and 1 relax with exactly T1) and n√(2γφ) (white dephasing, so that superpositions
decay with T2_echo). A waveform is piecewise constant, so its propagator is a product of matrix exponentials,
which are cached.

Slow noise: within a shot the qubit is detuned by a fixed δ (angular), drawn from a Lorentzian distribution of
half-width γ = 1/T2* - 1/T2_echo. While the qubit idles, a coherence between levels k and l turns by
exp(-iδ(k-l)t); pulses, which take tens of ns, do not see δ. The state is kept as a sum of parts exp(-iδτ) ρ_τ
by the time τ for which each has turned so far. Averaged over δ such a part weighs exp(-γ|τ|), without
sampling δ: a Ramsey fringe has τ = ±t, an echo τ = 0.
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
_LEVEL_DIFFERENCE: Final = np.subtract.outer(np.arange(LEVELS), np.arange(LEVELS)).ravel()
_POPULATIONS: Final = np.arange(LEVELS) * (LEVELS + 1)
_NEGLIGIBLE: Final = 1e-6
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


def _modes(idle: Complex) -> tuple[Complex, Complex]:
    """Eigenvalues and eigenvectors (columns) of the idle qubit's Liouvillian.

    It mixes only elements of equal level difference. Taking these apart keeps slow rates exact beside the
    anharmonicity, many orders of magnitude faster.
    """
    rates = np.zeros(LEVELS**2, dtype=np.complex128)
    modes = np.zeros((LEVELS**2, LEVELS**2), dtype=np.complex128)
    for difference in np.unique(_LEVEL_DIFFERENCE):
        rows = np.flatnonzero(difference == _LEVEL_DIFFERENCE)
        rates[rows], modes[np.ix_(rows, rows)] = np.linalg.eig(idle[np.ix_(rows, rows)])
    return rates, modes


@dataclass(frozen=True)
class _Parts:
    """Density matrices by the time for which they have turned with the slow detuning.

    ``turns_ns`` has shape (t,), whole nanoseconds so that equal times meet; ``state`` has shape (9, 3 t):
    for each time the columns of the three levels from which the sequence started.
    """

    turns_ns: NDArray[np.int64]
    state: Complex

    @classmethod
    def of_levels(cls) -> _Parts:
        state = np.zeros((LEVELS**2, LEVELS), dtype=np.complex128)
        state[_POPULATIONS, np.arange(LEVELS)] = 1.0
        return cls(np.zeros(1, dtype=np.int64), state)

    def turned(self, duration_ns: float) -> _Parts:
        """After an idle time, without relaxation: each element turned by its level difference."""
        step = round(duration_ns)
        if step == 0:
            return self
        shifted = self.turns_ns + step * _LEVEL_DIFFERENCE[:, None]
        turns = np.unique(shifted)
        state = np.zeros((LEVELS**2, len(turns), LEVELS), dtype=np.complex128)
        rows = np.arange(LEVELS**2)[:, None]
        state[rows, np.searchsorted(turns, shifted)] = self.state.reshape(LEVELS**2, -1, LEVELS)
        kept = np.abs(state).max(axis=(0, 2)) > _NEGLIGIBLE
        return _Parts(turns[kept], state[:, kept].reshape(LEVELS**2, -1))


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
        dephasing = 1 / truth.t2_echo - 1 / (2 * truth.t1)
        self._slow = 1 / truth.t2_star - 1 / truth.t2_echo
        if dephasing < 0 or self._slow < 0:
            raise ValueError(
                "expected an echo's T2 of at most 2 T1 and T2* of at most the echo's, "
                f"got T1 {truth.t1:g}, echo {truth.t2_echo:g} and T2* {truth.t2_star:g} ns"
            )
        excite = np.zeros((LEVELS, LEVELS), dtype=np.complex128)
        excite[1, 0] = np.sqrt(relaxation * occupation)
        self._decay = _dissipator(
            [np.sqrt(relaxation * (1 + occupation)) * _LOWER, excite, np.sqrt(2 * dephasing) * _NUMBER]
        )
        self._rates, self._modes = _modes(_commutator(truth.anharmonicity * _KERR) + self._decay)
        self._inverse = np.linalg.inv(self._modes)
        block = np.ix_(_POPULATIONS, _POPULATIONS)
        self._level_rates, self._levels = self._rates[_POPULATIONS].real, self._modes[block].real
        self._level_inverse = self._inverse[block].real

    def transfer(self, pulses: Sequence[Pulse], at_ns: float) -> Real:
        """Populations at ``at_ns`` (rows) for each level at 0 (columns), shape (3, 3).

        Pulses come in time order. Raises ValueError when two overlap on the drive line.
        """
        parts = _Parts.of_levels()
        now = 0.0
        for pulse in pulses:
            if pulse.start_ns >= at_ns - _TIME_TOLERANCE_NS:
                break
            if pulse.start_ns < now - _TIME_TOLERANCE_NS:
                raise ValueError(f"two pulses overlap at {pulse.start_ns:g} ns on one drive line")
            if pulse.start_ns - now > _TIME_TOLERANCE_NS:
                parts = self._waited(parts, pulse.start_ns - now)
            parts = _Parts(parts.turns_ns, self._drive(pulse.until(at_ns), parts.state))
            now = min(pulse.end_ns, at_ns)
        populations = parts.state[_POPULATIONS].real.reshape(LEVELS, -1, LEVELS)
        averaged = np.exp(-self._slow * np.abs(parts.turns_ns)) @ populations
        return self._relaxation(at_ns - now) @ averaged

    def steady_start(self, transfer: Real, rest_ns: float) -> Real:
        """Populations at the start of each of many equal shots, shape (3,).

        A shot changes them by ``transfer`` until its readout, which ends all coherences; then the qubit
        relaxes for ``rest_ns`` until the next shot starts. In the steady state both together change nothing.
        """
        equations = self._relaxation(rest_ns) @ transfer - np.eye(LEVELS)
        # The rows sum to 0: one of them is redundant, and the sum of the populations is 1.
        equations[0] = 1.0
        return np.asarray(np.linalg.solve(equations, np.array([1.0, 0.0, 0.0])))

    def _drive(self, pulse: Pulse, state: Complex) -> Complex:
        """From the qubit's frame into the drive's at the pulse's start, through it, and back at its end."""
        detuning = _TWO_PI * (pulse.frequency_ghz - self.truth.frequency)
        into = np.exp(1j * _LEVEL_DIFFERENCE * (detuning * pulse.start_ns - pulse.phase))
        back = np.exp(-1j * _LEVEL_DIFFERENCE * (detuning * pulse.end_ns - pulse.phase))
        driven: Complex = back[:, None] * (self._propagator(pulse) @ (into[:, None] * state))
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

    def _waited(self, parts: _Parts, duration_ns: float) -> _Parts:
        """After an idle time of a qubit that may be in a superposition."""
        turned = parts.turned(duration_ns)
        decay = np.exp(self._rates * duration_ns)[:, None]
        return _Parts(turned.turns_ns, self._modes @ (decay * (self._inverse @ turned.state)))

    def _relaxation(self, duration_ns: float) -> Real:
        """Populations after an idle time (rows) for each level before it (columns), shape (3, 3)."""
        return (self._levels * np.exp(self._level_rates * duration_ns)) @ self._level_inverse

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
