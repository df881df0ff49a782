"""What a task class promises, in the full form and in the short one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from calibtasks.active_protocols import ACTIVE, active_tasks
from calibtasks.base import (
    BaseTask,
    Dataset,
    MeasuredArray,
    OutputParameter,
    PostProcessResult,
    RunParameter,
    RunResult,
)
from calibtasks.dataset import RawArray
from calibtasks.results import same_unit
from calibtasks.task import REGISTRY
from qdash_queue.domain import CalibrationError, FailureKind, FiniteRange, ParameterModel, TaskType


class StoredValues:
    """A backend that only knows stored values."""

    def __init__(self, **stored: ParameterModel) -> None:
        self.stored = stored

    def get_instance(self) -> Any:
        raise AssertionError("these tasks measure nothing")

    def label(self, qid: str) -> str:
        return f"Q{qid}"

    def members(self, qid: str) -> tuple[str, ...]:
        return (qid,)

    def has_parameter(self, qid: str, name: str) -> bool:
        return name in self.stored

    def is_suspect(self, qid: str, name: str) -> bool:
        return False

    def parameter(self, qid: str, name: str) -> ParameterModel:
        if name not in self.stored:
            raise CalibrationError(_missing(qid, name))
        return self.stored[name]


def _missing(qid: str, name: str) -> Any:
    from qdash_queue.domain import Failure

    return Failure(kind=FailureKind.MISSING_INPUT, message=f"qubit {qid} has no {name}")


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(REGISTRY, "_classes", dict(REGISTRY._classes))


def define_short() -> type[BaseTask]:
    class MyNewTask(BaseTask):
        name = "MyNewTask"

        def preprocess(self, backend):  # type: ignore[no-untyped-def, override]  # noqa: ANN001, ANN202
            pass

        def run(self, backend):  # type: ignore[no-untyped-def, override]  # noqa: ANN001, ANN202
            pass

        def postprocess(self, backend, result):  # type: ignore[no-untyped-def, override]  # noqa: ANN001, ANN202
            pass

    return MyNewTask


def define_full() -> type[BaseTask]:
    class Gain(BaseTask):
        input_parameters: Mapping[str, ParameterModel] = {"qubit_frequency": ParameterModel(unit="GHz")}
        run_parameters: Mapping[str, RunParameter] = {
            "shots": RunParameter(value_type="int", value=100, limits=FiniteRange(low=1, high=1000)),
            "times": RunParameter(value_type="np.linspace", value=[0, 1, 5], unit="ns"),
        }
        output_parameters: Mapping[str, ParameterModel] = {"gain": OutputParameter(unit="GHz")}

        def run(self, backend: Any, qid: str) -> RunResult:
            return RunResult(Dataset([MeasuredArray("t", np.asarray(self.setting("times")), "ns")]))

        def postprocess(
            self,
            backend: Any,
            execution_id: str,
            run_result: RunResult,
            qid: str,
        ) -> PostProcessResult:
            total = float(run_result.data.values("t").sum()) * self.input("qubit_frequency")
            return PostProcessResult({"gain": self.output("gain", total, 0.5)}, [go.Figure()])

    return Gain


def test_short_form_runs_through_the_engines_calls() -> None:
    task = define_short()()
    assert task.task_type is TaskType.QUBIT
    assert task.prepare(StoredValues(), "0").input_parameters == {}
    result = task.measure(StoredValues(), ["0"])["0"]
    assert len(result.data) == 0
    assert task.analyse("20261123-q001", "0", result) == PostProcessResult()


def test_the_short_form_knows_its_qubit() -> None:
    class Asking(BaseTask):
        def preprocess(self, backend):  # type: ignore[no-untyped-def, override]  # noqa: ANN001, ANN202
            self.input_parameters = {"t1": backend.parameter(self.qid, "t1")}

        def run(self, backend):  # type: ignore[no-untyped-def, override]  # noqa: ANN001, ANN202
            return {"measured": [int(self.qid)]}

        def postprocess(self, backend, result):  # type: ignore[no-untyped-def, override]  # noqa: ANN001, ANN202
            return PostProcessResult(quality_metrics={"qid": float(self.qid)})

    task = Asking()
    prepared = task.prepare(StoredValues(t1=ParameterModel(value=3.0, unit="μs")), "5")
    assert prepared.input_parameters["t1"].value == 3.0
    result = task.measure(StoredValues(), ["6"])["6"]
    assert result.data.values("measured").tolist() == [6]
    assert task.analyse("x", "7", result).quality_metrics == {"qid": 7.0}


@pytest.mark.parametrize("seconds", [0, -1.0, math.nan])
def test_a_time_limit_that_would_limit_nothing_is_refused(seconds: float) -> None:
    with pytest.raises(TypeError, match=r"Hasty.timeout: expected seconds above 0"):
        type("Hasty", (define_full(),), {"timeout": seconds})


def test_name_and_type_may_be_left_out() -> None:
    cls = define_full()
    assert (cls.name, cls.task_type) == ("Gain", "qubit")
    assert REGISTRY.find("Gain") is cls


def test_full_form_reads_inputs_measures_and_concludes() -> None:
    task = define_full()({"shots": 5})
    prepared = task.prepare(StoredValues(qubit_frequency=ParameterModel(value=2.0, unit="GHz")), "0")
    assert prepared.input_parameters["qubit_frequency"].value == 2.0
    assert prepared.run_parameters["shots"].value == 5
    result = task.analyse("x", "0", task.measure(StoredValues(), ["0"])["0"])
    assert result.output_parameters["gain"].value == pytest.approx(5.0)
    assert (result.output_parameters["gain"].unit, result.output_parameters["gain"].error) == ("GHz", 0.5)
    assert result.figures[0].name == "figure_0"


def test_postprocess_can_be_run_again_from_a_record() -> None:
    cls = define_full()
    first = cls()
    prepared = first.prepare(StoredValues(qubit_frequency=ParameterModel(value=3.0, unit="GHz")), "0")
    run = first.measure(StoredValues(), ["0"])["0"]
    again = cls.from_record("0", prepared.input_parameters, prepared.run_parameters)
    stored = RunResult(Dataset.from_raw(run.data.to_raw()))
    assert again.analyse("x", "0", stored).output_parameters == (
        first.analyse("x", "0", run).output_parameters
    )


def test_missing_and_wrongly_measured_inputs_are_refused() -> None:
    task = define_full()()
    for backend, cause in (
        (StoredValues(), ""),
        (StoredValues(qubit_frequency=ParameterModel(value=2.0, unit="MHz")), "wrong_unit"),
    ):
        with pytest.raises(CalibrationError) as refused:
            task.prepare(backend, "0")
        assert refused.value.failure.kind is FailureKind.MISSING_INPUT
        assert refused.value.failure.cause == cause


def test_a_name_can_be_taken_once_only() -> None:
    define_short()
    with pytest.raises(TypeError, match=r"'MyNewTask' is already defined by .*give .* another name"):
        define_short()


def test_a_forgotten_name_can_be_defined_again() -> None:
    define_short()
    BaseTask.forget("MyNewTask")
    again = define_short()
    assert REGISTRY.find("MyNewTask") is again


def test_a_method_of_another_form_is_refused_when_it_is_defined() -> None:
    with pytest.raises(TypeError, match=r"expected run\(self, backend, qid\), got 3 arguments"):

        class Odd(BaseTask):
            def run(self, backend: Any, qid: str, more: int) -> RunResult:  # type: ignore[override]
                raise NotImplementedError


def test_an_unknown_task_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(CalibrationError, match='unknown task "CheckRaby": did you mean "CheckRabi"'):
        REGISTRY.find("CheckRaby")
    assert list(active_tasks()) == [task.name for task in ACTIVE]


def test_units_that_qdash_mixes_are_the_same() -> None:
    assert same_unit("", "a.u.")
    assert same_unit("a.u.", "–")
    assert same_unit("µs", "μs")
    assert not same_unit("MHz", "GHz")


# ------------------------------------------------------------------ run parameters


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ({"shots": 7}, 7),
        ({"shots": {"value": 7}}, 7),
        ({"times": [0, 2, 3]}, [0, 1, 2]),
        ({"times": {"value": [0, 2, 1], "value_type": "range"}}, [0, 1]),
        ({"times": {"value": [0.5, 9.0], "value_type": "list"}}, [0.5, 9.0]),
        ({"times": {"value": [0, 2, 3], "value_type": "np.logspace"}}, [1, 10, 100]),
    ],
)
def test_overrides_are_evaluated(override: dict[str, object], value: object) -> None:
    task = define_full()(override)
    assert np.asarray(task.setting(next(iter(override)))).tolist() == pytest.approx(value)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ({"shoots": 7}, "Gain has no run parameter 'shoots'"),
        ({"shots": 0}, "expected values from 1 to 1000"),
        ({"shots": 2.5}, "expected an integer, got 2.5"),
        ({"shots": True}, "run parameter 'shots': expected"),
        ({"shots": "7"}, "expected an integer, got '7'"),
        ({"shots": None}, "expected an integer, got None"),
        ({"shots": math.nan}, "expected an integer, got nan"),
        ({"times": [0, 1]}, "expected three numbers for np.linspace"),
        ({"times": [0, math.inf, 3]}, "expected a list of finite numbers"),
        ({"times": [0, 1, 0]}, "expected a whole number of points from 2"),
        ({"times": {"value": [5, 1, 1], "value_type": "range"}}, "expected a step that leads from 5 to 1"),
        ({"times": {"value": [0, 1, 1e-9], "value_type": "np.arange"}}, "in 1 to 100000 points"),
        ({"times": {"value": [0, 1, 5], "value_type": "eval"}}, "expected a value of type np.linspace"),
        ({"times": {"value": [0, 1, 5], "unit": "s"}}, "expected the unit 'ns', got 's'"),
        ({"times": {"values": [0, 1, 5]}}, "expected a value or"),
    ],
)
def test_bad_overrides_are_refused_in_a_sentence(override: dict[str, object], words: str) -> None:
    cls = define_full()
    with pytest.raises(CalibrationError) as refused:
        cls(override)
    assert refused.value.failure.kind is FailureKind.INVALID_REQUEST
    assert words in refused.value.failure.message


KEYWORDS = {
    *("type", "required", "additionalProperties", "properties", "enum", "minimum", "maximum", "pattern"),
    *("minLength", "maxLength", "minItems", "maxItems", "items", "anyOf", "$ref", "$defs"),
    *("description", "default", "title"),
}


@pytest.mark.parametrize("name", ["CheckRabi", "CreateHPIPulse", "CheckT1", "CheckRamsey"])
def test_schema_keeps_to_the_subset_that_the_database_checks(name: str) -> None:
    schema = REGISTRY.find(name).run_parameters_schema()
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == set(REGISTRY.find(name).run_parameters)
    for entry in (schema, *schema["properties"].values()):
        assert set(entry) <= KEYWORDS


# ------------------------------------------------------------------ datasets


def test_a_dataset_survives_its_form_as_bytes() -> None:
    rng = np.random.default_rng(1)
    arrays = [
        MeasuredArray("time", np.linspace(0, 1, 5), "ns"),
        MeasuredArray("iq", rng.normal(size=(2, 3)) + 1j * rng.normal(size=(2, 3)), "a.u."),
        MeasuredArray("counts", np.arange(4, dtype=np.int32)[::2], ""),
        MeasuredArray("big", np.arange(3, dtype=">f8"), "V"),
        MeasuredArray("empty", np.zeros((0, 2)), ""),
    ]
    raw = Dataset(arrays).to_raw()
    assert [(item.name, item.dtype, item.shape, item.unit) for item in raw][:2] == [
        ("time", "<f8", (5,), "ns"),
        ("iq", "<c16", (2, 3), "a.u."),
    ]
    back = Dataset.from_raw(raw)
    for array in arrays:
        assert np.array_equal(back.values(array.name), array.values)
        assert back[array.name].unit == array.unit


def test_broken_datasets_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 40 bytes for shape"):
        Dataset.from_raw([RawArray("t", "<f8", (5,), "ns", b"\0" * 39)])
    with pytest.raises(ValueError, match="given twice"):
        Dataset([MeasuredArray("t", np.zeros(1), ""), MeasuredArray("t", np.zeros(1), "")])
    with pytest.raises(ValueError, match="expected numbers"):
        MeasuredArray("t", np.array(["a"]), "")
    with pytest.raises(KeyError, match="no array 'x' in the dataset"):
        Dataset.of(t=[1.0])["x"]
