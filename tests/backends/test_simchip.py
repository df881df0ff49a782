"""The simulated chip's truth and physics, without qubex."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from executors.backends.simchip.device import (
    QubitTruth,
    check_size,
    design_parameters,
    true_qubit,
)
from executors.backends.simchip.engine import Capture, CaptureMode, Engine, Program, ReadLine
from executors.backends.simchip.solver import Pulse, Transmon

ROOT = Path(__file__).parents[2]

PERFECT = QubitTruth(
    frequency=4.2,
    anharmonicity=-0.34,
    drive=0.4,
    t1=1e12,
    t2_star=1e12,
    t2_echo=1e12,
    thermal=0.0,
    resonator=5.9,
    chi=-1e-3,
    kappa=4e-3,
    gain=0.01,
    phase=0.0,
    delay=20.0,
    noise=2.5e-3,
)


def with_truth(**changes: float) -> QubitTruth:
    return QubitTruth(**{**PERFECT.__dict__, **changes})


# ------------------------------------------------------------------ truth


def test_truth_depends_on_seed_chip_and_qubit_alone() -> None:
    assert true_qubit(7, "SIM16", 3) == true_qubit(7, "SIM16", 3)
    others = [true_qubit(8, "SIM16", 3), true_qubit(7, "SIM64", 3), true_qubit(7, "SIM16", 4)]
    assert all(other.t1 != true_qubit(7, "SIM16", 3).t1 for other in others)


@pytest.mark.parametrize("n_qubits", [16, 64])
def test_truth_is_physical_and_near_the_design(n_qubits: int) -> None:
    design = design_parameters("SIM", n_qubits)
    for qid in range(n_qubits):
        truth = true_qubit(1, "SIM", qid)
        assert 0 < truth.t2_star < truth.t2_echo <= 2 * truth.t1
        assert abs(truth.frequency - float(design[str(qid)]["qubit_frequency"].value or 0)) < 1e-3
        rabi = truth.drive * float(design[str(qid)]["control_amplitude"].value or 0)
        assert 0.009 < rabi < 0.016


def test_the_committed_design_is_the_devices() -> None:
    committed = json.loads((ROOT / "qdash_queue" / "data" / "sim16-design.json").read_text())
    assert committed == {
        qid: {name: {"value": item.value, "unit": item.unit} for name, item in values.items()}
        for qid, values in design_parameters("SIM16", 16).items()
    }


def grid_position(qid: int, n_qubits: int) -> tuple[int, int]:
    """Row and column of a qubit: blocks of 2×2 row by row, ``qid = 4 block + position``."""
    block, position = divmod(qid, 4)
    row, column = divmod(block, math.isqrt(n_qubits // 4))
    return 2 * row + position // 2, 2 * column + position % 2


@pytest.mark.parametrize("n_qubits", [16, 64])
def test_neighbours_on_the_lattice_are_a_control_and_a_target_of_other_frequency(n_qubits: int) -> None:
    places = {grid_position(qid, n_qubits): qid for qid in range(n_qubits)}
    side = math.isqrt(n_qubits)
    assert sorted(places) == [(row, column) for row in range(side) for column in range(side)]
    design = design_parameters("SIM", n_qubits)
    for (row, column), qid in places.items():
        for neighbour in ((row, column + 1), (row + 1, column)):
            other = places.get(neighbour)
            if other is not None:
                assert (qid % 4 in (0, 3)) != (other % 4 in (0, 3))
                pair = [float(design[str(q)]["qubit_frequency"].value or 0) for q in (qid, other)]
                assert abs(pair[0] - pair[1]) > 0.1


def test_a_block_is_a_square_and_reads_out_at_four_frequencies() -> None:
    assert [grid_position(qid, 16) for qid in range(4, 8)] == [(0, 2), (0, 3), (1, 2), (1, 3)]
    design = design_parameters("SIM16", 16)
    assert len({design[str(qid)]["readout_frequency"].value for qid in range(4, 8)}) == 4


@pytest.mark.parametrize("n_qubits", [0, 1, 9, 15, 25, 32])
def test_other_sizes_are_refused(n_qubits: int) -> None:
    with pytest.raises(ValueError, match="4, 16, 36, 64"):
        check_size(n_qubits)


# ------------------------------------------------------------------ dynamics


def driven(transmon: Transmon, pulses: list[Pulse], at_ns: float) -> NDArray[np.float64]:
    """Populations at a time, from thermal equilibrium at 0."""
    thermal = transmon.truth.thermal
    return np.asarray(transmon.transfer(pulses, at_ns) @ np.array([1 - thermal, thermal, 0.0]))


def square(
    amplitude: float, length: float, frequency: float, start: float = 0.0, phase: float = 0.0
) -> Pulse:
    return Pulse(start, np.full(round(length / 0.4), amplitude + 0j), 0.4, frequency, 1.0, phase)


@pytest.mark.parametrize("detuning", [0.0, 0.002, -0.006])
def test_a_weak_drive_gives_rabis_formula(detuning: float) -> None:
    rabi = 0.002
    transmon = Transmon(PERFECT)
    for length in (60.0, 200.0, 320.0):
        pulse = square(rabi / PERFECT.drive, length, PERFECT.frequency + detuning)
        total = math.hypot(rabi, detuning)
        expected = (rabi / total * math.sin(math.pi * total * length)) ** 2
        assert driven(transmon, [pulse], length)[1] == pytest.approx(expected, abs=2e-3)


def test_an_excited_state_decays_with_t1_to_thermal_equilibrium() -> None:
    truth = with_truth(t1=30e3, t2_star=40e3, t2_echo=40e3, thermal=0.02)
    transmon = Transmon(truth)
    pulse = square(0.01 / truth.drive, 50.0, truth.frequency)
    start = driven(transmon, [pulse], 50.0)
    for wait in (10e3, 50e3, 500e3):
        later = driven(transmon, [pulse], 50.0 + wait)
        expected = truth.thermal + (start[1] - truth.thermal) * math.exp(-wait / truth.t1)
        assert later[1] == pytest.approx(expected, abs=2e-3)


def test_a_superposition_turns_with_the_detuning_and_fades_with_t2_star() -> None:
    # Far from the third level, which would shift the phase by a few hundredths.
    truth = with_truth(t1=30e3, t2_star=20e3, t2_echo=35e3, anharmonicity=-10.0)
    transmon = Transmon(truth)
    detuning, length = 0.0005, 20.0
    first = square(0.0125 / truth.drive, length, truth.frequency + detuning)
    for wait in (0.0, 500.0, 5e3, 21e3):
        second = square(0.0125 / truth.drive, length, truth.frequency + detuning, length + wait, math.pi)
        excited = driven(transmon, [first, second], second.end_ns)[1]
        # A resonant π/2 pulse turns the phase like a wait of 2/π of its length.
        fringe = math.cos(2 * math.pi * detuning * (wait + 2 * length * 2 / math.pi))
        assert excited == pytest.approx(0.5 * (1 - math.exp(-wait / truth.t2_star) * fringe), abs=0.01)


def test_a_strong_short_pulse_leaks_into_the_third_level() -> None:
    gentle = driven(Transmon(PERFECT), [square(0.0125 / 0.4, 40.0, 4.2)], 40.0)
    violent = driven(Transmon(PERFECT), [square(0.25 / 0.4, 2.0, 4.2)], 2.0)
    assert gentle[2] < 2e-3
    assert violent[2] > 0.05


def test_impossible_truth_and_overlapping_pulses_are_refused() -> None:
    with pytest.raises(ValueError, match="T2 of at most 2 T1"):
        Transmon(with_truth(t1=10.0, t2_echo=30.0, t2_star=5.0))
    with pytest.raises(ValueError, match=r"T2\* of at most the echo's"):
        Transmon(with_truth(t1=30.0, t2_echo=20.0, t2_star=25.0))
    with pytest.raises(ValueError, match="two pulses overlap at 5 ns"):
        Transmon(PERFECT).transfer([square(0.01, 20, 4.2), square(0.01, 20, 4.2, start=5.0)], 100.0)


# ------------------------------------------------------------------ slow noise

# Pulses of 4 ns, so that nothing decays in them, and a third level too far off to be reached.
SLOW = {"t1": 30e3, "t2_star": 8e3, "t2_echo": 25e3, "anharmonicity": -50.0}


def hard(angle: float, start: float, phase: float = 0.0) -> Pulse:
    return square(angle / (2 * math.pi) / 4.0 / PERFECT.drive, 4.0, PERFECT.frequency, start, phase)


def sequence(angles: Sequence[float], waits: Sequence[float], phases: Sequence[float]) -> list[Pulse]:
    """Pulses about axes in the equator, with waits between them."""
    pulses = [hard(angles[0], 0.0, phases[0])]
    for angle, wait, phase in zip(angles[1:], waits, phases[1:], strict=True):
        pulses.append(hard(angle, pulses[-1].end_ns + wait, phase))
    return pulses


def excited(truth: QubitTruth, pulses: list[Pulse]) -> float:
    return float(driven(Transmon(truth), pulses, pulses[-1].end_ns)[1])


def test_a_fringe_decays_exponentially_with_t2_star() -> None:
    truth = with_truth(**SLOW)
    for wait in (0.0, 100.0, 1e3, 4e3, 8e3, 24e3, 80e3):
        pulses = sequence((math.pi / 2,) * 2, (wait,), (0.0, 0.0))
        assert excited(truth, pulses) == pytest.approx(0.5 * (1 + math.exp(-wait / 8e3)), abs=1e-3)


def test_an_echo_refocuses_the_slow_noise_and_decays_with_t2_echo() -> None:
    truth = with_truth(**SLOW)
    for wait in (400.0, 4e3, 20e3, 60e3):
        pulses = sequence((math.pi / 2, math.pi, math.pi / 2), (wait / 2,) * 2, (0.0, math.pi / 2, 0.0))
        assert excited(truth, pulses) == pytest.approx(0.5 * (1 + math.exp(-wait / 25e3)), abs=1e-3)
        three = sequence((math.pi / 2, math.pi, math.pi / 2), (wait / 4, wait * 3 / 4), (0, math.pi / 2, 0))
        unfocused = math.exp(-wait / 25e3 - wait / 2 * (1 / 8e3 - 1 / 25e3))
        assert excited(truth, three) == pytest.approx(0.5 * (1 + unfocused), abs=1e-3)


def turn(angle: float, phase: float) -> NDArray[np.float64]:
    """Rotation of a Bloch vector about an axis in the equator, by Rodrigues' formula."""
    x, y = math.cos(phase), math.sin(phase)
    cross = np.array([[0, 0, y], [0, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross)


def test_any_sequence_averages_over_a_lorentzian_of_detunings() -> None:
    angles, phases = (1.4, 2.1, 0.8, 1.7, 2.9), (0.0, 0.4, 2.0, -1.1, 0.7)
    waits = (900.0, 2500.0, 1600.0, 900.0)
    slow = 1 / 9e3
    count = 400_000
    detunings = slow * np.tan(math.pi * ((np.arange(count) + 0.5) / count - 0.5))
    vectors = np.tile(turn(angles[0], phases[0])[:, 2:], (1, count))
    for angle, wait, phase in zip(angles[1:], waits, phases[1:], strict=True):
        transverse = (vectors[0] + 1j * vectors[1]) * np.exp(1j * detunings * wait)
        vectors = turn(angle, phase) @ np.array([transverse.real, transverse.imag, vectors[2]])
    expected = float(0.5 * (1 - vectors[2].mean()))
    truth = with_truth(t2_star=9e3, anharmonicity=-50.0)
    assert excited(truth, sequence(angles, waits, phases)) == pytest.approx(expected, abs=4e-3)
    assert abs(expected - excited(replace(truth, t2_star=1e12), sequence(angles, waits, phases))) > 0.05


# ------------------------------------------------------------------ carry-over


def share_excited(
    truth: QubitTruth, pulses: list[Pulse], starts: tuple[float, ...], interval: float
) -> list[float]:
    """The share of shots that are not in level 0 at the start of each capture, from noiseless shots."""
    probe = tuple(Pulse(start, np.full(480, 0.1 + 0j), 0.8, truth.resonator) for start in starts)
    line = ReadLine(0, truth.resonator, probe, tuple(Capture(start, CAPTURED) for start in starts))

    def shots(truth: QubitTruth, drive: list[Pulse], count: int) -> list[NDArray[np.complex128]]:
        engine = Engine("SIM16", 3)
        engine._transmons[0] = Transmon(replace(truth, noise=0.0))
        program = Program({0: tuple(drive)}, {"r": line}, count, interval, CaptureMode.VALUES_PER_SHOT, 0.8)
        return engine.run(program)["r"]

    ground = [values[0] for values in shots(replace(truth, thermal=0.0), [], 1)]
    found = zip(shots(truth, pulses, 400_000), ground, strict=True)
    return [float(np.mean(np.abs(values - zero) > 1e-9)) for values, zero in found]


CAPTURED = 15e3
"""Long, so that the relaxation within it counts."""
RELAXING = with_truth(t1=60e3, t2_star=50e3, t2_echo=80e3, anharmonicity=-50.0)


@pytest.mark.parametrize("interval", [5e3, 60e3, 153.6e3])
@pytest.mark.parametrize("wait", [100.0, 30e3, 200e3])
def test_a_shot_starts_from_what_the_last_one_left(wait: float, interval: float) -> None:
    pulse = hard(math.pi, 0.0)
    period = wait + CAPTURED + interval
    expected = math.exp(-wait / 60e3) / (1 + math.exp(-period / 60e3))
    assert share_excited(RELAXING, [pulse], (4.0 + wait,), interval) == [pytest.approx(expected, abs=4e-3)]


def test_nothing_but_populations_is_carried_over() -> None:
    """Were the superposition kept as well, two shots would make one π pulse."""
    assert share_excited(RELAXING, [hard(math.pi / 2, 0.0)], (4.0,), 10.0) == [pytest.approx(0.5, abs=4e-3)]


def test_an_undriven_qubit_stays_in_thermal_equilibrium() -> None:
    warm = replace(RELAXING, thermal=0.1)
    assert share_excited(warm, [], (4.0,), 1e3) == [pytest.approx(0.1, abs=2e-3)]


def test_with_two_captures_the_second_one_is_the_start_of_the_next_shot() -> None:
    pulses = [hard(math.pi, 0.0), hard(math.pi, 20e3)]
    first, second = share_excited(RELAXING, pulses, (4.0, 20_004.0), 40e3)
    between, rest = math.exp(-20e3 / 60e3), math.exp(-(CAPTURED + 40e3) / 60e3)
    expected = (1 - between) / (1 - between * rest)
    assert second == pytest.approx(expected, abs=4e-3)
    assert first == pytest.approx(1 - expected * rest, abs=4e-3)


# ------------------------------------------------------------------ readout


def program(mode: CaptureMode, shots: int = 4000, drive: float = 0.0, qid: int = 0) -> Program:
    truth = true_qubit(3, "SIM16", qid)
    start = 40.0
    probe = Pulse(start, np.full(480, 0.1 + 0j), 0.8, truth.resonator)
    line = ReadLine(qid, truth.resonator, (probe,), (Capture(start, 384.0),))
    pulses = (square(drive / truth.drive, 40.0, truth.frequency),) if drive else ()
    return Program({qid: pulses}, {"read": line}, shots, 153_600, mode, 0.8)


def answer(mode: CaptureMode, **options: float) -> np.ndarray:
    return Engine("SIM16", 3).run(program(mode, **options))["read"][0]  # type: ignore[arg-type]


def test_the_four_modes_agree_on_the_sum_over_the_samples() -> None:
    shots = answer(CaptureMode.VALUES_PER_SHOT, drive=0.0125)
    raw = answer(CaptureMode.RAW_WAVEFORMS, drive=0.0125)
    averaged = answer(CaptureMode.AVERAGED_WAVEFORM, drive=0.0125)
    value = answer(CaptureMode.AVERAGED_VALUE, drive=0.0125)
    assert [item.shape for item in (shots, raw, averaged, value)] == [(4000,), (4000, 480), (480,), (1,)]
    for total in (shots.mean(), raw.sum(axis=1).mean(), averaged.sum()):
        assert abs(total - value[0]) < 0.02
    assert np.max(np.abs(shots)) < 1.5
    assert abs(value[0]) < 1


def test_single_shots_fall_into_two_blobs_and_are_now_and_then_in_the_wrong_one() -> None:
    ground = answer(CaptureMode.VALUES_PER_SHOT)
    excited = answer(CaptureMode.VALUES_PER_SHOT, drive=0.0125)
    axis = (np.median(excited) - np.median(ground)).conjugate()
    threshold = ((np.median(excited) + np.median(ground)) / 2 * axis).real
    wrong = np.mean((ground * axis).real > threshold)
    right = np.mean((excited * axis).real > threshold)
    assert 0.001 < wrong < 0.05
    assert 0.9 < right < 0.999


def test_shot_noise_goes_with_the_root_of_the_shots() -> None:
    engine = Engine("SIM16", 3)

    def spread(shots: int) -> float:
        halfway = program(CaptureMode.AVERAGED_VALUE, shots, drive=0.00625)
        return float(np.std([engine.run(halfway)["read"][0][0] for _ in range(150)]))

    assert spread(100) / spread(1600) == pytest.approx(4.0, rel=0.25)


def test_the_same_seed_gives_the_same_data_whatever_else_is_measured() -> None:
    alone = Engine("SIM16", 3).run(program(CaptureMode.VALUES_PER_SHOT))["read"][0]
    engine = Engine("SIM16", 3)
    engine.run(program(CaptureMode.VALUES_PER_SHOT, qid=5))
    assert np.array_equal(engine.run(program(CaptureMode.VALUES_PER_SHOT))["read"][0], alone)
    other = Engine("SIM16", 3, noise_seed=1).run(program(CaptureMode.VALUES_PER_SHOT))["read"][0]
    assert not np.array_equal(other, alone)


def test_the_virtual_clock_counts_the_sequence_and_the_interval_after_it() -> None:
    engine = Engine("SIM16", 3)
    asked = program(CaptureMode.AVERAGED_VALUE, shots=1000)
    engine.run(asked)
    sequence = 40.0 + 384.0
    assert engine.hardware_seconds == pytest.approx(1000 * (153_600 + sequence) * 1e-9)
    late = replace(asked, drives={0: (square(0.01, 40.0, 4.2, start=1000.0),)}, reads={})
    assert late.hardware_seconds() == pytest.approx(1000 * (153_600 + 1040) * 1e-9)


def test_a_wrong_readout_frequency_hides_the_qubit() -> None:
    truth = true_qubit(3, "SIM16", 0)

    def contrast(offset: float) -> float:
        found = []
        for drive in (0.0, 0.0125):
            asked = program(CaptureMode.AVERAGED_VALUE, 4000, drive)
            line = asked.reads["read"]
            moved = ReadLine(0, truth.resonator + offset, line.pulses, line.captures)
            shifted = Program(asked.drives, {"read": moved}, 4000, 153_600, asked.mode, 0.8)
            found.append(Engine("SIM16", 3).run(shifted)["read"][0][0])
        return float(abs(found[1] - found[0]))

    assert contrast(0.02) < 0.1 * contrast(0.0)
