"""What the tasks' values truly are, and how well any estimator can know them from the same data.

Nothing here comes from the tasks. True values are of the transmon's Hamiltonian, diagonalised and
integrated here; the bound is Cramér's and Rao's for all the data of a run, references included, with every
parameter of the qubit and of its readout free. The carry-over of shots is none of its own: it follows from
T1, the pulses, the thermal population and the wait between shots, which is set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from qubex.pulse import FlatTop
from scipy.optimize import brentq, minimize_scalar

from benchmarks.truth_sampler import SAMPLE_NS, Execution, Readout, populations
from executors.backends.simchip.device import QubitTruth
from executors.backends.simchip.solver import Pulse

Real = NDArray[np.float64]

RAMP_NS: Final = 12.0
"""Ramp of the half-π and π pulses."""
_LOWER: Final = np.diag(np.sqrt(np.arange(1.0, 3.0)), 1)
_NUMBER: Final = np.diag(np.arange(3.0))
_KERR: Final = np.diag([0.0, 0.0, 1.0])


# ------------------------------------------------------------------ true values


def _hamiltonian(anharmonicity: float, below: float, rabi: float) -> Real:
    """Over h, GHz, in the frame of a drive ``below`` the qubit's frequency."""
    return np.asarray(below * _NUMBER + anharmonicity * _KERR + rabi / 2 * (_LOWER + _LOWER.T))


def rabi_frequency(truth: QubitTruth, inputs: Mapping[str, float]) -> float:
    """MHz: splitting of the two dressed levels that hold level 0, at the stored carrier and amplitude."""
    rabi = truth.drive * inputs["control_amplitude"]
    below = truth.frequency - inputs["qubit_frequency"]
    energies, states = np.linalg.eigh(_hamiltonian(truth.anharmonicity, below, rabi))
    lower, upper = np.argsort(states[0] ** 2)[-2:]
    return float(abs(energies[upper] - energies[lower])) * 1e3


def drive_strength(truth: QubitTruth, _: Mapping[str, float]) -> float:
    """MHz/a.u.: Rabi frequency per unit of control amplitude."""
    return truth.drive * 1e3


@cache
def _shape(length: float) -> Real:
    """Samples of a pulse of height 1."""
    shape = FlatTop(duration=length, amplitude=1.0, tau=RAMP_NS, sampling_period=SAMPLE_NS)
    return np.real(np.asarray(shape.values))


def _left_in_ground(anharmonicity: float, rabi: float, length: float) -> float:
    """Population of level 0 after one pulse of this peak Rabi frequency (GHz), on resonance, from level 0."""
    state = np.array([1.0, 0.0, 0.0], dtype=np.complex128)
    hamiltonians = np.array([_hamiltonian(anharmonicity, 0.0, rabi * height) for height in _shape(length)])
    energies, states = np.linalg.eigh(hamiltonians)
    phases = np.exp(-2j * np.pi * SAMPLE_NS * energies)
    for phase, basis in zip(phases, states, strict=True):
        state = basis @ (phase * (basis.T @ state))
    return float(abs(state[0]) ** 2)


@cache
def _rabi_of_rotation(anharmonicity: float, length: float, turns: float) -> float:
    """Peak Rabi frequency (GHz) of a pulse that turns level 0 by a quarter or half a turn."""
    by_area = turns / (float(_shape(length).sum()) * SAMPLE_NS)

    def ground(factor: float) -> float:
        return _left_in_ground(anharmonicity, by_area * factor, length)

    if turns == 0.25:
        return by_area * float(brentq(lambda factor: ground(factor) - 0.5, 0.9, 1.1, xtol=1e-9))
    found = minimize_scalar(ground, bounds=(0.9, 1.1), method="bounded", options={"xatol": 1e-9})
    return by_area * float(found.x)


def half_pi_amplitude(truth: QubitTruth, inputs: Mapping[str, float]) -> float:
    """a.u.: leaves half the population in level 0, on resonance and without relaxation."""
    return _rabi_of_rotation(truth.anharmonicity, inputs["hpi_length"], 0.25) / truth.drive


def pi_amplitude(truth: QubitTruth, inputs: Mapping[str, float]) -> float:
    """a.u.: leaves least in level 0, on resonance and without relaxation."""
    return _rabi_of_rotation(truth.anharmonicity, inputs["pi_length"], 0.5) / truth.drive


# ------------------------------------------------------------------ the bound


@dataclass(frozen=True)
class _Unknown:
    """A parameter of the qubit: its value moved by a step, and how little is known of it beforehand."""

    moved: Callable[[QubitTruth, float], QubitTruth]
    step: float
    prior: float


def _scaled(name: str) -> Callable[[QubitTruth, float], QubitTruth]:
    return lambda truth, by: replace(truth, **{name: getattr(truth, name) * (1 + by)})


# So wide that they tell nothing; they only keep what the data do not show from making the matrix singular.
# Exceptions are what no sweep of lifetimes shows: its pulses were calibrated, so that carrier and strength of
# the drive are about right, and a design knows the anharmonicity to a few per cent.
_UNKNOWNS: Final = (
    _Unknown(_scaled("t1"), 1e-3, 10.0),
    _Unknown(_scaled("t2_star"), 1e-3, 10.0),
    _Unknown(_scaled("t2_echo"), 1e-3, 10.0),
    _Unknown(_scaled("drive"), 1e-4, 0.3),
    _Unknown(_scaled("anharmonicity"), 1e-3, 0.05),
    _Unknown(lambda truth, by: replace(truth, frequency=truth.frequency + by), 1e-6, 3e-3),
    _Unknown(lambda truth, by: replace(truth, thermal=truth.thermal + by), 1e-4, 0.5),
)
_READOUT_PRIORS: Final = (1e3, 1e3, 1e3, 1e3, 3.0, 3.0, 1e3)
"""Of each level's signal along both axes, in contrasts, and of the noise. Level 2 cannot lie anywhere: all
levels are on the circle of one resonator."""
_READOUT_STEP: Final = 1e-4
_FREE_STEP: Final = 1e-3
_FREE_PRIOR: Final = 10.0

Quantity = Callable[[QubitTruth], float]
Change = Callable[[Sequence[Execution], float], list[Execution]]
"""The executions with one property of their pulses changed by so much."""


def bounds(
    truth: QubitTruth,
    executions: Sequence[Execution],
    readout: Readout,
    quantities: Mapping[str, Quantity],
    *,
    free: Change | None = None,
    with_scatter: bool = True,
) -> dict[str, float]:
    """The least standard deviation of an unbiased estimate of each quantity, in its unit.

    Args:
        truth: of the qubit.
        executions: every sequence and reference that was read.
        readout: of the levels.
        quantities: to be estimated.
        free: of the pulses, what is not known beside the qubit's parameters.
        with_scatter: count what the size of the noise at each point tells of the populations, too. A fit of
            the means that takes the noise as known, and so no drift for a population, does without.
    """
    inverse = np.linalg.inv(_information(truth, executions, readout, free=free, with_scatter=with_scatter))
    found = {}
    for name, quantity in quantities.items():
        slope = np.zeros(len(inverse))
        slope[: len(_UNKNOWNS)] = [
            (quantity(u.moved(truth, u.step)) - quantity(u.moved(truth, -u.step))) / (2 * u.step)
            for u in _UNKNOWNS
        ]
        found[name] = float(np.sqrt(slope @ inverse @ slope))
    return found


def _information(
    truth: QubitTruth,
    executions: Sequence[Execution],
    readout: Readout,
    *,
    free: Change | None,
    with_scatter: bool,
) -> Real:
    """Fisher's matrix of Gaussian points whose mean and covariance both depend on the parameters."""
    shots = np.array([execution.shots for execution in executions], dtype=np.float64)
    levels = populations(truth, executions)

    def moments(at: Real, moved: Readout) -> tuple[Real, Real]:
        return _moments(at, moved, shots)

    mean_slopes, covariance_slopes = [], []

    def add(step: float, after: tuple[Real, Real], before: tuple[Real, Real]) -> None:
        mean_slopes.append((after[0] - before[0]) / (2 * step))
        covariance_slopes.append((after[1] - before[1]) / (2 * step))

    for u in _UNKNOWNS:
        up, down = (populations(u.moved(truth, sign * u.step), executions) for sign in (1, -1))
        add(u.step, moments(up, readout), moments(down, readout))
    priors = [u.prior for u in _UNKNOWNS]
    if free is not None:
        up, down = (populations(truth, free(executions, sign * _FREE_STEP)) for sign in (1, -1))
        add(_FREE_STEP, moments(up, readout), moments(down, readout))
        priors.append(_FREE_PRIOR)
    for up_readout, down_readout in _moved_readouts(readout):
        add(_READOUT_STEP, moments(levels, up_readout), moments(levels, down_readout))

    weight = np.linalg.inv(moments(levels, readout)[1])
    means, spread = np.array(mean_slopes), np.array(covariance_slopes) @ weight
    information = np.einsum("ani,nij,bnj->ab", means, weight, means, optimize=True)
    if with_scatter:
        information += 0.5 * np.einsum("anij,bnji->ab", spread, spread, optimize=True)
    priors += _READOUT_PRIORS
    return np.asarray(information + np.diag(1 / np.square(priors)))


def ramps(executions: Sequence[Execution], by: float) -> list[Execution]:
    """The pulses with their ramps higher by a part ``by``, their plateaus unchanged."""

    def changed(pulse: Pulse) -> Pulse:
        height = np.abs(pulse.samples)
        higher = np.where(height < height.max(), pulse.samples * (1 + by), pulse.samples)
        return replace(pulse, samples=higher)

    return [replace(each, pulses=tuple(changed(pulse) for pulse in each.pulses)) for each in executions]


def last_phase(executions: Sequence[Execution], by: float) -> list[Execution]:
    """The last of several pulses turned by ``by`` radians."""

    def changed(pulses: tuple[Pulse, ...]) -> tuple[Pulse, ...]:
        return (*pulses[:-1], replace(pulses[-1], phase=pulses[-1].phase + by)) if pulses else ()

    return [replace(each, pulses=changed(each.pulses)) for each in executions]


def _moments(levels: Real, readout: Readout, shots: Real) -> tuple[Real, Real]:
    """Mean (n, 2) and covariance (n, 2, 2) of averages over shots of mixtures of levels."""
    centres = np.stack([readout.means.real, readout.means.imag], axis=1)
    mean = levels @ centres
    squares = readout.covariances + centres[:, :, None] * centres[:, None, :]
    covariance = np.tensordot(levels, squares, axes=1) - mean[:, :, None] * mean[:, None, :]
    return mean, covariance / shots[:, None, None]


def _moved_readouts(readout: Readout) -> list[tuple[Readout, Readout]]:
    """Each level's signal moved along both axes, in units of the contrast; and the noise scaled."""
    unit = abs(readout.means[1] - readout.means[0])
    pairs = []
    for level in range(len(readout.means)):
        for direction in (1, 1j):
            shift = np.zeros(len(readout.means), dtype=np.complex128)
            shift[level] = _READOUT_STEP * unit * direction
            pairs.append(
                (replace(readout, means=readout.means + shift), replace(readout, means=readout.means - shift))
            )
    louder = _READOUT_STEP * readout.white * np.eye(2)
    pairs.append(
        (
            replace(readout, covariances=readout.covariances + louder),
            replace(readout, covariances=readout.covariances - louder),
        )
    )
    return pairs
