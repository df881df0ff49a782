"""Names, units and settings are QDash's; figures can be read by any viewer."""

from __future__ import annotations

import json
import math

import numpy as np
import plotly.graph_objects as go
import pytest

from calibtasks.active_protocols import active_tasks
from calibtasks.figures.plots import Axis, Figure, Series, add_level, fit_figure, value_and_error
from calibtasks.results import OutputParameter
from qdash_queue.domain import TaskType

READOUT = {"readout_frequency": "GHz", "readout_amplitude": "a.u.", "readout_length": "ns"}
PULSE = {"qubit_frequency": "GHz", "hpi_amplitude": "a.u.", "hpi_length": "ns"}
SHOTS_1024 = {"shots": (1024, ""), "interval": (153600, "ns")}
SHOTS_2048 = {"shots": (2048, ""), "interval": (153600, "ns")}

# QDash's catalogue: inputs, settings (default and unit), outputs, R² threshold.
QDASH = {
    "CheckRabi": (
        {"qubit_frequency": "GHz", "control_amplitude": "a.u.", **READOUT},
        {"time_range": ([0, 401, 8], "ns"), **SHOTS_2048},
        {
            "rabi_amplitude": "a.u.",
            "rabi_frequency": "MHz",
            "rabi_phase": "a.u.",
            "rabi_offset": "a.u.",
            "rabi_angle": "degree",
            "rabi_noise": "a.u.",
            "rabi_distance": "a.u.",
            "rabi_reference_phase": "a.u.",
            "control_amplitude": "a.u.",
            "maximum_rabi_frequency": "MHz/a.u.",
        },
        0.6,
    ),
    "CreateHPIPulse": (
        {"qubit_frequency": "GHz", "control_amplitude": "a.u.", **READOUT},
        {"hpi_duration": (32, "ns"), **SHOTS_2048},
        {"hpi_amplitude": "a.u.", "hpi_length": "ns"},
        0.7,
    ),
    "CreatePIPulse": (
        {"qubit_frequency": "GHz", "control_amplitude": "a.u.", **READOUT},
        {"pi_duration": (32, "ns"), **SHOTS_2048},
        {"pi_amplitude": "a.u.", "pi_length": "ns"},
        0.7,
    ),
    "CheckT1": (
        {**PULSE, **READOUT},
        {"time_range": ([2, 5.699, 51], "ns"), **SHOTS_1024},
        {"t1": "μs"},
        0.7,
    ),
    "CheckT2Echo": (
        {**PULSE, **READOUT},
        {"time_range": ([2.477, 5, 51], "ns"), **SHOTS_1024},
        {"t2_echo": "μs"},
        0.7,
    ),
    "CheckRamsey": (
        {**PULSE, **READOUT},
        {"detuning": (0.001, "GHz"), "time_range": ([0, 20001, 200], "ns"), **SHOTS_1024},
        {"ramsey_frequency": "MHz", "qubit_frequency": "GHz", "t2_star": "μs"},
        0.7,
    ),
}
OURS = {"CheckRabi": {"side_detuning"}}
"""Settings that QDash does not have."""
ALIASES = {"qubit_frequency": "control_frequency", "hpi_length": "hpi_duration", "pi_length": "pi_duration"}
"""The other name under which a value is written."""


@pytest.mark.parametrize("name", QDASH)
def test_a_task_has_qdashs_names_and_units(name: str) -> None:
    task = active_tasks()[name]
    inputs, settings, outputs, threshold = QDASH[name]
    assert {key: item.unit for key, item in task.input_parameters.items()} == inputs
    both = {**outputs, **{ALIASES[key]: unit for key, unit in outputs.items() if key in ALIASES}}
    assert {key: item.unit for key, item in task.output_parameters.items()} == both
    declared = {
        key: (item.value, item.unit)
        for key, item in task.run_parameters.items()
        if key not in OURS.get(name, set())
    }
    assert declared == settings
    assert (task.r2_threshold, task.timeout, task.fits) == (threshold, 3600, True)
    assert task.task_type is TaskType.QUBIT


def test_every_output_declares_what_is_believed() -> None:
    for task in active_tasks().values():
        for name, output in task.output_parameters.items():
            assert isinstance(output, OutputParameter), name
            assert output.believable is not None, name
            assert output.description, name


@pytest.mark.parametrize(
    ("value", "error", "unit", "words"),
    [
        (40.473, 0.613, "μs", "40.47 ± 0.61 μs"),
        (4.41988404, 1.9e-7, "GHz", "4.41988404 ± 0.00000019 GHz"),
        (0.0328, 0.0, "a.u.", "0.0328"),
        (1234.5, 87.0, "ns", "1234 ± 87 ns"),
        (-0.084, 0.052, "MHz", "-0.084 ± 0.052 MHz"),
        (math.nan, 0.1, "μs", "no value"),
        (1.5, math.inf, "μs", "1.5 μs"),
    ],
)
def test_a_value_is_written_to_its_errors_second_digit(
    value: float, error: float, unit: str, words: str
) -> None:
    assert value_and_error(value, error, unit) == words


def test_a_figure_is_plain_json() -> None:
    x = np.linspace(0, 1, 5)
    series = Series("data", x, np.array([0.1, np.nan, np.inf, 1 / 3, 2]), x, x)
    text = Figure.of("f", fit_figure("T", "s", Axis("Time (ns)"), Axis("Signal (a.u.)"), [series])).plotly
    assert "NaN" not in text
    assert "Infinity" not in text
    assert "bdata" not in text
    drawn = json.loads(text)
    assert drawn["data"][0]["y"] == [0.1, None, None, 0.3333333, 2.0]
    go.Figure(drawn)


def test_a_level_is_drawn_over_the_whole_width() -> None:
    x = np.linspace(0, 1, 5)
    figure = fit_figure("T", "s", Axis("x"), Axis("y"), [Series("data", x, x, x, x)])
    add_level(figure, "ground", 0.25)
    drawn = go.Figure(json.loads(Figure.of("f", figure).plotly))
    assert (drawn.layout.shapes[0].y0, drawn.layout.shapes[0].xref) == (0.25, "x domain")
    assert drawn.layout.annotations[0].text == "ground"
