"""Checks of what a caller gives to a schedule."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from numbers import Real
from typing import TypeVar

from qdash_queue.errors import BadValueError

E = TypeVar("E", bound=StrEnum)


def check_count(name: str, value: object, least: int) -> None:
    """BadValueError unless the value is an integer that is large enough."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise BadValueError(f"{name}: expected an integer of at least {least}, got {value!r}", column=name)


def check_frequencies(frequencies: Mapping[str, object]) -> None:
    """BadValueError unless each is a positive, finite number."""
    for qid, value in frequencies.items():
        if not isinstance(value, Real) or not 0 < float(value) < math.inf:
            words = f"frequencies: expected positive numbers, got {value!r} for {qid!r}"
            raise BadValueError(words, column="frequencies")


def choice(name: str, of: type[E], value: str) -> E:
    """The member of that value, or BadValueError: another text would choose a rule by chance."""
    try:
        return of(value)
    except ValueError as error:
        raise BadValueError(f"{name}: expected {', '.join(of)}, got {value!r}", column=name) from error
