"""Sweeps of many targets at once through qubex's public ``Experiment``.

Every setting (carriers, readout, shots) is passed with each sweep, so a run uses exactly the inputs that it
recorded, and no state of qubex. A sweep goes out in slices of at most two hardware seconds (or of one point,
where that takes longer), one batch each: between two of them a stop, a time-out or a lost lease takes hold.
Each slice ends with reference points, of which drift, gain and sign can be told.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from qubex.core.async_bridge import get_shared_async_bridge
from qubex.pulse import Blank, PulseSchedule

from calibtasks.measure.sweep import Real, Sweep
from calibtasks.measure.targets import Op, Play, Qubit, Target, Wait
from calibtasks.results import Backend
from qdash_queue.domain import CalibrationError, Failure, FailureKind

SLICE_SECONDS: Final = 2.0
"""Longest hardware time between two checks for a stop."""
REFERENCE_SHARE: Final = 0.14
"""Hardware time of the reference points, in parts of that of the points."""
_REFERENCE_WAIT_NS: Final = 8.0

Sequence_ = Callable[[Target, float], Sequence[Op]]
"""The pulses and waits of a target at a point."""


@dataclass
class Lab:
    """Measures sweeps; ``backend`` is connected.

    Attributes:
        shots: per point.
        interval: wait from the end of one shot to the next, ns.
    """

    backend: Backend
    shots: int
    interval: float
    experiment: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.experiment = self.backend.get_instance()

    def on_grid(self, times: Real) -> Real:
        """Times (ns) on the instrument's grid, each once, in ascending order."""
        step = float(self.experiment.measurement.sampling_period)
        return np.unique(np.round(times / step) * step)

    def sweep(
        self,
        targets: Sequence[Target],
        points: Real | Mapping[str, Real],
        sequence: Sequence_,
        *,
        unit: str = "ns",
        detuning: float = 0.0,
        shots: int | None = None,
        read: str = "target",
    ) -> dict[str, Sweep]:
        """Measure one sweep of all targets together, right-aligned at the readout.

        Args:
            targets: their readouts have one length.
            points: what is varied, shape (n,); by qid where each target has values of its own.
            sequence: the pulses and waits of a target at one of its points.
            unit: of the points.
            detuning: added to the carriers of all drives, GHz.
            shots: per point, if not the task's.
            read: role of the qubit of a coupling whose signal is kept.

        Returns:
            The data by qid.

        Raises:
            CalibrationError: kind ``instrument``; it reported an error or sent too few points.
        """
        own = points if isinstance(points, Mapping) else {target.qid: points for target in targets}
        run = _Run(self, targets, sequence, own, detuning, shots or self.shots, read)
        return run.measure(unit)


@dataclass
class _Run:
    lab: Lab
    targets: Sequence[Target]
    sequence: Sequence_
    points: Mapping[str, Real]
    detuning: float
    shots: int
    read: str

    def measure(self, unit: str) -> dict[str, Sweep]:
        (count,) = {self.points[target.qid].size for target in self.targets}
        lines = [self._lines(index) for index in range(count)]
        readout = self._readout_length()
        seconds = [self.shots * (self.lab.interval + readout + _duration(line)) * 1e-9 for line in lines]
        excited = [target for target in self.targets if _trusted(target)]
        iq: list[NDArray[np.complex128]] = []
        ground, reference_shots, up = [], [], []
        slices = _slices(seconds)
        for part in slices:
            iq.append(self._execute([lines[index] for index in part], self.shots))
            kinds = 2 if excited else 1
            budget = REFERENCE_SHARE * sum(seconds[index] for index in part) / kinds
            few = max(1, int(budget / ((self.lab.interval + readout) * 1e-9)))
            references = [self._idle()] + ([self._excite()] if excited else [])
            found = self._execute(references, few)
            ground.append(found[0])
            up.append(found[-1])
            reference_shots.append(few)
        numbers = np.concatenate([np.full(len(part), n) for n, part in enumerate(slices)])
        signal, down, top = np.concatenate(iq), np.array(ground), np.array(up)
        return {
            target.qid: Sweep(
                points=np.asarray(self.points[target.qid], dtype=np.float64),
                unit=unit,
                iq=signal[:, column],
                slices=numbers,
                ground_iq=down[:, column],
                excited_iq=top[:, column] if target in excited else np.empty(0, dtype=np.complex128),
                shots=self.shots,
                reference_shots=np.array(reference_shots, dtype=np.float64),
                recovery=readout + self.lab.interval,
            )
            for column, target in enumerate(self.targets)
        }

    def _qubits(self) -> list[Qubit]:
        return [qubit for target in self.targets for qubit in target.qubits.values()]

    def _kept(self, target: Target) -> Qubit:
        return target.qubits[""] if "" in target.qubits else target.qubits[self.read]

    def _readout_length(self) -> float:
        lengths = {qubit.value("readout_length") for qubit in self._qubits()}
        if len(lengths) != 1:
            raise ValueError(f"expected one readout length in a sweep, got {sorted(lengths)}")
        return lengths.pop()

    def _lines(self, index: int) -> dict[str, list[Any]]:
        """The waveforms of every line at a point, each line ending at the readout."""
        played = {
            target.qid: _played(target, self.sequence(target, float(self.points[target.qid][index])))
            for target in self.targets
        }
        return _aligned(played.values())

    def _idle(self) -> dict[str, list[Any]]:
        return {qubit.label: [Blank(_REFERENCE_WAIT_NS)] for qubit in self._qubits()}

    def _excite(self) -> dict[str, list[Any]]:
        # Only the kept qubit: what is read of a coupling must not depend on the other one.
        played = [
            _played(target, self._kept(target).x180 if _trusted(target) else [Wait(_REFERENCE_WAIT_NS)])
            for target in self.targets
        ]
        return _aligned(played)

    def _execute(self, lines: Sequence[dict[str, list[Any]]], shots: int) -> NDArray[np.complex128]:
        """One batch; averaged signals, shape (executions, targets)."""
        experiment, qubits = self.lab.experiment, self._qubits()
        frequencies: dict[str, float] = {}
        for qubit in qubits:
            frequencies[qubit.label] = qubit.value("qubit_frequency") + self.detuning
            frequencies[experiment.ctx.resolve_read_label(qubit.label)] = qubit.value("readout_frequency")
        found = get_shared_async_bridge(key="experiment").run_without_timeout(
            lambda: experiment.run_sweep_measurement(
                lambda index: _schedule(lines[int(index)]),
                sweep_values=np.arange(len(lines)),
                n_shots=shots,
                shot_interval=self.lab.interval,
                shot_averaging=True,
                time_integration=True,
                frequencies=frequencies,
                readout_amplitudes={qubit.label: qubit.value("readout_amplitude") for qubit in qubits},
                readout_duration=self._readout_length(),
                final_measurement=True,
                plot=False,
            )
        )
        labels = [self._kept(target).label for target in self.targets]
        iq = np.full((len(lines), len(labels)), complex(math.nan, math.nan))
        for row, result in zip(iq, found.results, strict=False):
            for column, label in enumerate(labels):
                with suppress(KeyError, IndexError):
                    row[column] = complex(result.data[label][0].data)
        if not np.all(np.isfinite(iq)):
            raise CalibrationError(
                Failure(
                    kind=FailureKind.INSTRUMENT,
                    cause="missing_points",
                    message=f"expected {iq.size} numbers from the instrument,"
                    f" got {np.count_nonzero(np.isfinite(iq))}",
                )
            )
        return iq


def _trusted(target: Target) -> bool:
    return all(qubit.has_trusted_pulse for qubit in target.qubits.values())


def _slices(seconds: Sequence[float]) -> list[list[int]]:
    """Points in order, in slices whose hardware time with its references is within the limit."""
    slices: list[list[int]] = []
    used = math.inf
    for index, cost in enumerate(seconds):
        if (used + cost) * (1 + REFERENCE_SHARE) > SLICE_SECONDS:
            slices.append([])
            used = 0.0
        slices[-1].append(index)
        used += cost
    return slices


def _duration(lines: Mapping[str, Sequence[Any]]) -> float:
    return max(_length(line) for line in lines.values())


def _length(line: Sequence[Any]) -> float:
    return sum(float(waveform.duration) for waveform in line)


def _played(target: Target, ops: Sequence[Op]) -> dict[str, list[Any]]:
    """The waveforms of a target's lines; all end together."""
    lines: dict[str, list[Any]] = {qubit.label: [] for qubit in target.qubits.values()}
    for op in ops:
        if isinstance(op, Play):
            lines[op.label].append(op.waveform)
        else:
            _wait(lines, op.duration)
    _wait(lines, 0.0)
    return lines


def _wait(lines: dict[str, list[Any]], duration: float) -> None:
    until = _duration(lines) + duration
    for line in lines.values():
        _pad(line, len(line), until - _length(line))


def _aligned(played: Any) -> dict[str, list[Any]]:
    """The lines of all targets, the shorter ones starting later."""
    parts = list(played)
    longest = max(_duration(lines) for lines in parts)
    aligned: dict[str, list[Any]] = {}
    for lines in parts:
        for label, line in lines.items():
            _pad(line, 0, longest - _length(line))
            aligned[label] = line
    return aligned


def _pad(line: list[Any], at: int, duration: float) -> None:
    if duration > 1e-6:
        line.insert(at, Blank(duration))


def _schedule(lines: Mapping[str, Sequence[Any]]) -> PulseSchedule:
    with PulseSchedule(list(lines)) as pulses:
        for label, line in lines.items():
            for waveform in line:
                pulses.add(label, waveform)
    return pulses
