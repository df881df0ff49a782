"""CheckRabi: the Rabi frequency of the drive, and the states in the IQ plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final, cast

import numpy as np

from calibtasks.checks import DESCRIBED, SEEN, Checked, bad_fit
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
from calibtasks.fits.rabi import MAIN, SIDE, RabiFit, fit_rabi
from calibtasks.fits.third_level import anharmonicity
from calibtasks.measure.lab import Lab
from calibtasks.measure.settings import GUARD_POINTS, INTERVAL, shots_parameter, with_guards
from calibtasks.measure.sweep import Sweep
from calibtasks.measure.targets import Op, Target
from calibtasks.parameters import declared as named
from calibtasks.parameters.declared import (
    CONTROL_AMPLITUDE,
    DRIVE,
    NOMINAL_RABI_MHZ,
    RABI,
    READ,
    THIRD_LEVEL,
    Param,
)
from calibtasks.parameters.run_parameters import RunParameter
from calibtasks.protocol import Protocol, Sweeps
from qdash_queue.domain import Failure, FailureKind, FiniteRange

RAMP_NS: Final = 20.0
"""Ramp of the drive pulse; its area equals that of so much plateau."""
RESONANT_DETUNING: Final = 0.2
"""Largest detuning of a drive that counts as resonant, in Rabi frequencies; it costs 4 % of the contrast."""
START_TOLERANCE: Final = 0.1
"""Largest distance of the oscillation's start from the ground state, in parts of its swing."""
SEEN_SIGMAS: Final = 5.0
"""Amplitude of an oscillation that is seen, in standard deviations."""
MIN_SIDE_POINTS: Final = 12


def starts_in_the_ground_state(checked: Checked) -> Failure | None:
    """A drive of no length leaves the qubit where a shot without a drive does."""
    start = cast("RabiFit", checked.fit).start
    if abs(start.value) <= max(START_TOLERANCE, 3 * start.error):
        return None
    return bad_fit(
        "no_start",
        f"the {checked.what} starts {abs(start.value):.0%} of its swing from the undriven signal",
        "check the figure: are points in the wrong order, or did something change during the sweep?",
    )


def is_resonant(checked: Checked) -> Failure | None:
    """The detuning is known, and small beside the Rabi frequency."""
    fit = cast("RabiFit", checked.fit)
    detuning, error = fit.detuning.value, fit.detuning.error
    offset = value_and_error(detuning, error, "MHz")
    allowed = RESONANT_DETUNING * fit.frequency.value
    if not fit.side_amplitude.value >= SEEN_SIGMAS * fit.side_amplitude.error:
        reason = f"no Rabi oscillation is seen {fit.side_detuning:g} MHz higher: the drive is off resonance"
    elif not abs(detuning) <= allowed + 3 * error:
        reason = f"the drive is off resonance by {offset}"
    elif not 3 * error <= allowed:
        message = f"the drive's detuning of {offset} is not known well enough"
        return bad_fit("detuning_not_resolved", message, "use more shots")
    else:
        return None
    remedy = "measure the qubit's frequency, or set qubit_frequency"
    return Failure(kind=FailureKind.OUT_OF_RANGE, cause="off_resonance", message=reason, remedy=remedy)


class CheckRabi(Protocol):
    """Drive the qubit for a varied time; the signal oscillates with the Rabi frequency.

    A drive off resonance gives a fine oscillation too, only faster and weaker. So a second, shorter sweep is
    driven at a slightly higher frequency: the two together give the detuning.
    """

    description = "Rabi oscillation: drive strength and the states' positions in the IQ plane"
    what = "Rabi oscillation"
    needs = (*DRIVE, CONTROL_AMPLITUDE, *READ, *THIRD_LEVEL)
    settings: ClassVar = {
        "time_range": RunParameter(
            unit="ns",
            value_type="range",
            value=[0, 401, 8],
            description="lengths of the pulse's plateau",
            limits=FiniteRange(low=0, high=1e5),
        ),
        "side_detuning": RunParameter(
            unit="GHz",
            value_type="float",
            value=0.005,
            description="how much higher the second sweep is driven",
            limits=FiniteRange(low=0.001, high=0.02),
        ),
        "shots": shots_parameter(2048),
        "interval": INTERVAL,
    }
    yields = RABI
    checks = (*SEEN, is_resonant, *DESCRIBED, starts_in_the_ground_state)
    r2_threshold = 0.6

    def acquire(self, lab: Lab, targets: Sequence[Target]) -> Mapping[str, Mapping[str, Sweep]]:
        """Both sweeps over the time of full drive: a ramp counts as half of its length."""
        times = lab.on_grid(with_guards(self.points("time_range"))) + RAMP_NS
        # The first half of the steps, with all the guards, which are among the first points.
        side_times = times[: max(MIN_SIDE_POINTS, (times.size + len(GUARD_POINTS) + 1) // 2)]

        def sequence(target: Target, time: float) -> Sequence[Op]:
            return [target.qubit.drive(target.value("control_amplitude"), time - RAMP_NS, RAMP_NS)]

        few, detuning = max(1, lab.shots // 2), self.number("side_detuning")
        return {
            MAIN: lab.sweep(targets, times, sequence),
            SIDE: lab.sweep(targets, side_times, sequence, detuning=detuning, shots=few),
        }

    def fit(self, sweeps: Sweeps, target: Target) -> RabiFit | NoFit:
        """Damped cosines along the IQ axis."""
        return fit_rabi(self.what, sweeps, self.number("side_detuning") * 1e3, anharmonicity(target.qubit))

    def values(self, fit: RabiFit, target: Target) -> Mapping[Param, Estimate]:
        """Everything that the oscillation tells; the strength per amplitude from the resonant frequency."""
        slope = fit.strength.scaled(1 / target.value("control_amplitude"))
        return {
            named.RABI_AMPLITUDE: fit.amplitude,
            named.RABI_FREQUENCY: fit.frequency,
            named.RABI_PHASE: fit.phase,
            named.RABI_OFFSET: fit.line.offset,
            named.RABI_ANGLE: fit.line.angle,
            named.RABI_NOISE: fit.line.noise,
            named.RABI_DISTANCE: fit.line.distance,
            named.RABI_REFERENCE_PHASE: fit.line.reference_phase,
            named.MAXIMUM_RABI_FREQUENCY: slope,
            CONTROL_AMPLITUDE: slope.inverse(NOMINAL_RABI_MHZ),
        }

    def figures(self, sweeps: Sweeps, fit: RabiFit, target: Target) -> list[Figure]:
        """Both oscillations over the drive time, and the first one in the IQ plane."""
        detuning = value_and_error(fit.detuning.value, fit.detuning.total, "MHz")
        points = sweeps[MAIN].points.size
        quality = f"R² = {fit.quality.r2:.4f}, {points} points, drive off resonance by {detuning}"
        labels = "data", f"driven {fit.side_detuning:g} MHz higher"
        series = []
        for which, (name, label, colour) in enumerate(
            zip((MAIN, SIDE), labels, (DATA_COLOUR, SECOND_COLOUR), strict=True)
        ):
            time = sweeps[name].points
            line = spaced(float(time.min()), float(time.max()), "linear")
            data = fit.signal.values[fit.signal.parts[name]] * fit.signal.scale
            fitted = fit.curve(line, which) * fit.signal.scale
            series.append(Series(label, time, data, line, fitted, colour))
        frequency = value_and_error(fit.frequency.value, fit.frequency.total, "MHz")
        oscillation = fit_figure(
            f"Rabi oscillation of qubit {target.qid}: {frequency}",
            quality,
            Axis("Drive time (ns)"),
            Axis("Signal along the IQ axis (a.u.)"),
            series,
        )
        along = fit.line.place(series[0].line_y)
        reference = np.array([fit.line.reference])
        clouds = {"fit": along, "data": sweeps[MAIN].iq, "no drive": reference}
        plane = plane_figure(
            f"Rabi oscillation of qubit {target.qid} in the IQ plane", quality, "a.u.", clouds
        )
        return [Figure.of("rabi", oscillation), Figure.of("iq_plane", plane)]
