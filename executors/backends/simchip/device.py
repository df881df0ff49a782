"""The simulated chip's design, and the hidden truth that differs from it a little.

The truth of a qubit depends on the seed, the chip's name and the qubit's number alone: neither on the
session's other qubits nor on their order. Tasks and flows never see it;
``true_qubit`` is for the engine that makes the data, for tests and for benchmarks.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from qdash_queue.domain import ParameterModel

_BLOCK: Final = 4
"""Qubits in a 2×2 block of the lattice; the design frequencies depend on the position in it."""
CONTROL_POSITIONS: Final = (0, 3)
"""Positions in a block that control their neighbours; they form a checkerboard over the lattice."""

DESIGN_CONTROL_GHZ: Final = 4.20
DESIGN_TARGET_GHZ: Final = 4.45
DESIGN_STAGGER_GHZ: Final = 0.015
DESIGN_ANHARMONICITY_GHZ: Final = -0.34
DESIGN_RESONATOR_GHZ: Final = 5.90
DESIGN_RESONATOR_STEP_GHZ: Final = 0.05
DESIGN_DRIVE_GHZ: Final = 0.42
"""Rabi frequency per unit of control amplitude that the wiring is designed for."""
DESIGN_RABI_GHZ: Final = 0.0125
"""Rabi frequency that the stored ``control_amplitude`` is meant to give."""
DESIGN_READOUT_AMPLITUDE: Final = 0.1
DESIGN_READOUT_NS: Final = 384.0


@dataclass(frozen=True)
class QubitTruth:
    """The true parameters of one simulated qubit (frequencies in GHz, times in ns).

    Attributes:
        frequency: 0-1 transition.
        anharmonicity: 1-2 transition minus 0-1 transition.
        drive: Rabi frequency per unit of control amplitude.
        t1: energy relaxation time.
        t2_star: decay time of a Ramsey fringe, at most ``t2_echo``.
        t2_echo: decay time of an echo, at most 2 T1. What an echo refocuses is a detuning that stays within a
            shot and differs between shots: Lorentzian, so that a fringe decays exponentially.
        thermal: population of level 1 when idle.
        resonator: resonator frequency with the qubit in level 0.
        chi: half the resonator's shift from level 0 to 1.
        kappa: the resonator's linewidth over 2π, external only.
        gain: output signal per unit of readout amplitude and sample.
        phase: cable phase at the resonator's frequency, radians.
        delay: electrical delay of the readout line.
        noise: of one quadrature of one shot, times the square root of a nanosecond.
    """

    frequency: float
    anharmonicity: float
    drive: float
    t1: float
    t2_star: float
    t2_echo: float
    thermal: float
    resonator: float
    chi: float
    kappa: float
    gain: float
    phase: float
    delay: float
    noise: float


def random_stream(*words: object) -> np.random.Generator:
    """A random generator that depends on ``words`` alone, the same on every machine."""
    digest = hashlib.sha256("/".join(map(str, words)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def default_muxes(n_qubits: int) -> dict[int, int]:
    """The multiplexer of each qubit of a simulated chip whose topology names none: one per block."""
    return {qid: qid // _BLOCK for qid in range(n_qubits)}


def check_size(n_qubits: int) -> None:
    """ValueError unless the chip is a square of 2×2 blocks (4, 16, 36, 64, ... qubits)."""
    side = math.isqrt(n_qubits)
    if n_qubits < _BLOCK or side * side != n_qubits or side % 2:
        raise ValueError(f"a square lattice of 2×2 muxes has 4, 16, 36, 64, ... qubits, got {n_qubits}")


def _design_frequency(qid: int) -> float:
    block, position = divmod(qid, _BLOCK)
    base = DESIGN_CONTROL_GHZ if position in CONTROL_POSITIONS else DESIGN_TARGET_GHZ
    return round(base + DESIGN_STAGGER_GHZ * ((3 * block + 2 * position) % 5 - 2), 6)


def _design_resonator(qid: int) -> float:
    block, position = divmod(qid, _BLOCK)
    return round(DESIGN_RESONATOR_GHZ + DESIGN_RESONATOR_STEP_GHZ * position + 0.001 * (block % 16), 6)


def design_parameters(chip_id: str, n_qubits: int) -> dict[str, dict[str, ParameterModel]]:
    """The values a chip starts with, by qid and name, as known from its design and a first cool-down.

    They differ from the hidden truth a little: enough to be worth calibrating, little enough that the first
    CheckRabi works. Raises ValueError when ``n_qubits`` makes no square lattice of blocks.
    """
    check_size(n_qubits)
    note = f"design value of {chip_id}"

    def value(number: float, unit: str) -> ParameterModel:
        return ParameterModel(value=number, unit=unit, description=note)

    return {
        str(qid): {
            "qubit_frequency": value(_design_frequency(qid), "GHz"),
            "anharmonicity": value(DESIGN_ANHARMONICITY_GHZ, "GHz"),
            "resonator_frequency": value(_design_resonator(qid), "GHz"),
            "control_amplitude": value(round(DESIGN_RABI_GHZ / DESIGN_DRIVE_GHZ, 4), "a.u."),
            "readout_frequency": value(_design_resonator(qid), "GHz"),
            "readout_amplitude": value(DESIGN_READOUT_AMPLITUDE, "a.u."),
            "readout_length": value(DESIGN_READOUT_NS, "ns"),
        }
        for qid in range(n_qubits)
    }


def true_qubit(seed: int, chip_id: str, qid: int) -> QubitTruth:
    """The hidden truth of one qubit; for the engine, tests and benchmarks only."""
    rng = random_stream(seed, chip_id, qid)
    t1 = rng.uniform(20e3, 60e3)
    truth = QubitTruth(
        frequency=_design_frequency(qid) + 3e-4 * float(np.clip(rng.normal(), -2.5, 2.5)),
        anharmonicity=DESIGN_ANHARMONICITY_GHZ * (1 + 0.02 * rng.normal()),
        drive=DESIGN_DRIVE_GHZ * (1 + 0.08 * float(np.clip(rng.normal(), -2.5, 2.5))),
        t1=t1,
        t2_star=math.nan,
        t2_echo=t1 * rng.uniform(0.7, 1.6),
        thermal=rng.uniform(0.003, 0.02),
        resonator=_design_resonator(qid) + 1e-4 * rng.normal(),
        chi=-rng.uniform(0.8e-3, 1.5e-3),
        kappa=rng.uniform(3e-3, 5e-3),
        gain=0.01 * rng.uniform(0.8, 1.2),
        phase=rng.uniform(-math.pi, math.pi),
        delay=20.0,
        noise=2.5e-3,
    )
    return replace(truth, t2_star=truth.t2_echo * rng.uniform(0.4, 0.9))
