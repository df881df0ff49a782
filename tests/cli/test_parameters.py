"""Commands about calibrated values."""

from __future__ import annotations

import json
import math
from datetime import datetime
from pathlib import Path

import pytest

from qdash_queue.cli.amounts import amount
from qdash_queue.domain import JobState
from tests.cli.desk import CHIP, Desk

DESIGN = {
    "0": {"qubit_frequency": {"value": 4.2, "unit": "GHz"}, "anharmonicity": {"value": -0.3, "unit": "GHz"}}
}


@pytest.fixture
def design(tmp_path: Path) -> str:
    file = tmp_path / "design.json"
    file.write_text(json.dumps(DESIGN))
    return str(file)


def test_values_are_imported_set_and_put_back(desk: Desk, design: str) -> None:
    out = desk.run("parameters", "import", CHIP, design, "--reason", "as designed").out
    assert out == f"2 values imported into chip {CHIP}\n"
    first = desk.run("parameters", "show", CHIP, "--qids", "0", "--json").document
    assert [(each["name"], each["value"], each["source"]) for each in first] == [
        ("anharmonicity", -0.3, "import"),
        ("qubit_frequency", 4.2, "import"),
    ]
    edited = desk.run(
        *("parameters", "set", CHIP, "0", "anharmonicity", "-0.31", "--unit", "GHz", "--error", "0.002"),
        *("--reason", "spectroscopy", "--json"),
    ).document
    assert (edited["value"], edited["error"], edited["source"]) == (-0.31, 0.002, "edit")
    then = max(datetime.fromisoformat(each["valid_from"]) for each in first).isoformat()
    out = desk.run(
        "parameters", "revert", CHIP, "0", "anharmonicity", "--as-of", then, "--reason", "it was right"
    ).out
    assert "revert" in out
    history = desk.run("parameters", "history", CHIP, "0", "anharmonicity", "--json").document
    assert [each["source"] for each in history] == ["revert", "edit", "import"]
    assert [each["value"] for each in history] == [-0.3, -0.31, -0.3]
    old = desk.run("parameters", "show", CHIP, "--as-of", then, "--qids", "0", "--json").document
    assert [each["source"] for each in old] == ["import", "import"]


def test_a_simulated_chip_takes_its_design_values_from_the_package(desk: Desk) -> None:
    done = desk.run("parameters", "import", CHIP, "--design", "--json").document
    found = desk.run("parameters", "show", CHIP, "--json").document
    assert done == {"chip_id": CHIP, "count": len(found)}
    assert {each["qid"] for each in found} == {str(qid) for qid in range(16)}
    history = desk.run("parameters", "history", CHIP, "0", "qubit_frequency", "--json").document
    assert [each["source"] for each in history] == ["import"]


@pytest.mark.parametrize(
    ("backend", "topology"), [("qubex", "square-lattice-mux-16"), ("fake", "square-lattice-mux-64")]
)
def test_design_values_are_for_a_simulated_chip_of_their_size(
    desk: Desk, backend: str, topology: str
) -> None:
    desk.run("chips", "add", "OTHER", "--backend", backend, "--topology", topology, role="admin")
    sentence = desk.run("parameters", "import", "OTHER", "--design").sentence
    assert f"expected a simulated chip of 16 qubits, got OTHER, backend {backend}" in sentence


def test_what_a_job_measured_is_shown_with_its_error(desk: Desk) -> None:
    job = desk.end(desk.submit("0"), JobState.COMPLETED)
    line = desk.run("parameters", "show", CHIP).out.splitlines()[1]
    assert "41.81 ± 0.73 μs" in line
    assert str(job.execution_id) in line
    assert desk.run("parameters", "show", CHIP, "--qids", "7").out == "no values\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "SIM61"), "unknown chip"),
        (("history", "SIM61", "0", "t1"), "unknown chip"),
        (("import", CHIP, "/nowhere.json", "--reason", "x"), "expected a readable file"),
        (("import", CHIP, "/dev/null", "--reason", "x"), "file: not valid JSON"),
        (("import", CHIP, "{design}"), "--reason: expected a reason"),
        (("import", CHIP, "--reason", "x"), "expected a file or --design, got neither"),
        (("import", CHIP, "{design}", "--design"), "expected a file or --design, got both"),
        (("import", "SIM61", "--design"), "unknown chip"),
        (("set", CHIP, "0", "t1", "nan", "--unit", "μs", "--reason", "x"), "expected a finite number"),
        (("set", CHIP, "0", "t1", "many", "--unit", "μs", "--reason", "x"), "value"),
        (("set", CHIP, "99", "t1", "1", "--unit", "μs", "--reason", "x"), "no qubit or coupling"),
        (("set", CHIP, "0", "T1!", "1", "--unit", "μs", "--reason", "x"), "parameter name: expected"),
        (
            ("set", CHIP, "0", "t1", "1", "--unit", "μs", "--error", "-1", "--reason", "x"),
            "error of at least 0",
        ),
        (("set", CHIP, "0", "t1", "1", "--unit", "μs", "--reason", ""), "reason: expected"),
        (("revert", CHIP, "0", "t1", "--as-of", "2020-01-01", "--reason", "x"), "had no value at"),
        (("revert", CHIP, "0", "t1", "--as-of", "then", "--reason", "x"), "--as-of"),
        ((), "Missing command"),
    ],
)
def test_bad_words_get_one_sentence(shared_desk: Desk, words: tuple[str, ...], said: str) -> None:
    assert said in shared_desk.run("parameters", *words).sentence


def test_a_bad_file_changes_nothing(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "design.json"
    file.write_text(json.dumps({**DESIGN, "99": {"t1": {"value": 1.0}}}))
    assert (
        'no qubit or coupling "99"'
        in desk.run("parameters", "import", CHIP, str(file), "--reason", "x").sentence
    )
    assert desk.run("parameters", "show", CHIP, "--json").document == []


@pytest.mark.parametrize(
    ("value", "error", "unit", "words"),
    [
        (25.3123, 0.4177, "μs", "25.31 ± 0.42 μs"),
        (4.17013627, 1.7e-7, "GHz", "4.17013627 ± 0.00000017 GHz"),
        (0.03147, 0.0000121, "a.u.", "0.031470 ± 0.000012"),
        (-0.31, 0.02, "GHz", "-0.310 ± 0.020 GHz"),
        (5234.0, 120.0, "ns", "5234 ± 120 ns"),
        (3.2e-7, 2.1e-8, "", "(3.20 ± 0.21)e-7"),
        (1.0, 0.0, "ns", "1 ns"),
        (32, 0.0, "ns", "32 ns"),
        (0.0, 0.5, "", "0.00 ± 0.50"),
        (2.0, math.nan, "μs", "2 μs"),
        (None, 0.0, "μs", "no value"),
        (1e308, 1e-320, "Hz", "1e+308 ± 1e-320 Hz"),
        (1.5, 1e-300, "Hz", "1.5 ± 1e-300 Hz"),
        (0.0, 5e-324, "Hz", "0 ± 4.9e-324 Hz"),
        (math.inf, 1.0, "Hz", "inf ± 1 Hz"),
        (math.nan, 1.0, "Hz", "nan ± 1 Hz"),
    ],
)
def test_an_error_decides_how_many_digits_are_shown(
    value: float | None, error: float, unit: str, words: str
) -> None:
    assert amount(value, error, unit) == words
