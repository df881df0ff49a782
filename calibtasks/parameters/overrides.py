"""Which run parameters a task runs with: the call's, else the session's, else the task's own.

Per name: ``task_details`` of the call, then the session's ``task_run_parameters``, then its defaults for this
task, then those for every task, then what the task declares. The caller's dicts are read and never changed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Literal

from calibtasks.parameters.run_parameters import bad_value, evaluate, refuse
from qdash_queue.domain import CalibrationError, RunParameterModel

RunParameterDefaults = Mapping[str, object]
"""``{name: value}`` for every task that knows the name, or ``{task: {name: value}}`` for one task."""

TaskRunParameters = Mapping[str, Mapping[str, object]]
"""``{task: {name: value}}``."""

ParameterOverrides = Mapping[Literal["input", "run"], Mapping[str, object]]
"""``{"input": {name: value}, "run": {name: value}}``: above what a repeated task run ran with."""

TaskDetails = Mapping[str, object]
"""``{task: {"run_parameters": {name: value}}}``; a value is plain or ``{"value": …, "value_type": …}``."""


def _refuse(message: str) -> CalibrationError:
    return refuse(message, "unknown_run_parameter")


def did_you_mean(word: str, known: Collection[str]) -> str:
    """The end of a sentence about an unknown ``word``: the nearest known one, or nothing."""
    close = get_close_matches(word, known, n=1)
    return f': did you mean "{close[0]}"?' if close else ""


def _is_flat(value: object) -> bool:
    """Whether an entry of the session's defaults is a value itself and not a task's block of values."""
    return not isinstance(value, Mapping) or "value" in value or "value_type" in value


def check_defaults(
    defaults: RunParameterDefaults, tasks: Mapping[str, Mapping[str, RunParameterModel]]
) -> None:
    """Refuse session defaults that no task would ever read.

    Args:
        defaults: what the session was given.
        tasks: the declared run parameters of every task that can be run, by task.

    Raises:
        CalibrationError: ``invalid_request``, with the name and the nearest one that exists.
    """
    every_name = {name for declared in tasks.values() for name in declared}
    for key, value in defaults.items():
        if key in tasks or not _is_flat(value):
            _check_block(key, value, tasks)
        elif key not in every_name:
            raise _refuse(f'no task has a run parameter "{key}"{did_you_mean(key, every_name)}')


def check_task_run_parameters(
    given: TaskRunParameters, tasks: Mapping[str, Mapping[str, RunParameterModel]]
) -> None:
    """Refuse run parameters of tasks that are unknown, or do not have them; as :func:`check_defaults`."""
    for task, block in given.items():
        _check_block(task, block, tasks)


def _check_block(task: str, block: object, tasks: Mapping[str, Mapping[str, RunParameterModel]]) -> None:
    if task not in tasks:
        raise _refuse(f'run parameters for unknown task "{task}"{did_you_mean(task, tasks)}')
    for name in _block(task, block):
        if name not in tasks[task]:
            hint = did_you_mean(str(name), tasks[task])
            raise _refuse(f'{task} has no run parameter "{name}"{hint}')


def overrides_for(
    task: str,
    declared: Mapping[str, RunParameterModel],
    defaults: RunParameterDefaults,
    task_details: TaskDetails | None = None,
    task_run_parameters: TaskRunParameters | None = None,
) -> dict[str, object]:
    """The run parameters of one run of ``task`` that differ from those declared, by name, unchecked.

    A default for every task counts only where the task knows the name; a value given for this task is
    passed on whatever its name, so that a misspelt one is refused and not dropped.

    Raises:
        CalibrationError: ``invalid_request``; a block of run parameters is not a mapping.
    """
    merged = {key: value for key, value in defaults.items() if key in declared and _is_flat(value)}
    own = defaults.get(task)
    if isinstance(own, Mapping) and task not in merged:
        merged.update(own)
    merged.update((task_run_parameters or {}).get(task, {}))
    merged.update(_from_details(task, task_details or {}))
    return merged


def _from_details(task: str, task_details: TaskDetails) -> Mapping[str, object]:
    details = task_details.get(task, {})
    if not isinstance(details, Mapping):
        raise _refuse(f"task_details of {task}: expected a mapping, got {details!r}")
    stray = [str(key) for key in details if key not in ("run_parameters", "input_parameters")]
    if stray:
        raise _refuse(f'task_details of {task}: expected "run_parameters", got "{stray[0]}"')
    # QDash's older flows write "input_parameters" for run parameters.
    found: dict[str, object] = {}
    for key in ("input_parameters", "run_parameters"):
        if details.get(key) is not None:
            found.update(_block(task, details[key]))
    return found


def _block(task: str, block: object) -> Mapping[str, object]:
    if not isinstance(block, Mapping):
        raise _refuse(f"run parameters of {task}: expected {{name: value}}, got {block!r}")
    return block


def overridden(
    task: str, declared: Mapping[str, RunParameterModel], overrides: Mapping[str, object]
) -> dict[str, RunParameterModel]:
    """``declared`` with ``overrides`` in place, each a plain value or ``{"value", "value_type"?}``.

    Raises CalibrationError (``invalid_request``) on an unknown name or a value that cannot be evaluated.
    """
    unknown = [name for name in overrides if name not in declared]
    if unknown:
        known = ", ".join(sorted(declared)) or "none"
        raise _refuse(f"{task} has no run parameter {unknown[0]!r} (it has: {known})")
    result = {name: parameter.model_copy() for name, parameter in declared.items()}
    for name, given in overrides.items():
        result[name] = _override(name, declared[name], given)
        evaluate(name, result[name])
    return result


def _override(name: str, declared: RunParameterModel, given: object) -> RunParameterModel:
    fields: dict[str, object] = {"value": given}
    if isinstance(given, RunParameterModel):
        fields = {"value": given.value, "value_type": given.value_type}
    elif isinstance(given, Mapping):
        stray = [key for key in given if key not in ("value", "value_type", "unit", "description", "limits")]
        if stray or "value" not in given:
            raise bad_value(name, 'a value or {"value": ..., "value_type": ...}', dict(given))
        fields = {key: given[key] for key in ("value", "value_type") if key in given}
        if given.get("unit", declared.unit) != declared.unit:
            raise bad_value(name, f"the unit {declared.unit!r}", given["unit"])
    if isinstance(fields["value"], tuple):
        fields["value"] = list(fields["value"])
    try:
        checked = RunParameterModel.model_validate(
            {**fields, "value_type": fields.get("value_type", declared.value_type)}
        )
    except ValueError:
        raise bad_value(name, f"a value of type {declared.value_type}", given) from None
    return declared.model_copy(update={"value": fields["value"], "value_type": checked.value_type})
