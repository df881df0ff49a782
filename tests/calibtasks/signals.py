"""IQ data of a simulated qubit of known truth, from the simulation engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from qubex.pulse import FlatTop

from calibtasks.measure.pulses import HALF_PI_RAMP_NS
from executors.backends.simchip.device import (
    DESIGN_READOUT_AMPLITUDE,
    DESIGN_READOUT_NS,
    QubitTruth,
    default_muxes,
    true_qubit,
)
from executors.backends.simchip.engine import Capture, CaptureMode, Engine, Program, ReadLine
from executors.backends.simchip.solver import Pulse

CAPTURE_NS = 0.8
SAMPLE_NS = 0.4
HALF_PI_NS = 32.0
RABI_RAMP_NS = 20.0


def flat_top(amplitude: float, duration: float, ramp: float) -> NDArray[np.complex128]:
    """Samples of qubex's flat-top pulse at the simulated instrument's own rate."""
    pulse = FlatTop(duration=duration, amplitude=amplitude, tau=ramp, sampling_period=SAMPLE_NS)
    return np.asarray(pulse.values, dtype=np.complex128)


def half_pi(amplitude: float) -> NDArray[np.complex128]:
    return flat_top(amplitude, HALF_PI_NS, HALF_PI_RAMP_NS)


@dataclass
class SimulatedQubit:
    """One simulated qubit, measured without an Experiment."""

    seed: int
    qid: int = 0
    chip_id: str = "BENCH16"
    is_noisy: bool = True
    engine: Engine = field(init=False)

    def __post_init__(self) -> None:
        self.engine = Engine(self.chip_id, self.seed, muxes=default_muxes(16))

    @property
    def truth(self) -> QubitTruth:
        return true_qubit(self.seed, self.chip_id, self.qid)

    def pulse(
        self, waveform: NDArray[np.complex128], start: float, frequency: float, phase: float = 0.0
    ) -> Pulse:
        return Pulse(start, waveform, SAMPLE_NS, frequency, 1.0, phase)

    def measure(
        self, points: NDArray[np.float64], drive: Callable[[float], tuple[Sequence[Pulse], float]], shots: int
    ) -> NDArray[np.complex128]:
        """Averaged IQ after the pulses of ``drive`` at each point, captured at their end."""
        probe = np.full(round(DESIGN_READOUT_NS / CAPTURE_NS), DESIGN_READOUT_AMPLITUDE, dtype=np.complex128)
        answers = []
        for point in points:
            pulses, end = drive(float(point))
            line = ReadLine(
                self.qid,
                self.truth.resonator,
                (Pulse(end, probe, CAPTURE_NS, self.truth.resonator),),
                (Capture(end, DESIGN_READOUT_NS),),
            )
            program = Program(
                {self.qid: tuple(pulses)}, {"r": line}, shots, 153_600, CaptureMode.AVERAGED_VALUE, CAPTURE_NS
            )
            if self.is_noisy:
                answers.append(self.engine.run(program)["r"][0][0])
            else:
                answers.append(self.engine._populations(line, program)[0][0] + 0j)
        return np.array(answers)

    @property
    def half_pi_amplitude(self) -> float:
        """Of a half-π pulse of 32 ns, by its area alone."""
        return float(0.25 / (half_pi(1.0).real.sum() * SAMPLE_NS) / self.truth.drive)

    def relaxation(self, points: NDArray[np.float64], shots: int = 1024) -> NDArray[np.complex128]:
        """Two half-π pulses, a wait (ns), a readout."""
        wave = np.tile(half_pi(self.half_pi_amplitude), 2)
        pulse = self.pulse(wave, 0.0, self.truth.frequency)
        return self.measure(points, lambda wait: ((pulse,), pulse.end_ns + wait), shots)

    def rabi(
        self, points: NDArray[np.float64], amplitude: float, shots: int = 2048
    ) -> NDArray[np.complex128]:
        """A drive of varied length (ns of plateau)."""

        def drive(time: float) -> tuple[Sequence[Pulse], float]:
            pulse = self.pulse(
                flat_top(amplitude, time + 2 * RABI_RAMP_NS, RABI_RAMP_NS), 0.0, self.truth.frequency
            )
            return (pulse,), pulse.end_ns

        return self.measure(points, drive, shots)

    def repeated(self, points: NDArray[np.float64], shots: int = 2048) -> NDArray[np.complex128]:
        """Four half-π pulses of varied amplitude."""

        def drive(amplitude: float) -> tuple[Sequence[Pulse], float]:
            wave = np.tile(half_pi(amplitude), 4)
            pulse = self.pulse(wave, 0.0, self.truth.frequency)
            return (pulse,), pulse.end_ns

        return self.measure(points, drive, shots)

    def ramsey(
        self, points: NDArray[np.float64], detuning: float, rotation: float, shots: int = 1024
    ) -> NDArray[np.complex128]:
        """Two half-π pulses, detuned (GHz), the second one rotated, with a varied wait (ns)."""
        wave = half_pi(self.half_pi_amplitude)
        frequency = self.truth.frequency + detuning
        first = self.pulse(wave, 0.0, frequency)

        def drive(wait: float) -> tuple[Sequence[Pulse], float]:
            second = self.pulse(wave, first.end_ns + wait, frequency, rotation)
            return (first, second), second.end_ns

        return self.measure(points, drive, shots)
