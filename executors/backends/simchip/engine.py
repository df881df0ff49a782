"""The simulated chip: pulse programs in, IQ data out, independent of any vendor's software.

Readout: a probe reflected from the qubit's resonator, r = 1 - κ/(κ_total/2 + i(f - f_s)), with f_s shifted by
2χ per excitation, multiplied by the reflections of the other resonators on the same line. Each shot draws a
level from the populations at the start of the capture; a level may relax within it; every sample carries
Gaussian noise. So repeated shots give IQ blobs with some wrong assignments, and an average carries shot
noise ∝ 1/√shots.

A shot starts from what the previous one has left, in the steady state of many equal shots: the readout ends
superpositions but moves no populations, which then relax until the next shot. After a perfect π pulse, a time
t up to the capture and a time I from there to the next pulse, level 1 is captured with a population of
exp(-t/T1) / (1 + exp(-(t+I)/T1)), when it is empty in equilibrium.

Not modelled: drives from a capture on (the carry-over counts from a shot's last one), back-action of captures
on later ones of the same shot, ring-up of the resonator, couplings between qubits, correlations between the
single shots (each draws its level on its own), and the approach to the steady state over the first T1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from executors.backends.simchip.device import QubitTruth, random_stream, true_qubit
from executors.backends.simchip.solver import LEVELS, Pulse, Real, Transmon

Complex = NDArray[np.complex128]

_SHIFTS: Final = (0.0, 2.0, 3.6)
"""Resonator shift of each level in units of χ; the third level shifts a little less than linearly."""
_INTERNAL_LOSS: Final = 1.05
_NS_PER_S: Final = 1e9


class CaptureMode(StrEnum):
    """What is returned for a capture window of m samples, for n shots."""

    AVERAGED_VALUE = "averaged_value"
    """The sum over the samples, averaged over shots: shape (1,)."""
    AVERAGED_WAVEFORM = "averaged_waveform"
    """The samples, averaged over shots: shape (m,)."""
    VALUES_PER_SHOT = "values_per_shot"
    """The sum over the samples of each shot: shape (n,)."""
    RAW_WAVEFORMS = "raw_waveforms"
    """The samples of each shot: shape (n, m)."""


@dataclass(frozen=True)
class Capture:
    """A window in which the readout line is digitised."""

    start_ns: float
    duration_ns: float


@dataclass(frozen=True)
class ReadLine:
    """The probe pulses and captures of one qubit's readout."""

    qid: int
    frequency_ghz: float
    pulses: tuple[Pulse, ...]
    captures: tuple[Capture, ...]


@dataclass(frozen=True)
class Program:
    """Pulses and captures, repeated ``shots`` times, each ``interval_ns`` after the previous one's end.

    ``drives`` are the pulses on each qubit's drive line in time order; ``reads`` are by any name.
    """

    drives: Mapping[int, tuple[Pulse, ...]]
    reads: Mapping[str, ReadLine]
    shots: int
    interval_ns: float
    mode: CaptureMode
    capture_step_ns: float

    @property
    def period_ns(self) -> float:
        """From one shot's start to the next one's; QuEL's control systems wait the interval after a shot."""
        captures = [capture for line in self.reads.values() for capture in line.captures]
        lines = [*self.drives.values(), *(line.pulses for line in self.reads.values())]
        ends = [capture.start_ns + capture.duration_ns for capture in captures]
        ends += [pulse.end_ns for pulses in lines for pulse in pulses]
        return self.interval_ns + max(ends, default=0.0)

    def hardware_seconds(self) -> float:
        """Instrument time that the program takes."""
        return self.shots * self.period_ns / _NS_PER_S

    def qubits(self) -> frozenset[int]:
        """The qubits that the program drives or reads."""
        return frozenset(self.drives) | {line.qid for line in self.reads.values()}


@dataclass
class Engine:
    """Answers programs for one chip. The same seeds and the same programs give the same data.

    Qubits of one multiplexer (``muxes``: qubit number -> multiplexer) share a readout line.
    Each qubit has its own stream of noise, so its data does not depend on which other qubits are measured.
    """

    chip_id: str
    seed: int
    noise_seed: int = 0
    muxes: Mapping[int, int] = field(default_factory=dict)
    hardware_seconds: float = 0.0
    _transmons: dict[int, Transmon] = field(default_factory=dict, repr=False)
    _answers: dict[tuple[int, float], Complex] = field(default_factory=dict, repr=False)
    _noise: dict[int, np.random.Generator] = field(default_factory=dict, repr=False)

    def run(self, program: Program) -> dict[str, list[Complex]]:
        """The data of every capture of every read line, in the order of the captures."""
        self.hardware_seconds += program.hardware_seconds()
        return {name: self._read(line, program) for name, line in program.reads.items()}

    def _read(self, line: ReadLine, program: Program) -> list[Complex]:
        answers = []
        for capture, populations in zip(line.captures, self._populations(line, program), strict=True):
            levels = self._rng(line.qid).choice(LEVELS, size=program.shots, p=populations)
            answers.append(self._capture(line, capture, levels, program))
        return answers

    def _populations(self, line: ReadLine, program: Program) -> list[Real]:
        """Populations of the levels, shape (3,), at the start of each capture, in the steady state."""
        if not line.captures:
            return []
        transmon, pulses = self._transmon(line.qid), program.drives.get(line.qid, ())
        transfers = [transmon.transfer(pulses, capture.start_ns) for capture in line.captures]
        last = max(range(len(transfers)), key=lambda index: line.captures[index].start_ns)
        rest_ns = program.period_ns - line.captures[last].start_ns
        start = transmon.steady_start(transfers[last], rest_ns)
        found = [np.clip(transfer @ start, 0.0, None) for transfer in transfers]
        return [populations / populations.sum() for populations in found]

    def _capture(
        self, line: ReadLine, capture: Capture, levels: NDArray[np.int64], program: Program
    ) -> Complex:
        truth, rng, step = self._transmon(line.qid).truth, self._rng(line.qid), program.capture_step_ns
        probe = _envelope(line.pulses, capture, step)
        shots, samples = len(levels), len(probe)
        noise = truth.noise / math.sqrt(step)
        answer = self._answer(line)
        lower = answer[np.maximum(levels - 1, 0)]
        fallen = np.minimum(rng.exponential(truth.t1, size=shots) / step, samples).astype(np.int64)
        fallen[levels == 0] = samples
        if program.mode in (CaptureMode.AVERAGED_VALUE, CaptureMode.VALUES_PER_SHOT):
            area = np.concatenate([[0j], np.cumsum(probe)])
            values = answer[levels] * area[fallen] + lower * (area[-1] - area[fallen])
            values = values + _gaussian(rng, shots, noise * math.sqrt(samples))
            return (
                values
                if program.mode is CaptureMode.VALUES_PER_SHOT
                else np.asarray(values.mean(keepdims=True))
            )
        if program.mode is CaptureMode.AVERAGED_WAVEFORM:
            return probe * _mean_answer(answer, levels, fallen, samples) + _gaussian(
                rng, samples, noise / math.sqrt(shots)
            )
        early = np.arange(samples)[None, :] < fallen[:, None]
        per_shot = np.where(early, answer[levels][:, None], lower[:, None]) * probe
        return per_shot + _gaussian(rng, (shots, samples), noise)

    def _answer(self, line: ReadLine) -> Complex:
        """The reflection of each level, shape (3,)."""
        key = (line.qid, line.frequency_ghz)
        if key not in self._answers:
            self._answers[key] = np.array([self._reflection(line, level) for level in range(LEVELS)])
        return self._answers[key]

    def _reflection(self, line: ReadLine, level: int) -> complex:
        truth = self._transmon(line.qid).truth
        response = _resonator(truth, line.frequency_ghz, level)
        mux = self.muxes.get(line.qid)
        for other in (qid for qid, line_mux in self.muxes.items() if line_mux == mux):
            if other != line.qid:
                response *= _resonator(self._transmon(other).truth, line.frequency_ghz, 0)
        angle = truth.phase - 2 * math.pi * (line.frequency_ghz - truth.resonator) * truth.delay
        return truth.gain * response * complex(math.cos(angle), math.sin(angle))

    def _transmon(self, qid: int) -> Transmon:
        if qid not in self._transmons:
            self._transmons[qid] = Transmon(true_qubit(self.seed, self.chip_id, qid))
        return self._transmons[qid]

    def _rng(self, qid: int) -> np.random.Generator:
        if qid not in self._noise:
            self._noise[qid] = random_stream(self.seed, self.chip_id, "noise", self.noise_seed, qid)
        return self._noise[qid]


def _resonator(truth: QubitTruth, frequency_ghz: float, level: int) -> complex:
    shifted = truth.resonator + _SHIFTS[level] * truth.chi
    return 1 - truth.kappa / (truth.kappa * _INTERNAL_LOSS / 2 + 1j * (frequency_ghz - shifted))


def _envelope(pulses: tuple[Pulse, ...], capture: Capture, step_ns: float) -> Complex:
    """The probe's envelope at the capture's samples."""
    samples = max(1, round(capture.duration_ns / step_ns))
    times = capture.start_ns + (np.arange(samples) + 0.5) * step_ns
    envelope = np.zeros(samples, dtype=np.complex128)
    for pulse in pulses:
        index = np.floor((times - pulse.start_ns) / pulse.step_ns + 1e-9).astype(np.int64)
        inside = (index >= 0) & (index < len(pulse.samples))
        envelope[inside] += pulse.gain * np.exp(1j * pulse.phase) * pulse.samples[index[inside]]
    return envelope


def _mean_answer(
    answer: Complex, levels: NDArray[np.int64], fallen: NDArray[np.int64], samples: int
) -> Complex:
    """The reflection averaged over shots at each sample, each shot relaxing at its own time."""
    total = np.full(samples, answer[levels].sum(), dtype=np.complex128)
    change = answer[np.maximum(levels - 1, 0)] - answer[levels]
    inside = fallen < samples
    steps = np.zeros(samples, dtype=np.complex128)
    np.add.at(steps, fallen[inside], change[inside])
    return np.asarray((total + np.cumsum(steps)) / len(levels))


def _gaussian(rng: np.random.Generator, shape: int | tuple[int, int], sigma: float) -> Complex:
    return np.asarray(sigma * (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)))
