"""Exact data of a simulated qubit, drawn fast: populations solved once a point, shots drawn in blocks.

A sweep's programs are those of ``calibtasks.measure.lab``: its slices, references and alignment are reused,
and only the batch that would go to qubex is solved here. An averaged point of n shots has multinomial
counts of the levels and, given these, a value that is Gaussian with the mean and covariance of one shot of
each level, whose relaxation during the readout included.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from qubex.pulse import Blank, FlatTop

from calibtasks.dataset import Dataset
from calibtasks.measure.lab import Lab, _Run
from calibtasks.measure.sweep import Sweep
from calibtasks.measure.targets import Play, Target
from calibtasks.protocol import Protocol
from calibtasks.results import RunResult
from executors.backends.simchip.device import QubitTruth, default_muxes
from executors.backends.simchip.engine import Capture, Engine, ReadLine
from executors.backends.simchip.solver import LEVELS, Pulse, Transmon
from qdash_queue.domain import ParameterModel

Real = NDArray[np.float64]
Complex = NDArray[np.complex128]

CHIP, QID = "TRUTH16", 0
SAMPLE_NS: Final = 0.4
CAPTURE_NS: Final = 0.8
PRE_MARGIN_NS: Final = 32.0
"""From the end of the drive to the capture, in qubex."""
POST_MARGIN_NS: Final = 128.0
READOUT_RAMP_NS: Final = 32.0
BLOCK: Final = 128
"""Runs drawn at once."""


@dataclass(frozen=True)
class Execution:
    """One averaged point: pulses on the drive line until ``end_ns``, then the readout.

    Attributes:
        pulses: in time order, from 0.
        end_ns: end of the drive line.
        shots: averaged.
        rest_ns: from the capture to the next shot's first pulse.
    """

    pulses: tuple[Pulse, ...]
    end_ns: float
    shots: int
    rest_ns: float

    @property
    def seconds(self) -> float:
        """Hardware time."""
        return self.shots * (self.end_ns + PRE_MARGIN_NS + self.rest_ns) * 1e-9


def populations(truth: QubitTruth, executions: Sequence[Execution]) -> Real:
    """Populations of the levels at the captures in the steady state of equal shots, shape (n, 3)."""
    transmon = Transmon(truth)
    found = np.empty((len(executions), LEVELS))
    for row, execution in zip(found, executions, strict=True):
        transfer = transmon.transfer(execution.pulses, execution.end_ns + PRE_MARGIN_NS)
        row[:] = transfer @ transmon.steady_start(transfer, execution.rest_ns)
    found = np.clip(found, 0.0, None)
    return np.asarray(found / found.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class Readout:
    """One shot's value by level.

    Attributes:
        means: shape (3,), a.u.
        covariances: of real and imaginary part, shape (3, 2, 2).
        white: variance of one quadrature without the relaxation during the readout.
    """

    means: Complex
    covariances: Real
    white: float

    @classmethod
    def of(cls, truth: QubitTruth, inputs: Mapping[str, float]) -> Readout:
        """Exact moments of the engine's averaged value: a level falls by one at an exponential time."""
        answer = engine_of(truth)._answer(read_line(inputs))
        (pulse,) = read_line(inputs).pulses
        area = np.concatenate([[0j], np.cumsum(pulse.samples)])
        samples = len(pulse.samples)
        stays = np.exp(-CAPTURE_NS / truth.t1 * np.arange(samples + 1))
        chance = np.append(stays[:-1] - stays[1:], stays[-1])
        white = truth.noise**2 / CAPTURE_NS * samples
        means, covariances = np.empty(LEVELS, dtype=np.complex128), np.empty((LEVELS, 2, 2))
        for level in range(LEVELS):
            values = answer[level] * area + answer[max(level - 1, 0)] * (area[-1] - area)
            means[level] = chance @ values
            off = np.stack([(values - means[level]).real, (values - means[level]).imag])
            covariances[level] = (chance * off) @ off.T + white * np.eye(2)
        return cls(means, covariances, white)


def engine_of(truth: QubitTruth, noise_seed: int = 0) -> Engine:
    """The simulated chip, its qubit 0 with this truth."""
    engine = Engine(CHIP, 0, noise_seed, default_muxes(16))
    engine._transmons[QID] = Transmon(truth)
    return engine


def read_line(inputs: Mapping[str, float], start_ns: float = 0.0) -> ReadLine:
    """qubex's readout pulse and its capture, on the instrument's capture grid."""
    length, frequency = inputs["readout_length"], inputs["readout_frequency"]
    shape = FlatTop(
        duration=length,
        amplitude=inputs["readout_amplitude"],
        tau=READOUT_RAMP_NS,
        sampling_period=SAMPLE_NS,
    )
    fine = np.asarray(shape.values, dtype=np.complex128)
    coarse = fine.reshape(-1, round(CAPTURE_NS / SAMPLE_NS)).mean(axis=1)
    samples = np.concatenate([coarse, np.zeros(round(POST_MARGIN_NS / CAPTURE_NS))])
    capture = Capture(start_ns, length + POST_MARGIN_NS)
    return ReadLine(QID, frequency, (Pulse(start_ns, samples, CAPTURE_NS, frequency),), (capture,))


def draw(shots: Real, levels: Real, readout: Readout, rng: np.random.Generator, runs: int) -> Complex:
    """Averaged IQ of n points with populations ``levels``, shape (n, 3): shape (runs, n)."""
    counts = rng.multinomial(shots.astype(np.int64), levels, size=(runs, len(shots))).astype(np.float64)
    mean = counts @ readout.means / shots
    total = np.tensordot(counts, readout.covariances, axes=1) / (shots**2)[:, None, None]
    along = np.sqrt(total[..., 0, 0])
    shared = total[..., 0, 1] / along
    rest = np.sqrt(np.maximum(total[..., 1, 1] - shared**2, 0.0))
    first, second = rng.standard_normal((2, *mean.shape))
    return np.asarray(mean + along * first + 1j * (shared * first + rest * second))


@dataclass
class Plan:
    """One sweep's executions in the order of time, and the sweep with their numbers in place of signals.

    Attributes:
        executions: n of them, references included.
        numbered: its arrays of signals hold indices into ``executions``.
        times: when each was measured, in seconds from the sweep's start, shape (n,).
    """

    executions: list[Execution]
    numbered: Sweep
    truth: QubitTruth
    readout: Readout
    _levels: dict[QubitTruth, Real] = field(default_factory=dict)
    _stock: list[Complex] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.shots = np.array([execution.shots for execution in self.executions], dtype=np.float64)
        self.seconds = np.array([execution.seconds for execution in self.executions])
        self.is_reference = np.ones(len(self.executions), dtype=bool)
        self.is_reference[_indices(self.numbered.iq)] = False

    def levels(self, truth: QubitTruth | None = None) -> Real:
        """Populations, shape (n, 3)."""
        key = truth or self.truth
        if key not in self._levels:
            self._levels[key] = populations(key, self.executions)
        return self._levels[key]

    def one(self, rng: np.random.Generator) -> Complex:
        """One run's signals, shape (n,)."""
        if not self._stock:
            self._stock = list(draw(self.shots, self.levels(), self.readout, rng, BLOCK))
        return self._stock.pop()

    def mixed(self, rng: np.random.Generator, other: QubitTruth, share: Real) -> Complex:
        """One run's signals when ``share``, shape (n,), of the shots see another truth."""
        levels = (1 - share)[:, None] * self.levels() + share[:, None] * self.levels(other)
        return np.asarray(draw(self.shots, levels, self.readout, rng, 1)[0])

    def sweep(self, signals: Complex) -> Sweep:
        """The sweep of these signals."""
        numbered = self.numbered
        return replace(
            numbered,
            iq=signals[_indices(numbered.iq)],
            ground_iq=signals[_indices(numbered.ground_iq)],
            excited_iq=signals[_indices(numbered.excited_iq)],
        )


def _indices(numbers: Complex) -> NDArray[np.int64]:
    return np.rint(numbers.real).astype(np.int64)


@dataclass
class _Recording(_Run):
    """Keeps the batches that it would execute."""

    executions: list[Execution] = field(default_factory=list)

    def _execute(self, lines: Sequence[dict[str, list[Any]]], shots: int) -> NDArray[np.complex128]:
        (target,) = self.targets
        first = len(self.executions)
        frequency = target.qubit.value("qubit_frequency") + self.detuning
        rest = self.lab.interval + target.qubit.value("readout_length") + POST_MARGIN_NS
        for line in lines:
            pulses, end = _solved(line[target.qubit.label], frequency)
            self.executions.append(Execution(pulses, end, shots, rest))
        return np.arange(first, len(self.executions), dtype=np.complex128)[:, None]


def _solved(line: Sequence[Any], frequency: float) -> tuple[tuple[Pulse, ...], float]:
    """A line's waveforms as the solver's pulses, and the end of the line in ns."""
    pulses, now = [], 0.0
    for waveform in line:
        if not isinstance(waveform, Blank):
            samples = np.asarray(waveform.values, dtype=np.complex128)
            pulses.append(Pulse(now, samples, float(waveform.sampling_period), frequency))
        now += float(waveform.duration)
    return tuple(pulses), now


Fault = Callable[[Plan, Real, np.random.Generator], Complex]
"""One run's signals of a plan that is measured at the given times, in parts of the whole run."""


@dataclass
class SampledLab(Lab):
    """Answers the sweeps of one qubit's tasks from its truth.

    Attributes:
        truth: of the qubit.
        readout: of its shots.
        rng: of all draws.
        fault: makes the signals of the next sweeps; None: as they are.
        plans: by what was asked.
        asked: the plans of the present run, in the order of time.
    """

    truth: QubitTruth
    readout: Readout
    rng: np.random.Generator
    fault: Fault | None = None
    plans: dict[tuple[object, ...], Plan] = field(default_factory=dict, repr=False)
    asked: list[Plan] = field(default_factory=list, repr=False)
    whole_seconds: float = math.nan

    def sweep(
        self,
        targets: Sequence[Target],
        points: Real | Mapping[str, Real],
        sequence: Any,
        *,
        unit: str = "ns",
        detuning: float = 0.0,
        shots: int | None = None,
        read: str = "target",
    ) -> dict[str, Sweep]:
        """As ``Lab.sweep``, for one qubit."""
        (target,) = targets
        own = np.asarray(points[target.qid] if isinstance(points, Mapping) else points, dtype=np.float64)
        count = shots or self.shots
        seen = [_fingerprint(sequence(target, float(own[at]))) for at in (0, own.size // 2, -1)]
        key = (own.tobytes(), detuning, count, self.interval, unit, *seen)
        if key not in self.plans:
            run = _Recording(self, targets, sequence, {target.qid: own}, detuning, count, read)
            numbered = run.measure(unit)[target.qid]
            self.plans[key] = Plan(run.executions, numbered, self.truth, self.readout)
        return {target.qid: self.plans[key].sweep(self._signals(self.plans[key]))}

    def _signals(self, plan: Plan) -> Complex:
        before = sum(float(other.seconds.sum()) for other in self.asked)
        self.asked.append(plan)
        if self.fault is None:
            return plan.one(self.rng)
        return self.fault(plan, (before + np.cumsum(plan.seconds)) / self.whole_seconds, self.rng)


def _fingerprint(ops: Sequence[Any]) -> tuple[object, ...]:
    return tuple(op.waveform.values.tobytes() if isinstance(op, Play) else op.duration for op in ops)


@dataclass
class StoredInputs:
    """Stands for the backend: the stored values of one qubit.

    Attributes:
        values: by name, in the units of the declared parameters.
    """

    values: Mapping[str, float]

    def get_instance(self) -> Any:
        return SimpleNamespace(measurement=SimpleNamespace(sampling_period=SAMPLE_NS))

    def parameter(self, qid: str, name: str) -> ParameterModel:
        return ParameterModel(value=self.values[name], unit=_unit(name))

    def has_parameter(self, qid: str, name: str) -> bool:
        return name in self.values

    def is_suspect(self, qid: str, name: str) -> bool:
        return False

    def label(self, qid: str) -> str:
        return f"Q{int(qid):02d}"


def _unit(name: str) -> str:
    endings = {"_frequency": "GHz", "anharmonicity": "GHz", "_length": "ns", "_amplitude": "a.u."}
    return next(unit for ending, unit in endings.items() if name.endswith(ending))


@dataclass
class Bench:
    """One task on one qubit, ready to be run many times.

    Attributes:
        task: in the project's form; draws no figures, which take longer than everything else.
        truth: of the qubit.
        inputs: that the task reads.
        rng: of all draws.
    """

    task: Protocol
    truth: QubitTruth
    inputs: Mapping[str, float]
    rng: np.random.Generator

    def __post_init__(self) -> None:
        vars(self.task)["figures"] = lambda *_: []
        backend = StoredInputs(self.inputs)
        self.task.prepare(backend, str(QID))
        self.lab = SampledLab(
            backend,
            int(self.task.number("shots")),
            self.task.number("interval"),
            self.truth,
            Readout.of(self.truth, self.inputs),
            self.rng,
        )

    def run(self, fault: Fault | None = None) -> RunResult:
        """One run's raw data."""
        if fault is not None and math.isnan(self.lab.whole_seconds):
            self.run()
        self.lab.fault, self.lab.asked = fault, []
        found = self.task.acquire(self.lab, [self.task._targets[str(QID)]])
        if fault is None:
            self.lab.whole_seconds = sum(float(plan.seconds.sum()) for plan in self.lab.asked)
        return RunResult(
            Dataset(array for name, by_qid in found.items() for array in by_qid[str(QID)].arrays(name))
        )
