"""The gate, fail closed: what a task measured becomes a parameter only if it passes every rule.

Every rule names its failure; the first that applies is the verdict. A value that is missing or not a finite
number never passes, whatever the result of comparing it with a threshold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import NamedTuple

import numpy as np

from calibtasks.results import OutputParameter, PostProcessResult, RunResult, same_unit
from calibtasks.task import Task, owner
from executors.job.failures import subject
from qdash_queue.domain import Failure, FailureKind, ParameterModel

_REMEDIES: Mapping[str, str] = {
    "r2_low": "check the figure: is there a signal?",
    "r2_missing": "a defect of the task: a fit has to give its R²",
    "output_missing": "a defect of the task: every declared output has to be set",
    "output_undeclared": "a defect of the task: declare the output",
    "output_unit": "a defect of the task: give the output its declared unit",
    "value_range": "check the figure: is the qubit where its parameters place it?",
}

Reason = tuple[FailureKind, str, str]
"""Kind, cause and message of a refusal."""

Declared = Mapping[str, ParameterModel]
"""The outputs that a task has to set on its target, by key."""


class _Case(NamedTuple):
    task: Task
    outputs: Declared
    result: PostProcessResult


Rule = Callable[[_Case], Iterator[Reason]]


def judge_data(task: Task, qid: str, run_result: RunResult) -> Failure | None:
    """Why the raw data cannot be trusted; ``None`` if every number in it is finite.

    A task that declares outputs has to bring data.
    """
    if len(run_result.data) == 0:
        if not task.output_parameters:
            return None
        return Failure(
            kind=FailureKind.INSTRUMENT,
            cause="no_data",
            message=f"{task.name} on {subject(qid)}: the measurement returned no data",
            remedy="check the control system",
        )
    for array in run_result.data:
        bad = array.values.size - int(np.count_nonzero(np.isfinite(array.values)))
        if bad or array.values.size == 0:
            got = f"{bad} of {array.values.size} that are not" if bad else "none"
            return Failure(
                kind=FailureKind.INSTRUMENT,
                cause="data_not_finite" if bad else "no_data",
                message=f'{task.name} on {subject(qid)}: expected numbers in "{array.name}", got {got}',
                remedy="check the control system",
            )
    return None


def judge(task: Task, qid: str, result: PostProcessResult) -> Failure | None:
    """Why ``result`` is refused; ``None`` if it may change parameters.

    The task's own failure stands; else the first of: an output that is missing, undeclared, in another unit
    or not a finite number; a fit without an R² above the threshold; a fidelity or a value outside its range;
    an error that is not finite and positive.
    """
    if result.failure is not None:
        return result.failure
    case = _Case(task, task.outputs_of(qid), result)
    reason = next(chain.from_iterable(rule(case) for rule in _RULES), None)
    if reason is None:
        return None
    kind, cause, message = reason
    message = f"{task.name} on {subject(qid)}: {message}"
    return Failure(kind=kind, cause=cause, message=message, remedy=_REMEDIES.get(cause, ""))


def _outputs_are_declared_and_finite(case: _Case) -> Iterator[Reason]:
    for name in case.outputs:
        given = case.result.output_parameters.get(name)
        if given is None or given.value is None:
            yield FailureKind.BAD_FIT, "output_missing", f"{name} was never set"
    for name, given in case.result.output_parameters.items():
        declared = case.outputs.get(name)
        if declared is None:
            message = f'the task sets "{name}", which it does not declare'
            yield FailureKind.INTERNAL, "output_undeclared", message
        elif not same_unit(given.unit, declared.unit):
            message = f'expected {name} in "{declared.unit}", got "{given.unit}"'
            yield FailureKind.INTERNAL, "output_unit", message
    for name, given in case.result.output_parameters.items():
        if given.value is None or not math.isfinite(given.value):
            message = f"expected a finite {name}, got {given.value}"
            yield FailureKind.BAD_FIT, "output_not_finite", message


def _fit_is_good(case: _Case) -> Iterator[Reason]:
    if not case.task.fits and case.result.r2 is None:
        return
    limit = case.task.r2_threshold
    if case.result.r2 is None:
        message, cause = "the fit gave no R²", "r2_missing"
    elif not math.isfinite(case.result.r2):
        message, cause = f"expected a finite R², got {case.result.r2}", "r2_not_finite"
    elif not case.result.r2 > limit:
        message, cause = f"expected R² above {limit:g}, got {case.result.r2:.4f}", "r2_low"
    else:
        return
    yield FailureKind.BAD_FIT, cause, message


def _values_are_believable(case: _Case) -> Iterator[Reason]:
    for name, given in case.result.output_parameters.items():
        value = _number(given)
        if "fidelity" in name and not 0.0 <= value <= 1.0:
            message = f"expected {name} from 0 to 1, got {value:g}"
            yield FailureKind.OUT_OF_RANGE, "fidelity_range", message
        declared = case.outputs.get(name)
        limits = declared.believable if isinstance(declared, OutputParameter) else None
        if limits is not None and not limits.low <= value <= limits.high:
            unit = f" {given.unit}" if given.unit else ""
            message = f"expected {name} from {limits.low:g} to {limits.high:g}{unit}, got {value:g}"
            yield FailureKind.OUT_OF_RANGE, "value_range", message


def _errors_are_known(case: _Case) -> Iterator[Reason]:
    for name, given in case.result.output_parameters.items():
        if not math.isfinite(given.error) or given.error < 0:
            message = f"expected a finite positive error of {name}, got {given.error}"
            yield FailureKind.BAD_FIT, "error_not_finite", message
        elif given.error == 0 and case.task.fits and not _is_exact(case.outputs, name):
            message = f"expected a positive error of {name}, got none"
            yield FailureKind.BAD_FIT, "error_missing", message


_RULES: tuple[Rule, ...] = (
    _outputs_are_declared_and_finite,
    _fit_is_good,
    _values_are_believable,
    _errors_are_known,
)


def _number(given: ParameterModel) -> float:
    return math.nan if given.value is None else float(given.value)


def _is_exact(outputs: Declared, name: str) -> bool:
    declared = outputs.get(name)
    return isinstance(declared, OutputParameter) and declared.exact


def accepted_by_qid(qid: str, outputs: Mapping[str, ParameterModel]) -> dict[str, dict[str, ParameterModel]]:
    """Where accepted values belong, by qid and stored name: a coupling's task also serves its two qubits."""
    placed: dict[str, dict[str, ParameterModel]] = {}
    for key, value in outputs.items():
        placed.setdefault(owner(qid, value.qid_role), {})[value.parameter_name or key] = value
    return placed
