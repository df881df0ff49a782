"""Sweeps made by formula: populations, binomial counts, readout noise, references in slices, carry-over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from calibtasks.measure.sweep import Complex, Real, Sweep

WAITS: Real = np.unique(np.round(np.logspace(2, 5.699, 51) / 8) * 8)
ECHO_WAITS: Real = np.unique(np.round(np.logspace(2.477, 5, 51) / 8) * 8)
PULSE_NS = 64.0
READOUT_NS = 384.0


@dataclass
class PlantedQubit:
    """A qubit with known times (ns), its contrast 10.9 times the noise of a shot.

    ``has_pulse``: whether there are excited references; ``turned``: what a π pulse multiplies the population
    difference by; ``interference``: what its superpositions add when it is repeated; ``tilt``: of a half-π
    pulse's angle, seen in the middle only.
    """

    rng: np.random.Generator
    t1: float = 40e3
    t2: float = 40e3
    thermal: float = 0.01
    shots: int = 1024
    interval: float = 153_600.0
    has_pulse: bool = True
    turned: float = -1.0
    interference: float = 0.0
    tilt: float = 0.0
    ground: complex = 0.05 - 0.06j
    contrast: complex = 0.03 * np.exp(0.6j)
    noise: float = field(default=0.03 / 10.9)

    @property
    def recovery(self) -> float:
        return self.interval + READOUT_NS

    def iq(self, excited: Real, shots: Real | int) -> Complex:
        """Averages over shots of a qubit that is excited with such probabilities."""
        count = np.broadcast_to(shots, excited.shape).astype(np.int64)
        seen = self.rng.binomial(count, np.clip(excited, 0, 1)) / count
        spread = self.rng.normal(size=(2, excited.size)) * self.noise / np.sqrt(count)
        return np.asarray(self.ground + self.contrast * seen + spread[0] + 1j * spread[1])

    def relaxed(self, wait: Real, turned: float | Real | None = None) -> Real:
        """Population a time after a π pulse, by summing what two hundred earlier shots have left.

        ``turned`` multiplies the population difference, by default as the π pulse does.
        """
        turned = self.turned if turned is None else turned
        left = np.exp(-wait / self.t1)
        back = np.exp(-(wait + self.recovery + PULSE_NS) / self.t1)
        before = np.full_like(left, self.thermal)
        for _ in range(200):
            after = 0.5 - 0.5 * (1 - 2 * before) * turned
            before = self.thermal + (after - self.thermal) * back
        after = 0.5 - 0.5 * (1 - 2 * before) * turned
        return np.asarray(self.thermal + (after - self.thermal) * left)

    def echo(self, wait: Real) -> Real:
        """Population after an echo, likewise."""
        rest = np.exp(-(self.recovery + 2 * PULSE_NS) / self.t1)
        before = np.full_like(wait, self.thermal)
        for _ in range(200):
            after = 0.5 + 0.5 * (1 - 2 * before) * np.exp(-wait / self.t2)
            before = self.thermal + (after - self.thermal) * rest
        return np.asarray(0.5 + 0.5 * (1 - 2 * before) * np.exp(-wait / self.t2))

    def sweep(self, points: Real, excited: Real, unit: str = "ns") -> Sweep:
        """A sweep with such populations at its points, eight of them in a slice."""
        slices = np.arange(points.size) // 8
        parts = int(slices[-1]) + 1
        few = np.full(parts, 0.5 * self.shots)
        top = self.iq(np.full(parts, float(self.relaxed(np.zeros(1))[0])), few)
        return Sweep(
            points=points,
            unit=unit,
            iq=self.iq(excited, self.shots),
            slices=slices,
            ground_iq=self.iq(np.full(parts, self.thermal), few),
            excited_iq=top if self.has_pulse else np.empty(0, dtype=np.complex128),
            shots=self.shots,
            reference_shots=few,
            recovery=self.recovery,
        )

    def decay(self) -> Sweep:
        """T1 over the default waiting times."""
        return self.sweep(WAITS, self.relaxed(WAITS))

    def doubled(self) -> Sweep:
        """The signal after two π pulses, about equal and opposite axes."""
        signs = np.array([1.0, -1.0, 1.0, -1.0])
        turned = self.turned**2 + self.interference * signs
        return self.sweep(signs, self.relaxed(np.zeros(4), turned), unit="")

    def echo_decay(self) -> Sweep:
        """An echo over the default waiting times."""
        return self.sweep(ECHO_WAITS, self.echo(ECHO_WAITS))

    def middle(self) -> Sweep:
        """The signal after one or three half-π pulses, too long by ``tilt``."""
        count = np.tile([1.0, 3.0], 4)
        ground = (1 - 2 * self.thermal) * np.cos(count * (np.pi / 2 + self.tilt))
        return self.sweep(count, 0.5 - 0.5 * ground, unit="")


def returned(sweep: Sweep) -> Sweep:
    """The signal after two π pulses that return to the ground state, as ground references show it."""
    return replace(
        sweep,
        points=np.array([1.0, -1.0, 1.0, -1.0]),
        unit="",
        iq=sweep.ground_iq[:4],
        slices=np.arange(4) // 2,
        shots=int(sweep.reference_shots[0]),
    )


def part_of_time(sweep: Sweep) -> tuple[Real, Real]:
    """When points and references were measured, in parts of the sweep."""
    points = np.arange(sweep.iq.size) / (sweep.iq.size - 1)
    ends: NDArray[np.float64] = np.array([points[sweep.slices == n].max() for n in np.unique(sweep.slices)])
    return points, ends


Gain = Callable[[Real], Real | Complex]
