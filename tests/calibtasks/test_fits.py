"""Fits of oscillations: unbiased with honest errors, in any unit, not fooled by foldings and bad data."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import expm

from calibtasks.fits.carry_over import carried
from calibtasks.fits.fit import Estimate, NoFit
from calibtasks.fits.pulse_amplitude import Pulse, PulseFit, fit_pulse_amplitude
from calibtasks.fits.rabi import RabiFit, fit_rabi
from calibtasks.fits.ramsey import LOSS, RamseyFit, fit_ramsey
from calibtasks.fits.third_level import resonant_rabi, turning_frequency
from calibtasks.measure.pulses import half_pi_pulse, pulse_steps
from calibtasks.measure.sweep import Sweep
from qdash_queue.domain import FailureKind
from tests.calibtasks import oscillating
from tests.calibtasks.planted import PlantedQubit

RUNS = 80
TWO_LEVELS = -1e3
PULSE = Pulse(*pulse_steps(32.0), count=4, anharmonicity=TWO_LEVELS)


def fit_any_rabi(sweeps: Mapping[str, Sweep]) -> RabiFit | NoFit:
    return fit_rabi("Rabi oscillation", sweeps, 5.0)


def rabi(qubit: PlantedQubit, **known: float) -> RabiFit:
    found = fit_any_rabi(oscillating.rabi(qubit, **known))
    assert isinstance(found, RabiFit)
    return found


def half_pi(qubit: PlantedQubit) -> PulseFit:
    found = fit_pulse_amplitude("pulse", oscillating.pulses(qubit), PULSE, 0.0)
    assert isinstance(found, PulseFit)
    return found


def ramsey(qubit: PlantedQubit, mhz: float = 1.0) -> RamseyFit:
    found = fit_ramsey("Ramsey fringe", oscillating.ramsey(qubit, mhz))
    assert isinstance(found, RamseyFit)
    return found


def expect_honest(found: list[Estimate], true: float, least: float = 1.0) -> None:
    """The bounds are three standard deviations of the mean and width (1, or from ``least``) of the pulls."""
    pulls = np.array([(item.value - true) / item.error for item in found])
    assert abs(float(pulls.mean())) < 3 / math.sqrt(pulls.size)
    assert least - 3 / math.sqrt(2 * pulls.size) < float(pulls.std()) < 1 + 3 / math.sqrt(2 * pulls.size)


def test_both_rabi_oscillations_turn_by_the_same_ramps() -> None:
    """With a phase of its own the second oscillation leaves 0.07 MHz and 0.019 MHz."""
    rng = np.random.default_rng(3)
    fits = [rabi(PlantedQubit(rng, shots=2048, has_pulse=False), off_mhz=3.0) for _ in range(RUNS)]
    expect_honest([fit.detuning for fit in fits], 3.0, least=0.75)
    assert np.median([fit.detuning.error for fit in fits]) == pytest.approx(0.047, rel=0.1)
    assert np.median([fit.strength.error for fit in fits]) == pytest.approx(0.012, rel=0.1)


T1_NS = [40e3, 200e3]
"""Shots start from equilibrium, and with 46 % of what the one before has left."""


@pytest.mark.parametrize("t1", T1_NS)
@pytest.mark.parametrize("off_mhz", [0.0, -1.5])
def test_a_rabi_oscillation_is_honest(t1: float, off_mhz: float) -> None:
    rng = np.random.default_rng(int(t1))
    fits = [rabi(PlantedQubit(rng, t1=t1, shots=2048, has_pulse=False), off_mhz=off_mhz) for _ in range(RUNS)]
    # The third level, which this qubit does not have, is corrected for.
    missing = resonant_rabi(12.5, 0.0, -300) / 12.5 - 1
    assert missing == pytest.approx((12.5 / 600) ** 2, rel=0.02)
    expect_honest([fit.frequency for fit in fits], math.hypot(12.5, off_mhz))
    expect_honest([fit.detuning for fit in fits], off_mhz)
    expect_honest([fit.strength.scaled(1 / (1 + missing)) for fit in fits], 12.5)
    # That of an anharmonicity of 0.3 ± 0.06 GHz.
    assert all(0.35 < fit.strength.systematic / (12.5 * missing) < 0.5 for fit in fits)
    assert all(abs(fit.start.value) < 5 * fit.start.error for fit in fits)


@pytest.mark.parametrize("t1", T1_NS)
def test_a_pulse_amplitude_is_honest(t1: float) -> None:
    rng = np.random.default_rng(int(t1) + 1)
    fits = [half_pi(PlantedQubit(rng, t1=t1, shots=2048, has_pulse=False)) for _ in range(RUNS)]
    expect_honest([fit.full_turn for fit in fits], 0.03)
    expect_honest([fit.detuning for fit in fits], 0.0)


@pytest.mark.parametrize("thermal", [0.01, 0.15])
def test_a_fit_of_many_parameters_knows_the_noise(thermal: float) -> None:
    rng = np.random.default_rng(7)
    fits = [half_pi(PlantedQubit(rng, shots=2048, has_pulse=False, thermal=thermal)) for _ in range(RUNS)]
    # Eight parameters take up a third of these data's noise.
    assert np.mean([fit.quality.chi2 for fit in fits]) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("t1", T1_NS)
def test_a_ramsey_fringe_is_honest(t1: float) -> None:
    rng = np.random.default_rng(int(t1) + 2)
    fits = [ramsey(PlantedQubit(rng, t1=t1, t2=30e3)) for _ in range(RUNS)]
    expect_honest([fit.frequency for fit in fits], 1.0)
    expect_honest([fit.rate for fit in fits], 1 / 30.0)


@pytest.mark.parametrize("detuning", [-2.0, 0.0, 2.0])
def test_a_drive_strength_is_found_from_what_three_levels_show(detuning: float) -> None:
    for rabi_mhz in (12.5, 30.0):
        seen = turning_frequency(rabi_mhz, detuning, -340)
        effective = detuning - rabi_mhz**2 / 680
        two_levels = math.sqrt(seen**2 - effective**2)
        assert resonant_rabi(two_levels, effective, -340) == pytest.approx(rabi_mhz, rel=3e-5)
        assert abs(two_levels / rabi_mhz - 1) > 2e-4


@pytest.mark.parametrize(("count", "left"), [(4, 0.5), (2, 0.0)])
def test_the_right_pulse_of_three_levels_leaves_half_or_nothing(count: int, left: float) -> None:
    pulse = Pulse(*pulse_steps(32.0), count=count, anharmonicity=-0.34)
    lower = np.diag(np.sqrt([1.0, 2.0]), 1)
    heights = np.real(np.asarray(half_pi_pulse(1.0, 32.0).values))

    def ground(factor: float) -> float:
        state = np.array([1, 0, 0], dtype=np.complex128)
        for height in heights:
            drive = factor * pulse.rabi_ghz * height / 2 * (lower + lower.T)
            turn = -2j * np.pi * 32 / heights.size * (drive + np.diag([0, 0, -0.34]))
            state = expm(turn) @ state
        return float(abs(state[0]) ** 2)

    if count == 4:
        assert ground(pulse.right) == pytest.approx(left, abs=1e-4)
    else:
        # The shift of the resonance leaves a little.
        assert left < ground(pulse.right) < 2e-3
        assert ground(pulse.right) < min(ground(pulse.right * factor) for factor in (0.997, 1.003))
    # By the area alone it would be another one.
    assert abs(ground(1.0) - left) > abs(ground(pulse.right) - left)


def test_the_carry_over_is_that_of_many_shots() -> None:
    c = np.linspace(-1, 1, 9)
    before = np.ones_like(c)
    for _ in range(200):
        before = 1 - (1 - before * c) * 0.46
    assert carried(c, 0.46).z == pytest.approx(before * c)


@pytest.mark.parametrize("mhz", [-1.3, 0.4, 2.1, 7.0, -13.0, 21.3])
def test_a_fringe_has_its_sign_and_may_be_faster_than_the_step(mhz: float) -> None:
    fit = ramsey(PlantedQubit(np.random.default_rng(5)), mhz)
    assert abs(fit.frequency.value - mhz) < 5 * fit.frequency.error


@pytest.mark.parametrize("shots", [64, 2048])
def test_an_oscillation_is_not_taken_for_its_folding_at_the_steps_nyquist(shots: int) -> None:
    rng = np.random.default_rng(6)
    for mhz in rng.uniform(4, 110, size=30):
        fit = rabi(PlantedQubit(rng, shots=shots, has_pulse=False), mhz=float(mhz))
        assert abs(fit.frequency.value - mhz) < 6 * fit.frequency.error, mhz


def turned(sweep: Sweep, factor: complex) -> Sweep:
    return replace(
        sweep,
        iq=factor * sweep.iq,
        ground_iq=factor * sweep.ground_iq,
        excited_iq=factor * sweep.excited_iq,
    )


@pytest.mark.parametrize("factor", [1e-9, 1e9, -1.0, 0.3j])
def test_results_do_not_depend_on_the_signals_unit_or_phase(factor: complex) -> None:
    qubit = PlantedQubit(np.random.default_rng(7), has_pulse=False)
    fringe, wave, pulse = oscillating.ramsey(qubit), oscillating.rabi(qubit), oscillating.pulses(qubit)
    for fit, sweeps, name in (
        (lambda found: fit_ramsey("fringe", found), fringe, "rate"),
        (fit_any_rabi, wave, "detuning"),
        (lambda found: fit_pulse_amplitude("pulse", found, PULSE, 0.0), pulse, "full_turn"),
    ):
        plain = getattr(fit(sweeps), name)
        other = getattr(fit({key: turned(sweep, factor) for key, sweep in sweeps.items()}), name)
        assert other.value == pytest.approx(plain.value, rel=1e-4)
        assert other.error == pytest.approx(plain.error, rel=1e-3)


FITS: dict[str, Callable[[float], object]] = {
    "rabi": lambda bad: fit_any_rabi(damaged(oscillating.rabi, bad)),
    "pulse": lambda bad: fit_pulse_amplitude("pulse", damaged(oscillating.pulses, bad), PULSE, 0.0),
    "ramsey": lambda bad: fit_ramsey("fringe", damaged(oscillating.ramsey, bad)),
}


def damaged(make: Callable[[PlantedQubit], dict[str, Sweep]], bad: float) -> dict[str, Sweep]:
    """The first sweep with one point replaced where it is not finite; all scaled, where it is."""
    sweeps = make(PlantedQubit(np.random.default_rng(8), has_pulse=False))
    if math.isfinite(bad):
        return {name: turned(sweep, bad) for name, sweep in sweeps.items()}
    name, first = next(iter(sweeps.items()))
    return {**sweeps, name: replace(first, iq=np.where(np.arange(first.iq.size) == 3, bad, first.iq))}


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS.keys())
@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (math.nan, FailureKind.BAD_FIT),
        (math.inf, FailureKind.BAD_FIT),
        (0.0, FailureKind.NO_SIGNAL),
        (1e-300, FailureKind.NO_SIGNAL),
    ],
)
def test_unusable_data_give_a_named_failure(
    fit: Callable[[float], object], bad: float, kind: FailureKind
) -> None:
    found = fit(bad)
    assert isinstance(found, NoFit)
    assert found.failure.kind is kind
    assert found.failure.cause


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS.keys())
def test_huge_signals_are_fitted_or_refused_by_name(fit: Callable[[float], object]) -> None:
    found = fit(1e300)
    assert isinstance(found, NoFit | RabiFit | PulseFit | RamseyFit)


def test_a_fit_takes_little_time() -> None:
    qubit = PlantedQubit(np.random.default_rng(9), has_pulse=False)
    wave, fringe, pulse = oscillating.rabi(qubit), oscillating.ramsey(qubit), oscillating.pulses(qubit)
    begin = time.process_time()
    for _ in range(20):
        fit_any_rabi(wave)
        fit_ramsey("fringe", fringe)
        fit_pulse_amplitude("pulse", pulse, PULSE, 0.0)
    assert (time.process_time() - begin) / 20 < 0.06


def test_a_fringe_that_lost_a_little_has_it_in_its_error() -> None:
    """The amplitude is taken from the references; pulses that lose more than those cost the decay time."""
    rng, pulls = np.random.default_rng(5), []
    for _ in range(RUNS):
        qubit = PlantedQubit(rng)
        found = fit_ramsey("Ramsey fringe", oscillating.ramsey(qubit, contrast=1 - LOSS))
        assert isinstance(found, RamseyFit)
        assert found.tau.systematic > 0
        pulls.append((found.tau.value - qubit.t2 * 1e-3) / found.tau.total)
    assert abs(float(np.mean(pulls))) < 0.3 + 3 / np.sqrt(RUNS)
    assert float(np.std(pulls)) < 1.25
