"""CheckRamsey: the qubit's frequency and dephasing time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final, cast

from calibtasks.checks import (
    DESCRIBED,
    SEEN,
    Checked,
    bad_fit,
    decay_resolved,
    fringe_resolved,
    references_steady,
    single_decay,
)
from calibtasks.figures.plots import (
    DATA_COLOUR,
    SECOND_COLOUR,
    Axis,
    Figure,
    Series,
    fit_figure,
    plane_figure,
    spaced,
    value_and_error,
)
from calibtasks.fits.fit import Estimate, NoFit
from calibtasks.fits.ramsey import QUADRATURES, RamseyFit, fit_ramsey
from calibtasks.measure.lab import Lab
from calibtasks.measure.pulses import turning_ns
from calibtasks.measure.settings import INTERVAL, shots_parameter, with_guards
from calibtasks.measure.sweep import Sweep
from calibtasks.measure.targets import Op, Target, Wait
from calibtasks.parameters.declared import (
    DRIVE,
    HALF_PI,
    HPI_LENGTH,
    QUBIT_FREQUENCY,
    RAMSEY_FREQUENCY,
    READ,
    T2_STAR,
    Param,
)
from calibtasks.parameters.run_parameters import RunParameter
from calibtasks.protocol import Protocol, Sweeps
from qdash_queue.domain import Failure, FiniteRange

ROTATIONS: Final = (math.pi, -math.pi / 2)
"""Phases of the second half-π pulse; without a wait the first one undoes the pulse before."""
CONTRAST_TOLERANCE: Final = 0.25
"""Largest relative deviation of a fringe's swing from that of half-π pulses."""


def pulses_are_half_pi(checked: Checked) -> Failure | None:
    """The fringe swings as far as the references are apart."""
    contrast = cast("RamseyFit", checked.fit).contrast
    if abs(contrast.value - 1) <= max(CONTRAST_TOLERANCE, 3 * contrast.error):
        return None
    return bad_fit(
        "not_half_pi",
        f"the {checked.what} has {contrast.value:.0%} of the swing that half-π pulses give",
        "run CreateHPIPulse; if that changes nothing, choose a smaller detuning",
    )


class CheckRamsey(Protocol):
    """Two half-π pulses, detuned, with a varied wait between them, read along two axes.

    Both quadratures are fitted at once, so the sign of the detuning is known.
    """

    description = "Ramsey fringe: qubit frequency and dephasing time T2*"
    what = "Ramsey fringe"
    needs = (*DRIVE, *HALF_PI, *READ)
    settings: ClassVar = {
        "detuning": RunParameter(
            unit="GHz",
            value_type="float",
            value=0.001,
            description="detuning of the control pulses",
            limits=FiniteRange(low=-0.05, high=0.05),
        ),
        "time_range": RunParameter(
            unit="ns",
            value_type="np.arange",
            value=[0, 20001, 200],
            description="waiting times",
            limits=FiniteRange(low=0, high=1e7),
        ),
        "shots": shots_parameter(1024),
        "interval": INTERVAL,
    }
    yields = (RAMSEY_FREQUENCY, QUBIT_FREQUENCY, T2_STAR)
    checks = (
        *SEEN[:-1],
        # A wrong pulse shows in the references too, and is the better answer.
        pulses_are_half_pi,
        references_steady,
        *DESCRIBED,
        fringe_resolved,
        decay_resolved,
        single_decay,
    )

    def acquire(self, lab: Lab, targets: Sequence[Target]) -> Mapping[str, Mapping[str, Sweep]]:
        """Half π, wait, half π about -X, and about -Y."""
        times, detuning = lab.on_grid(with_guards(self.points("time_range"))), self.number("detuning")

        def quadrature(rotation: float) -> dict[str, Sweep]:
            def sequence(target: Target, time: float) -> Sequence[Op]:
                return [target.qubit.x90, Wait(time), target.qubit.half_pi(rotation)]

            return lab.sweep(targets, times, sequence, detuning=detuning)

        return {name: quadrature(rotation) for name, rotation in zip(QUADRATURES, ROTATIONS, strict=True)}

    def fit(self, sweeps: Sweeps, target: Target) -> RamseyFit | NoFit:
        """Both quadratures at once."""
        return fit_ramsey(self.what, sweeps, turning_ns(target.value(HPI_LENGTH.name)))

    def values(self, fit: RamseyFit, target: Target) -> Mapping[Param, Estimate]:
        """The drive's frequency less the fringe's is the qubit's."""
        fringe = fit.frequency
        return {
            RAMSEY_FREQUENCY: Estimate(abs(fringe.value), fringe.error),
            QUBIT_FREQUENCY: Estimate(self._drive(target) - fringe.value * 1e-3, fringe.error * 1e-3),
            T2_STAR: fit.tau,
        }

    def figures(self, sweeps: Sweeps, fit: RamseyFit, target: Target) -> list[Figure]:
        """Both quadratures over the waiting time, and one over the other."""
        time, scale = sweeps[QUADRATURES[0]].points, fit.signal.scale
        line = spaced(float(time.min()), float(time.max()), "linear")
        fitted = fit.curve(line) * scale
        first, second = (fit.signal.values[fit.signal.parts[name]] * scale for name in QUADRATURES)
        t2_star = value_and_error(fit.tau.value, fit.tau.total, "μs")
        found = self.values(fit, target)[QUBIT_FREQUENCY]
        frequency = value_and_error(found.value, found.total, "GHz")
        quality = f"R² = {fit.quality.r2:.4f}, {2 * time.size} points, drive at {self._drive(target):.6f} GHz"
        fringe = fit_figure(
            f"Ramsey fringe of qubit {target.qid}: T2* = {t2_star}",
            f"qubit frequency {frequency}, {quality}",
            Axis("Waiting time (μs)"),
            Axis("Signal along the IQ axis (a.u.)"),
            [
                Series("in phase", time * 1e-3, first, line * 1e-3, fitted.real, DATA_COLOUR),
                Series("quadrature", time * 1e-3, second, line * 1e-3, fitted.imag, SECOND_COLOUR),
            ],
        )
        clouds = {"fit": fitted, "data": first + 1j * second}
        title = f"Ramsey fringe of qubit {target.qid} in the equatorial plane"
        plane = plane_figure(title, quality, "a.u.", clouds)
        return [Figure.of("ramsey", fringe), Figure.of("equatorial_plane", plane)]

    def _drive(self, target: Target) -> float:
        return target.value("qubit_frequency") + self.number("detuning")
