"""The validator agrees with the package jsonschema about every schema of the subset and every value."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.lab import Lab

# Few, so that values meet the limits, names and words of schemas.
WORDS = st.sampled_from(["", "a", "b", "ab", "abc", "b1", "\u2603"])
NUMBERS = st.integers(-3, 3) | st.integers(-12, 12).map(lambda n: n / 4)
SCALARS = st.none() | st.booleans() | NUMBERS | WORDS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
TYPES = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])
COUNTS = st.integers(0, 3)
PATTERNS = st.sampled_from(["^a", "b", "^[a-z]+[0-9]?$", "a|c", "^(ab)*$", "."])
NAMES = st.sampled_from(["A", "B", "C"])
Schema = dict[str, Any] | bool


def keywords(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any of the keywords, around inner schemas."""
    return st.fixed_dictionaries(
        {},
        optional={
            "type": TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True),
            "enum": st.lists(VALUES, min_size=1, max_size=4),
            "const": VALUES,
            **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), NUMBERS),
            **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), COUNTS),
            "pattern": PATTERNS,
            "uniqueItems": st.booleans(),
            "items": inner,
            "properties": st.dictionaries(WORDS, inner, max_size=3),
            "additionalProperties": inner,
            "required": st.lists(WORDS, max_size=2, unique=True),
            "anyOf": st.lists(inner, min_size=1, max_size=3),
            "title": WORDS,
        },
    )


def sparse(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Two or three keywords: all at once would refuse nearly everything."""
    return st.lists(keywords(inner), min_size=1, max_size=1).flatmap(
        lambda drawn: st.lists(st.sampled_from(sorted(drawn[0]) or ["title"]), max_size=3).map(
            lambda kept: {key: drawn[0][key] for key in kept if key in drawn[0]}
        )
    )


def referring(defined: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    """A reference, now and then with keywords beside it."""
    return st.tuples(defined, sparse(st.booleans())).map(
        lambda drawn: (
            {key: rule for key, rule in drawn[1].items() if key != "anyOf"} | {"$ref": f"#/$defs/{drawn[0]}"}
        )
    )


def schemas(*names: str) -> st.SearchStrategy[Any]:
    """Schemas that may refer to these definitions."""
    leaf = st.booleans() | sparse(st.booleans())
    if names:
        leaf |= referring(st.sampled_from(names))
    return st.recursive(leaf, sparse, max_leaves=6)


# Each definition refers to the later ones only, so that none leads back to itself.
DEFINITIONS = st.fixed_dictionaries({"A": schemas("B", "C"), "B": schemas("C"), "C": schemas()})
WHOLE = st.tuples(schemas("A", "B", "C").filter(lambda schema: isinstance(schema, dict)), DEFINITIONS).map(
    lambda drawn: drawn[0] | {"$defs": drawn[1]}
)
ASK = """
SELECT (calib_private.check_value(v.value, s.flat, 'it', NULL)).message AS said
  FROM (SELECT calib_private.flat_schema(%s, 'it') AS flat) s,
       jsonb_array_elements(%s) WITH ORDINALITY AS v(value, n) ORDER BY n
"""


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(schema=WHOLE, values=st.lists(VALUES, min_size=1, max_size=12))
def test_it_accepts_what_jsonschema_accepts(lab: Lab, schema: dict[str, Any], values: list[Any]) -> None:
    said = [row["said"] for row in lab.rows(ASK, json.dumps(schema), json.dumps(values))]
    oracle = jsonschema.Draft202012Validator(schema)
    for value, words in zip(values, said, strict=True):
        assert (words is None) == oracle.is_valid(value), (schema, value, words)
