"""Data that something spoiled are refused, however good their R²; good data are not."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from calibtasks.base import BaseTask, Dataset, PostProcessResult
from calibtasks.fits.iq import project
from calibtasks.tasks.coherence.check_ramsey import CheckRamsey
from calibtasks.tasks.coherence.check_t1 import CheckT1
from calibtasks.tasks.pulse.create_hpi_pulse import CreateHPIPulse
from qdash_queue.domain import FailureKind
from tests.calibtasks.test_verdicts import AXIS, T1_NS, Complex, conclude, noise

Real = NDArray[np.float64]
Spoil = Callable[[Complex], Complex]
RAMSEY_NS = np.arange(0.0, 10_001.0, 100.0)
HEIGHTS = np.linspace(0.5, 1.5, 20) * 0.03
PART = np.linspace(0.0, 1.0, 51)


def points(rng: np.random.Generator, excited: Real, shots: int = 1024) -> Complex:
    """IQ points of a qubit that is excited with such probabilities, with shot and amplifier noise."""
    counted = rng.binomial(shots, excited) / shots
    return np.asarray((0.4 + 0.3j - 0.4 * counted) * AXIS + noise(rng, excited.size, 0.03 / math.sqrt(shots)))


def relaxation(rng: np.random.Generator, t1_ns: float = 40e3, shots: int = 1024) -> Complex:
    return points(rng, 0.98 * np.exp(-T1_NS / t1_ns), shots)


def ramsey(
    wave: Complex, rng: np.random.Generator, shots: int = 1024, spoil: Spoil = lambda iq: iq
) -> PostProcessResult:
    iq = spoil(np.concatenate([points(rng, (1 - part) / 2, shots) for part in (wave.real, wave.imag)]))
    data = Dataset.of(time=RAMSEY_NS, iq_x=iq[: RAMSEY_NS.size], iq_y=iq[RAMSEY_NS.size :])
    return conclude(CheckRamsey, {"qubit_frequency": 4.2}, data, shots=shots)


def fringe(mhz: float = 1.0, t2_us: float = 30.0) -> Complex:
    return np.asarray(0.98 * np.exp(-RAMSEY_NS * 1e-3 / t2_us + 2j * np.pi * mhz * 1e-3 * RAMSEY_NS))


def half_pi(rng: np.random.Generator, spoil: Spoil = lambda iq: iq, shots: int = 2048) -> PostProcessResult:
    excited = 0.5 - 0.49 * np.cos(2 * np.pi * HEIGHTS / 0.03)
    reference = points(rng, np.zeros(1), shots)
    data = Dataset.of(amplitude=HEIGHTS, iq=spoil(points(rng, excited, shots)), reference_iq=reference)
    return conclude(CreateHPIPulse, {}, data, shots=shots)


def refused(result: PostProcessResult, task: type[BaseTask]) -> str:
    """The cause for which a result of good R² is refused; empty if it is believed."""
    assert result.r2 is not None
    assert result.r2 > task.r2_threshold
    if result.failure is None:
        return ""
    assert result.failure.kind is FailureKind.BAD_FIT
    assert result.failure.message
    assert result.failure.remedy
    return result.failure.cause


BROKEN_T1: dict[str, tuple[Spoil, set[str]]] = {
    "reversed": (lambda iq: iq[::-1], {"misfit"}),
    "gain drift": (lambda iq: iq * (1 - 0.15 * PART), {"misfit", "drift"}),
    "gain jump": (lambda iq: iq * np.where(PART < 0.5, 1.0, 0.9), {"misfit", "drift"}),
    "frozen tail": (lambda iq: np.where(PART < 0.88, iq, iq[44]), {"repeated"}),
    "T1 jump": (
        lambda iq: np.where(PART < 0.7, iq, relaxation(np.random.default_rng(9), 12e3)),
        {"misfit"},
    ),
    "bi-exponential": (lambda iq: 0.5 * (iq + relaxation(np.random.default_rng(9), 4e3)), {"misfit"}),
    "phase drift": (lambda iq: iq * np.exp(0.5j * PART), {"misfit", "drift"}),
    "saturated": (lambda iq: np.minimum(iq.real, 0.08) + 1j * iq.imag, {"misfit", "drift"}),
}


@pytest.mark.parametrize(("spoil", "causes"), BROKEN_T1.values(), ids=BROKEN_T1.keys())
def test_a_spoiled_decay_is_refused(spoil: Spoil, causes: set[str]) -> None:
    for seed in range(3):
        iq = spoil(relaxation(np.random.default_rng(seed)))
        assert refused(conclude(CheckT1, {}, Dataset.of(time=T1_NS, iq=iq)), CheckT1) in causes


DRIFT = np.linspace(0.0, 1.0, 2 * RAMSEY_NS.size)
BROKEN_FRINGE: dict[str, Spoil] = {
    "gain drift": lambda iq: iq * (1 - 0.3 * DRIFT),
    "gain jump": lambda iq: iq * np.where(DRIFT < 0.7, 1.0, 0.8),
    "phase drift": lambda iq: iq * np.exp(0.5j * DRIFT),
    "zero tail": lambda iq: np.where(DRIFT < 0.93, iq, 0),
}


@pytest.mark.parametrize("spoil", BROKEN_FRINGE.values(), ids=BROKEN_FRINGE.keys())
def test_a_spoiled_fringe_is_refused(spoil: Spoil) -> None:
    for seed in range(3):
        result = ramsey(fringe(), np.random.default_rng(seed), spoil=spoil)
        assert refused(result, CheckRamsey) in {"misfit", "drift", "repeated"}


def test_a_beating_fringe_is_refused() -> None:
    for seed in range(3):
        both = 0.7 * fringe(1.0) + 0.3 * fringe(1.06)
        assert refused(ramsey(both, np.random.default_rng(seed)), CheckRamsey) == "misfit"


def test_a_decay_of_t1_is_no_fringe_of_zero_frequency() -> None:
    """Half-π pulses twice too strong: the qubit is excited, and falls, whatever the second pulse's phase."""
    falling = np.asarray((1 - 2 * np.exp(-RAMSEY_NS / 8e3)) * (1 + 1j))
    for seed in range(3):
        result = ramsey(0.98 * falling, np.random.default_rng(seed))
        assert refused(result, CheckRamsey) == "zero_frequency"


@pytest.mark.parametrize("step", [1, 2])
def test_a_rolled_sweep_of_pulse_amplitudes_is_refused(step: int) -> None:
    def rolled(iq: Complex) -> Complex:
        return np.roll(iq, step)

    for seed in range(3):
        result = half_pi(np.random.default_rng(seed), rolled)
        assert refused(result, CreateHPIPulse) in {"stretched", "misfit", "no_return"}


@pytest.mark.parametrize("shots", [64, 1024, 100_000])
def test_good_data_pass(shots: int) -> None:
    rng = np.random.default_rng(shots)
    for t1_ns in (1e3, 40e3, 100e3):
        results = [
            conclude(CheckT1, {}, Dataset.of(time=T1_NS, iq=relaxation(rng, t1_ns, shots)), shots=shots)
            for _ in range(12)
        ]
        assert {refused(result, CheckT1) for result in results} == {""}
    for t2_us in (0.5, 10.0, 30.0) if shots > 64 else (10.0, 30.0):
        fringes = [ramsey(fringe(2.0, t2_us), rng, shots) for _ in range(12)]
        assert {refused(result, CheckRamsey) for result in fringes} == {""}
    pulses = [half_pi(rng, shots=shots) for _ in range(12)]
    assert {refused(result, CreateHPIPulse) for result in pulses} <= {"", "no_return"}


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0])
def test_a_noise_that_is_not_known_is_refused(value: float) -> None:
    signal = relaxation(np.random.default_rng(1))
    found = project("decay", signal)
    unknown = type(found)(found.signal * (value != 0), found.across, value, found.angle, found.centre)
    failure = unknown.misfit("decay", np.zeros(T1_NS.size), 1024)
    assert failure is not None
    assert (failure.kind, failure.cause) == (FailureKind.BAD_FIT, "noise_unknown")
