"""The topologies that come with the package, and what a topology may be."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qdash_queue.errors import BadValueError, UnknownNameError
from qdash_queue.scheduling import Topology, load_topology, topology_names
from tests.support.databases import CalibDatabase
from tests.support.queue_world import open_queue_world

LATTICES = ("square-lattice-mux-16", "square-lattice-mux-64", "square-lattice-mux-144")
SMALL = {"topology_id": "two", "sites": {"0": [0, 0], "1": [0, 1]}}


@pytest.mark.parametrize(
    ("name", "qubits", "couplings", "muxes"),
    [
        ("linear-16", 16, 15, 0),
        ("heavy-hex-27", 27, 29, 0),
        ("square-lattice-mux-16", 16, 24, 4),
        ("square-lattice-mux-64", 64, 112, 16),
        ("square-lattice-mux-144", 144, 264, 36),
    ],
)
def test_each_has_what_its_name_says(name: str, qubits: int, couplings: int, muxes: int) -> None:
    found = load_topology(name)
    assert (found.topology_id, found.direction_convention is not None) == (name, muxes > 0)
    assert list(found.sites) == [str(qid) for qid in range(qubits)]
    assert (len(found.couplings), len(found.muxes)) == (couplings, muxes)
    neighbours = {frozenset((a, b)) for a in found.sites for b in found.sites if found.distance(a, b) == 1}
    assert {frozenset(pair) for pair in found.couplings} == neighbours


def test_there_are_no_others_and_an_unknown_one_is_named() -> None:
    assert topology_names() == ["heavy-hex-27", "linear-16", *LATTICES]
    with pytest.raises(UnknownNameError) as caught:
        load_topology("../ring-4")
    assert str(caught.value) == (
        f'unknown topology "../ring-4": expected one of {", ".join(topology_names())}'
    )


@pytest.mark.parametrize("name", LATTICES)
def test_controls_of_a_lattice_stand_like_one_colour_of_a_chessboard(name: str) -> None:
    found = load_topology(name)
    assert {sum(found.sites[pair.control]) % 2 for pair in found.couplings} == {0}
    for mux, qids in found.muxes.items():
        assert qids == tuple(str(4 * mux + position) for position in range(4))
        places = [found.sites[qid] for qid in qids]
        assert [(row - places[0].row, column - places[0].column) for row, column in places] == [
            (0, 0),
            (0, 1),
            (1, 0),
            (1, 1),
        ]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"sites": {"0": [0, 0], "1": [0, 0]}}, "topology: expected a place of its own for each qubit"),
        ({"muxes": {"0": [0]}}, "topology: expected each qubit in exactly one MUX, or no MUX at all"),
        ({"muxes": {"0": [0, 1], "1": [1]}}, "topology: expected each qubit in exactly one MUX"),
        (
            {"couplings": [[0, 1], [1, 0]]},
            "topology: expected couplings of two qubits of the chip, each once, got 1-0",
        ),
        (
            {"couplings": [[0, 0]]},
            "topology: expected couplings of two qubits of the chip, each once, got 0-0",
        ),
        (
            {"couplings": [[0, 2]]},
            "topology: expected couplings of two qubits of the chip, each once, got 0-2",
        ),
        ({"couplings": [[0]]}, "topology.couplings.0"),
        ({"coupling": []}, "topology.coupling: Extra inputs are not permitted"),
        (
            {"direction_convention": "left"},
            "topology.direction_convention: Input should be 'checkerboard_cr'",
        ),
    ],
)
def test_a_topology_that_cannot_be_is_refused(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadValueError) as caught:
        Topology.read(json.dumps(SMALL | changed))
    assert str(caught.value).startswith(sentence)


def test_the_database_has_the_same_chips(database: CalibDatabase) -> None:
    with open_queue_world(database) as world:
        for name in ("linear-16", *LATTICES):
            world.admin.add_chip(name, "fake", name)
            qubits, couplings = (
                [tuple(row.values()) for row in world.rows(f"{columns} WHERE chip_id = %s", name)]
                for columns in (
                    "SELECT qid, grid_row, grid_column, mux FROM calib.qubits",
                    "SELECT control, target FROM calib.couplings",
                )
            )
            assert Topology.of_rows(name, qubits, couplings) == load_topology(name)
            with pytest.raises(BadValueError, match="topology: expected couplings of two qubits of the chip"):
                Topology.of_rows(name, qubits[:-1], couplings)
