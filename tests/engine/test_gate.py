from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibtasks.base import BaseTask, Dataset, MeasuredArray, OutputParameter, PostProcessResult, RunResult
from executors.engine.gate import accepted_by_qid, judge, judge_data
from qdash_queue.domain import Failure, FailureKind, FiniteRange, ParameterModel

NAN, INF = math.nan, math.inf


class Fitting(BaseTask, register=False):
    """Fits two values and chooses a third."""

    name = "Fitting"
    fits = True
    r2_threshold = 0.7
    output_parameters: Mapping[str, ParameterModel] = {
        "t1": OutputParameter(unit="μs", believable=FiniteRange(low=0.1, high=5000.0)),
        "average_gate_fidelity": OutputParameter(unit="a.u."),
        "hpi_length": OutputParameter(unit="ns", exact=True),
    }

    def run(self, backend: Any, qid: str) -> RunResult:
        raise NotImplementedError

    def postprocess(
        self, backend: Any, execution_id: str, run_result: RunResult, qid: str
    ) -> PostProcessResult:
        raise NotImplementedError


class Measuring(Fitting, register=False):
    """Fits nothing."""

    name = "Measuring"
    fits = False


def outputs(**changes: dict[str, Any] | None) -> dict[str, ParameterModel]:
    good: dict[str, dict[str, Any]] = {
        "t1": {"value": 40.0, "error": 0.5, "unit": "μs"},
        "average_gate_fidelity": {"value": 0.999, "error": 1e-4, "unit": ""},
        "hpi_length": {"value": 32, "error": 0.0, "unit": "ns"},
    }
    for name, change in changes.items():
        if change is None:
            del good[name]
        else:
            good[name] = {**good.get(name, {}), **change}
    return {name: ParameterModel(**fields) for name, fields in good.items()}


def result(r2: float | None = 0.99, **changes: dict[str, Any] | None) -> PostProcessResult:
    return PostProcessResult(output_parameters=outputs(**changes), r2=r2)


def test_a_good_result_passes() -> None:
    assert judge(Fitting(), "3", result()) is None


REFUSED = {
    "output never set": (result(t1=None), "bad_fit", "output_missing"),
    "output without a value": (result(t1={"value": None}), "bad_fit", "output_missing"),
    "nan": (result(t1={"value": NAN}), "bad_fit", "output_not_finite"),
    "plus infinity": (result(t1={"value": INF}), "bad_fit", "output_not_finite"),
    "minus infinity": (result(t1={"value": -INF}), "bad_fit", "output_not_finite"),
    "nan in an exact output": (result(hpi_length={"value": NAN}), "bad_fit", "output_not_finite"),
    "undeclared output": (result(t2={"value": 1.0, "error": 0.1}), "internal", "output_undeclared"),
    "another unit": (result(t1={"unit": "ns"}), "internal", "output_unit"),
    "r2 missing": (result(r2=None), "bad_fit", "r2_missing"),
    "r2 nan": (result(r2=NAN), "bad_fit", "r2_not_finite"),
    "r2 infinite": (result(r2=INF), "bad_fit", "r2_not_finite"),
    "r2 at the threshold": (result(r2=0.7), "bad_fit", "r2_low"),
    "r2 below": (result(r2=-3.0), "bad_fit", "r2_low"),
    "fidelity above one": (result(average_gate_fidelity={"value": 1.001}), "out_of_range", "fidelity_range"),
    "fidelity below zero": (result(average_gate_fidelity={"value": -0.1}), "out_of_range", "fidelity_range"),
    "below the range": (result(t1={"value": 0.01}), "out_of_range", "value_range"),
    "above the range": (result(t1={"value": 9e9}), "out_of_range", "value_range"),
    "error nan": (result(t1={"error": NAN}), "bad_fit", "error_not_finite"),
    "error infinite": (result(t1={"error": INF}), "bad_fit", "error_not_finite"),
    "error negative": (result(t1={"error": -1.0}), "bad_fit", "error_not_finite"),
    "error zero": (result(t1={"error": 0.0}), "bad_fit", "error_missing"),
    "nothing at all": (PostProcessResult(), "bad_fit", "output_missing"),
}


@pytest.mark.parametrize(("bad", "kind", "cause"), REFUSED.values(), ids=REFUSED.keys())
def test_a_bad_result_is_refused_by_name(bad: PostProcessResult, kind: str, cause: str) -> None:
    failure = judge(Fitting(), "3", bad)
    assert failure is not None
    assert (failure.kind.value, failure.cause) == (kind, cause)
    assert failure.message.startswith("Fitting on qubit 3: ")


def test_the_tasks_own_failure_stands() -> None:
    own = Failure(kind=FailureKind.BAD_FIT, cause="fit_at_bound", message="T1 lies at its bound")
    given_result = PostProcessResult(output_parameters=outputs(), r2=0.99, failure=own)
    assert judge(Fitting(), "3", given_result) == own


def test_a_task_that_does_not_fit_needs_neither_r2_nor_errors() -> None:
    assert judge(Measuring(), "3", result(r2=None, t1={"error": 0.0})) is None
    assert judge(Measuring(), "3", result(r2=NAN)) is not None


number = st.floats(allow_nan=True, allow_infinity=True)


@given(value=number, error=number, r2=st.none() | number)
def test_whatever_passes_is_finite_and_in_range(value: float, error: float, r2: float | None) -> None:
    failure = judge(Fitting(), "0", result(r2=r2, t1={"value": value, "error": error}))
    if failure is None:
        assert 0.1 <= value <= 5000.0
        assert 0.0 < error < INF
        assert r2 is not None
        assert 0.7 < r2 < INF


@given(values=st.lists(number | st.complex_numbers(allow_nan=True, allow_infinity=True), max_size=20))
def test_data_pass_only_if_there_and_finite(values: list[complex]) -> None:
    run_result = RunResult(Dataset([MeasuredArray("iq", np.array(values, dtype=complex), "a.u.")]))
    good = len(values) > 0 and bool(np.all(np.isfinite(np.array(values, dtype=complex))))
    assert (judge_data(Fitting(), "0", run_result) is None) is good


def test_data_that_are_missing_are_the_instruments_failure() -> None:
    failure = judge_data(Fitting(), "5", RunResult())
    assert failure is not None
    assert (failure.kind, failure.cause) == (FailureKind.INSTRUMENT, "no_data")


def parameter(role: str, name: str = "") -> ParameterModel:
    return ParameterModel.model_validate({"parameter_name": name, "qid_role": role, "value": 1.0})


def owners() -> Iterator[tuple[str, str, str]]:
    yield "7", "", "7"
    yield "0-1", "control", "0"
    yield "0-1", "target", "1"
    yield "0-1", "coupling", "0-1"
    yield "0-1", "", "0-1"


@pytest.mark.parametrize(("qid", "role", "owner"), owners())
def test_accepted_values_go_to_whom_they_belong(qid: str, role: str, owner: str) -> None:
    placed = accepted_by_qid(qid, {"key": parameter(role, "cr_amplitude")})
    assert list(placed) == [owner]
    assert list(placed[owner]) == ["cr_amplitude"]
