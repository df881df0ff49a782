"""Declared outputs of a task."""

from __future__ import annotations

from pydantic import ConfigDict

from qdash_queue.domain import FiniteRange, ParameterModel


class OutputParameter(ParameterModel):
    """A declared output: its unit, description, and the range outside which a value is refused.

    ``exact``: chosen and not measured (a pulse's length), so that it needs no error.
    """

    model_config = ConfigDict(frozen=True)

    believable: FiniteRange | None = None
    exact: bool = False
