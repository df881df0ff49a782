"""CheckT2Echo: the dephasing time under a Hahn echo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

import numpy as np

from calibtasks.checks import STANDARD, carry_over_known, decay_resolved, single_decay, starts_excited
from calibtasks.fits.decay import DecayFit, fit_echo
from calibtasks.fits.fit import NoFit
from calibtasks.measure.lab import Lab
from calibtasks.measure.sweep import Sweep
from calibtasks.measure.targets import Op, Target, Wait
from calibtasks.parameters.declared import T2_ECHO
from calibtasks.protocol import Sweeps
from calibtasks.tasks.coherence.check_t1 import CheckT1, decay_settings

MIDDLE_POINTS: Final = 8
"""Points that show the middle between ground and excited state, as a half-π pulse leaves it, whatever T1."""


class CheckT2Echo(CheckT1):
    """Dephase for half the time, turn the qubit over, dephase back: the echo decays with T2."""

    description = "Dephasing time T2 of an echo"
    what = "echo decay"
    symbol = "T2 echo"
    settings: ClassVar = decay_settings(2.477, 5)
    yields = (T2_ECHO,)
    checks = (*STANDARD, decay_resolved, single_decay, carry_over_known, starts_excited)

    def acquire(self, lab: Lab, targets: Sequence[Target]) -> Mapping[str, Mapping[str, Sweep]]:
        """Half π, half the time, π about Y, half the time, half π, read; and the signal after a half π."""

        def echo(target: Target, time: float) -> list[Op]:
            qubit, half = target.qubit, Wait(time / 2)
            return [qubit.x90, half, *qubit.y180, half, qubit.x90]

        times = 2 * lab.on_grid(self.points("time_range") / 2)
        repeats = np.arange(MIDDLE_POINTS, dtype=np.float64)
        return {
            "decay": lab.sweep(targets, times, echo),
            "middle": lab.sweep(targets, repeats, lambda target, _: [target.qubit.x90], unit=""),
        }

    def fit(self, sweeps: Sweeps, target: Target) -> DecayFit | NoFit:
        """The decay of the echo to the middle, with the carry-over of shots."""
        return fit_echo(self.what, sweeps["decay"], sweeps["middle"], 4 * target.qubit.value("hpi_length"))
