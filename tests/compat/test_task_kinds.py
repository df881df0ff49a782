"""Tasks of QDash about multiplexers and for its simulator, their registry, and the names around them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import plotly.graph_objects as go
import pytest
from qdash_queue_compat.results import PostProcessResult, RunResult
from qdash_queue_compat.tasks import (
    BaseTask,
    FakeTask,
    QubexTask,
    is_mux_task,
    qid_to_label,
)
from qdash_queue_compat.validation import finite_value_error, first_validation_error

from calibtasks.active_protocols import active_tasks
from calibtasks.task import PROJECT_SOURCE, REGISTRY
from qdash_queue.domain import CalibrationError, ParameterModel, TaskType
from tests.compat.doubling import Doubling
from tests.compat.stored import StoredValues, run

pytestmark = pytest.mark.usefixtures("served")
STORED = {"0": {"qubit_frequency": (4.2, "GHz"), "hpi_amplitude": (0.1, "a.u.")}}


def test_a_task_about_a_multiplexer_is_measured_once_and_analysed_for_each_qubit() -> None:
    class Resonators(QubexTask):
        name = "Resonators"
        is_mux_level = True
        output_parameters = {"readout_frequency": ParameterModel(unit="GHz")}  # noqa: RUF012
        input_parameters: ClassVar[Mapping[str, Any]] = {"guess": None}  # type: ignore[misc]

        def run(self, backend: Any, qid: str) -> RunResult:
            assert qid == "4"
            return RunResult(raw_result={"found": np.array([5.0, 6.0])}, r2={"4": 0.9})

        def postprocess(self, backend: Any, execution_id: str, run_result: Any, qid: str) -> Any:
            self.output_parameters["readout_frequency"].value = float(qid)
            return PostProcessResult(self.attach_execution_id(execution_id), figures=[go.Figure()])

    assert Resonators.task_type is TaskType.MUX
    assert is_mux_task("Resonators")
    backend = StoredValues({"4": {"guess": (1.0, "")}}, members=("4", "5"))
    prepared, _, result, failure = run(Resonators, backend, "1")
    assert failure is None
    assert prepared.input_parameters["guess"].qid_role == "4"
    assert {
        name: (each.parameter_name, each.qid_role, each.value)
        for name, each in result.output_parameters.items()
    } == {
        "4_readout_frequency": ("readout_frequency", "4", 4.0),
        "5_readout_frequency": ("readout_frequency", "5", 5.0),
    }
    assert [figure.name for figure in result.figures] == ["4_figure_0", "5_figure_0"]


def test_a_qubit_of_a_multiplexer_does_not_get_the_value_of_another() -> None:
    class Half(QubexTask):
        is_mux_level = True
        output_parameters = {"readout_frequency": ParameterModel(unit="GHz")}  # noqa: RUF012

        def run(self, backend: Any, qid: str) -> RunResult:
            return RunResult(raw_result=[5.0])

        def postprocess(self, backend: Any, execution_id: str, run_result: Any, qid: str) -> Any:
            if qid == "4":
                self.output_parameters["readout_frequency"].value = 5.0
            return PostProcessResult(self.attach_execution_id(execution_id))

    failure = run(Half, StoredValues({}, members=("4", "5")), "1")[3]
    assert failure is not None
    assert failure.message.endswith("5_readout_frequency was never set")


def test_a_simulators_task_is_refused_on_instruments() -> None:
    class MadeUp(FakeTask):
        def run(self, backend: Any, qid: str) -> RunResult:
            assert self.get_label(qid) == "Q00"
            return RunResult(raw_result={"x": 1})

        def postprocess(self, backend: Any, execution_id: str, run_result: Any, qid: str) -> Any:
            return None

    assert run(MadeUp, StoredValues({}))[3] is None
    with pytest.raises(CalibrationError, match="makes up its values: it cannot run on qubex"):
        run(MadeUp, StoredValues({}, kind="qubex"))


def test_the_backend_tells_its_name_and_its_session() -> None:
    class Asks(Doubling):
        def run(self, backend: Any, qid: str) -> RunResult:
            assert backend.name == "fake"
            assert (backend.config["chip_id"], backend.config["task_type"]) == ("SIM16", "qubit")
            return super().run(backend, qid)

    assert run(Asks, StoredValues(STORED))[3] is None


def test_a_class_without_a_name_is_no_task_and_two_of_one_name_coexist() -> None:
    class Between(QubexTask):
        pass

    class CheckT1(Doubling):
        name = "CheckT1"

    assert active_tasks()["CheckT1"] is not CheckT1
    names = {key for key in REGISTRY._classes if key[1] in ("CheckT1", "Between")}
    assert names == {(PROJECT_SOURCE, "CheckT1"), ("tests", "CheckT1")}
    assert REGISTRY.find("CheckT1") is CheckT1
    assert CheckT1.origin() == "tests"
    with pytest.raises(TypeError, match="a task named 'CheckT1' is already defined by"):

        class Other(Doubling):
            name = "CheckT1"


def test_a_batch_is_not_measured() -> None:
    with pytest.raises(NotImplementedError, match="one target at a time"):
        Doubling({}).batch_run(None, [])


@pytest.mark.parametrize(
    ("value", "limits", "words"),
    [
        (None, {}, "expected a number as f, got None"),
        ("x", {}, "expected a number as f, got 'x'"),
        (math.nan, {}, "expected a finite f, got nan"),
        (1, {"minimum": 2}, "expected f of at least 2, got 1"),
        (3, {"maximum": 2}, "expected f of at most 2, got 3"),
        (2, {"minimum": 2, "maximum": 2}, None),
    ],
)
def test_a_value_is_checked_in_words(value: Any, limits: dict[str, float], words: str | None) -> None:
    assert finite_value_error(value, "f", **limits) == words
    assert first_validation_error(None, words, "second") == (words or "second")


@pytest.mark.parametrize(("qubits", "label"), [(64, "Q05"), (144, "Q005"), (4, "Q05")])
def test_a_label_is_padded(qubits: int, label: str) -> None:
    assert qid_to_label("5", qubits) == label
    with pytest.raises(ValueError, match='expected a qubit such as "5"'):
        qid_to_label("Q5")


def test_the_quickstarts_form_needs_nothing_else() -> None:
    class MyNewTask(BaseTask):
        name = "MyNewTask"

        def preprocess(self, backend: Any) -> None:  # type: ignore[override]
            pass

        def run(self, backend: Any) -> Any:  # type: ignore[override]
            return {"iq": [1.0]}

        def postprocess(self, backend: Any, result: Any) -> Any:  # type: ignore[override]
            assert result.data.values("iq").tolist() == [1.0]

    assert run(MyNewTask, StoredValues({}))[3] is None
