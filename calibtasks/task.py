"""What the engine knows of a task, whichever form it is written in, and the registry of all tasks."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, ClassVar, Final, NamedTuple, Self

from calibtasks.parameters.overrides import did_you_mean, overridden
from calibtasks.parameters.run_parameters import RunValue, evaluate, refuse, schema
from calibtasks.results import (
    Backend,
    PostProcessResult,
    PreProcessResult,
    RunResult,
    missing_input,
    same_unit,
)
from qdash_queue.domain import ParameterModel, RunParameterModel, TaskType

PROJECT_SOURCE: Final = "calibtasks"
"""Source of the project's own tasks; a task of another source takes precedence over one of the same name."""


class Registry:
    """Every task class by its source (the top-level package or module that defines it) and name."""

    def __init__(self) -> None:
        self._classes: dict[tuple[str, str], type[Task]] = {}

    def add(self, task: type[Task]) -> None:
        """Add a class; raises TypeError when its source defines that name already."""
        key = (_source(task), task.name)
        other = self._classes.get(key)
        if other is not None:
            raise TypeError(
                f"a task named {task.name!r} is already defined by {other.__module__}.{other.__qualname__};"
                f" give {task.__module__}.{task.__qualname__} another name"
            )
        self._classes[key] = task

    def forget(self, name: str) -> None:
        """Remove the callers' own tasks of that name, so that a notebook can define one again."""
        for key in [key for key in self._classes if key[1] == name and key[0] != PROJECT_SOURCE]:
            del self._classes[key]

    def is_of(self, source: str) -> bool:
        """Whether the module or package of that name, or a module in it, defines a task."""
        return any(known == source for known, _ in self._classes)

    def by_name(self) -> dict[str, type[Task]]:
        """The class that each name stands for: a caller's own before the project's, the last defined."""
        ordered = sorted(self._classes.items(), key=lambda item: item[0][0] != PROJECT_SOURCE)
        return {name: task for (_, name), task in ordered}

    def find(self, name: str) -> type[Task]:
        """The class of that name; CalibrationError (``invalid_request``) with the nearest known name."""
        known = self.by_name()
        if name in known:
            return known[name]
        hint = did_you_mean(name, known) or f" (known: {', '.join(known)})"
        raise refuse(f'unknown task "{name}"{hint}', "unknown_task")


def _source(task: type[Task]) -> str:
    return task.__module__.partition(".")[0]


REGISTRY: Final = Registry()


class Read(NamedTuple):
    """Where an input is looked up.

    Attributes:
        key: its name among the task's inputs.
        holder: the qubit or coupling that it belongs to.
        names: under which it is stored; the first one that has a value counts.
        is_optional: whether the task runs without it.
    """

    key: str
    holder: str
    names: tuple[str, ...]
    is_optional: bool = False


class Task(ABC):
    """One calibration task: declared inputs, run parameters and outputs; measured, then analysed.

    An object is one run, of one target or of several that are measured together.

    Attributes:
        name: by default the class's.
        task_type: what it is about; by default one qubit.
        description: one sentence.
        input_parameters: required stored values (key -> unit, description, role).
        run_parameters: the settings with their defaults; overridden by the constructor's argument.
        output_parameters: values that it must set, with unit and believable range.
        timeout: seconds after which a measurement is stopped.
        fits: whether it fits, so that an R² is required.
        r2_threshold: an R² must be above this.
        simultaneous: whether one run may measure several targets.
    """

    name: ClassVar[str] = ""
    task_type: ClassVar[TaskType] = TaskType.QUBIT
    description: ClassVar[str] = ""
    input_parameters: Mapping[str, ParameterModel] = {}
    run_parameters: Mapping[str, RunParameterModel] = {}
    output_parameters: Mapping[str, ParameterModel] = {}
    timeout: ClassVar[float] = 3600.0
    fits: ClassVar[bool] = False
    r2_threshold: ClassVar[float] = 0.7
    simultaneous: ClassVar[bool] = False

    def __init_subclass__(cls, *, register: bool = True, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not register:
            return
        cls.name = cls.__dict__.get("name") or cls.__name__
        cls.task_type = TaskType(cls.task_type)
        cls._declare()
        REGISTRY.add(cls)

    @classmethod
    def _declare(cls) -> None:
        """Check what a class declares; raises TypeError."""
        if not cls.timeout > 0:
            raise TypeError(f"{cls.__qualname__}.timeout: expected seconds above 0, got {cls.timeout}")

    def __init__(self, run_parameters: Mapping[str, object] | None = None) -> None:
        self.run_parameters = overridden(self.name, type(self).run_parameters, run_parameters or {})

    @classmethod
    def origin(cls) -> str:
        """The package or file that defines it; empty for a task of this project."""
        source = _source(cls)
        # A flow file's module is called as its path, with another character for the dot.
        return "" if source == PROJECT_SOURCE else PurePath(source.replace("//", ".")).name

    @classmethod
    def run_parameters_schema(cls) -> dict[str, Any]:
        """JSON Schema of the run parameters that a job may override, as plain values."""
        return schema(cls.run_parameters)

    @classmethod
    @abstractmethod
    def from_record(
        cls, qid: str, input_parameters: Mapping[str, ParameterModel], run_parameters: Mapping[str, object]
    ) -> Self:
        """The task as it once ran on ``qid``, so that its stored data can be analysed again."""

    def reads(self, backend: Backend, qid: str) -> Sequence[Read]:
        """Where the target's inputs are looked up."""
        return [
            Read(key, owner(qid, item.qid_role), (item.parameter_name or key,))
            for key, item in type(self).input_parameters.items()
        ]

    @abstractmethod
    def prepare(self, backend: Backend, qid: str) -> PreProcessResult:
        """Read the target's inputs; raises CalibrationError (``missing_input``) on the first unusable one."""

    @abstractmethod
    def measure(self, backend: Backend, qids: Sequence[str]) -> Mapping[str, RunResult]:
        """Measure the prepared targets, in one sweep where it is ``simultaneous``; raw data by qid."""

    @abstractmethod
    def analyse(self, execution_id: str, qid: str, run_result: RunResult) -> PostProcessResult:
        """Fit one target's data and check the fit; uses neither backend nor database."""

    def outputs_of(self, qid: str) -> Mapping[str, ParameterModel]:
        """The outputs that it must set on a target."""
        return self.output_parameters

    def setting(self, name: str) -> RunValue:
        """The evaluated run parameter: a number, a string or sweep points (1-D float64)."""
        return evaluate(name, self.run_parameters[name])

    def stored(self, backend: Backend, qid: str, name: str, declared: ParameterModel) -> ParameterModel:
        """A stored value in its declared unit, from the qubit or coupling that its role names.

        Raises CalibrationError (``missing_input``).
        """
        found = backend.parameter(owner(qid, declared.qid_role), declared.parameter_name or name)
        if not same_unit(found.unit, declared.unit):
            raise missing_input(
                f"{self.name} on qubit {qid}: expected {name} in {declared.unit!r}, got {found.unit!r}",
                "wrong_unit",
                f"store {name} in {declared.unit or 'no unit'}",
            )
        return found


def owner(qid: str, role: str) -> str:
    """The qubit or coupling that a value of this role belongs to (``control`` of ``0-1`` is ``0``).

    A role that is a number is that qubit, of a multiplexer or a chip.
    """
    if role.isdecimal():
        return role
    control, _, target = qid.partition("-")
    return {"control": control, "target": target or control}.get(role, qid)


def finite(task: str, name: str, given: ParameterModel | None) -> float:
    """The value of an input; CalibrationError (``missing_input``) when it was not read or is not finite."""
    value = None if given is None else given.value
    if value is None or not math.isfinite(value):
        raise missing_input(f"{task} needs {name}, which was not read", "input_not_read")
    return float(value)
