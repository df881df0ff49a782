"""The benchmark of true values: its data, its bound, and the planted faults that it sees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qubex.pulse import get_sampling_period, set_sampling_period
from scipy.optimize import curve_fit

from benchmarks import truth_cells
from benchmarks.truth_bounds import bounds, half_pi_amplitude, rabi_frequency
from benchmarks.truth_cells import Cell, bench_of, calibrated
from benchmarks.truth_faults import KINDS, Broken, Situation
from benchmarks.truth_sampler import (
    CHIP,
    PRE_MARGIN_NS,
    QID,
    SAMPLE_NS,
    Bench,
    Readout,
    draw,
    engine_of,
    read_line,
)
from benchmarks.truth_verdicts import outcome, tally, wrong
from calibtasks.fits.fit import Estimate
from calibtasks.parameters.declared import Param
from calibtasks.protocol import Protocol
from calibtasks.tasks.coherence.check_t1 import CheckT1
from calibtasks.tasks.rabi.check_rabi import CheckRabi
from executors.backends.base import BackendSession
from executors.backends.registry import make_backend
from executors.backends.simchip.device import QubitTruth, true_qubit
from executors.backends.simchip.engine import CaptureMode, Engine, Program
from executors.backends.simchip.options import SimulationOptions
from qdash_queue.domain import ParameterModel

TRUTH = true_qubit(3, CHIP, QID)
UNITS = {"_frequency": "GHz", "anharmonicity": "GHz", "_length": "ns", "_amplitude": "a.u."}


@pytest.fixture(autouse=True)
def sampling_period() -> Iterator[None]:
    before = get_sampling_period()
    set_sampling_period(SAMPLE_NS)
    yield
    set_sampling_period(before)


def bench(task: type[Protocol] = CheckT1, truth: QubitTruth = TRUTH, **settings: object) -> Bench:
    return bench_of(task(settings), truth, calibrated(truth), "test")


# ------------------------------------------------------------------ the data


@pytest.mark.parametrize("task", [CheckT1, CheckRabi])
def test_the_sampled_programs_are_those_that_qubex_sends(
    task: type[Protocol], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Program] = []
    run = Engine.run

    def recorded(engine: Engine, program: Program) -> dict[str, list[Any]]:
        sent.append(program)
        return run(engine, program)

    monkeypatch.setattr(Engine, "run", recorded)
    stored = {
        name: ParameterModel(value=value, unit=unit)
        for name, value in calibrated(TRUTH).items()
        for ending, unit in UNITS.items()
        if name.endswith(ending)
    }
    session = BackendSession(CHIP, 16, ("0",), {"0": stored}, tmp_path / "scratch")
    options = SimulationOptions(instrument_dir=tmp_path / "instrument", seed=3)
    backend = make_backend("fake", session, options, None)
    backend.connect()
    try:
        measured = task()
        measured.prepare(backend, "0")
        real = {array.name: array.values for array in measured.measure(backend, ("0",))["0"].data}
    finally:
        backend.close()

    sampled = bench(task)
    drawn = {array.name: array.values for array in sampled.run().data}
    assert drawn.keys() == real.keys()
    for name, values in real.items():
        if not name.endswith("iq"):
            np.testing.assert_array_equal(drawn[name], values)

    plans = sampled.lab.asked
    executions = [execution for plan in plans for execution in plan.executions]
    assert len(executions) == len(sent)
    engine = engine_of(TRUTH)
    levels = np.concatenate([plan.levels() for plan in plans])
    for program, execution, expected in zip(sent, executions, levels, strict=True):
        (line,) = program.reads.values()
        assert execution.shots == program.shots
        assert execution.end_ns + PRE_MARGIN_NS == pytest.approx(line.captures[0].start_ns)
        assert execution.seconds == pytest.approx(program.hardware_seconds())
        np.testing.assert_allclose(engine._populations(line, program)[0], expected, atol=1e-9)
        mine = read_line(sampled.inputs).pulses[0].samples
        np.testing.assert_allclose(line.pulses[0].gain * line.pulses[0].samples, mine, atol=1e-6)


def test_drawn_averages_have_the_engines_mean_and_covariance() -> None:
    inputs, shots, runs = calibrated(TRUTH), 100, 3000
    levels = np.array([[0.2, 0.7, 0.1]])
    line = read_line(inputs)
    program = Program({}, {"r": line}, shots, 1.0, CaptureMode.AVERAGED_VALUE, 0.8)
    engine, rng = engine_of(TRUTH), np.random.default_rng(5)
    real = np.array(
        [
            engine._capture(line, line.captures[0], rng.choice(3, size=shots, p=levels[0]), program)[0]
            for _ in range(runs)
        ]
    )
    drawn = draw(np.array([float(shots)]), levels, Readout.of(TRUTH, inputs), rng, runs)[:, 0]

    def parts(values: Any) -> Any:
        return np.stack([values.real, values.imag])

    spread = np.cov(parts(real))
    error = np.sqrt(2 * np.diag(spread) / runs)
    assert np.all(np.abs(parts(real).mean(axis=1) - parts(drawn).mean(axis=1)) < 4 * error)
    scale = np.sqrt(np.outer(np.diag(spread), np.diag(spread)))
    assert np.max(np.abs(np.cov(parts(drawn)) - spread) / scale) < 0.12


# ------------------------------------------------------------------ the bound and true values


def test_an_efficient_fit_reaches_the_bound_and_none_beats_it() -> None:
    # So long a wait that nothing is carried over: then three numbers describe the decay along a known axis.
    sampled = bench(interval=10_000_000)
    sampled.run()
    plan = sampled.lab.asked[0]
    points = ~plan.is_reference
    executions = [each for each, is_point in zip(plan.executions, points, strict=True) if is_point]
    least = bounds(TRUTH, executions, plan.readout, {"t1": lambda truth: truth.t1 * 1e-3})["t1"]

    axis = plan.readout.means[0] - plan.readout.means[1]
    time = plan.numbered.points * 1e-3
    p = plan.levels()[points][:, 1]
    noise = np.sqrt(plan.readout.white + abs(axis) ** 2 * p * (1 - p))
    errors = []
    for _ in range(500):
        signal = (plan.one(sampled.rng)[points] * np.conj(axis) / abs(axis)).real
        guess = (-abs(axis), 30.0, float(signal[-1]))
        found, _ = curve_fit(lambda t, a, tau, b: a * np.exp(-t / tau) + b, time, signal, guess, noise)
        errors.append(found[1] - TRUTH.t1 * 1e-3)
    assert float(np.sqrt(np.mean(np.square(errors)))) / least == pytest.approx(1.0, abs=0.12)


def test_the_bound_falls_with_the_square_root_of_the_shots() -> None:
    def least(shots: int) -> float:
        sampled = bench(shots=shots)
        sampled.run()
        executions = sampled.lab.asked[0].executions
        return bounds(TRUTH, executions, sampled.lab.readout, {"t1": lambda truth: truth.t1})["t1"]

    assert least(1024) / least(102_400) == pytest.approx(10, rel=0.05)


def test_the_scatter_tells_of_populations_unless_the_amplifier_drowns_them() -> None:
    sampled = bench(shots=64_000)
    sampled.run()
    readout = sampled.lab.readout
    noisy = replace(readout, covariances=np.tile(400 * readout.white * np.eye(2), (3, 1, 1)))

    def gain(readout: Readout) -> float:
        full, of_means = (
            bounds(
                TRUTH,
                sampled.lab.asked[0].executions,
                readout,
                {"t1": lambda truth: truth.t1},
                with_scatter=with_scatter,
            )["t1"]
            for with_scatter in (True, False)
        )
        return of_means / full - 1

    quiet, drowned = gain(readout), gain(noisy)
    assert quiet > 5e-3
    assert 0 <= drowned < quiet / 10


def test_without_a_third_level_true_values_are_those_of_a_spin() -> None:
    spin = replace(TRUTH, anharmonicity=-1e3)
    inputs = {**calibrated(TRUTH), "qubit_frequency": TRUTH.frequency + 5e-3, "control_amplitude": 0.03}
    rabi = spin.drive * 0.03e3
    assert rabi_frequency(spin, inputs) == pytest.approx(np.hypot(rabi, 5.0), rel=1e-5)
    # 32 ns with two cosine-like ramps of 12 ns have an area between 8 and 32 ns.
    assert 0.25 / 32 < spin.drive * half_pi_amplitude(spin, inputs) < 0.25 / 8


# ------------------------------------------------------------------ planted faults


class _Biased(CheckT1, register=False):
    name = "CheckT1"

    def values(self, fit: Any, target: Any) -> Mapping[Param, Estimate]:
        return {
            param: replace(found, value=found.value * 1.1)
            for param, found in super().values(fit, target).items()
        }


def test_a_biased_task_misses_its_bars_and_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(truth_cells, "protocol", lambda _: _Biased)
    (found,) = tally(Cell("CheckT1", "default", settings={"shots": 20_000}), [3], 60)
    assert {"RMSE", "mean", "coverage"} <= set(found.missed())
    planted = bench(_Biased, shots=100_000)
    run = outcome(planted)
    assert not run.cause
    assert wrong("CheckT1", planted.inputs, run, [TRUTH]) == ["T1"]
    assert not wrong("CheckT1", planted.inputs, run, [replace(TRUTH, t1=TRUTH.t1 * 1.1)])


def broken(kind: str) -> tuple[Broken, Situation]:
    situation = Situation("CheckT1", 3)
    return KINDS[kind](situation, np.random.default_rng(1)), situation


@pytest.mark.parametrize(("kind", "moves_references"), [("gain drift", True), ("reversed", False)])
def test_a_fault_of_the_receiver_moves_the_references_and_one_of_the_order_does_not(
    kind: str, moves_references: bool
) -> None:
    made, _ = broken(kind)
    made.bench.run()
    plan = made.bench.lab.asked[0]
    assert made.fault is not None
    times = np.cumsum(plan.seconds) / plan.seconds.sum()

    class Still:
        """Draws no noise: what differs is the fault."""

        levels = plan.levels() @ plan.readout.means

    quiet = replace(plan)
    quiet.one = lambda rng: Still.levels.copy()  # type: ignore[method-assign]  # noqa: ARG005
    changed = made.fault(quiet, times, np.random.default_rng(0)) != Still.levels
    assert np.any(changed[~plan.is_reference])
    assert bool(np.any(changed[plan.is_reference])) is moves_references


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_fault_gives_data_of_the_same_form(kind: str) -> None:
    made, situation = broken(kind)
    good = {array.name: array.values.shape for array in situation.good.run().data}
    assert {array.name: array.values.shape for array in made.bench.run(made.fault).data} == good


@pytest.mark.parametrize("kind", ["NaN", "constant", "no signal"])
def test_what_is_no_data_is_refused(kind: str) -> None:
    made, _ = broken(kind)
    assert outcome(made.bench, made.fault).cause
