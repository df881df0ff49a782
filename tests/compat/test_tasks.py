"""Tasks in both of QDash's contracts: what they are given, and what becomes of what they return."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import plotly.graph_objects as go
import pytest
from pydantic import ValidationError
from qdash_queue_compat.figures import set_figure_role
from qdash_queue_compat.parameters import (
    InputParameterSpec,
    OutputParameterSpec,
    RunParameterModel,
    RunParameterSpec,
)
from qdash_queue_compat.results import PostProcessResult, RunResult, dataset_of
from qdash_queue_compat.tasks import (
    QubexTask,
    generate_task_instances,
)

from qdash_queue.domain import CalibrationError, FailureKind, ParameterModel
from tests.compat.doubling import Doubling
from tests.compat.stored import StoredValues, run

pytestmark = pytest.mark.usefixtures("served")
STORED = {"0": {"qubit_frequency": (4.2, "GHz"), "hpi_amplitude": (0.1, "a.u.")}}


# ---------------------------------------------------------------------- inputs


def test_a_first_contracts_input_is_the_stored_value_in_its_unit() -> None:
    prepared, _, result, failure = run(Doubling, StoredValues(STORED))
    (given,) = prepared.input_parameters.values()
    assert (given.value, given.unit, given.parameter_name) == (4.2, "GHz", "qubit_frequency")
    (output,) = result.output_parameters.values()
    assert (output.value, output.execution_id, type(output.value)) == (8.4, "20260101-000", float)
    assert failure is None


@pytest.mark.parametrize(
    "declared", [None, ParameterModel(), ParameterModel(value=0), ParameterModel(unit="GHz")]
)
def test_what_is_not_stored_is_missing_and_never_0(declared: ParameterModel | None) -> None:
    class Needs(Doubling):
        input_parameters: ClassVar[Mapping[str, Any]] = {"qubit_frequency": declared}  # type: ignore[misc]

    with pytest.raises(CalibrationError, match="qubit 0 of SIM16 has no qubit_frequency") as refused:
        run(Needs, StoredValues({}))
    assert refused.value.failure.kind is FailureKind.MISSING_INPUT


def test_a_declared_value_serves_where_none_is_stored() -> None:
    class HasOne(Doubling):
        input_parameters: ClassVar[Mapping[str, Any]] = {  # type: ignore[misc]
            "qubit_frequency": ParameterModel(value=5.0, unit="GHz")
        }

    assert run(HasOne, StoredValues({}))[2].output_parameters["double"].value == 10.0
    assert run(HasOne, StoredValues(STORED))[2].output_parameters["double"].value == 8.4


def test_another_unit_is_refused() -> None:
    class InMegahertz(Doubling):
        input_parameters: ClassVar[Mapping[str, Any]] = {  # type: ignore[misc]
            "qubit_frequency": ParameterModel(unit="MHz")
        }

    with pytest.raises(CalibrationError, match=r"expected qubit_frequency in 'MHz', got 'GHz'"):
        run(InMegahertz, StoredValues(STORED))


SPECIFIED = {
    "control_frequency": InputParameterSpec.required_database(
        parameter_aliases=("drive_frequency",), fallback_parameter_names=("qubit_frequency",), unit="GHz"
    ),
    "scale": InputParameterSpec.database_or_default(default=0.0),
    "shift": InputParameterSpec.default_only(default=1, unit="MHz"),
}


class Specified(QubexTask):
    """Declared by specifications."""

    input_spec = SPECIFIED
    run_spec: ClassVar = {"shots": RunParameterSpec(value_type="int", default=100, description="shots")}
    output_spec: ClassVar = {"level": OutputParameterSpec(unit="a.u.")}

    def run(self, backend: Any, qid: str) -> RunResult:
        return RunResult(raw_result=[1.0])

    def postprocess(self, backend: Any, execution_id: str, run_result: Any, qid: str) -> Any:
        return PostProcessResult(output_parameters=self.attach_task_id("x"))


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (
            {"control_frequency": 1.0, "drive_frequency": 2.0, "qubit_frequency": 3.0},
            ("control_frequency", 1),
        ),
        ({"drive_frequency": 2.0, "qubit_frequency": 3.0}, ("drive_frequency", 2)),
        ({"qubit_frequency": 3.0}, ("qubit_frequency", 3)),
    ],
)
def test_a_second_contracts_input_is_the_first_name_that_is_stored(
    stored: dict[str, float], expected: tuple[str, float]
) -> None:
    values = {"0": {**{name: (value, "GHz") for name, value in stored.items()}, "shift": (7.0, "MHz")}}
    given = run(Specified, StoredValues(values))[0].input_parameters
    found = given["control_frequency"]
    assert (found.parameter_name, found.value) == expected
    assert (given["scale"].value, given["shift"].value) == (0.0, 1.0)


def test_an_output_that_is_never_set_is_refused() -> None:
    failure = run(Specified, StoredValues(STORED))[3]
    assert failure is not None
    assert (failure.cause, failure.kind) == ("output_missing", FailureKind.BAD_FIT)


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ({"greater_than": 4.2}, "above 4.2, got 4.2"),
        ({"greater_than_or_equal": 4.3}, "of at least 4.3, got 4.2"),
        ({"less_than": 4}, "below 4, got 4.2"),
        ({"less_than_or_equal": 4}, "of at most 4, got 4.2"),
    ],
)
def test_an_input_outside_its_bounds_is_refused(bounds: dict[str, float], words: str) -> None:
    class Bounded(Doubling):
        input_spec: ClassVar = {"qubit_frequency": InputParameterSpec.required_database(**bounds)}

    with pytest.raises(CalibrationError, match=f"expected qubit_frequency {words}"):
        run(Bounded, StoredValues(STORED))


def test_what_preprocess_leaves_is_checked() -> None:
    class Spoils(Doubling):
        def preprocess(self, backend: Any, qid: str) -> Any:
            self.input_parameters["qubit_frequency"].value = math.nan
            return super().preprocess(backend, qid)

        def run(self, backend: Any, qid: str) -> RunResult:
            raise AssertionError

    with pytest.raises(CalibrationError, match="needs qubit_frequency, which was not read"):
        run(Spoils, StoredValues(STORED))


def test_a_contradictory_specification_is_refused() -> None:
    with pytest.raises(ValidationError, match="database_required: expected no default, got 1"):
        InputParameterSpec.required_database(default=1)
    with pytest.raises(ValidationError, match="greter_than"):
        InputParameterSpec.required_database(greter_than=1)


def test_a_pairs_values_are_its_qubits_own_before_the_pairs() -> None:
    class OfAPair(Specified):
        task_type = "coupling"  # type: ignore[assignment]
        input_spec: ClassVar = {
            name: InputParameterSpec.required_database(parameter_name=name.partition("_")[2], qid_role=role)
            for name, role in (("c_cr", "control"), ("t_cr", "target"), ("t_t1", "target"))
        }
        output_spec: ClassVar = {"zx": OutputParameterSpec(unit="MHz", qid_role="control")}

        def postprocess(self, backend: Any, execution_id: str, run_result: Any, qid: str) -> Any:
            return PostProcessResult({"zx": ParameterModel(value=1, unit="MHz", qid_role="control")})

    values = {"0": {"cr": (1.0, "")}, "1": {"t1": (2.0, "")}, "0-1": {"cr": (3.0, ""), "t1": (4.0, "")}}
    prepared, _, result, failure = run(OfAPair, StoredValues(values), "0-1")
    given = prepared.input_parameters
    assert {name: (each.value, each.qid_role) for name, each in given.items()} == {
        "c_cr": (1.0, "control"),
        "t_cr": (3.0, ""),
        "t_t1": (2.0, "target"),
    }
    assert failure is None
    assert {each.qid_role for each in (result.output_parameters["zx"], OfAPair.output_parameters["zx"])} == {
        ""
    }


# ---------------------------------------------------------------------- run parameters


@pytest.mark.parametrize(
    ("value_type", "value", "expected"),
    [
        ("int", "150 * 1024", 153600),
        ("float", 2, 2.0),
        ("str", "x", "x"),
        ("range", (0, 9, 4), range(0, 9, 4)),
        ("list", [1, 2], [1, 2]),
    ],
)
def test_a_setting_gives_its_value(value_type: str, value: Any, expected: object) -> None:
    setting = RunParameterModel(value_type=value_type, value=value)
    assert setting.get_value() == expected
    assert type(setting.get_value()) is type(expected)


def test_a_setting_gives_its_points() -> None:
    points = RunParameterModel(value_type="np.linspace", value=(0, 1, 3))
    assert points.get_value().tolist() == [0, 0.5, 1]


def test_a_setting_that_does_not_fit_is_refused() -> None:
    with pytest.raises(CalibrationError, match=r"expected three numbers for np\.linspace"):
        RunParameterModel(value_type="np.linspace", value=[0, 1]).get_value()


def test_a_jobs_setting_reaches_the_task_and_an_unknown_one_is_refused() -> None:
    class Counting(Specified):
        name = "Counting"

        def run(self, backend: Any, qid: str) -> RunResult:
            return RunResult(raw_result=[self.run_parameters["shots"].get_value()])  # type: ignore[attr-defined]

    assert run(Counting, StoredValues(STORED), shots=7)[1].data.values("values").tolist() == [7]
    details = {"Counting": {"run_parameters": {"shots": {"value": 8}}}}
    (task,) = generate_task_instances(["Counting"], details, "qubex").values()
    assert task.setting("shots") == 8
    with pytest.raises(CalibrationError, match="has no run parameter 'shotz'"):
        run(Counting, StoredValues(STORED), shotz=7)


# ---------------------------------------------------------------------- results


@pytest.mark.parametrize(
    ("r2", "cause"),
    [
        (None, None),
        ({"0": 0.9}, None),
        ({"0": 0.7}, "r2_low"),
        ({"0": math.nan}, "r2_not_finite"),
        ({"0": None}, "r2_not_finite"),
        ({"1": 0.9}, "r2_not_finite"),
    ],
)
def test_a_fit_needs_a_known_r2_above_the_threshold(r2: Any, cause: str | None) -> None:
    class Fitted(Doubling):
        pass

    Fitted.r2 = r2
    failure = run(Fitted, StoredValues(STORED))[3]
    assert (None if failure is None else failure.cause) == cause


def test_a_validation_error_refuses_and_keeps_value_and_figures() -> None:
    class Invalid(Doubling):
        error = "expected less"
        figures: ClassVar = [set_figure_role(go.Figure(), "marked"), None, go.Figure()]

    _, _, result, failure = run(Invalid, StoredValues(STORED))
    assert failure is not None
    assert (failure.kind, failure.message) == (FailureKind.OUT_OF_RANGE, "expected less")
    assert result.output_parameters["double"].value == 8.4
    assert [figure.name for figure in result.figures] == ["figure_0_marked", "figure_2"]


def test_a_nan_stays_one_and_is_refused() -> None:
    class Lost(Doubling):
        def postprocess(self, backend: Any, execution_id: str, run_result: Any, qid: str) -> Any:
            return PostProcessResult({"double": ParameterModel(value=math.nan, unit="GHz")})

    failure = run(Lost, StoredValues(STORED))[3]
    assert failure is not None
    assert failure.cause == "output_not_finite"


def test_an_output_that_is_not_declared_is_refused() -> None:
    class Extra(Doubling):
        def postprocess(self, backend: Any, execution_id: str, run_result: Any, qid: str) -> Any:
            self.output_parameters["more"] = ParameterModel(value=1)
            return super().postprocess(backend, execution_id, run_result, qid)

    failure = run(Extra, StoredValues(STORED))[3]
    assert failure is not None
    assert failure.cause == "output_undeclared"


def test_the_analysis_own_raw_data_is_recorded_and_has_to_be_finite() -> None:
    class WithRawData(Doubling):
        def postprocess(self, backend: Any, execution_id: str, run_result: Any, qid: str) -> Any:
            self.output_parameters["double"].value = 1
            raw = [np.array([1 + 1j]), np.array([math.inf])]
            return PostProcessResult(self.attach_execution_id(execution_id), raw_data=raw)

    _, measured, _, failure = run(WithRawData, StoredValues(STORED))
    assert [array.name for array in measured.data] == ["level", "raw_data_0", "raw_data_1"]
    assert failure is not None
    assert failure.cause == "data_not_finite"


def test_a_run_that_gives_nothing_is_not_analysed() -> None:
    class Maintains(QubexTask):
        def run(self, backend: Any, qid: str) -> Any:
            return None

        def postprocess(self, backend: Any, execution_id: str, run_result: Any, qid: str) -> Any:
            raise AssertionError

    assert run(Maintains, StoredValues(STORED))[3] is None


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (None, {}),
        (2.5, {"raw": 2.5}),
        ({"t1": 3, "name": "x", "ok": True}, {"t1": 3}),
        ({"t1": 3, "iq": [1, 2]}, {"iq.values": [1, 2]}),
        ({"a": {"b": (np.array([1.0]),)}}, {"a.b.values": [[1.0]]}),
        ([[1, 2], [3]], {"0.values": [1, 2], "1.values": [3]}),
        (object(), {}),
    ],
)
def test_the_numbers_of_a_raw_result_are_found(raw: object, expected: dict[str, object]) -> None:
    assert {array.name: array.values.tolist() for array in dataset_of(raw)} == expected
