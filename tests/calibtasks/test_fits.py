"""Fits against the hidden truth: unbiased, honest about their errors, in any unit, not fooled by bad data."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from calibtasks.fits.iq import project
from calibtasks.fits.least_squares import Fit, is_signal
from calibtasks.fits.models import fit_damped_cosine, fit_decay, fit_pulse_amplitude, fit_ramsey
from calibtasks.measure.sweeps import with_guards
from qdash_queue.domain import CalibrationError, FailureKind
from tests.calibtasks.signals import RABI_RAMP_NS, SimulatedQubit

SEEDS = 200
T1_NS = np.round(np.logspace(2, 5.699, 51) / 0.4) * 0.4
RABI_NS = np.arange(0.0, 401.0, 8.0)
RAMSEY_NS = np.arange(0.0, 10_001.0, 200.0)
DETUNING_GHZ = 0.001
DRIVE = 0.03

Real = NDArray[np.float64]


def t1_fit(qubit: SimulatedQubit) -> Fit:
    return fit_decay("decay", T1_NS, project("decay", qubit.relaxation(T1_NS)).signal)


def rabi_fit(qubit: SimulatedQubit) -> Fit:
    iq = qubit.rabi(RABI_NS, DRIVE)
    return fit_damped_cosine("Rabi", RABI_NS + RABI_RAMP_NS, project("Rabi", iq).signal)


def half_pi_fit(qubit: SimulatedQubit) -> Fit:
    amplitudes = np.linspace(0.52, 1.54, 20) * qubit.half_pi_amplitude
    return fit_pulse_amplitude(
        "pulse", amplitudes, project("pulse", qubit.repeated(amplitudes)).signal, turns=1
    )


def ramsey_fit(qubit: SimulatedQubit) -> Fit:
    iq_x = qubit.ramsey(RAMSEY_NS, DETUNING_GHZ, math.pi)
    iq_y = qubit.ramsey(RAMSEY_NS, DETUNING_GHZ, -math.pi / 2)
    axis = project("Ramsey", np.concatenate([iq_x, iq_y]))
    return fit_ramsey("Ramsey", RAMSEY_NS, axis.apply(iq_x), axis.apply(iq_y))


def assert_honest(pulls: list[float]) -> None:
    """Mean within ±0.2 and width 0.9 to 1.1, over all seeds."""
    assert len(pulls) == SEEDS
    mean, width = float(np.mean(pulls)), float(np.std(pulls, ddof=1))
    assert abs(mean) < 0.2, f"mean {mean:.2f}"
    assert 0.9 < width < 1.1, f"width {width:.2f}"
    assert float(np.max(np.abs(pulls))) < 5


def pulls_of(
    measure: Callable[[SimulatedQubit], Fit], name: str, truth: Callable[[SimulatedQubit], float], chips: int
) -> list[float]:
    """(estimate - truth) / error; a chip has its own truth, and every measurement of it its own noise."""
    found = []
    for chip in range(chips):
        qubit = SimulatedQubit(seed=chip)
        expected = truth(qubit)
        for _ in range(SEEDS // chips):
            fit = measure(qubit)
            assert fit.failure(name) is None
            found.append((fit.values[name] - expected) / fit.errors[name])
    return found


def test_t1_is_unbiased_and_its_error_honest() -> None:
    assert_honest(pulls_of(t1_fit, "tau", lambda qubit: qubit.truth.t1, chips=20))


def without_noise(measure: Callable[[SimulatedQubit], Fit], name: str) -> Callable[[SimulatedQubit], float]:
    """What the exact populations give: the third level shifts a pulse's angle a little."""
    return lambda qubit: measure(SimulatedQubit(qubit.seed, is_noisy=False)).values[name]


def test_rabi_frequency_is_unbiased_and_its_error_honest() -> None:
    assert_honest(pulls_of(rabi_fit, "frequency", without_noise(rabi_fit, "frequency"), chips=10))


def test_half_pi_amplitude_is_unbiased_and_its_error_honest() -> None:
    assert_honest(pulls_of(half_pi_fit, "full_turn", without_noise(half_pi_fit, "full_turn"), chips=10))


def test_rabi_frequency_and_half_pi_amplitude_follow_the_drive_strength() -> None:
    for seed in range(5):
        qubit = SimulatedQubit(seed, is_noisy=False)
        frequency = rabi_fit(qubit).values["frequency"]
        assert frequency == pytest.approx(qubit.truth.drive * DRIVE, rel=2e-3)
        amplitude = half_pi_fit(qubit).values["full_turn"]
        assert amplitude == pytest.approx(qubit.half_pi_amplitude, rel=2e-3)


def test_ramsey_frequency_and_decay_are_unbiased_and_their_errors_honest() -> None:
    frequency, rate = [], []
    for chip in range(20):
        qubit = SimulatedQubit(seed=chip)
        for _ in range(SEEDS // 20):
            fit = ramsey_fit(qubit)
            frequency.append((fit.values["frequency"] - DETUNING_GHZ) / fit.errors["frequency"])
            rate.append((fit.values["rate"] - 1 / qubit.truth.t2_star) / fit.errors["rate"])
    assert_honest(frequency)
    assert_honest(rate)


@pytest.mark.parametrize("detuning", [-0.0013, 0.0002, 0.0021, 0.007, -0.013, 0.0213])
def test_ramsey_fit_finds_the_sign_and_a_fringe_faster_than_the_step(detuning: float) -> None:
    between = RAMSEY_NS[1] * np.array([0.13, 0.29, 0.53, 0.79])
    times = np.sort(np.concatenate([RAMSEY_NS, np.round(between / 0.4) * 0.4]))
    fringe = np.exp(-times / 30e3 + 2j * np.pi * detuning * times + 0.3j)
    noise = np.random.default_rng(5).normal(size=(2, times.size)) * 0.05
    fit = fit_ramsey("fringe", times, fringe.real + noise[0], fringe.imag + noise[1])
    assert fit.failure("fringe") is None
    assert abs(fit.values["frequency"] - detuning) < 5 * fit.errors["frequency"]


@pytest.mark.parametrize(("highest", "noise"), [(0.06, 0.02), (0.06, 0.3), (0.2, 0.02)])
def test_a_cosine_is_not_taken_for_its_folding_at_the_steps_nyquist(highest: float, noise: float) -> None:
    rng = np.random.default_rng(6)
    times = np.unique(np.round(with_guards(RABI_NS) / 0.4) * 0.4) + RABI_RAMP_NS
    for frequency in rng.uniform(0.004, highest, size=60):
        signal = np.cos(2 * np.pi * frequency * times) + noise * rng.normal(size=times.size)
        fit = fit_damped_cosine("wave", times, signal)
        assert abs(fit.values["frequency"] - frequency) < 6 * fit.errors["frequency"]


# ------------------------------------------------------------------ invariance


def decay_data(noise: float = 0.02) -> tuple[Real, Real]:
    rng = np.random.default_rng(11)
    times = np.geomspace(0.1, 300, 51)
    return times, 0.8 * np.exp(-times / 31.0) + 0.1 + noise * rng.normal(size=51)


def wave_data(noise: float = 0.02) -> tuple[Real, Real]:
    rng = np.random.default_rng(12)
    times = np.arange(0.0, 401.0, 8.0)
    return times, 0.4 * np.cos(2 * np.pi * 0.0125 * times + 0.2) + 0.1 + noise * rng.normal(size=51)


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 30.0, 1e9])
def test_results_do_not_depend_on_the_signals_unit_or_sign(scale: float) -> None:
    times, signal = decay_data()
    plain, scaled = fit_decay("d", times, signal), fit_decay("d", times, -scale * signal + 7 * scale)
    assert scaled.values["tau"] == pytest.approx(plain.values["tau"], rel=1e-6)
    assert scaled.errors["tau"] == pytest.approx(plain.errors["tau"], rel=1e-4)
    times, signal = wave_data()
    plain, scaled = fit_damped_cosine("w", times, signal), fit_damped_cosine("w", times, scale * signal)
    assert scaled.values["frequency"] == pytest.approx(plain.values["frequency"], rel=1e-7)
    assert scaled.errors["phase"] == pytest.approx(plain.errors["phase"], rel=1e-4)


@pytest.mark.parametrize("unit", [1e-9, 1e-3, 1e6])
def test_results_follow_the_unit_of_time(unit: float) -> None:
    times, signal = wave_data()
    plain, scaled = fit_damped_cosine("w", times, signal), fit_damped_cosine("w", times * unit, signal)
    assert scaled.values["frequency"] * unit == pytest.approx(plain.values["frequency"], rel=1e-7)
    assert scaled.values["amplitude"] == pytest.approx(plain.values["amplitude"], rel=1e-6)


def test_frequency_does_not_depend_on_a_time_offset() -> None:
    times, signal = wave_data()
    plain, later = fit_damped_cosine("w", times, signal), fit_damped_cosine("w", times + 20.0, signal)
    assert later.values["frequency"] == pytest.approx(plain.values["frequency"], rel=1e-6)


@pytest.mark.parametrize("angle", [0.0, 0.7, math.pi / 2, 3.0, -2.0])
def test_projection_does_not_depend_on_phase_gain_or_place_in_the_plane(angle: float) -> None:
    _, signal = wave_data(noise=0)
    rng = np.random.default_rng(3)
    iq = signal + 0.01j * rng.normal(size=signal.size)
    turned = 1e-4 * np.exp(1j * angle) * (iq + 3 - 2j)
    found = project("w", turned, reference=complex(turned[int(np.argmax(signal))]))
    assert found.signal == pytest.approx(1e-4 * (signal - signal.mean()), abs=1e-7)
    assert found.noise == pytest.approx(1e-4 * float(np.std(iq.imag, ddof=2)), rel=0.02)


# ------------------------------------------------------------------ bad data

FITS: dict[str, Callable[[Real, Real], Fit]] = {
    "decay": lambda x, y: fit_decay("data", x, y),
    "cosine": lambda x, y: fit_damped_cosine("data", x, y),
    "pulse": lambda x, y: fit_pulse_amplitude("data", x, y, turns=1),
    "ramsey": lambda x, y: fit_ramsey("data", x, y, y),
}
GOOD_X = np.linspace(1.0, 10.0, 30)
GOOD_Y = np.cos(GOOD_X)


def changed(values: Real, at: int, value: float) -> Real:
    copy = values.copy()
    copy[at] = value
    return copy


@pytest.mark.parametrize("fit", FITS.values(), ids=FITS.keys())
@pytest.mark.parametrize(
    ("x", "y", "kind", "cause"),
    [
        (GOOD_X, changed(GOOD_Y, 3, math.nan), FailureKind.BAD_FIT, "not_finite"),
        (GOOD_X, changed(GOOD_Y, 0, math.inf), FailureKind.BAD_FIT, "not_finite"),
        (changed(GOOD_X, 9, -math.inf), GOOD_Y, FailureKind.BAD_FIT, "not_finite"),
        (GOOD_X, np.full(30, 0.25), FailureKind.NO_SIGNAL, "flat"),
        (GOOD_X, np.zeros(30), FailureKind.NO_SIGNAL, "flat"),
        (GOOD_X[:7], GOOD_Y[:7], FailureKind.BAD_FIT, "too_few_points"),
        (GOOD_X[:0], GOOD_Y[:0], FailureKind.BAD_FIT, "too_few_points"),
        (GOOD_X[:9], GOOD_Y[:8], FailureKind.BAD_FIT, "bad_shape"),
        (np.full(30, 2.0), GOOD_Y, FailureKind.BAD_FIT, "no_sweep"),
    ],
)
def test_unusable_data_is_refused_by_its_cause(
    fit: Callable[[Real, Real], Fit], x: Real, y: Real, kind: FailureKind, cause: str
) -> None:
    with pytest.raises(CalibrationError) as refused:
        fit(x, y)
    assert (refused.value.failure.kind, refused.value.failure.cause) == (kind, cause)


def test_noise_alone_is_no_signal() -> None:
    rng = np.random.default_rng(2)
    times = np.arange(0.0, 401.0, 8.0)
    taken = [is_signal(fit_damped_cosine("n", times, rng.normal(size=51)).r2, 51, 5) for _ in range(200)]
    assert sum(taken) <= 1
    decays = [is_signal(fit_decay("n", times + 1, rng.normal(size=51)).r2, 51, 3) for _ in range(200)]
    assert not any(decays)


def test_a_decay_that_never_ends_runs_to_its_bound() -> None:
    times = np.linspace(1, 100, 51)
    failure = fit_decay("decay", times, 1 - times / 1e3).failure("decay")
    assert failure is not None
    assert (failure.kind, failure.cause) == (FailureKind.BAD_FIT, "at_bound")


def test_a_fit_takes_little_time() -> None:
    times, wave = wave_data()
    # Points close together require many frequencies.
    guarded = np.append(times, [1.2, 2.4, 4.4, 6.4]), np.append(wave, wave[:4])
    data = [decay_data(), (times, wave), guarded]
    for fit, (x, y) in zip((FITS["decay"], FITS["cosine"], FITS["cosine"]), data, strict=True):
        fit(x, y)
        begin = time.process_time()
        for _ in range(50):
            fit(x, y)
        assert (time.process_time() - begin) / 50 < 0.010
