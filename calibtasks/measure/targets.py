"""What is measured: a qubit or coupling with its inputs, and the pulses and waits of its sequence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from calibtasks.measure.pulses import half_pi_pulse, rabi_pulse
from calibtasks.task import finite
from qdash_queue.domain import ParameterModel


@dataclass(frozen=True)
class Play:
    """A waveform on one qubit's drive line, right after what was played there before."""

    label: str
    waveform: Any


@dataclass(frozen=True)
class Wait:
    """All lines of the target wait until each is idle, and ``duration`` ns more."""

    duration: float = 0.0


Op = Play | Wait
BARRIER = Wait()


@dataclass(frozen=True)
class Qubit:
    """One qubit of a target, with the inputs that a task declared for it.

    Attributes:
        qid: its number.
        label: the instrument's name of it.
        inputs: by name, without a role.
        has_trusted_pulse: whether its stored π pulse (or half-π pulse) may be used as a reference.
    """

    qid: str
    label: str
    inputs: Mapping[str, ParameterModel]
    has_trusted_pulse: bool = False

    def value(self, name: str) -> float:
        """An input's value in its declared unit; CalibrationError (``missing_input``)."""
        return finite(f"qubit {self.qid}", name, self.inputs.get(name))

    def half_pi(self, phase: float = 0.0) -> Play:
        """The half-π pulse, its axis at ``phase`` (radians) from X."""
        return Play(self.label, self._half_pi if phase == 0 else self._half_pi.shifted(phase))

    def pi(self, phase: float = 0.0) -> list[Play]:
        """A π rotation about the axis at ``phase`` (radians) from X: two half-π pulses."""
        return [self.half_pi(phase)] * 2

    @property
    def x90(self) -> Play:
        """The half-π pulse about X."""
        return self.half_pi()

    @property
    def x180(self) -> list[Play]:
        """A π rotation about X."""
        return self.pi()

    @property
    def y180(self) -> list[Play]:
        """A π rotation about Y."""
        return self.pi(math.pi / 2)

    def pulse(self, amplitude: float, length: float) -> Play:
        """A pulse of the half-π pulse's shape with another amplitude (a.u.) and length (ns)."""
        return Play(self.label, half_pi_pulse(amplitude, length))

    def drive(self, amplitude: float, plateau: float, ramp: float) -> Play:
        """A flat-top pulse with a plateau of ``plateau`` ns and ramps of ``ramp`` ns."""
        return Play(self.label, rabi_pulse(amplitude, plateau, ramp))

    @cached_property
    def _half_pi(self) -> Any:
        return half_pi_pulse(self.value("hpi_amplitude"), self.value("hpi_length"))


@dataclass(frozen=True)
class Target:
    """A qubit, or a coupling of two.

    Attributes:
        qid: ``"0"`` or ``"0-1"``.
        qubits: by role: ``""`` for a single qubit, ``control`` and ``target`` of a coupling.
        inputs: the coupling's or qubit's own inputs by key, as they are recorded.
    """

    qid: str
    qubits: Mapping[str, Qubit]
    inputs: Mapping[str, ParameterModel]

    @property
    def qubit(self) -> Qubit:
        """The single qubit."""
        return self.qubits[""]

    @property
    def control(self) -> Qubit:
        """The coupling's control qubit."""
        return self.qubits["control"]

    @property
    def target(self) -> Qubit:
        """The coupling's target qubit."""
        return self.qubits["target"]

    def value(self, key: str) -> float:
        """An input's value in its declared unit; CalibrationError (``missing_input``)."""
        return finite(f"qubit {self.qid}", key, self.inputs.get(key))
