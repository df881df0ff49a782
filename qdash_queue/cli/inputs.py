"""Parsing of arguments: JSON, files, times."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from qdash_queue.cli.error_messages import RefusedError

if TYPE_CHECKING:
    from pydantic import JsonValue

    from qdash_queue.client.parameters import ParameterValues

DESIGN_QUBITS: Final = 16


def json_object(text: str, name: str) -> dict[str, JsonValue]:
    """A JSON object, given as text or as ``@FILE``.

    Raises:
        RefusedError: naming what was given instead.
    """
    if text.startswith("@"):
        text = file_text(Path(text[1:]), name)
    found = json_value(text, name)
    if not isinstance(found, dict):
        raise RefusedError(f"{name}: expected a JSON object, got {_kind(found)}", column=name)
    return found


def json_value(text: str, name: str) -> JsonValue:
    """Any JSON.

    Raises:
        RefusedError: it is none, nested too deep, or repeats a name in an object.
    """
    try:
        found: JsonValue = json.loads(text, object_pairs_hook=_once_each)
    except RecursionError as error:
        raise RefusedError(f"{name}: expected JSON, got some that is nested too deep", column=name) from error
    except _RepeatedNameError as error:
        raise RefusedError(f"{name}: {error}", column=name) from error
    except ValueError as error:
        raise RefusedError(f"{name}: not valid JSON: {error}", column=name) from error
    return found


def settings(assignments: Sequence[str], option: str) -> dict[str, JsonValue]:
    """Values by name, given as ``NAME=JSON``.

    Raises:
        RefusedError: naming the one that is of another form, or the name that is given twice.
    """
    found: dict[str, JsonValue] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not (name and equals):
            raise RefusedError(f'{option}: expected NAME=JSON, got "{assignment}"', column=option)
        if name in found:
            raise RefusedError(f"{option}: expected each name once, got {name} again", column=option)
        found[name] = json_value(text, name)
    return found


class _RepeatedNameError(ValueError):
    """JSON would keep the last of them and drop the others silently."""


def _once_each(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = {}
    for name, value in pairs:
        if name in found:
            raise _RepeatedNameError(f"expected each name once in an object, got {json.dumps(name)} again")
        found[name] = value
    return found


def design_values() -> ParameterValues:
    """The design values of a simulated chip of 16 qubits; they come with the package."""
    text = resources.files("qdash_queue").joinpath("data/sim16-design.json").read_text(encoding="utf-8")
    return cast("ParameterValues", json.loads(text))


def file_text(file: Path, name: str) -> str:
    """What a file holds.

    Raises:
        RefusedError: it cannot be read as text.
    """
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise RefusedError(f"{name}: expected a readable file, got {file} ({reason})", column=name) from error


def zoned(at: datetime | None) -> datetime | None:
    """A time without a zone is the caller's local one.

    Raises:
        RefusedError: the year that it has in UTC is none.
    """
    try:
        return at.astimezone() if at is not None and at.tzinfo is None else at
    except (ValueError, OverflowError) as error:
        raise RefusedError(f"expected a time between the years 2 and 9998, got {at}") from error


def kept_for(text: str, name: str) -> timedelta | None:
    """An age such as ``90d`` or ``12h``; None for ``forever``.

    Raises:
        RefusedError: it is neither.
    """
    if text == "forever":
        return None
    found = re.fullmatch(r"([1-9]\d{0,6})([hd])", text)
    if found is None:
        raise RefusedError(
            f'{name}: expected a number of days or hours such as 90d or 12h, or forever, got "{text}"',
            column=name,
        )
    count = int(found[1])
    return timedelta(days=count) if found[2] == "d" else timedelta(hours=count)


def _kind(value: object) -> str:
    return {list: "an array", str: "a text", bool: "a boolean", type(None): "null"}.get(
        type(value), "a number"
    )
