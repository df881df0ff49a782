"""Declarations of parameters, of both of QDash's contracts: models on the class, and specifications.

A value that was not given is None and never 0, and NaN stays NaN: the gate refuses both.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from calibtasks.parameters.run_parameters import evaluate
from qdash_queue import domain
from qdash_queue.domain import ParameterModel, TaskType

InputParameterModel = ParameterModel
OutputParameterModel = ParameterModel

__all__ = [
    "InputParameterModel",
    "InputParameterSpec",
    "OutputParameterModel",
    "OutputParameterSpec",
    "ParameterModel",
    "RunParameterModel",
    "RunParameterSpec",
    "TaskTypes",
]


class TaskTypes:
    """The kinds of tasks."""

    QUBIT = TaskType.QUBIT
    COUPLING = TaskType.COUPLING
    MUX = TaskType.MUX
    GLOBAL = TaskType.GLOBAL
    SYSTEM = TaskType.SYSTEM


class RunParameterModel(domain.RunParameterModel):
    """A setting of an experiment; an ``int`` may be written as a product (``"150 * 1024"``)."""

    @model_validator(mode="before")
    @classmethod
    def _product(cls, given: Any) -> Any:
        value = given.get("value") if isinstance(given, dict) else None
        if isinstance(value, str) and given.get("value_type") == "int":
            return {**given, "value": math.prod(int(factor) for factor in value.split("*"))}
        return given

    def get_value(self) -> Any:
        """The number, text, list or range, or the points as an array.

        Raises:
            CalibrationError: ``invalid_request``; the value does not fit its type.
        """
        found = evaluate(self.description or "value", self)
        if self.value_type == "range" and isinstance(self.value, list):
            return range(*(int(number) for number in self.value))
        return list(self.value) if self.value_type == "list" and isinstance(self.value, list) else found


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    unit: str = ""
    value_type: str = "float"
    description: str = ""


class RunParameterSpec(_Spec):
    """Declares a setting."""

    default: float | int | str | list[float] | None = None

    def create_model(self) -> RunParameterModel:
        """The setting with its default."""
        return RunParameterModel.model_validate(
            {**self.model_dump(exclude={"default"}), "value": self.default}
        )


class OutputParameterSpec(_Spec):
    """Declares an output; without ``default`` the task has to set it."""

    default: float | int | None = None
    parameter_name: str = ""
    qid_role: str = ""

    def create_model(self) -> ParameterModel:
        """The output, not measured yet."""
        return ParameterModel.model_validate({**self.model_dump(exclude={"default"}), "value": self.default})


class InputParameterSpec(_Spec):
    """Declares an input and where its value comes from; made by one of the three constructors.

    Attributes:
        parameter_aliases: older names of the same value.
        fallback_parameter_names: values that serve where there is none of these names.
    """

    resolution: Literal["database_required", "database_or_default", "default_only"]
    default: float | int | None = None
    user_override: Literal["allowed", "forbidden"] = "allowed"
    parameter_name: str = ""
    parameter_aliases: tuple[str, ...] = ()
    fallback_parameter_names: tuple[str, ...] = ()
    qid_role: str = ""
    greater_than: float | None = None
    greater_than_or_equal: float | None = None
    less_than: float | None = None
    less_than_or_equal: float | None = None

    @model_validator(mode="after")
    def _default_fits(self) -> Self:
        if (self.resolution == "database_required") != (self.default is None):
            raise ValueError(f"{self.resolution}: expected {self._expected_default}, got {self.default}")
        return self

    @property
    def _expected_default(self) -> str:
        return "no default" if self.resolution == "database_required" else "a default"

    @classmethod
    def required_database(cls, **metadata: Any) -> Self:
        """A stored value; without one the task fails as ``missing_input``."""
        return cls(resolution="database_required", **metadata)

    @classmethod
    def database_or_default(cls, *, default: float, **metadata: Any) -> Self:
        """The stored value, or where there is none the default."""
        return cls(resolution="database_or_default", default=default, **metadata)

    @classmethod
    def default_only(cls, *, default: float, **metadata: Any) -> Self:
        """The default, whatever is stored."""
        return cls(resolution="default_only", default=default, **metadata)

    @classmethod
    def of(cls, declared: ParameterModel | None) -> Self:
        """The first contract's declaration: a value other than 0 serves where none is stored."""
        if declared is None:
            return cls.required_database()
        kept = declared.model_dump(include={"unit", "description", "parameter_name", "qid_role"})
        if not declared.value:
            return cls.required_database(**kept)
        return cls.database_or_default(default=declared.value, **kept)

    def names(self, key: str) -> tuple[str, ...]:
        """The names under which the value is looked for, in order; none is stored under that of a default."""
        if self.resolution == "default_only":
            return (f"default of {key}",)
        return (self.parameter_name or key, *self.parameter_aliases, *self.fallback_parameter_names)

    def create_model(self) -> ParameterModel:
        """The input with its default, before the stored values are read."""
        kept = self.model_dump(include={"unit", "value_type", "description", "parameter_name", "qid_role"})
        return ParameterModel.model_validate({**kept, "value": self.default})

    def violations(self, value: float) -> Iterator[str]:
        """What is expected of a value and does not hold."""
        bounds = (
            (self.greater_than, "above", operator.gt),
            (self.greater_than_or_equal, "of at least", operator.ge),
            (self.less_than, "below", operator.lt),
            (self.less_than_or_equal, "of at most", operator.le),
        )
        for bound, words, holds in bounds:
            if bound is not None and not holds(value, bound):
                yield f"{words} {bound:g}"
