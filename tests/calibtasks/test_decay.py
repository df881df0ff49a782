"""Decay times are unbiased with honest errors, also where shots start before the qubit has relaxed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from calibtasks.checks import (
    Checked,
    carry_over_known,
    decay_reached,
    decay_resolved,
    half_pi_halves,
    single_decay,
)
from calibtasks.fits.decay import DecayFit, fit_echo, fit_relaxation, spread_while_read
from calibtasks.fits.fit import NoFit
from calibtasks.measure.sweep import Sweep
from qdash_queue.domain import FailureKind
from tests.calibtasks.planted import ECHO_WAITS, PULSE_NS, READOUT_NS, WAITS, PlantedQubit, returned

RUNS = 60


def relaxation(qubit: PlantedQubit) -> DecayFit:
    found = fit_relaxation("T1 decay", qubit.decay(), qubit.doubled(), PULSE_NS, READOUT_NS)
    assert isinstance(found, DecayFit)
    return found


def echo(qubit: PlantedQubit) -> DecayFit:
    found = fit_echo("echo decay", qubit.echo_decay(), qubit.middle(), 2 * PULSE_NS)
    assert isinstance(found, DecayFit)
    return found


def expect_honest(fits: list[DecayFit], true_us: float) -> None:
    """The bounds are three standard deviations of the mean and width of so many pulls."""
    pulls = np.array([(fit.tau.value - true_us) / fit.tau.error for fit in fits])
    assert abs(float(pulls.mean())) < 3 / math.sqrt(RUNS)
    assert abs(float(pulls.std()) - 1) < 3 / math.sqrt(2 * RUNS)
    assert all(fit.quality.converged and not fit.quality.at_bound for fit in fits)


@pytest.mark.parametrize("t1", [1e3, 40e3, 100e3, 200e3, 500e3, 1.5e6])
def test_t1_is_honest_at_the_default_interval(t1: float) -> None:
    rng = np.random.default_rng(int(t1))
    expect_honest([relaxation(PlantedQubit(rng, t1=t1)) for _ in range(RUNS)], t1 * 1e-3)


@pytest.mark.parametrize(
    "make",
    [
        lambda rng: PlantedQubit(rng, thermal=0.2),
        lambda rng: PlantedQubit(rng, shots=64),
        lambda rng: PlantedQubit(rng, shots=100_000),
        lambda rng: PlantedQubit(rng, has_pulse=False),
    ],
    ids=["hot", "few shots", "many shots", "no pulse"],
)
def test_t1_is_honest_for_other_qubits(make: Callable[[np.random.Generator], PlantedQubit]) -> None:
    rng = np.random.default_rng(3)
    expect_honest([relaxation(make(rng)) for _ in range(RUNS)], 40.0)


def test_the_error_of_t1_is_the_least_possible() -> None:
    """Against the Cramér-Rao bound of the true variances, by the derivatives of the true populations."""
    rng = np.random.default_rng(1)
    qubit = PlantedQubit(rng)
    sweep = qubit.decay()
    step = 1e-4
    up, down = replace(qubit, t1=40e3 * (1 + step)), replace(qubit, t1=40e3 * (1 - step))
    excited, references = qubit.relaxed(sweep.points), sweep.reference_shots
    slope = (up.relaxed(sweep.points) - down.relaxed(sweep.points)) / (2 * step)
    none = np.zeros(references.size)
    top = float(qubit.relaxed(np.zeros(1))[0])
    populations = np.concatenate([excited, none + qubit.thermal, none + top])
    shots = np.concatenate([np.full(excited.size, 1024.0), references, references])
    slopes = np.stack([np.concatenate([slope, none, none]), populations, np.ones(populations.size)], axis=1)
    variance = (populations * (1 - populations) + (qubit.noise / abs(qubit.contrast)) ** 2) / shots
    bound = math.sqrt(np.linalg.inv(slopes.T @ (slopes / variance[:, None]))[0, 0])
    fits = [relaxation(PlantedQubit(rng)) for _ in range(200)]
    spread = math.sqrt(float(np.mean([(fit.tau.value / 40.0 - 1) ** 2 for fit in fits])))
    # Three standard deviations of the scatter of so many.
    assert spread < 1.15 * bound


@pytest.mark.parametrize(("t1", "t2"), [(20e3, 24e3), (40e3, 30e3), (80e3, 50e3)])
def test_an_echo_is_honest(t1: float, t2: float) -> None:
    rng = np.random.default_rng(int(t1))
    expect_honest([echo(PlantedQubit(rng, t1=t1, t2=t2)) for _ in range(RUNS)], t2 * 1e-3)


def test_an_echo_without_references_says_how_far_its_carry_over_may_shift_it() -> None:
    rng = np.random.default_rng(2)
    for t1 in (22e3, 40e3, 75e3):
        fits = [echo(PlantedQubit(rng, t1=t1, has_pulse=False)) for _ in range(20)]
        assert abs(float(np.mean([fit.tau.value for fit in fits])) - 40) < fits[0].tau.systematic + 0.8
        checked = Checked("echo decay", fits[0], {})
        failure = carry_over_known(checked)
        assert failure is not None
        assert failure.cause == "carry_over"
        assert "interval" in failure.remedy


@pytest.mark.parametrize(("turned", "interference"), [(-0.98, 0.0), (-0.7, 0.3), (0.27, 0.1)])
def test_a_pulse_that_turns_less_does_not_shift_t1(turned: float, interference: float) -> None:
    rng = np.random.default_rng(4)
    qubits = [PlantedQubit(rng, t1=100e3, turned=turned, interference=interference) for _ in range(RUNS)]
    expect_honest([relaxation(qubit) for qubit in qubits], 100.0)


def test_relaxation_during_the_readout_widens_the_excited_points() -> None:
    """The part of a readout before an exponential time, drawn."""
    rng = np.random.default_rng(6)
    for turns in (1e-4, 0.4, 3.0):
        seen = np.minimum(rng.exponential(size=200_000) / turns, 1.0)
        assert spread_while_read(turns) == pytest.approx(seen.var() / seen.mean() ** 2, rel=0.05, abs=1e-3)


def test_a_half_pi_pulse_that_misses_the_middle_is_named() -> None:
    rng = np.random.default_rng(7)
    causes = []
    for tilt in (0.0, 0.1):
        checked = Checked("echo decay", echo(PlantedQubit(rng, tilt=tilt)), {})
        failure = half_pi_halves(checked)
        causes.append(failure and failure.cause)
    assert causes == [None, "wrong_pulse"]


def test_a_sweep_that_ends_long_before_the_decay_is_named() -> None:
    rng = np.random.default_rng(8)
    causes = []
    for t1 in (500e3, 3e6):
        qubit = PlantedQubit(rng, t1=t1, shots=100_000)
        failure = decay_reached(Checked("T1 decay", relaxation(qubit), {"decay": qubit.decay()}))
        causes.append(failure and failure.cause)
    assert causes == [None, "sweep_too_short"]


def test_a_mixture_of_two_echoes_is_no_single_one() -> None:
    rng = np.random.default_rng(9)
    one, two = PlantedQubit(rng), PlantedQubit(rng, t2=4e3)
    failures = []
    for _ in range(20):
        mixed = one.sweep(ECHO_WAITS, 0.5 * (one.echo(ECHO_WAITS) + two.echo(ECHO_WAITS)))
        found = fit_echo("echo decay", mixed, one.middle(), 2 * PULSE_NS)
        assert isinstance(found, DecayFit)
        failures.append(single_decay(Checked("echo decay", found, {"decay": mixed})))
    assert sum(failure is not None for failure in failures) >= 15


def test_a_decay_that_the_sweep_hardly_shows_is_not_resolved() -> None:
    rng = np.random.default_rng(5)
    early = np.arange(0.0, 401.0, 8.0)
    for _ in range(10):
        qubit = PlantedQubit(rng, has_pulse=False)
        found = fit_relaxation(
            "T1 decay", qubit.sweep(early, qubit.relaxed(early)), qubit.doubled(), PULSE_NS, READOUT_NS
        )
        assert isinstance(found, DecayFit)
        failure = decay_resolved(Checked("T1 decay", found, {}))
        assert found.quality.at_bound or failure is not None


def test_a_mixture_of_two_decays_is_no_single_one() -> None:
    rng = np.random.default_rng(12)
    failures = []
    for _ in range(20):
        one, two = PlantedQubit(rng, t1=60e3), PlantedQubit(rng, t1=15e3)
        mixed = one.sweep(WAITS, 0.5 * (one.relaxed(WAITS) + two.relaxed(WAITS)))
        found = fit_relaxation("T1 decay", mixed, one.doubled(), PULSE_NS, READOUT_NS)
        assert isinstance(found, DecayFit)
        failures.append(single_decay(Checked("T1 decay", found, {})))
    assert sum(failure is not None for failure in failures) >= 15
    assert {failure.cause for failure in failures if failure is not None} == {"not_exponential"}


def scaled(sweep: Sweep, factor: float) -> Sweep:
    return replace(
        sweep,
        iq=sweep.iq * factor,
        ground_iq=sweep.ground_iq * factor,
        excited_iq=sweep.excited_iq * factor,
    )


@pytest.mark.parametrize("factor", [1e-250, 1e-30, 1e30, 1e300])
def test_the_unit_of_the_signal_does_not_matter(factor: float) -> None:
    sweep = PlantedQubit(np.random.default_rng(6)).decay()
    usual, other = (
        fit_relaxation("T1 decay", data, returned(data), PULSE_NS, READOUT_NS)
        for data in (sweep, scaled(sweep, factor))
    )
    assert isinstance(usual, DecayFit)
    assert isinstance(other, DecayFit)
    assert other.tau.value == pytest.approx(usual.tau.value, rel=1e-6)
    assert other.tau.error == pytest.approx(usual.tau.error, rel=1e-6)
    assert other.quality.swing == pytest.approx(usual.quality.swing * factor, rel=1e-6)


def spoiled(value: complex, at: str) -> Sweep:
    sweep = PlantedQubit(np.random.default_rng(7)).decay()
    wrong = getattr(sweep, at).copy()
    wrong[3] = value
    return replace(sweep, **{at: wrong})


USELESS = {
    "not a number": (spoiled(complex(math.nan, 0), "iq"), "not_finite"),
    "infinite": (spoiled(complex(0, math.inf), "iq"), "not_finite"),
    "a reference is not a number": (spoiled(complex(math.nan, 0), "ground_iq"), "not_finite"),
    "an excited reference is infinite": (spoiled(complex(math.inf, 0), "excited_iq"), "not_finite"),
    "a negative time": (spoiled(-8, "points"), "bad_shape"),
    "vanishing": (scaled(PlantedQubit(np.random.default_rng(8)).decay(), 1e-300), "flat"),
    "nothing": (scaled(PlantedQubit(np.random.default_rng(8)).decay(), 0.0), "flat"),
    "no noise": (
        PlantedQubit(np.random.default_rng(9), noise=0.0, contrast=1.0, ground=0.0).decay(),
        "noise_unknown",
    ),
    "no time": (replace(PlantedQubit(np.random.default_rng(1)).decay(), points=np.zeros(51)), "bad_shape"),
}


@pytest.mark.parametrize(("sweep", "cause"), USELESS.values(), ids=USELESS.keys())
def test_useless_data_are_a_named_failure(sweep: Sweep, cause: str) -> None:
    found = fit_relaxation("T1 decay", sweep, returned(sweep), PULSE_NS, READOUT_NS)
    assert isinstance(found, NoFit)
    assert found.failure.cause == cause
    assert found.failure.kind is (FailureKind.NO_SIGNAL if cause == "flat" else FailureKind.BAD_FIT)


def test_noise_alone_ends_without_an_exception() -> None:
    rng = np.random.default_rng(10)
    for has_pulse in (True, False):
        qubit = PlantedQubit(rng, has_pulse=has_pulse)
        flat = qubit.sweep(WAITS, np.full(WAITS.size, qubit.thermal))
        for found in (
            fit_relaxation("T1 decay", flat, returned(flat), PULSE_NS, READOUT_NS),
            fit_echo("echo decay", flat, qubit.middle(), 2 * PULSE_NS),
        ):
            assert isinstance(found, DecayFit | NoFit)
