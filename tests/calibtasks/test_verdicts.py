"""The verdicts of the tasks whose qubit turns: what is spoiled, off resonance or not known is refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest

from calibtasks.dataset import Dataset
from calibtasks.fits.fit import Complex
from calibtasks.measure.sweep import Sweep
from calibtasks.protocol import Protocol
from calibtasks.results import PostProcessResult, RunResult
from calibtasks.tasks.coherence.check_ramsey import CheckRamsey
from calibtasks.tasks.pulse.create_hpi_pulse import CreateHPIPulse
from calibtasks.tasks.rabi.check_rabi import CheckRabi
from qdash_queue.domain import CalibrationError, FailureKind, ParameterModel
from tests.calibtasks import oscillating
from tests.calibtasks.planted import PlantedQubit
from tests.calibtasks.test_base import StoredValues

INPUTS = {"qubit_frequency": 4.2, "control_amplitude": 0.03}
Spoil = Callable[[Sweep], Sweep]


def conclude(task: type[Protocol], sweeps: Mapping[str, Sweep], **settings: float) -> PostProcessResult:
    stored = {name: ParameterModel(value=INPUTS.get(name, 32.0)) for name in task.input_parameters}
    data = Dataset(array for name, sweep in sweeps.items() for array in sweep.arrays(name))
    return task.from_record("0", stored, settings).analyse("x", "0", RunResult(data))


def cause(result: PostProcessResult) -> str:
    return "" if result.failure is None else result.failure.cause


def qubit(seed: int, **known: float) -> PlantedQubit:
    return PlantedQubit(np.random.default_rng(seed), **known)  # type: ignore[arg-type]


def without_pulse(seed: int, **known: float) -> PlantedQubit:
    return replace(qubit(seed, **known), has_pulse=False, shots=2048)


MAKE: dict[type[Protocol], Callable[[int], dict[str, Sweep]]] = {
    CheckRabi: lambda seed: oscillating.rabi(without_pulse(seed)),
    CreateHPIPulse: lambda seed: oscillating.pulses(without_pulse(seed), right=0.0285),
    CheckRamsey: lambda seed: oscillating.ramsey(qubit(seed)),
}
TASKS = pytest.mark.parametrize("task", MAKE, ids=lambda task: task.name)


@TASKS
def test_good_data_pass(task: type[Protocol]) -> None:
    assert {cause(conclude(task, MAKE[task](seed))) for seed in range(25)} == {""}


def points_only(change: Callable[[Complex], Complex]) -> Spoil:
    return lambda sweep: replace(sweep, iq=change(sweep.iq))


def gain(by_part: Callable[[np.ndarray], np.ndarray]) -> Spoil:
    """A gain that changes with time, for points and references alike."""

    def spoiled(sweep: Sweep) -> Sweep:
        slices = np.arange(sweep.ground_iq.size) / max(sweep.ground_iq.size - 1, 1)
        parts = np.linspace(0, 1, sweep.iq.size)
        return replace(
            sweep,
            iq=sweep.iq * by_part(parts),
            ground_iq=sweep.ground_iq * by_part(slices),
            excited_iq=sweep.excited_iq * by_part(slices)[: sweep.excited_iq.size],
        )

    return spoiled


SPOILED: dict[str, Spoil] = {
    "reversed": points_only(lambda iq: iq[::-1]),
    "rolled": points_only(lambda iq: np.roll(iq, 3)),
    "frozen tail": points_only(lambda iq: np.where(np.arange(iq.size) < 0.8 * iq.size, iq, iq[-1])),
    "gain drift": gain(lambda part: 1 - 0.3 * part),
    "phase drift": gain(lambda part: np.exp(0.5j * part)),
    "gain jump": gain(lambda part: np.where(part < 0.6, 1.0, 0.8)),
}


@TASKS
@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED.keys())
def test_spoiled_data_are_refused(task: type[Protocol], spoil: Spoil) -> None:
    for seed in range(3):
        sweeps = MAKE[task](seed)
        name, first = next(iter(sweeps.items()))
        found = conclude(task, {**sweeps, name: spoil(first)})
        assert found.failure is not None, seed
        assert found.failure.message


@pytest.mark.parametrize("off_mhz", [-2.3, 2.3])
def test_the_drive_strength_is_that_of_a_resonant_drive(off_mhz: float) -> None:
    result = conclude(CheckRabi, oscillating.rabi(without_pulse(1), off_mhz=off_mhz))
    assert cause(result) == ""
    slope = result.output_parameters["maximum_rabi_frequency"]
    assert abs(float(slope.value or 0) - 12.5 / 0.03) < 3 * slope.error
    control = result.output_parameters["control_amplitude"]
    assert abs(float(control.value or 0) - 0.03) < 3 * control.error


def with_anharmonicity(ghz: float | None) -> PostProcessResult:
    names = [*CheckRabi.input_parameters] + ([] if ghz is None else ["anharmonicity"])
    stored = {name: ParameterModel(value=INPUTS.get(name, 32.0)) for name in names}
    if ghz is not None:
        stored["anharmonicity"] = ParameterModel(value=ghz, unit="GHz")
    sweeps = oscillating.rabi(without_pulse(1))
    data = Dataset(array for name, sweep in sweeps.items() for array in sweep.arrays(name))
    return CheckRabi.from_record("0", stored, {}).analyse("x", "0", RunResult(data))


def test_a_stored_anharmonicity_makes_the_drive_strengths_error_smaller() -> None:
    name = "maximum_rabi_frequency_systematic_error"
    usual, known = (with_anharmonicity(ghz).quality_metrics[name] for ghz in (None, -0.3))
    assert known == pytest.approx(usual / 10, rel=0.2)


@pytest.mark.parametrize("ghz", [0.3, -3.0, 0.0])
def test_a_strange_anharmonicity_is_refused(ghz: float) -> None:
    with pytest.raises(CalibrationError) as raised:
        with_anharmonicity(ghz)
    assert raised.value.failure.cause == "strange_value"


def test_an_optional_need_is_read_only_where_it_is_stored() -> None:
    assert "anharmonicity" not in CheckRabi.input_parameters
    required = {
        key: ParameterModel(value=32.0, unit=item.unit) for key, item in CheckRabi.input_parameters.items()
    }
    optional = {"anharmonicity": ParameterModel(value=-0.31, unit="GHz")}
    for stored in (required, {**required, **optional}):
        read = CheckRabi().prepare(StoredValues(**stored), "0").input_parameters
        assert read.keys() == stored.keys()


@pytest.mark.parametrize("off_mhz", [-8.0, 4.0, 13.0])
def test_a_drive_off_resonance_is_refused(off_mhz: float) -> None:
    result = conclude(CheckRabi, oscillating.rabi(without_pulse(2), off_mhz=off_mhz))
    assert result.failure is not None
    assert (result.failure.kind, result.failure.cause) == (FailureKind.OUT_OF_RANGE, "off_resonance")


def test_a_detuning_that_is_not_known_is_not_taken_for_none() -> None:
    sweeps = oscillating.rabi(replace(without_pulse(3), shots=16), side_mhz=1.0)
    assert cause(conclude(CheckRabi, sweeps, side_detuning=0.001)) == "detuning_not_resolved"


def test_both_generations_of_names_are_written() -> None:
    fringe = conclude(CheckRamsey, MAKE[CheckRamsey](4)).output_parameters
    assert fringe["qubit_frequency"].value == fringe["control_frequency"].value
    pulse = conclude(CreateHPIPulse, MAKE[CreateHPIPulse](4)).output_parameters
    assert pulse["hpi_length"].value == pulse["hpi_duration"].value == 32


def test_two_frequencies_are_refused() -> None:
    for seed in range(3):
        both = [oscillating.ramsey(qubit(seed), mhz) for mhz in (1.0, 1.06)]
        mixed = {
            name: replace(both[0][name], iq=0.7 * both[0][name].iq + 0.3 * both[1][name].iq)
            for name in both[0]
        }
        assert cause(conclude(CheckRamsey, mixed)) == "misfit"


@pytest.mark.parametrize("mhz", [0.0, 0.02, 0.07])
def test_a_fringe_near_zero_frequency_is_refused_with_the_right_advice(mhz: float) -> None:
    for seed in range(5):
        failure = conclude(CheckRamsey, oscillating.ramsey(qubit(seed), mhz)).failure
        assert failure is not None
        assert failure.kind is FailureKind.BAD_FIT
        if failure.cause == "zero_frequency":
            assert "another detuning" in failure.remedy


def test_pulses_that_are_no_half_pi_are_refused() -> None:
    for seed in range(3):
        failure = conclude(CheckRamsey, oscillating.ramsey(qubit(seed), contrast=0.5)).failure
        assert failure is not None
        assert failure.cause == "not_half_pi"


@pytest.mark.parametrize("t2_us", [0.5, 60.0, 150.0])
def test_a_dephasing_time_is_accepted_when_it_is_resolved(t2_us: float) -> None:
    result = conclude(CheckRamsey, oscillating.ramsey(qubit(5, t2=t2_us * 1e3)))
    assert cause(result) == ""
    found = result.output_parameters["t2_star"]
    assert abs(float(found.value or 0) - t2_us) < 4 * found.error


def test_a_fringe_that_does_not_fade_is_refused_with_a_remedy() -> None:
    failure = conclude(CheckRamsey, oscillating.ramsey(qubit(6, t2=1e12))).failure
    assert failure is not None
    assert failure.cause == "decay_not_resolved"
    assert "time_range" in failure.remedy


def test_a_detuning_above_the_oscillation_leaves_no_drive_strength() -> None:
    sweeps = oscillating.rabi(without_pulse(7))
    faster = oscillating.rabi(without_pulse(8), side_mhz=14.0)
    result = conclude(CheckRabi, {**sweeps, "side": faster["side"]})
    assert result.quality_metrics["detuning_mhz"] > 12.5
    assert math.isnan(result.output_parameters["control_amplitude"].value or 0.0)
    assert cause(result) == "off_resonance"


def test_a_mixture_of_two_fringes_is_refused() -> None:
    """Half of the shots decay ten times faster: no decay time describes both."""
    for seed in range(5):
        slow, fast = (oscillating.ramsey(qubit(seed, t2=t2)) for t2 in (40e3, 4e3))
        mixed = {name: replace(sweep, iq=0.5 * (sweep.iq + fast[name].iq)) for name, sweep in slow.items()}
        assert cause(conclude(CheckRamsey, mixed)) in ("not_exponential", "misfit", "not_half_pi")
