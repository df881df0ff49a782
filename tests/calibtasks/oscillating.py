"""Sweeps of a planted qubit that turns: Rabi oscillations, repeated pulses, Ramsey fringes."""

from __future__ import annotations

import math

import numpy as np

from calibtasks.fits.fit import Real
from calibtasks.measure.settings import with_guards
from calibtasks.measure.sweep import Sweep
from tests.calibtasks.planted import PlantedQubit

RABI_NS: Real = np.unique(np.round(with_guards(np.arange(0.0, 401.0, 8.0)) / 0.4) * 0.4) + 20
SIDE_NS: Real = RABI_NS[:30]
RAMSEY_NS: Real = np.unique(np.round(with_guards(np.arange(0.0, 10_001.0, 100.0)) / 0.4) * 0.4)
HEIGHTS: Real = np.linspace(0.5, 1.5, 20) * 0.03
PHASES: Real = np.array([math.pi / 2, -math.pi / 2])


def populations(qubit: PlantedQubit, factor: Real) -> Real:
    """After sequences that multiply the population difference by such factors, shot after shot."""
    rest = math.exp(-qubit.recovery / qubit.t1)
    before = np.ones_like(factor)
    for _ in range(500):
        before = 1 - (1 - before * factor) * rest
    return np.asarray(qubit.thermal + (0.5 - qubit.thermal) * (1 - before * factor))


def rabi(
    qubit: PlantedQubit, mhz: float = 12.5, off_mhz: float = 0.0, side_mhz: float = 5.0
) -> dict[str, Sweep]:
    """A drive of that strength and detuning, and one higher by ``side_mhz``, with half of the shots."""

    def factor(time: Real, detuning: float) -> Real:
        frequency = math.hypot(mhz, detuning)
        turned = np.exp(-time / qubit.t2) * np.cos(2e-3 * math.pi * frequency * time)
        return np.asarray(1 - (mhz / frequency) ** 2 * (1 - turned))

    main = qubit.sweep(RABI_NS, populations(qubit, factor(RABI_NS, off_mhz)))
    qubit.shots //= 2
    side = qubit.sweep(SIDE_NS, populations(qubit, factor(SIDE_NS, off_mhz + side_mhz)))
    qubit.shots *= 2
    return {"rabi": main, "side": side}


def pulses(qubit: PlantedQubit, right: float = 0.03) -> dict[str, Sweep]:
    """Pulses that make a whole turn at the amplitude ``right``, on resonance."""
    factor = np.cos(2 * math.pi * HEIGHTS / right)
    return {
        "pulse": qubit.sweep(HEIGHTS, populations(qubit, factor), unit="a.u."),
        "phase": qubit.sweep(PHASES, populations(qubit, np.zeros(2)), unit="rad"),
    }


def ramsey(
    qubit: PlantedQubit, mhz: float = 1.0, times: Real = RAMSEY_NS, contrast: float = 1.0
) -> dict[str, Sweep]:
    """A fringe of that frequency, decaying with the qubit's T2."""
    wave = contrast * np.exp(-times / qubit.t2 + 2e-3j * math.pi * mhz * times)
    return {
        name: qubit.sweep(times, populations(qubit, part))
        for name, part in (("in_phase", wave.real), ("quadrature", wave.imag))
    }
