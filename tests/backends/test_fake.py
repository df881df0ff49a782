"""The tasks through a real qubex Experiment on the simulated chip."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from calibtasks.active_protocols import active_tasks
from calibtasks.dataset import Dataset
from calibtasks.measure.lab import REFERENCE_SHARE
from calibtasks.measure.pulses import half_pi_pulse
from calibtasks.results import RunResult
from calibtasks.tasks.coherence.check_ramsey import CheckRamsey
from calibtasks.tasks.coherence.check_t1 import CheckT1
from calibtasks.tasks.pulse.create_hpi_pulse import CreateHPIPulse
from calibtasks.tasks.rabi.check_rabi import CheckRabi
from executors.backends.base import BackendSession, BaseBackend
from executors.backends.fake import FakeBackend
from executors.backends.simchip.device import QubitTruth, design_parameters, true_qubit
from executors.backends.simchip.options import SimulationOptions
from executors.backends.simchip.solver import Pulse, Transmon
from qdash_queue.domain import CalibrationError, FailureKind
from tests.backends.measuring import Measured, measure, refusal

Connect = Callable[..., BaseBackend]

SEED = 7
CALIBRATED: dict[str, float | None] = {"hpi_amplitude": 0.03128, "hpi_length": 32.0}
"""Half-π pulse of qubit 0 of SIM16 with seed 7."""


# ------------------------------------------------------------------ the whole chip


@pytest.fixture(scope="module")
def whole_chip(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Measured]:
    """All tasks on all qubits of SIM16, in order, from its design values."""
    design = design_parameters("SIM16", 16)
    scratch = tmp_path_factory.mktemp("whole")
    session = BackendSession("SIM16", 16, tuple(design), design, scratch)
    found = {}
    with FakeBackend(session, SimulationOptions(scratch / "instruments", SEED)) as backend:
        for qid in session.qids:
            for name, task in active_tasks().items():
                found[qid, name] = measured = measure(backend, task(), qid)
                backend.update_note(qid, measured.result.output_parameters)
    return found


def truths() -> dict[str, QubitTruth]:
    return {str(qid): true_qubit(SEED, "SIM16", qid) for qid in range(16)}


def test_every_task_passes_on_every_qubit_from_its_design_values(
    whole_chip: dict[tuple[str, str], Measured],
) -> None:
    refused = {key: refusal(found) for key, found in whole_chip.items()}
    assert len(refused) == 96
    assert {key: why for key, why in refused.items() if why is not None} == {}


@pytest.mark.parametrize(
    ("task", "name", "true"),
    [
        ("CheckT1", "t1", lambda truth: truth.t1 * 1e-3),
        ("CheckRamsey", "t2_star", lambda truth: truth.t2_star * 1e-3),
        ("CheckT2Echo", "t2_echo", lambda truth: truth.t2_echo * 1e-3),
        ("CheckRamsey", "qubit_frequency", lambda truth: truth.frequency),
        ("CheckRabi", "maximum_rabi_frequency", lambda truth: truth.drive * 1e3),
    ],
)
def test_values_are_the_truth_within_their_errors(
    whole_chip: dict[tuple[str, str], Measured],
    task: str,
    name: str,
    true: Callable[[QubitTruth], float],
) -> None:
    outputs = {qid: whole_chip[qid, task].result.output_parameters[name] for qid in truths()}
    pulls = [
        (float(outputs[qid].value or 0) - true(truth)) / outputs[qid].error for qid, truth in truths().items()
    ]
    assert max(map(abs, pulls)) < 4, np.round(pulls, 1)
    assert float(np.mean(np.square(pulls))) < 2.2, np.round(pulls, 1)


def left_in_ground(truth: QubitTruth, amplitude: float) -> float:
    """Population of level 0 after one pulse of 32 ns on resonance, of a qubit that does not decay."""
    calm = replace(truth, t1=1e12, t2_star=1e12, t2_echo=1e12, thermal=0.0)
    pulse = half_pi_pulse(amplitude, 32.0)
    samples = np.asarray(pulse.values, dtype=np.complex128)
    drive = Pulse(0.0, samples, 32.0 / samples.size, truth.frequency)
    return float(Transmon(calm).transfer([drive], 32.0)[0, 0])


@pytest.mark.parametrize(
    ("task", "name", "turn"),
    [("CreateHPIPulse", "hpi_amplitude", 0.25), ("CreatePIPulse", "pi_amplitude", 0.5)],
)
def test_pulse_amplitudes_are_those_of_their_turn(
    whole_chip: dict[tuple[str, str], Measured], task: str, name: str, turn: float
) -> None:
    pulls = []
    for qid, truth in truths().items():
        found = whole_chip[qid, task].result.output_parameters[name]
        near = turn / 20.0 / truth.drive
        wanted = {0.25: 0.5, 0.5: 0.0}[turn]
        right = minimize_scalar(
            lambda amplitude, of, wanted: abs(left_in_ground(of, amplitude) - wanted),
            bounds=(0.98 * near, 1.02 * near),
            args=(truth, wanted),
            method="bounded",
        ).x
        pulls.append((float(found.value or 0) - right) / found.error)
    assert max(map(abs, pulls)) < 4, np.round(pulls, 1)
    assert abs(float(np.mean(pulls))) < 0.9, np.round(pulls, 1)


def test_stored_raw_data_gives_the_same_result_again(whole_chip: dict[tuple[str, str], Measured]) -> None:
    for found in (whole_chip["5", name] for name in active_tasks()):
        stored = RunResult(Dataset.from_raw(found.run.data.to_raw()))
        again = type(found.task).from_record("5", found.prepared.input_parameters, found.task.run_parameters)
        result = again.analyse("", "5", stored)
        assert result.output_parameters == found.result.output_parameters
        assert result.figures == found.result.figures


def test_figures_are_readable_and_hold_no_strange_numbers(
    whole_chip: dict[tuple[str, str], Measured],
) -> None:
    units = ("(ns)", "(μs)", "(a.u.)", "(GHz)", "(MHz)", "population")
    for (qid, name), found in whole_chip.items():
        assert found.result.figures, name
        assert len({figure.name for figure in found.result.figures}) == len(found.result.figures)
        first = json.loads(found.result.figures[0].plotly)["layout"]["title"]["text"]
        assert "±" in first
        for figure in found.result.figures:
            assert "NaN" not in figure.plotly
            assert "bdata" not in figure.plotly
            assert len(figure.plotly) < 100_000
            drawn = json.loads(figure.plotly)
            assert f"qubit {qid}" in drawn["layout"]["title"]["text"]
            assert drawn["layout"]["xaxis"]["title"]["text"].endswith(units)
            assert drawn["layout"]["yaxis"]["title"]["text"].endswith(units)
            assert {trace["mode"] for trace in drawn["data"]} == {"markers", "lines"}


# ------------------------------------------------------------------ refused


@pytest.mark.parametrize("detuning", [-0.3, -0.1, -0.05, -0.02, -0.005, 0.005, 0.01, 0.03, 0.05, 0.12, 0.5])
def test_a_wrong_drive_frequency_is_refused(connected: Connect, detuning: float) -> None:
    frequency = true_qubit(SEED, "SIM16", 0).frequency + detuning
    backend = connected(stored={"0": {"qubit_frequency": frequency}})
    found = measure(backend, CheckRabi())
    failure = refusal(found)
    assert failure is not None
    assert failure.kind in (FailureKind.NO_SIGNAL, FailureKind.OUT_OF_RANGE)
    if abs(detuning) <= 0.03:
        assert failure.cause == "off_resonance"
        measured = found.result.quality_metrics["detuning_mhz"]
        assert measured == pytest.approx(detuning * 1e3, abs=3)
    assert found.result.figures


@pytest.mark.parametrize("rabi_mhz", [10.6, 35.5, 92.4, 99.5, 106.6, 117.3])
def test_an_oscillation_faster_than_the_step_is_seen_as_such(connected: Connect, rabi_mhz: float) -> None:
    drive = true_qubit(SEED, "SIM16", 0).drive
    backend = connected(stored={"0": {"control_amplitude": rabi_mhz * 1e-3 / drive}})
    found = measure(backend, CheckRabi())
    failure = refusal(found)
    assert (failure.cause if failure else None) == (None if rabi_mhz < 40 else "rabi_frequency")
    assert found.result.output_parameters["rabi_frequency"].value == pytest.approx(rabi_mhz, rel=0.02)


def test_other_tasks_refuse_a_wrong_drive_frequency(connected: Connect) -> None:
    frequency = true_qubit(SEED, "SIM16", 0).frequency
    backend = connected(stored={"0": {"qubit_frequency": frequency + 0.1, **CALIBRATED}})
    for task in (CreateHPIPulse(), CheckT1(), CheckRamsey()):
        failure = refusal(measure(backend, task))
        assert failure is not None, task.name
        assert failure.kind is FailureKind.NO_SIGNAL, task.name


@pytest.mark.parametrize("detuning", [-0.006, -0.002, 0.002, 0.004, 0.01])
def test_a_half_pi_pulse_off_resonance_is_refused(connected: Connect, detuning: float) -> None:
    frequency = true_qubit(SEED, "SIM16", 0).frequency
    backend = connected(stored={"0": {"qubit_frequency": frequency + detuning}})
    failure = refusal(measure(backend, CreateHPIPulse()))
    assert failure is not None
    if abs(detuning) < 0.003:
        assert (failure.kind, failure.cause) == (FailureKind.OUT_OF_RANGE, "off_resonance")


@pytest.mark.parametrize("detuning", [-0.001, 0.001])
def test_a_half_pi_pulse_slightly_off_resonance_keeps_its_amplitude(
    connected: Connect, detuning: float
) -> None:
    truth = true_qubit(SEED, "SIM16", 0)
    backend = connected(stored={"0": {"qubit_frequency": truth.frequency + detuning}})
    found = measure(backend, CreateHPIPulse())
    assert refusal(found) is None
    output = found.result.output_parameters["hpi_amplitude"]
    assert abs(float(output.value or 0) * truth.drive * 20 / 0.25 - 1) < 4e-3
    assert abs(float(output.value or 0) - 0.25 / 20.0 / truth.drive) < 3 * output.error


@pytest.mark.parametrize("detuning", [-0.02, 0.02, -0.025, 0.03])
def test_ramsey_stores_no_wrong_t2_star_when_the_drive_is_off_by_more_than_its_pulses_reach(
    connected: Connect, detuning: float
) -> None:
    """Its fringe has the right frequency: its decay is right too, or it is refused."""
    truth = true_qubit(SEED, "SIM16", 0)
    backend = connected(stored={"0": {"qubit_frequency": truth.frequency + detuning, **CALIBRATED}})
    found = measure(backend, CheckRamsey())
    failure = refusal(found)
    if failure is not None:
        assert failure.kind is FailureKind.BAD_FIT
    else:
        t2_star = found.result.output_parameters["t2_star"]
        assert abs(float(t2_star.value or 0) - truth.t2_star * 1e-3) < 4 * t2_star.error


@pytest.mark.parametrize("detuning", [0.003, 0.011])
def test_ramsey_finds_a_frequency_that_is_far_off(connected: Connect, detuning: float) -> None:
    frequency = true_qubit(SEED, "SIM16", 0).frequency
    backend = connected(stored={"0": {"qubit_frequency": frequency + detuning, **CALIBRATED}})
    found = measure(backend, CheckRamsey())
    assert refusal(found) is None
    output = found.result.output_parameters["qubit_frequency"]
    assert abs(float(output.value or 0) - frequency) < 5 * output.error


def test_a_pulse_above_full_scale_is_not_played(connected: Connect) -> None:
    backend = connected(stored={"0": {"control_amplitude": 2.4}})
    with pytest.raises(CalibrationError, match=r"needs an amplitude of .*, above full scale") as refused:
        measure(backend, CreateHPIPulse())
    assert (refused.value.failure.kind, refused.value.failure.cause) == (
        FailureKind.OUT_OF_RANGE,
        "full_scale",
    )
    assert backend.hardware_seconds == 0


@pytest.mark.parametrize(("length", "nearest"), [(31, "30 and 32"), (33, "32 and 34"), (999, "998 and 1000")])
def test_a_pulse_off_the_sampling_grid_is_refused(connected: Connect, length: int, nearest: str) -> None:
    with pytest.raises(CalibrationError, match=f"got {length} ns: {nearest} ns are nearest") as refused:
        measure(connected(), CreateHPIPulse({"hpi_duration": length}))
    assert refused.value.failure.kind is FailureKind.INVALID_REQUEST


def test_no_readout_is_no_signal(connected: Connect) -> None:
    resonator = true_qubit(SEED, "SIM16", 0).resonator
    backend = connected(stored={"0": {"readout_frequency": resonator - 0.3}})
    failure = refusal(measure(backend, CheckRabi()))
    assert failure is not None


@pytest.mark.parametrize(
    "name",
    ["qubit_frequency", "control_amplitude", "readout_frequency", "readout_amplitude", "readout_length"],
)
def test_a_missing_input_is_named_and_never_guessed(connected: Connect, name: str) -> None:
    backend = connected(("0", "1"), stored={"0": {name: None}})
    with pytest.raises(CalibrationError, match=f"qubit 0 of SIM16 has no {name}") as refused:
        CheckRabi().prepare(backend, "0")
    assert refused.value.failure.kind is FailureKind.MISSING_INPUT
    assert CheckRabi().prepare(backend, "1").input_parameters[name].value is not None


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_input_that_is_no_number_is_a_missing_input(new_backend: Connect, value: float) -> None:
    backend = new_backend(stored={"0": {"control_amplitude": value}})
    with pytest.raises(CalibrationError, match="expected a finite control_amplitude"):
        backend.parameter("0", "control_amplitude")


# ------------------------------------------------------------------ determinism and time


def test_the_same_session_gives_the_same_data_and_another_noise_does_not(connected: Connect) -> None:
    def data(*qids: str, **options: int) -> np.ndarray:
        return measure(connected(qids, **options), CheckRabi()).run.data.values("rabi_iq")

    alone = data("0")
    assert np.array_equal(alone, data("0"))
    assert np.array_equal(alone, data("0", "5", "15"))
    assert not np.array_equal(alone, data("0", noise_seed=1))
    other = data("0", seed=8)
    assert float(np.max(np.abs(other - alone))) > 0.05


def test_hardware_time_is_counted_apart_from_wall_time(connected: Connect) -> None:
    backend = connected()
    measure(backend, CheckRabi({"shots": 1000}))
    guards = 4
    points = (51 + guards) + (26 + guards) / 2
    seconds = points * 1000 * (153_600 + 384 + 250) * 1e-9
    assert backend.hardware_seconds == pytest.approx(seconds * (1 + REFERENCE_SHARE), rel=0.02)


def test_another_chip_of_another_size_can_follow_in_the_same_process(connected: Connect) -> None:
    assert refusal(measure(connected(("0",)), CheckRabi())) is None
    backend = connected(("37",), "SIM64", 64)
    assert backend.label("37") == "Q37"
    assert refusal(measure(backend, CheckRabi(), "37")) is None


def test_the_multiplexers_are_those_of_the_chip(new_backend: Connect) -> None:
    assert new_backend(("5",), muxes={4: 2, 5: 3}).muxes() == [3]
    assert new_backend(("5", "6")).muxes() == [1], "the simulator's own, where the chip names none"


def test_a_second_experiment_in_the_process_is_refused(connected: Connect, new_backend: Connect) -> None:
    connected()
    with pytest.raises(CalibrationError, match="this process already holds the instrument of SIM16"):
        new_backend(chip_id="SIM64", n_qubits=64).connect()


def test_everything_is_written_into_the_scratch_folder(
    connected: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "cwd"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    backend = connected()
    measure(backend, CheckRabi())
    assert list(elsewhere.iterdir()) == []
    assert (backend.session.scratch / "qubex" / "calib_note.json").exists()


def test_accepted_values_reach_qubexs_own_note(connected: Connect) -> None:
    backend = connected()
    found = measure(backend, CheckRabi())
    backend.update_note("0", found.result.output_parameters)
    rabi = backend.get_instance().calib_note.get_rabi_param("Q00")
    assert rabi["frequency"] == pytest.approx(0.0119, rel=0.01)
    normalised = backend.get_instance().rabi_params["Q00"].normalize(found.run.data.values("rabi_iq"))
    assert float(np.max(normalised)) == pytest.approx(1.0, abs=0.1)
    assert float(np.min(normalised)) == pytest.approx(-1.0, abs=0.1)
    assert backend.parameter("0", "control_amplitude") == found.result.output_parameters["control_amplitude"]
