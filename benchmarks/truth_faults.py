"""Broken runs: what goes wrong in a laboratory, done to the data in the order in which they are measured.

A fault of the line or the receiver (gain, phase, dead time) hits points and reference points alike; one of
the order of the points leaves the references alone. A fault of the qubit changes its populations, one of
stored values the pulses. Times are in parts of the whole run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.truth_cells import Cell, Inputs, bench_of, lifetimes, protocol
from benchmarks.truth_sampler import Bench, Complex, Fault, Plan, Real
from executors.backends.simchip.device import QubitTruth

Signals = Callable[[Plan, Real, Complex], Complex]


@dataclass
class Situation:
    """A task on a calibrated qubit, and the same with something changed, each made once."""

    task: str
    seed: int
    _benches: dict[tuple[QubitTruth, tuple[tuple[str, float], ...]], Bench] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.good = Cell(self.task, "broken").bench(self.seed)

    def bench(self, truth: QubitTruth | None = None, **inputs: float) -> Bench:
        """The task on another qubit or with other inputs."""
        changed: Inputs = {**self.good.inputs, **inputs}
        key = (truth or self.good.truth, tuple(sorted(changed.items())))
        if key not in self._benches:
            self._benches[key] = bench_of(protocol(self.task)(), key[0], changed, "broken", self.seed)
        return self._benches[key]


@dataclass(frozen=True)
class Broken:
    """One broken run.

    Attributes:
        bench: that runs it.
        fault: done to its signals.
        truths: any of them is a true answer.
    """

    bench: Bench
    fault: Fault | None
    truths: Sequence[QubitTruth]


Kind = Callable[[Situation, np.random.Generator], Broken]


# ------------------------------------------------------------------ the receiver and the order of points


def _signals(change: Callable[[np.random.Generator], Signals]) -> Kind:
    """``change`` draws how strong the fault is, once a run."""

    def make(situation: Situation, rng: np.random.Generator) -> Broken:
        changed = change(rng)

        def fault(plan: Plan, times: Real, draws: np.random.Generator) -> Complex:
            return changed(plan, times, plan.one(draws).copy())

        return Broken(situation.good, fault, [situation.good.truth])

    return make


def _sign(rng: np.random.Generator) -> float:
    return float(rng.choice([-1.0, 1.0]))


def _reversed(rng: np.random.Generator) -> Signals:
    def change(plan: Plan, times: Real, signals: Complex) -> Complex:
        points = ~plan.is_reference
        signals[points] = signals[points][::-1].copy()
        return signals

    return change


def _rolled(rng: np.random.Generator) -> Signals:
    by = int(rng.integers(1, 6))

    def change(plan: Plan, times: Real, signals: Complex) -> Complex:
        points = ~plan.is_reference
        signals[points] = np.roll(signals[points], by)
        return signals

    return change


def _tail(held: Callable[[Complex, NDArray[np.bool_], Plan, np.random.Generator], None]) -> Kind:
    """From a moment on, references included."""

    def draw(rng: np.random.Generator) -> Signals:
        begin = rng.uniform(0.3, 0.9)

        def change(plan: Plan, times: Real, signals: Complex) -> Complex:
            held(signals, times > begin, plan, rng)
            return signals

        return change

    return _signals(draw)


def _frozen(signals: Complex, late: NDArray[np.bool_], plan: Plan, rng: np.random.Generator) -> None:
    signals[late] = signals[~late][-1] if np.any(~late) else signals[0]


def _zero(signals: Complex, late: NDArray[np.bool_], plan: Plan, rng: np.random.Generator) -> None:
    signals[late] = 0


def _noise(plan: Plan, rng: np.random.Generator) -> Complex:
    first, second = rng.standard_normal((2, plan.shots.size))
    return np.asarray((first + 1j * second) * np.sqrt(plan.readout.white / plan.shots))


def _deaf(signals: Complex, late: NDArray[np.bool_], plan: Plan, rng: np.random.Generator) -> None:
    signals[late] = _noise(plan, rng)[late]


def _stuck(situation: Situation, rng: np.random.Generator) -> Broken:
    """The sequence is no longer changed from a moment on; references are."""
    begin = rng.uniform(0.3, 0.9)

    def fault(plan: Plan, times: Real, draws: np.random.Generator) -> Complex:
        points = np.flatnonzero(~plan.is_reference)
        shown = np.arange(times.size)
        last = points[max(0, np.searchsorted(times[points], begin) - 1)]
        late = points[times[points] > begin]
        shown[late] = last
        # Another run's signals of the point that is stuck: equal populations, fresh noise.
        signals = plan.one(draws).copy()
        for at in late:
            signals[at] = plan.one(draws)[last]
        return signals

    return Broken(situation.good, fault, [situation.good.truth])


def _factor(draw: Callable[[np.random.Generator], Callable[[Real], NDArray[np.generic]]]) -> Kind:
    def drawn(rng: np.random.Generator) -> Signals:
        factor = draw(rng)
        return lambda plan, times, signals: np.asarray(signals * factor(times))

    return _signals(drawn)


def _gain_drift(rng: np.random.Generator) -> Callable[[Real], NDArray[np.generic]]:
    by = _sign(rng) * rng.uniform(0.05, 0.6)
    return lambda times: 1 + by * times


def _gain_jump(rng: np.random.Generator) -> Callable[[Real], NDArray[np.generic]]:
    begin, by = rng.uniform(0.1, 0.9), 1 + _sign(rng) * rng.uniform(0.1, 0.5)
    return lambda times: np.where(times > begin, by, 1.0)


def _phase_drift(rng: np.random.Generator) -> Callable[[Real], NDArray[np.generic]]:
    by = _sign(rng) * rng.uniform(0.1, 1.5)
    return lambda times: np.exp(1j * by * times)


def _phase_jump(rng: np.random.Generator) -> Callable[[Real], NDArray[np.generic]]:
    begin, by = rng.uniform(0.1, 0.9), _sign(rng) * rng.uniform(0.1, 1.5)
    return lambda times: np.exp(1j * by * (times > begin))


def _contrast(plan: Plan) -> complex:
    return complex(plan.readout.means[1] - plan.readout.means[0])


def _offset_drift(rng: np.random.Generator) -> Signals:
    by = rng.uniform(0.1, 0.8) * np.exp(2j * np.pi * rng.uniform())
    return lambda plan, times, signals: np.asarray(signals + by * times * abs(_contrast(plan)))


def _hum(rng: np.random.Generator) -> Signals:
    by, turns = rng.uniform(0.05, 0.3) * np.exp(2j * np.pi * rng.uniform()), rng.uniform(1, 20)
    return lambda plan, times, signals: np.asarray(
        signals + by * np.sin(2 * np.pi * turns * times) * abs(_contrast(plan))
    )


def _saturated(rng: np.random.Generator) -> Signals:
    """Both quadratures are clipped within the swing between the two levels."""
    share = rng.uniform(0.3, 0.9)

    def clipped(part: Real, levels: Real) -> Real:
        low, high = float(levels[:2].min()), float(levels[:2].max())
        if abs(high) > abs(low):
            return np.minimum(part, low + share * (high - low))
        return np.maximum(part, high - share * (high - low))

    def change(plan: Plan, times: Real, signals: Complex) -> Complex:
        means = plan.readout.means
        return clipped(signals.real, means.real) + 1j * clipped(signals.imag, means.imag)

    return change


def _points_at_random(count: int, replaced: Callable[[Plan, Complex, int], complex]) -> Kind:
    def draw(rng: np.random.Generator) -> Signals:
        def change(plan: Plan, times: Real, signals: Complex) -> Complex:
            points = np.flatnonzero(~plan.is_reference)[1:]
            for at in np.sort(rng.choice(points, size=min(count, points.size), replace=False)):
                signals[at] = replaced(plan, signals, int(at))
            return signals

        return change

    return _signals(draw)


def _no_signal(rng: np.random.Generator) -> Signals:
    return lambda plan, times, signals: _noise(plan, rng)


def _constant(rng: np.random.Generator) -> Signals:
    return lambda plan, times, signals: np.full_like(signals, signals[0])


# ------------------------------------------------------------------ the qubit and the stored values


def _qubit(
    others: Sequence[Callable[[QubitTruth], QubitTruth]],
    share: Callable[[np.random.Generator], Callable[[Real], Real]],
) -> Kind:
    """A share of the shots, by time, sees another qubit."""

    def make(situation: Situation, rng: np.random.Generator) -> Broken:
        other = others[int(rng.integers(len(others)))](situation.good.truth)
        part = share(rng)

        def fault(plan: Plan, times: Real, draws: np.random.Generator) -> Complex:
            return plan.mixed(draws, other, part(times))

        return Broken(situation.good, fault, [situation.good.truth, other])

    return make


def _jump(rng: np.random.Generator) -> Callable[[Real], Real]:
    begin = rng.uniform(0.1, 0.9)
    return lambda times: np.where(times > begin, 1.0, 0.0)


def _drift(rng: np.random.Generator) -> Callable[[Real], Real]:
    return lambda times: np.clip(times, 0.0, 1.0)


def _always(rng: np.random.Generator) -> Callable[[Real], Real]:
    by = rng.uniform(0.2, 0.6)
    return lambda times: np.full(times.shape, by)


def _shifted(mhz: float) -> Callable[[QubitTruth], QubitTruth]:
    return lambda truth: replace(truth, frequency=truth.frequency + mhz * 1e-3)


_TIMES: Final = [lifetimes(factor) for factor in (0.3, 0.5, 2.0)]
_SHORT: Final = [lifetimes(factor) for factor in (0.1, 0.3)]
_SHIFTS: Final = [_shifted(mhz) for mhz in (-1.0, 0.15, 0.5)]
_AMPLITUDES: Final = ("hpi_amplitude", "pi_amplitude", "control_amplitude")


def _stored(change: Callable[[QubitTruth, Inputs, np.random.Generator], Inputs]) -> Kind:
    def make(situation: Situation, rng: np.random.Generator) -> Broken:
        good = situation.good
        return Broken(situation.bench(**change(good.truth, dict(good.inputs), rng)), None, [good.truth])

    return make


def _amplitude(*factors: float) -> Kind:
    def change(truth: QubitTruth, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        factor = float(rng.choice(factors))
        return {name: inputs[name] * factor for name in _AMPLITUDES}

    return _stored(change)


def _upper_transition(truth: QubitTruth, inputs: Inputs, rng: np.random.Generator) -> Inputs:
    return {"qubit_frequency": truth.frequency + truth.anharmonicity}


def _far_off(truth: QubitTruth, inputs: Inputs, rng: np.random.Generator) -> Inputs:
    return {"qubit_frequency": truth.frequency + float(rng.choice([-0.08, -0.02, 0.012, 0.04]))}


def _no_contrast(truth: QubitTruth, inputs: Inputs, rng: np.random.Generator) -> Inputs:
    return {"readout_frequency": inputs["readout_frequency"] + 0.3}


def _no_drive(situation: Situation, rng: np.random.Generator) -> Broken:
    truth = situation.good.truth
    return Broken(situation.bench(replace(truth, drive=truth.drive * 1e-4)), None, [truth])


KINDS: Final[dict[str, Kind]] = {
    "reversed": _signals(_reversed),
    "rolled": _signals(_rolled),
    "frozen tail": _tail(_frozen),
    "zero tail": _tail(_zero),
    "tail of noise": _tail(_deaf),
    "stuck sequence": _stuck,
    "gain drift": _factor(_gain_drift),
    "gain jump": _factor(_gain_jump),
    "phase drift": _factor(_phase_drift),
    "phase jump": _factor(_phase_jump),
    "offset drift": _signals(_offset_drift),
    "hum": _signals(_hum),
    "saturated": _signals(_saturated),
    "NaN": _points_at_random(1, lambda plan, signals, at: complex("nan")),
    "repeated points": _points_at_random(6, lambda plan, signals, at: complex(signals[at - 1])),
    "outliers": _points_at_random(
        3, lambda plan, signals, at: complex(plan.readout.means[0]) - 0.7 * _contrast(plan)
    ),
    "no signal": _signals(_no_signal),
    "constant": _signals(_constant),
    "lifetime jump": _qubit(_TIMES, _jump),
    "lifetime drift": _qubit(_TIMES, _drift),
    "bi-exponential": _qubit(_SHORT, _always),
    "frequency jump": _qubit(_SHIFTS, _jump),
    "beating": _qubit(_SHIFTS, _always),
    "pulses × 2": _amplitude(2.0),
    "wrong pulses": _amplitude(0.5, 0.75, 0.9, 1.1, 1.3),
    "drive on 1–2": _stored(_upper_transition),
    "far off resonance": _stored(_far_off),
    "no contrast": _stored(_no_contrast),
    "no drive": _no_drive,
}
