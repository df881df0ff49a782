"""Schedules worked out by hand, numbers of groups, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from qdash_queue.errors import BadValueError, UnknownNameError
from qdash_queue.scheduling import (
    AllMuxTargets,
    BoxType,
    CouplingTargets,
    DirectionRule,
    LeftOut,
    MuxTargets,
    QubitOrder,
    QubitTargets,
    Reason,
    Targets,
    Wiring,
    cr_schedule,
    one_qubit_schedule,
)
from tests.scheduling.cases import Row, row, topology

CHIP = topology("square-lattice-mux-64")
LINE = topology("linear-16")
ALL = AllMuxTargets()
# A module of type B drives two MUXes of a chip with 64 qubits; the other MUXes have a box of type A.
SHARED = {"R21B": (0, 4), "U10B": (3, 7), "U13B": (10, 14)}
MIXED = {mux: module for module, muxes in SHARED.items() for mux in muxes}


def names(groups: Any) -> list[list[str]]:
    return [[pair.qid for pair in group.pairs] for group in groups]


# ---------------------------------------------------------------- couplings


def test_couplings_of_one_mux_come_one_after_another() -> None:
    found = cr_schedule(CHIP, None, QubitTargets(["3", "1", "0", "2"]))
    assert names(found.groups) == [["0-1"], ["0-2"], ["3-1"], ["3-2"]]
    assert (found.rule, found.left_out) == (DirectionRule.LISTED, ())
    assert [group.closest for group in found.groups] == [None] * 4


def test_a_coupling_within_a_mux_comes_before_one_between_two() -> None:
    found = cr_schedule(CHIP, None, QubitTargets(["0", "4", "1", "63"]))
    assert names(found.groups) == [["0-1"], ["4-1"]]
    assert [group.within_muxes for group in found.groups] == [True, False]
    assert found.left_out == (LeftOut("63", Reason.NO_PARTNER),)


@pytest.mark.parametrize(
    ("size", "limit", "within", "between"),
    [
        (16, None, 4, 4),
        (16, 10, 4, 4),
        (64, None, 4, 8),
        (64, 10, 7, 8),
        (144, None, 4, 8),
        (144, 10, 15, 12),
    ],
)
@pytest.mark.parametrize("distance", [0, 2])
def test_a_whole_lattice_takes_the_fewest_groups(
    size: int, limit: int | None, within: int, between: int, distance: int
) -> None:
    """No fewer can be: four couplings of a MUX, eight to its neighbours, or all of them by the limit."""
    chip = topology(f"square-lattice-mux-{size}")
    found = cr_schedule(chip, None, ALL, max_parallel_ops=limit, min_distance=distance)
    assert [group.within_muxes for group in found.groups] == [True] * within + [False] * between
    assert sum(len(group.pairs) for group in found.groups) == len(chip.couplings)


@pytest.mark.parametrize(("name", "groups"), [("linear-16", 2), ("heavy-hex-27", 4)])
def test_without_muxes_only_qubits_are_shared(name: str, groups: int) -> None:
    found = cr_schedule(topology(name), None, ALL, max_parallel_ops=None)
    assert len(found.groups) == groups
    assert not any(group.within_muxes for group in found.groups)


def test_of_a_chip_without_muxes_the_wiring_makes_them() -> None:
    found = cr_schedule(LINE, Wiring.of([row(0, "R0A"), row(1, "R1A"), row(2, "R2A")]), ALL)
    # Of these rows each has one control port, so the wiring reaches the qubits 0, 4 and 8 alone.
    assert {item.reason for item in found.left_out} == {Reason.NOT_WIRED}
    four = [row(mux, *[f"R{mux}A"] * 4) for mux in range(4)]
    found = cr_schedule(LINE, Wiring.of(four), ALL, max_parallel_ops=None)
    assert [len(group.pairs) for group in found.groups] == [4, 4, 4, 2, 1]
    assert names(found.groups)[-2:] == [["4-3", "12-11"], ["8-7"]]


def test_directions_follow_frequencies_only_where_the_design_is_silent() -> None:
    known = {"0": 4.2, "1": 4.1, "2": 4.3, "3": 4.3}
    four = QubitTargets(["0", "1", "2", "3", "4"])
    found = cr_schedule(LINE, None, four, frequencies=known)
    assert found.rule is DirectionRule.FREQUENCY
    assert names(found.groups) == [["1-0"], ["1-2"]]
    assert found.left_out == (
        LeftOut("2-3", Reason.NO_DIRECTION),
        LeftOut("3-4", Reason.NO_FREQUENCY),
    )
    assert cr_schedule(LINE, None, four).rule is DirectionRule.PARITY
    assert names(cr_schedule(LINE, None, four).groups) == [["0-1", "2-3"], ["2-1", "4-3"]]
    assert cr_schedule(CHIP, None, ALL, frequencies=known).rule is DirectionRule.LISTED
    assert names(cr_schedule(LINE, None, four, rule=DirectionRule.LISTED, inverse=True).groups) == [
        ["1-0", "3-2"],
        ["2-1", "4-3"],
    ]


# ---------------------------------------------------------------- qubits


def wiring_of_64() -> Wiring:
    rows = [row(mux, *[f"Q{mux}A"] * 3, MIXED.get(mux, f"Q{mux}A")) for mux in range(16)]
    return Wiring.of(rows)


def test_muxes_that_need_one_b_module_take_turns() -> None:
    found = one_qubit_schedule(CHIP, wiring_of_64(), ALL)
    assert [stage.box for stage in found.stages] == [BoxType.A, BoxType.MIXED, BoxType.MIXED]
    muxes = [[int(queue[0]) // 4 for queue in stage.queues] for stage in found.stages]
    assert muxes == [[1, 2, 5, 6, 8, 9, 11, 12, 13, 15], [0, 3, 10], [4, 7, 14]]
    assert len(found.steps) == 12


@pytest.mark.parametrize(
    ("order", "steps"),
    [
        (QubitOrder.CHECKERBOARD, [("0", "6"), ("1", "7"), ("2", "4"), ("3", "5")]),
        (QubitOrder.NUMERIC, [("0", "4"), ("1", "5"), ("2", "6"), ("3", "7")]),
    ],
)
def test_two_muxes_go_in_step(order: QubitOrder, steps: list[tuple[str, str]]) -> None:
    wiring = Wiring.of([row(0, *["Q0A"] * 4), row(1, *["Q1A"] * 4)])
    found = one_qubit_schedule(CHIP, wiring, MuxTargets([0, 1]), order=order)
    assert [step.qids for step in found.steps] == steps


def test_missing_qubits_leave_holes_and_empty_steps_vanish() -> None:
    found = one_qubit_schedule(CHIP, None, QubitTargets(["0", "2", "6", "5"]))
    assert [step.qids for step in found.steps] == [("0", "6"), ("2",), ("5",)]
    assert found.stages[0].queues == (("0", "2"), ("6", "5"))


@pytest.mark.parametrize(
    ("rows", "stages"),
    [
        # Type B only at the pump; other MUXes share a module.
        (
            [row(0, "Q0A", "U0B"), row(1, "Q1A", "U0B"), row(2, "Q2A", pump="U1B-3")],
            [("mixed", [0, 2]), ("mixed", [1])],
        ),
        # Two modules of type B, each shared with another MUX.
        (
            [row(0, "Q0A", "U0B"), row(1, "Q1A", "U0B", "U1B"), row(2, "Q2A", "U1B")],
            [("mixed", [0, 2]), ("mixed", [1])],
        ),
        # A shared module of type A.
        ([row(0, "Q0A"), row(1, "Q0A"), row(2, "Q2A")], [("A", [0, 2]), ("A", [1])]),
        # One MUX reads with what drives the other; capture ports and pumps bar nothing.
        ([row(0, "Q0A"), {**row(1, "Q1A"), "read_out": "Q0A-1"}], [("A", [0]), ("A", [1])]),
        ([row(0, "Q0A", read_in="Q9A-0"), row(1, "Q1A", read_in="Q9A-5")], [("A", [0, 1])]),
        ([row(0, "U0B"), row(1, "Q-1-A"), row(2, "Q:2")], [("A", [1, 2]), ("B", [0])]),
    ],
)
def test_modules_decide_the_stages(rows: list[Row], stages: list[tuple[str, list[int]]]) -> None:
    found = one_qubit_schedule(CHIP, Wiring.of(rows), MuxTargets([2, 1, 0]))
    shown = [(stage.box, [int(queue[0]) // 4 for queue in stage.queues]) for stage in found.stages]
    assert shown == stages
    wired = {entry["mux"] for entry in rows}
    assert {item.target for item in found.left_out} == {
        str(qid) for qid in range(12) if qid // 4 not in wired
    }


def test_neighbours_without_muxes_are_parted_by_a_distance() -> None:
    assert len(one_qubit_schedule(LINE, None, ALL).steps) == 1
    found = one_qubit_schedule(LINE, None, ALL, min_distance=2)
    assert [step.qids[:2] for step in found.steps] == [("0", "2"), ("1", "3")]


# ---------------------------------------------------------------- nothing, and what is refused


@pytest.mark.parametrize("wiring", [None, Wiring.of([]), Wiring.of([row(0, "Q0A")])])
@pytest.mark.parametrize(
    "targets",
    [QubitTargets([]), MuxTargets([]), CouplingTargets([]), QubitTargets(["x"]), QubitTargets(["5"])],
)
@pytest.mark.parametrize("chip", [CHIP, LINE], ids=["lattice", "line"])
def test_nothing_to_do_is_an_empty_schedule(chip: Any, wiring: Wiring | None, targets: Targets) -> None:
    found = cr_schedule(chip, wiring, targets)
    assert found.groups == ()
    assert [item.target for item in found.left_out] == list(targets.to_qids(chip))
    if targets != QubitTargets(["5"]) or wiring is not None:
        assert one_qubit_schedule(chip, wiring, targets).stages == ()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"max_parallel_ops": 0}, "max_parallel_ops: expected an integer of at least 1, got 0"),
        ({"max_parallel_ops": 2.5}, "max_parallel_ops: expected an integer of at least 1, got 2.5"),
        ({"max_parallel_ops": True}, "max_parallel_ops: expected an integer of at least 1, got True"),
        ({"min_distance": -1}, "min_distance: expected an integer of at least 0, got -1"),
        ({"frequencies": {"0": float("nan")}}, "frequencies: expected positive numbers, got nan for '0'"),
        ({"frequencies": {"0": float("inf")}}, "frequencies: expected positive numbers, got inf for '0'"),
        ({"frequencies": {"0": 0}}, "frequencies: expected positive numbers, got 0 for '0'"),
        ({"frequencies": {"0": None}}, "frequencies: expected positive numbers, got None for '0'"),
        ({"rule": "measured"}, "rule: expected listed, parity, frequency, got 'measured'"),
    ],
)
def test_a_wrong_argument_is_refused_in_one_sentence(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadValueError) as caught:
        cr_schedule(CHIP, None, ALL, **given)
    assert str(caught.value) == sentence


def test_wrong_options_of_qubits_are_refused() -> None:
    with pytest.raises(BadValueError, match="order: expected numeric, checkerboard, got 'random'"):
        one_qubit_schedule(CHIP, None, ALL, order="random")  # type: ignore[arg-type]
    with pytest.raises(BadValueError, match="min_distance: expected an integer"):
        one_qubit_schedule(CHIP, None, ALL, min_distance=None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([row(0, "Q0A"), row(0, "Q1A")], "wiring: expected each MUX once, got MUX 0 again"),
        ([{"mux": 0, "ctrl": ["Q0A-1"]}], "wiring.muxes.0.read_out: Field required"),
        ([{**row(0, "Q0A"), "read_out": "Q0A"}], "wiring.muxes.0.read_out: String should match pattern"),
        ([{**row(0, "Q0A"), "mux": -1}], "wiring.muxes.0.mux: Input should be greater than or equal to 0"),
        ([row(0, *["Q0A"] * 5)], "wiring.muxes.0.ctrl: Tuple should have at most 4 items"),
        ([{**row(0, "Q0A"), "ctrl": []}], "wiring.muxes.0.ctrl: Tuple should have at least 1 item"),
        (["mux"], "wiring.muxes.0: Input should be a valid dictionary or instance of MuxWiring"),
    ],
)
def test_a_wiring_that_cannot_be_is_refused(rows: list[Any], sentence: str) -> None:
    with pytest.raises(BadValueError) as caught:
        Wiring.of(rows)
    assert str(caught.value).startswith(sentence)


# ---------------------------------------------------------------- targets


def test_targets_come_by_number_each_once() -> None:
    assert MuxTargets([2, 0], exclude_qids=["1", "777"]).to_qids(CHIP) == (
        "0",
        "2",
        "3",
        "8",
        "9",
        "10",
        "11",
    )
    assert QubitTargets(["10", "2", "10"]).to_qids(CHIP) == ("2", "10")
    assert AllMuxTargets(["0"]).to_qids(CHIP) == tuple(map(str, range(1, 64)))
    assert len(AllMuxTargets().to_qids(topology("square-lattice-mux-144"))) == 144
    assert AllMuxTargets().to_qids(LINE) == tuple(map(str, range(16)))
    pairs = CouplingTargets([("6", "3"), ("1", "0"), ("0", "1"), ("9", "0")])
    assert pairs.to_qids(CHIP) == ("0", "1", "3", "6", "9")
    assert [pair.qid for pair in pairs.to_pairs(CHIP)] == ["0-1", "3-6", "9-0"]
    assert [pair.qid for pair in QubitTargets(["3", "1", "6"]).to_pairs(CHIP)] == ["3-1", "3-6"]


@pytest.mark.parametrize(
    ("targets", "error", "sentence"),
    [
        (MuxTargets([16]), UnknownNameError, "unknown MUX 16 of square-lattice-mux-64: expected 0 to 15"),
        (QubitTargets("12"), BadValueError, "qids: expected a list of texts such as \"12\", got '12'"),
        (QubitTargets([1]), BadValueError, 'qids: expected a list of texts such as "12", got [1]'),  # type: ignore[list-item]
        (AllMuxTargets("1"), BadValueError, "exclude_qids: expected a list of texts such as \"12\", got '1'"),
        (
            CouplingTargets(["0-1"]),  # type: ignore[list-item]
            BadValueError,
            "pairs: expected a list of texts such as \"12\", got '0-1'",
        ),
        (CouplingTargets([("0",)]), BadValueError, "pairs: expected (control, target), got ('0',)"),  # type: ignore[list-item]
    ],
)
def test_targets_that_cannot_be_are_refused(targets: Targets, error: type[Exception], sentence: str) -> None:
    for plan in (cr_schedule, one_qubit_schedule):
        with pytest.raises(error) as caught:
            plan(CHIP, None, targets)
        assert str(caught.value) == sentence


def test_a_chip_without_muxes_has_none_to_name() -> None:
    with pytest.raises(
        UnknownNameError, match="unknown MUX 0 of linear-16: expected none, for it has no MUXes"
    ):
        MuxTargets([0]).to_qids(LINE)


# ---------------------------------------------------------------- the process


def test_the_seed_of_hashes_changes_nothing() -> None:
    code = (
        "from qdash_queue.scheduling import *\n"
        "chip = load_topology('square-lattice-mux-64')\n"
        "rows = [{'mux': m, 'ctrl': [f'U{m // 2}B-{p}' for p in range(4)], 'read_out': f'Q{m}A-1'}"
        " for m in range(16)]\n"
        "for wiring in (None, Wiring.of(rows)):\n"
        "    print(cr_schedule(chip, wiring, AllMuxTargets()))\n"
        "    print(one_qubit_schedule(chip, wiring, AllMuxTargets()))"
    )
    found = {_python(code, PYTHONHASHSEED=seed) for seed in ("1", "2", "3")}
    assert len(found) == 1


def test_without_networkx_the_room_is_there_and_a_schedule_names_the_extra() -> None:
    code = (
        "import sys\n"
        "sys.modules['networkx'] = None\n"
        "from qdash_queue.errors import QdashQueueError\n"
        "from qdash_queue.scheduling import *\n"
        "chip = load_topology('linear-16')\n"
        "print([name for name in ('prefect', 'qubex', 'sqlalchemy', 'psycopg') if name in sys.modules])\n"
        "for plan in (cr_schedule, one_qubit_schedule):\n"
        "    try:\n"
        "        plan(chip, None, AllMuxTargets())\n"
        "    except QdashQueueError as error:\n"
        "        print(error)"
    )
    needs = "planning a calibration needs the extra \"planning\": pip install 'qdash-queue[planning]'"
    assert _python(code).splitlines() == ["[]", needs, needs]


def _python(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
