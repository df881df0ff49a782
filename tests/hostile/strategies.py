"""Hypothesis strategies: a literal for a PostgreSQL type, JSON, a value that almost fits a JSON Schema."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.hostile.hostile_values import TEXTS, values_of

Given = TypeVar("Given")
Fair = Sequence[str | None]
"""Literals that are likely to be taken."""

CHARACTERS = st.characters(exclude_categories=())
TEXT = st.one_of(st.text(CHARACTERS, max_size=40), st.text("'\"\\$%;{}()[],.:-_/ aZ0\n", max_size=40))
KEY = st.one_of(st.sampled_from(["$where", "a.b", "__proto__", "", "qids", "tasks", "$ref"]), TEXT)
SCALAR = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**400), 10**400),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXT,
    st.sampled_from(TEXTS),
)
JSON = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEY, inner, max_size=4), max_leaves=8
)
JSON_TEXT = JSON.map(json.dumps)
TIME = st.datetimes().map(str) | st.integers(-5000, 300_000).map(lambda year: f"{year}-06-15 12:00+09")
NUMBER = st.integers().map(str) | st.integers(-(2**66), 2**66).map(str) | st.floats().map(str)

GENERATED: dict[str, st.SearchStrategy[str]] = {
    "jsonb": JSON_TEXT,
    "json": JSON_TEXT,
    "timestamp with time zone": TIME,
    "date": TIME,
    "smallint": NUMBER,
    "integer": NUMBER,
    "bigint": NUMBER,
    "double precision": NUMBER,
    "uuid": st.uuids().map(str),
    "boolean": st.booleans().map(str),
    "bytea": st.binary(max_size=50).map(lambda data: "\\x" + data.hex()),
    "text[]": st.lists(TEXT, max_size=40).map(lambda items: "{" + ",".join(map(json.dumps, items)) + "}"),
}


def hostile(kind: str, fair: Fair = ()) -> st.SearchStrategy[str | None]:
    """A literal for a type: a value, a random one, a text, none; JSON also as a fair one turned bad."""
    known = st.sampled_from(values_of(kind))
    random = GENERATED.get(kind, TEXT)
    turned = [
        mutated(json.loads(text)).map(json.dumps) for text in fair if text and kind in ("json", "jsonb")
    ]
    return st.one_of(*turned * 6, known, known, random, random, random, TEXT, st.none())


def mostly_fair(fair: Sequence[Fair], kinds: Sequence[str]) -> st.SearchStrategy[list[str | None]]:
    """A row of literals of which one or two, or all, are hostile; the rest are likely to be taken."""
    likely = [st.sampled_from(each) for each in fair]
    bad = [hostile(kind, each) for kind, each in zip(kinds, fair, strict=True)]
    places = range(len(kinds))
    if not kinds:
        return st.just([])

    def row(hostile_at: frozenset[int]) -> st.SearchStrategy[list[str | None]]:
        return st.tuples(*(bad[at] if at in hostile_at else likely[at] for at in places)).map(list)

    one = st.sampled_from(places).map(lambda at: frozenset([at]))
    two = st.frozensets(st.sampled_from(places), max_size=2)
    return st.one_of(one, one, one, two, two, st.just(frozenset(places))).flatmap(row)


def mutated(document: Any) -> st.SearchStrategy[Any]:
    """The document with anything in one place of it, or without that place."""
    return st.sampled_from(list(_places(document))).flatmap(
        lambda place: st.one_of(SCALAR, JSON, st.just(_GONE)).map(lambda new: _put(document, place, new))
    )


_GONE = object()


def _places(document: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield above
    keys = (
        document if isinstance(document, dict) else range(len(document)) if isinstance(document, list) else ()
    )
    for key in keys:
        yield from _places(document[key], (*above, key))


def _put(document: Any, place: tuple[Any, ...], new: Any) -> Any:
    if not place:
        return None if new is _GONE else new
    copy = document.copy()
    if new is _GONE and len(place) == 1:
        del copy[place[0]]
    else:
        copy[place[0]] = _put(document[place[0]], place[1:], new)
    return copy


def near_schema(
    schema: Mapping[str, Any] | bool, words: Mapping[str, Sequence[Any]], sound: int = 8
) -> st.SearchStrategy[Any]:
    """A value that fits a schema of our subset, or nearly: now and then anything stands in a place of it.

    Args:
        schema: of the value.
        words: what a ``format`` knows, such as the qubits for ``qid``.
        sound: how often a place holds what fits for once that it holds anything.
    """
    if isinstance(schema, bool):
        return JSON
    return st.integers(0, sound).flatmap(lambda drawn: _fitting(schema, words, sound) if drawn else JSON)


def _fitting(
    schema: Mapping[str, Any], words: Mapping[str, Sequence[Any]], sound: int
) -> st.SearchStrategy[Any]:
    kind = schema.get("type")
    if kind == "object" and "format" not in schema:
        return _object(schema, words, sound)
    if "anyOf" in schema:
        return st.one_of(*(near_schema(option, words, sound) for option in schema["anyOf"]))
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema.get("format") in words:
        known = st.sampled_from(words[str(schema["format"])])
        return known if schema.get("type") != "object" else st.dictionaries(known.map(str), JSON, max_size=3)
    if kind == "array":
        least = schema.get("minItems", 0)
        return st.lists(
            near_schema(schema.get("items", True), words, sound * 4),
            min_size=least,
            max_size=max(least, min(schema.get("maxItems", 4), 4)),
            unique_by=json.dumps if schema.get("uniqueItems") else None,
        )
    return _scalar(kind, schema)


def _object(
    schema: Mapping[str, Any], words: Mapping[str, Sequence[Any]], sound: int
) -> st.SearchStrategy[Any]:
    properties: Mapping[str, Any] = schema.get("properties", {})
    required = set(schema.get("required", ()))
    inner = {name: near_schema(each, words, sound) for name, each in properties.items()}
    return st.fixed_dictionaries(
        {name: each for name, each in inner.items() if name in required},
        optional={name: each for name, each in inner.items() if name not in required},
    )


def _scalar(kind: object, schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    least, most = schema.get("minimum"), schema.get("maximum")
    if kind == "integer":
        whole = st.integers(
            math.ceil(least) if least is not None else None, math.floor(most) if most is not None else None
        )
        return whole | whole.map(_as_float)
    if kind == "number":
        return st.floats(least, most, allow_nan=False, allow_infinity=False) | st.integers(-9, 9)
    if kind == "string":
        return st.text(CHARACTERS, min_size=schema.get("minLength", 0), max_size=schema.get("maxLength", 20))
    if kind == "boolean":
        return st.booleans()
    return st.none() if kind == "null" else JSON


def _as_float(whole: int) -> float | int:
    try:
        return float(whole)
    except OverflowError:
        return whole


def for_each(
    case: st.SearchStrategy[Given], tries: int, seed_value: int, body: Callable[[Given], None]
) -> None:
    """Run the body with that many random cases, the same ones for the same seed; it must not raise."""

    @seed(seed_value)
    @settings(
        max_examples=tries,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case)
    def run(drawn: Given) -> None:
        body(drawn)

    run()
