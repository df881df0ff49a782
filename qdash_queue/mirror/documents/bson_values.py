"""Makes any JSON value fit for BSON.

What clients and tasks wrote as free JSON (notes, flow parameters) may hold what MongoDB refuses: keys with a
dot or a leading dollar, whole numbers of more than 64 bits, numbers that became infinite when parsed, and
nesting deeper than a document may be. None of these may stop a result from being mirrored.
"""

from __future__ import annotations

import json
import math

from pydantic import JsonValue

_INT64_LIMIT = 2**63
# MongoDB refuses a document of more than 100 levels; the value sits some levels deep already.
_DEEPEST = 60


def bson_key(key: str) -> str:
    """The key with MongoDB's two reserved characters replaced by their full-width twins."""
    return key.replace(".", "．").replace("$", "＄")


def bson_value(value: JsonValue, *, depth: int = 0) -> JsonValue:
    """The value with refused keys renamed and refused numbers as text; everything else unchanged."""
    match value:
        case dict() | list() if depth >= _DEEPEST:
            return json.dumps(value)
        case dict():
            return {bson_key(key): bson_value(item, depth=depth + 1) for key, item in value.items()}
        case list():
            return [bson_value(item, depth=depth + 1) for item in value]
        case bool() | str() | None:
            return value
        case _:
            return value if finite_number(value) is not None else str(value)


def bson_object(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """:func:`bson_value` of an object."""
    return {bson_key(key): bson_value(item, depth=1) for key, item in value.items()}


def finite_number(value: JsonValue) -> float | int | None:
    """The value if it is a finite number, else None; truth values are not numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int):
        return value if -_INT64_LIMIT <= value < _INT64_LIMIT else None
    return value if math.isfinite(value) else None
