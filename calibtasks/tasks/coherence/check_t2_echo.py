"""CheckT2Echo: the dephasing time under a Hahn echo."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

import numpy as np

from calibtasks.checks import (
    STANDARD,
    carry_over_known,
    decay_reached,
    decay_resolved,
    half_pi_halves,
    single_decay,
    starts_excited,
)
from calibtasks.fits.decay import TRIPLE, DecayFit, fit_echo
from calibtasks.fits.fit import NoFit
from calibtasks.measure.lab import Lab
from calibtasks.measure.sweep import Sweep
from calibtasks.measure.targets import Op, Target, Wait
from calibtasks.parameters.declared import T2_ECHO
from calibtasks.protocol import Sweeps
from calibtasks.tasks.coherence.check_t1 import CheckT1, decay_settings

MIDDLE_POINTS: Final = 8
"""Points that show the middle between ground and excited state, and how far a half-π pulse misses it."""


class CheckT2Echo(CheckT1):
    """Dephase for half the time, turn the qubit over, dephase back: the echo decays with T2."""

    description = "Dephasing time T2 of an echo"
    what = "echo decay"
    symbol = "T2 echo"
    settings: ClassVar = decay_settings(2.477, 5)
    yields = (T2_ECHO,)
    checks = (
        *STANDARD,
        decay_resolved,
        decay_reached,
        half_pi_halves,
        single_decay,
        carry_over_known,
        starts_excited,
    )

    def acquire(self, lab: Lab, targets: Sequence[Target]) -> Mapping[str, Mapping[str, Sweep]]:
        """Half π, half the time, π about Y, half the time, half π, read; and the signal after half π pulses.

        The π turns about Y and -Y by turns. Its axis is tilted by the drive's Stark shift, and turns some of
        what relaxed into a superposition, whose sign so alternates.
        """
        times = 2 * lab.on_grid(self.points("time_range") / 2)
        places = {float(time): place for place, time in enumerate(times)}

        def echo(target: Target, time: float) -> list[Op]:
            qubit, half = target.qubit, Wait(time / 2)
            axis = math.pi / 2 if places[time] % 2 == 0 else -math.pi / 2
            return [qubit.x90, half, *qubit.pi(axis), half, qubit.x90]

        pulses = np.tile([1.0, TRIPLE], MIDDLE_POINTS // 2)
        return {
            "decay": lab.sweep(targets, times, echo),
            "middle": lab.sweep(targets, pulses, lambda t, count: [t.qubit.x90] * int(count), unit=""),
        }

    def fit(self, sweeps: Sweeps, target: Target) -> DecayFit | NoFit:
        """The decay of the echo to the middle, with the carry-over of shots."""
        return fit_echo(self.what, sweeps["decay"], sweeps["middle"], 4 * target.qubit.value("hpi_length"))
