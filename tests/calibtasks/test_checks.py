"""Each check finds the fault that it names, planted in good data, and leaves good data alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from calibtasks import checks
from calibtasks.checks import Check, Checked
from calibtasks.fits.decay import DecayFit, fit_relaxation
from calibtasks.fits.fit import Quality, TurningFit
from calibtasks.measure.sweep import Sweep
from qdash_queue.domain import FailureKind
from tests.calibtasks.planted import PULSE_NS, READOUT_NS, WAITS, PlantedQubit, part_of_time, returned

Spoil = Callable[[Sweep], Sweep]


def fitted(sweep: Sweep) -> Checked:
    found = fit_relaxation("T1 decay", sweep, returned(sweep), PULSE_NS, READOUT_NS)
    assert isinstance(found, DecayFit)
    return Checked("T1 decay", found, {"decay": sweep})


def good(seed: int = 0) -> Sweep:
    return PlantedQubit(np.random.default_rng(seed)).decay()


def with_gain(sweep: Sweep, gain: Callable[[np.ndarray], np.ndarray]) -> Sweep:
    points, references = part_of_time(sweep)
    return replace(
        sweep,
        iq=sweep.iq * gain(points),
        ground_iq=sweep.ground_iq * gain(references),
        excited_iq=sweep.excited_iq * gain(references),
    )


def with_field(quality: Quality, name: str, value: Any) -> Quality:
    return replace(quality, **{name: value})


def flat(sweep: Sweep) -> Sweep:
    qubit = PlantedQubit(np.random.default_rng(1))
    return replace(sweep, iq=qubit.iq(np.full(sweep.iq.size, qubit.thermal), 1024))


def tail(sweep: Sweep, value: complex | None) -> Sweep:
    iq = sweep.iq.copy()
    iq[40:] = iq[40] if value is None else value
    return replace(sweep, iq=iq)


def falls_elsewhere(sweep: Sweep) -> Sweep:
    """The points end a tenth of the contrast above the ground references."""
    qubit = PlantedQubit(np.random.default_rng(3))
    return replace(sweep, iq=qubit.iq(0.1 + 0.9 * qubit.relaxed(WAITS), 1024))


def starts_elsewhere(sweep: Sweep) -> Sweep:
    qubit = PlantedQubit(np.random.default_rng(3))
    return replace(sweep, iq=qubit.iq(0.9 * qubit.relaxed(WAITS), 1024))


def moved(sweep: Sweep) -> Sweep:
    shift = np.linspace(-1, 1, sweep.ground_iq.size) * 0.06 * 0.03
    return replace(sweep, ground_iq=sweep.ground_iq + shift, excited_iq=sweep.excited_iq + shift)


def off_axis(sweep: Sweep) -> Sweep:
    drift = np.linspace(-1, 1, sweep.iq.size) * 0.005 * 1j * np.exp(0.6j)
    return replace(sweep, iq=sweep.iq + drift)


def wavy(sweep: Sweep) -> Sweep:
    wave = 0.03 * 0.03 * np.exp(0.6j) * np.sin(np.arange(sweep.iq.size) / 3)
    return replace(sweep, iq=sweep.iq + wave)


def jump(sweep: Sweep) -> Sweep:
    other = PlantedQubit(np.random.default_rng(2), t1=12e3).decay()
    return replace(sweep, iq=np.where(np.arange(sweep.iq.size) < 36, sweep.iq, other.iq))


PLANTED: dict[str, tuple[Spoil, Check, str]] = {
    "flat": (flat, checks.signal_seen, "flat"),
    "frozen tail": (lambda sweep: tail(sweep, None), checks.repeated, "repeated"),
    "zero tail": (lambda sweep: tail(sweep, 0), checks.repeated, "repeated"),
    "clipped": (
        lambda sweep: replace(sweep, iq=np.minimum(sweep.iq.real, 0.06) + 1j * sweep.iq.imag),
        checks.saturated,
        "saturated",
    ),
    "gain drift": (
        lambda sweep: with_gain(sweep, lambda at: 1 + 0.1 * at),
        checks.references_steady,
        "references_moved",
    ),
    "attenuator": (
        lambda sweep: with_gain(sweep, lambda at: np.where(at < 0.5, 1.0, 0.9)),
        checks.references_steady,
        "references_moved",
    ),
    "phase drift": (
        lambda sweep: with_gain(sweep, lambda at: np.exp(0.1j * at)),
        checks.references_steady,
        "references_moved",
    ),
    "references alone": (moved, checks.references_steady, "references_moved"),
    "T1 jump": (jump, checks.chi_squared, "misfit"),
    "reversed": (lambda sweep: replace(sweep, iq=sweep.iq[::-1]), checks.bound_hit, "at_bound"),
    "rolled": (lambda sweep: replace(sweep, iq=np.roll(sweep.iq, 4)), checks.chi_squared, "misfit"),
    "wave": (wavy, checks.residual_runs, "misfit"),
    "off axis": (off_axis, checks.on_axis, "drift"),
    "ends elsewhere": (falls_elsewhere, checks.reaches_ground, "not_at_ground"),
    "starts elsewhere": (starts_elsewhere, checks.starts_excited, "not_excited"),
}


@pytest.mark.parametrize(("spoil", "check", "cause"), PLANTED.values(), ids=PLANTED.keys())
def test_a_planted_fault_is_found_by_its_check(spoil: Spoil, check: Check, cause: str) -> None:
    for seed in range(3):
        failure = check(fitted(spoil(good(seed))))
        assert failure is not None
        assert failure.cause == cause
        assert failure.kind is (FailureKind.NO_SIGNAL if cause == "flat" else FailureKind.BAD_FIT)
        assert check(fitted(good(seed))) is None


def test_the_sign_of_a_decay_is_that_of_the_references() -> None:
    qubit = PlantedQubit(np.random.default_rng(4), has_pulse=False)
    rising = qubit.sweep(WAITS, 1 - qubit.relaxed(WAITS))
    start = checks.starts_excited(fitted(replace(rising, ground_iq=qubit.iq(np.full(7, 0.99), 512))))
    assert start is None, "seen from there it falls"
    found = fit_relaxation("T1 decay", good(), returned(good()), PULSE_NS, READOUT_NS)
    assert isinstance(found, DecayFit)
    upside_down = replace(found, curve=lambda time: -found.curve(time))
    failure = checks.starts_excited(Checked("T1 decay", upside_down, {"decay": good()}))
    assert failure is not None
    assert failure.cause == "not_excited"


@pytest.mark.parametrize("field", ["chi2", "r2", "explained", "noise", "swing"])
def test_a_quality_that_is_no_number_is_refused(field: str) -> None:
    checked = fitted(good())
    for value in (np.nan, np.inf):
        quality = with_field(checked.fit.quality, field, value)
        spoiled = replace(checked, fit=replace(checked.fit, quality=quality))
        failures = [check(spoiled) for check in checks.STANDARD]
        assert any(failure is not None and failure.cause == "not_converged" for failure in failures)


def test_deviations_that_are_no_number_are_refused() -> None:
    checked = fitted(good())
    for field in ("residuals", "across", "ground", "excited"):
        wrong = np.full_like(getattr(checked.fit.quality, field), np.nan)
        quality = with_field(checked.fit.quality, field, wrong)
        spoiled = replace(checked, fit=replace(checked.fit, quality=quality))
        assert any(check(spoiled) is not None for check in checks.STANDARD), field


def test_a_fringe_of_less_than_a_turn_is_no_fringe() -> None:
    quality = fitted(good()).fit.quality
    for turns, cause in ((-3.0, ""), (0.4, "zero_frequency"), (np.nan, "zero_frequency")):
        failure = checks.fringe_resolved(Checked("fringe", TurningFit(quality, turns), {}))
        assert (failure.cause if failure else "") == cause
