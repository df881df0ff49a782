"""The cells of the table: which task measures which qubit with which inputs and settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from benchmarks.truth_bounds import (
    Change,
    drive_strength,
    half_pi_amplitude,
    last_phase,
    pi_amplitude,
    rabi_frequency,
    ramps,
)
from benchmarks.truth_sampler import CHIP, QID, Bench
from calibtasks.protocol import Protocol
from calibtasks.task import REGISTRY
from executors.backends.simchip.device import QubitTruth, design_parameters, random_stream, true_qubit

Inputs = dict[str, float]
PULSE_NS: Final = 32.0


@dataclass(frozen=True)
class Value:
    """A value that a task yields.

    Attributes:
        key: name of the output.
        label: in tables.
        truth: of a qubit measured with some inputs, in the output's unit.
        tolerance: an error within which nothing counts as wrong, in the output's unit; None: 5 %.
    """

    key: str
    label: str
    truth: Callable[[QubitTruth, Mapping[str, float]], float]
    tolerance: float | None = None


VALUES: Final[Mapping[str, Sequence[Value]]] = {
    "CheckT1": [Value("t1", "T1", lambda truth, _: truth.t1 * 1e-3)],
    "CheckT2Echo": [Value("t2_echo", "T2", lambda truth, _: truth.t2_echo * 1e-3)],
    "CheckRamsey": [
        Value("qubit_frequency", "f", lambda truth, _: truth.frequency, tolerance=50e-6),
        Value("t2_star", "T2*", lambda truth, _: truth.t2_star * 1e-3),
    ],
    "CheckRabi": [
        Value("rabi_frequency", "f", rabi_frequency),
        Value("maximum_rabi_frequency", "drive", drive_strength),
    ],
    "CreateHPIPulse": [Value("hpi_amplitude", "amplitude", half_pi_amplitude)],
    "CreatePIPulse": [Value("pi_amplitude", "amplitude", pi_amplitude)],
}

FREE: Final[Mapping[str, Change]] = {"CheckRabi": ramps, "CheckRamsey": last_phase}
"""What shifts the phase of an oscillation that a task measures: real ramps, and real half-π pulses."""


@dataclass(frozen=True)
class Cell:
    """A task on qubits and with inputs and settings changed in one way.

    Attributes:
        name: what is changed.
        qubit: changes a truth.
        stored: changes the task's inputs, which without it are those of a calibrated qubit.
        settings: run parameters.
    """

    task: str
    name: str
    qubit: Callable[[QubitTruth], QubitTruth] = lambda truth: truth
    stored: Callable[[QubitTruth, Inputs, Protocol], Inputs] = lambda truth, inputs, task: {}
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def is_default(self) -> bool:
        return self.name == "default"

    def bench(self, seed: int) -> Bench:
        """The task on the qubit that this seed gives."""
        task = protocol(self.task)(self.settings)
        truth = self.qubit(true_qubit(seed, CHIP, QID))
        inputs = calibrated(truth)
        inputs.update(self.stored(truth, inputs, task))
        return bench_of(task, truth, inputs, seed, self.name)


def protocol(name: str) -> type[Protocol]:
    """The task of that name; LookupError while it has not got the project's form."""
    found = REGISTRY.by_name().get(name)
    if found is None or not issubclass(found, Protocol):
        raise LookupError(f"{name} is no Protocol")
    return found


def bench_of(task: Protocol, truth: QubitTruth, inputs: Inputs, *stream: object) -> Bench:
    """A bench whose draws depend on ``stream`` and the task alone."""
    return Bench(task, truth, inputs, random_stream("truth", task.name, *stream))


def calibrated(truth: QubitTruth) -> Inputs:
    """The values that would be stored if every task had measured without noise."""
    design = design_parameters(CHIP, 16)[str(QID)]
    inputs = {name: float(given.value) for name, given in design.items() if given.value is not None}
    inputs.update(
        qubit_frequency=truth.frequency,
        anharmonicity=truth.anharmonicity,
        hpi_length=PULSE_NS,
        pi_length=PULSE_NS,
    )
    inputs["hpi_amplitude"] = half_pi_amplitude(truth, inputs)
    inputs["pi_amplitude"] = pi_amplitude(truth, inputs)
    return inputs


# ------------------------------------------------------------------ changes


def lifetimes(factor: float) -> Callable[[QubitTruth], QubitTruth]:
    """All three times scaled."""
    return lambda truth: replace(
        truth, t1=truth.t1 * factor, t2_star=truth.t2_star * factor, t2_echo=truth.t2_echo * factor
    )


def _t1(microseconds: float) -> Callable[[QubitTruth], QubitTruth]:
    return lambda truth: lifetimes(microseconds * 1e3 / truth.t1)(truth)


def _t2_star(microseconds: float) -> Callable[[QubitTruth], QubitTruth]:
    """A fringe's decay; echo and T1 follow only as far as they must."""

    def changed(truth: QubitTruth) -> QubitTruth:
        t2_star = microseconds * 1e3
        t2_echo = max(truth.t2_echo, 1.2 * t2_star)
        return replace(truth, t2_star=t2_star, t2_echo=t2_echo, t1=max(truth.t1, 0.7 * t2_echo))

    return changed


def _echo(factor: float) -> Callable[[QubitTruth], QubitTruth]:
    def changed(truth: QubitTruth) -> QubitTruth:
        t2_echo = truth.t2_echo * factor
        return replace(
            truth, t2_echo=t2_echo, t2_star=truth.t2_star * factor, t1=max(truth.t1, 0.7 * t2_echo)
        )

    return changed


def _hot(truth: QubitTruth) -> QubitTruth:
    return replace(truth, thermal=0.2)


def _off(mhz: float) -> Callable[[QubitTruth, Inputs, Protocol], Inputs]:
    return lambda truth, inputs, task: {"qubit_frequency": truth.frequency + mhz * 1e-3}


def _as_designed(truth: QubitTruth, inputs: Inputs, task: Protocol) -> Inputs:
    """As before anything was calibrated."""
    given = design_parameters(CHIP, 16)[str(QID)]["qubit_frequency"].value
    return {"qubit_frequency": float(given or np.nan)}


def _standing_fringe(truth: QubitTruth, inputs: Inputs, task: Protocol) -> Inputs:
    return {"qubit_frequency": truth.frequency - task.number("detuning") + 1e-5}


def _strong(truth: QubitTruth, inputs: Inputs, task: Protocol) -> Inputs:
    return {"control_amplitude": 0.030 / truth.drive}


def _common(task: str) -> list[Cell]:
    return [Cell(task, "default"), Cell(task, "thermal 0.2", qubit=_hot)]


def _off_cells(task: str, *offsets: float) -> list[Cell]:
    return [Cell(task, f"off {mhz:g} MHz", stored=_off(mhz)) for mhz in offsets]


def _shots(task: str, *counts: int) -> list[Cell]:
    return [Cell(task, f"{count} shots", settings={"shots": count}) for count in counts]


def cells() -> list[Cell]:
    """All of them, task by task, each with its default first."""
    t1 = _common("CheckT1") + _shots("CheckT1", 64, 100_000)
    t1 += [Cell("CheckT1", f"T1 {us:g} μs", qubit=_t1(us)) for us in (1, 30, 60, 100, 150, 200, 500, 1500)]
    t1 += _off_cells("CheckT1", 1, 3, 8)
    ramsey = _common("CheckRamsey") + _shots("CheckRamsey", 64) + _off_cells("CheckRamsey", 1, 3, 8)
    ramsey += [Cell("CheckRamsey", f"T2* {us:g} μs", qubit=_t2_star(us)) for us in (0.5, 10, 100)]
    ramsey.append(Cell("CheckRamsey", "fringe of 10 kHz", stored=_standing_fringe))
    rabi = _common("CheckRabi") + _shots("CheckRabi", 100_000) + _off_cells("CheckRabi", 3, 8, 30)
    rabi.append(Cell("CheckRabi", "30 MHz", stored=_strong))
    rabi.append(Cell("CheckRabi", "design frequency", stored=_as_designed))
    pulses = []
    for name in ("CreateHPIPulse", "CreatePIPulse"):
        pulses += _common(name) + _shots(name, 64) + _off_cells(name, 1, 2, 3, 8)
        pulses.append(Cell(name, "design frequency", stored=_as_designed))
    echo = _common("CheckT2Echo")
    echo += [Cell("CheckT2Echo", f"T2 × {factor:g}", qubit=_echo(factor)) for factor in (0.5, 2)]
    return t1 + ramsey + rabi + pulses + echo
