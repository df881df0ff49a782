"""Decays that something spoiled are refused by the tasks' own lists of checks; good ones are not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest

from calibtasks.dataset import Dataset
from calibtasks.measure.sweep import Complex, Real, Sweep
from calibtasks.protocol import Protocol
from calibtasks.results import PostProcessResult, RunResult
from calibtasks.tasks.coherence.check_t1 import CheckT1
from calibtasks.tasks.coherence.check_t2_echo import CheckT2Echo
from qdash_queue.domain import FailureKind, ParameterModel
from tests.calibtasks.planted import ECHO_WAITS, WAITS, PlantedQubit, part_of_time

SEEDS = range(3)
INPUTS = {
    "qubit_frequency": ParameterModel(value=4.2, unit="GHz"),
    "hpi_amplitude": ParameterModel(value=0.03, unit="a.u."),
    "hpi_length": ParameterModel(value=32, unit="ns"),
    "readout_frequency": ParameterModel(value=5.9, unit="GHz"),
    "readout_amplitude": ParameterModel(value=0.1, unit="a.u."),
    "readout_length": ParameterModel(value=384, unit="ns"),
}


def conclude(task: type[Protocol], sweeps: Mapping[str, Sweep]) -> PostProcessResult:
    arrays = [array for name, sweep in sweeps.items() for array in sweep.arrays(name)]
    return task.from_record("0", INPUTS, {}).analyse("x", "0", RunResult(Dataset(arrays)))


def measured(task: type[Protocol], qubit: PlantedQubit) -> dict[str, Sweep]:
    if task is CheckT1:
        return {"decay": qubit.decay(), "doubled": qubit.doubled()}
    return {"decay": qubit.echo_decay(), "middle": qubit.middle()}


def gain(of: Callable[[Real], Real | Complex]) -> Callable[[Sweep], Sweep]:
    """A gain that changes over the sweep, for the references too."""

    def spoil(sweep: Sweep) -> Sweep:
        points, references = part_of_time(sweep)
        return replace(
            sweep,
            iq=sweep.iq * of(points),
            ground_iq=sweep.ground_iq * of(references),
            excited_iq=sweep.excited_iq * of(references),
        )

    return spoil


def points(change: Callable[[Complex], Complex]) -> Callable[[Sweep], Sweep]:
    return lambda sweep: replace(sweep, iq=change(sweep.iq))


def fast(sweep: Sweep) -> Complex:
    """The same decay of a qubit whose times are a quarter."""
    qubit = PlantedQubit(np.random.default_rng(9), t1=10e3, t2=10e3)
    return (qubit.echo_decay() if sweep.points[0] > WAITS[0] else qubit.decay()).iq


def beating(sweep: Sweep) -> Sweep:
    qubit = PlantedQubit(np.random.default_rng(9))
    excited = qubit.relaxed(sweep.points) * (0.6 + 0.4 * np.cos(sweep.points / 5e3))
    return replace(sweep, iq=qubit.iq(excited, sweep.shots))


BROKEN: dict[str, Callable[[Sweep], Sweep]] = {
    "reversed": points(lambda iq: iq[::-1]),
    "rolled by two": points(lambda iq: np.roll(iq, 2)),
    "rolled by ten": points(lambda iq: np.roll(iq, 10)),
    "frozen tail": points(lambda iq: np.where(np.arange(iq.size) < 45, iq, iq[44])),
    "zero tail": points(lambda iq: np.where(np.arange(iq.size) < 45, iq, 0)),
    "gain drift": gain(lambda at: 1 - 0.1 * at),
    "gain jump": gain(lambda at: np.where(at < 0.5, 1.0, 0.9)),
    "attenuator": gain(lambda at: np.where(at < 0.7, 1.0, 0.5)),
    "phase drift": gain(lambda at: np.exp(0.2j * at)),
    "jump of the times": lambda sweep: replace(
        sweep, iq=np.where(np.arange(sweep.iq.size) < 30, sweep.iq, fast(sweep))
    ),
    "beating": beating,
    "saturated": points(lambda iq: np.minimum(iq.real, 0.065) + 1j * iq.imag),
    "no pulse": points(lambda iq: PlantedQubit(np.random.default_rng(9)).iq(np.full(iq.size, 0.01), 1024)),
}


@pytest.mark.parametrize("spoil", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("task", [CheckT1, CheckT2Echo])
def test_a_spoiled_decay_is_refused(task: type[Protocol], spoil: Callable[[Sweep], Sweep]) -> None:
    for seed in SEEDS:
        sweeps = measured(task, PlantedQubit(np.random.default_rng(seed)))
        result = conclude(task, sweeps | {"decay": spoil(sweeps["decay"])})
        assert result.failure is not None
        assert result.failure.kind in (FailureKind.BAD_FIT, FailureKind.NO_SIGNAL)
        assert result.failure.message


def test_a_mixture_of_two_decays_is_refused() -> None:
    for seed in SEEDS:
        sweeps = measured(CheckT1, PlantedQubit(np.random.default_rng(seed)))
        mixed = 0.5 * (sweeps["decay"].iq + fast(sweeps["decay"]))
        result = conclude(CheckT1, sweeps | {"decay": replace(sweeps["decay"], iq=mixed)})
        assert result.failure is not None
        assert result.failure.kind is FailureKind.BAD_FIT


@pytest.mark.parametrize("shots", [64, 1024, 100_000])
@pytest.mark.parametrize("task", [CheckT1, CheckT2Echo])
def test_a_good_decay_passes(task: type[Protocol], shots: int) -> None:
    rng = np.random.default_rng(shots)
    for time in (30e3, 60e3, 100e3) if task is CheckT1 else (20e3, 40e3):
        for _ in range(6):
            qubit = PlantedQubit(rng, t1=time, t2=0.8 * time, shots=shots)
            result = conclude(task, measured(task, qubit))
            assert result.failure is None
            assert result.r2 is not None
            assert result.r2 > task.r2_threshold


def test_values_and_figures_are_named_with_unit_and_error() -> None:
    qubit = PlantedQubit(np.random.default_rng(1))
    for task, name, title in (
        (CheckT1, "t1", "T1 of qubit 0"),
        (CheckT2Echo, "t2_echo", "T2 echo of qubit 0"),
    ):
        result = conclude(task, measured(task, qubit))
        (value,) = result.output_parameters.values()
        assert (value.parameter_name, value.unit) == (name, "μs")
        assert value.value == pytest.approx(40, abs=5 * value.error)
        (figure,) = result.figures
        assert figure.name == name
        assert title in figure.plotly
        assert "Excited population" in figure.plotly


def test_without_excited_references_the_axis_is_the_signal() -> None:
    qubit = PlantedQubit(np.random.default_rng(1), has_pulse=False)
    result = conclude(CheckT1, measured(CheckT1, qubit))
    assert result.failure is None
    assert "Signal along the IQ axis (a.u.)" in result.figures[0].plotly


def test_the_default_waiting_times_are_those_planted() -> None:
    for task, waits in ((CheckT1, WAITS), (CheckT2Echo, ECHO_WAITS)):
        own = task.from_record("0", INPUTS, {}).points("time_range")
        assert own[[0, -1]] == pytest.approx(waits[[0, -1]], rel=0.05)
