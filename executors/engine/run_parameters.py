"""Which settings a task runs with: the call's, else the session's, else the task's own.

Per name: ``task_details`` of the call, then the session's defaults for this task, then the session's defaults
for every task, then what the task declares. The caller's dicts are read and never changed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches

from qdash_queue.domain import CalibrationError, Failure, FailureKind, RunParameterModel

RunParameterDefaults = Mapping[str, object]
"""``{name: value}`` for every task that knows the name, or ``{task: {name: value}}`` for one task."""

TaskDetails = Mapping[str, object]
"""``{task: {"run_parameters": {name: value}}}``; a value is plain or ``{"value": …, "value_type": …}``."""


def _refuse(message: str) -> CalibrationError:
    return CalibrationError(
        Failure(kind=FailureKind.INVALID_REQUEST, cause="unknown_run_parameter", message=message)
    )


def _did_you_mean(word: str, known: Collection[str]) -> str:
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
        if key in tasks:
            if not isinstance(value, Mapping):
                raise _refuse(f"run parameters of {key}: expected {{name: value}}, got {value!r}")
            for name in value:
                if name not in tasks[key]:
                    hint = _did_you_mean(str(name), tasks[key])
                    raise _refuse(f'{key} has no run parameter "{name}"{hint}')
        elif not _is_flat(value):
            raise _refuse(f'run parameters for unknown task "{key}"{_did_you_mean(key, tasks)}')
        elif key not in every_name:
            raise _refuse(f'no task has a run parameter "{key}"{_did_you_mean(key, every_name)}')


def overrides_for(
    task: str,
    declared: Mapping[str, RunParameterModel],
    defaults: RunParameterDefaults,
    task_details: TaskDetails | None = None,
) -> dict[str, object]:
    """The settings of one run of ``task`` that differ from what it declares, by name, unchecked.

    A default for every task counts only where the task knows the name; a setting given for this very task is
    passed on whatever its name, so that a misspelt one is refused and not dropped.

    Raises:
        CalibrationError: ``invalid_request``; a block of settings is not a mapping.
    """
    merged = {key: value for key, value in defaults.items() if key in declared and _is_flat(value)}
    own = defaults.get(task)
    if isinstance(own, Mapping) and task not in merged:
        merged.update(own)
    merged.update(_from_details(task, task_details or {}))
    return merged


def _from_details(task: str, task_details: TaskDetails) -> Mapping[str, object]:
    details = task_details.get(task, {})
    if not isinstance(details, Mapping):
        raise _refuse(f"task_details of {task}: expected a mapping, got {details!r}")
    stray = [str(key) for key in details if key not in ("run_parameters", "input_parameters")]
    if stray:
        raise _refuse(f'task_details of {task}: expected "run_parameters", got "{stray[0]}"')
    # QDash's older flows say "input_parameters" and mean the settings of the run.
    return {**_block(task, details.get("input_parameters")), **_block(task, details.get("run_parameters"))}


def _block(task: str, block: object) -> Mapping[str, object]:
    if block is None:
        return {}
    if not isinstance(block, Mapping):
        raise _refuse(f"run parameters of {task}: expected {{name: value}}, got {block!r}")
    return block
