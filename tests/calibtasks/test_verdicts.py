"""The tasks' own verdicts and errors on data made by formula: what is not known is not accepted."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from calibtasks.base import BaseTask, Dataset, PostProcessResult, RunResult
from calibtasks.tasks.coherence.check_ramsey import CheckRamsey
from calibtasks.tasks.coherence.check_t1 import CheckT1
from calibtasks.tasks.pulse.create_hpi_pulse import CreateHPIPulse
from calibtasks.tasks.rabi.check_rabi import CheckRabi
from qdash_queue.domain import FailureKind, ParameterModel
from tests.calibtasks.signals import SimulatedQubit

Complex = NDArray[np.complex128]

RABI_NS = np.arange(0.0, 401.0, 8.0) + 20
SIDE_NS = RABI_NS[:26]
T1_NS = np.logspace(2, 5.699, 51)
AXIS = np.exp(0.6j)


def noise(rng: np.random.Generator, size: int, sigma: float) -> Complex:
    return np.asarray(sigma * (rng.normal(size=size) + 1j * rng.normal(size=size)))


def conclude(
    task: type[BaseTask], inputs: Mapping[str, float], data: Dataset, **settings: float
) -> PostProcessResult:
    stored = {name: ParameterModel(value=value) for name, value in inputs.items()}
    return task.from_record("0", stored, settings).analyse("x", "0", RunResult(data))


def rabi(
    rng: np.random.Generator,
    *,
    distance: float = 0.4,
    sigma: float = 0.005,
    side_ghz: float = 0.005,
    detuning_ghz: float = 0.0,
    undriven: Complex | None = None,
) -> PostProcessResult:
    """A drive of 12.5 MHz; the oscillation of amplitude 0.2 is ``distance`` from the origin."""

    def iq(time: NDArray[np.float64], detuning: float, spread: float) -> Complex:
        frequency = math.hypot(0.0125, detuning)
        wave = 0.2 * np.cos(2 * np.pi * frequency * time)
        return np.asarray((distance + 1j * (wave + 0.1)) * AXIS + noise(rng, time.size, spread))

    data = Dataset.of(
        time=RABI_NS,
        iq=iq(RABI_NS, detuning_ghz, sigma),
        reference_iq=iq(np.zeros(1), 0.0, sigma) if undriven is None else undriven,
        side_time=SIDE_NS,
        side_iq=iq(SIDE_NS, detuning_ghz + side_ghz, 1.4 * sigma),
    )
    return conclude(CheckRabi, {"control_amplitude": 0.03}, data, side_detuning=side_ghz)


def test_every_value_of_a_rabi_oscillation_far_from_the_origin_has_an_honest_error() -> None:
    rng = np.random.default_rng(4)
    results = [rabi(rng, distance=4.0) for _ in range(100)]
    assert all(result.failure is None for result in results)
    for name, true in (
        ("rabi_frequency", 12.5),
        ("rabi_amplitude", 0.2),
        ("rabi_offset", 0.1),
        ("rabi_distance", 4.0),
        ("rabi_angle", math.degrees(0.6)),
        ("rabi_reference_phase", 0.6 + math.atan2(0.3, 4.0)),
    ):
        expect_honest(results, name, true)


def expect_honest(results: list[PostProcessResult], name: str, true: float, slack: float = 0.2) -> None:
    found = [result.output_parameters[name] for result in results]
    pulls = np.array([(float(item.value or 0) - true) / item.error for item in found])
    assert abs(float(pulls.mean())) < 0.3, name
    assert 1 - slack < float(pulls.std(ddof=1)) < 1 + slack, name


@pytest.mark.parametrize("detuning_mhz", [-2.3, 2.3])
def test_the_drive_strength_is_that_of_a_resonant_drive(detuning_mhz: float) -> None:
    rng = np.random.default_rng(8)
    results = [rabi(rng, detuning_ghz=detuning_mhz * 1e-3) for _ in range(60)]
    assert all(result.failure is None for result in results)
    expect_honest(results, "rabi_frequency", math.hypot(12.5, detuning_mhz))
    expect_honest(results, "maximum_rabi_frequency", 12.5 / 0.03)
    expect_honest(results, "control_amplitude", 0.03)


def test_a_detuning_above_the_oscillation_leaves_no_drive_strength() -> None:
    data = Dataset.of(
        time=RABI_NS,
        iq=0.2 * AXIS * np.cos(2 * np.pi * 0.0125 * RABI_NS),
        reference_iq=[0.2 * AXIS],
        side_time=SIDE_NS,
        side_iq=0.2 * AXIS * np.cos(2 * np.pi * 0.018 * SIDE_NS),
    )
    result = conclude(CheckRabi, {"control_amplitude": 0.03}, data)
    assert result.quality_metrics["detuning_mhz"] > 12.5
    assert math.isnan(result.output_parameters["control_amplitude"].value or 0.0)
    assert result.failure is not None
    assert result.failure.cause == "off_resonance"


def test_the_phase_of_a_hot_undriven_qubit_has_an_honest_error() -> None:
    rng = np.random.default_rng(9)
    qubit = SimulatedQubit(1, qid=5, chip_id="SIM")
    assert qubit.truth.thermal > 0.018

    def undriven(points: int, shots: int) -> Complex:
        return qubit.measure(np.zeros(points), lambda _: ((), 8.0), shots)

    true = float(np.angle(undriven(1, 1_000_000)[0]))
    results = [rabi(rng, undriven=undriven(16, 128)) for _ in range(200)]
    expect_honest(results, "rabi_reference_phase", true, slack=0.1)


def test_a_detuning_that_is_not_known_is_not_taken_for_none() -> None:
    rng = np.random.default_rng(1)
    # So near to the first sweep that noise hides the difference.
    failures = [rabi(rng, sigma=0.02, side_ghz=0.001).failure for _ in range(10)]
    assert {failure.cause if failure is not None else None for failure in failures} == {
        "detuning_not_resolved"
    }


def test_a_decay_that_the_sweep_hardly_shows_has_no_time() -> None:
    rng = np.random.default_rng(2)
    for _ in range(10):
        iq = 0.3 + 0.2 * np.exp(-T1_NS / 2.5e6) + noise(rng, T1_NS.size, 0.004)
        result = conclude(CheckT1, {}, Dataset.of(time=T1_NS, iq=iq))
        assert result.r2 is not None
        assert result.r2 > CheckT1.r2_threshold
        assert result.failure is not None
        assert (result.failure.kind, result.failure.cause) in (
            (FailureKind.BAD_FIT, "decay_not_resolved"),
            (FailureKind.BAD_FIT, "at_bound"),
        )


POINT = np.arange(51)
GARBAGE = {
    "a jump": np.where(POINT < 25, 1.0, 0.0),
    "a drift": 1 - POINT / 50,
    "a wave": np.sin(2 * np.pi * POINT / 50),
    "an intruder": np.exp(-T1_NS / 40e3) + np.where((POINT > 20) & (POINT < 30), 0.5, 0.0),
}


@pytest.mark.parametrize("signal", GARBAGE.values(), ids=GARBAGE.keys())
def test_what_is_no_decay_gives_no_t1_however_good_its_r2(signal: NDArray[np.float64]) -> None:
    rng = np.random.default_rng(5)
    iq = 0.2 * AXIS * signal + noise(rng, signal.size, 0.004)
    result = conclude(CheckT1, {}, Dataset.of(time=T1_NS, iq=iq))
    assert result.r2 is not None
    assert result.r2 > CheckT1.r2_threshold
    assert result.failure is not None
    assert (result.failure.kind, result.failure.cause) == (FailureKind.BAD_FIT, "misfit")


def test_a_decay_in_its_own_shot_noise_is_described() -> None:
    rng = np.random.default_rng(6)
    for shots in (100, 1024, 100_000):
        shot = rng.binomial(shots, np.exp(-T1_NS / 40e3)) / shots
        iq = 0.2 * AXIS * shot + noise(rng, T1_NS.size, 0.004 * math.sqrt(1024 / shots))
        assert conclude(CheckT1, {}, Dataset.of(time=T1_NS, iq=iq), shots=shots).failure is None, shots


def fringe(rng: np.random.Generator, t2_star_us: float) -> PostProcessResult:
    """A fringe of 1 MHz over a sweep of 10 μs."""
    time = np.arange(0.0, 10_001.0, 100.0)
    turning = 0.2 * np.exp(-time * 1e-3 / t2_star_us + 2j * np.pi * 1e-3 * time)
    iq_x, iq_y = (part * AXIS + noise(rng, time.size, 0.001) for part in (turning.real, turning.imag))
    return conclude(CheckRamsey, {"qubit_frequency": 4.2}, Dataset.of(time=time, iq_x=iq_x, iq_y=iq_y))


@pytest.mark.parametrize("t2_star_us", [60.0, 100.0, 150.0])
def test_a_dephasing_time_of_many_sweeps_is_accepted_when_it_is_resolved(t2_star_us: float) -> None:
    rng = np.random.default_rng(10)
    results = [fringe(rng, t2_star_us) for _ in range(40)]
    assert all(result.failure is None for result in results)
    expect_honest(results, "t2_star", t2_star_us, slack=0.3)


def test_a_fringe_that_does_not_fade_is_refused_with_a_remedy() -> None:
    rng = np.random.default_rng(11)
    failures = [fringe(rng, math.inf).failure for _ in range(40)]
    refused = [failure for failure in failures if failure is not None]
    # A decay of two standard deviations counts as seen; noise makes one now and then.
    assert len(refused) >= 36
    for failure in refused:
        assert (failure.kind, failure.cause) == (FailureKind.BAD_FIT, "decay_not_resolved")
        assert "time_range" in failure.remedy


def test_a_half_pi_pulse_without_a_reference_is_refused() -> None:
    rng = np.random.default_rng(3)
    amplitude = np.linspace(0.5, 1.5, 20) * 0.03
    iq = 0.2 * np.cos(2 * np.pi * amplitude / 0.03) + noise(rng, 20, 0.002)
    for reference, cause in ((0.2, None), (math.nan, "no_return")):
        data = Dataset.of(amplitude=amplitude, iq=iq, reference_iq=[complex(reference)])
        failure = conclude(CreateHPIPulse, {}, data).failure
        assert (failure.cause if failure else None) == cause
