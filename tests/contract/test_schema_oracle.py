"""The validator agrees with the package jsonschema about every schema of the subset and every value."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.test_schema_check import KEYWORDS
from tests.support.queue_world import QueueWorld

pytestmark = pytest.mark.slow

# Few, so that values meet the limits, names and words of schemas.
WORDS = st.sampled_from(["", "a", "ab", "b1", "\u2603\u2603"])
NUMBERS = st.sampled_from([-1, 0, 0.5, 1, 1.0, 2])
SCALARS = st.none() | st.booleans() | NUMBERS | WORDS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
TYPES = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])
COUNTS = st.integers(0, 3)
PATTERNS = st.sampled_from(["^a", "b", "^[a-z]+[0-9]?$", "a|c", "^(ab)*$", "."])


def sparse(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Up to three keywords, around inner schemas: all at once would refuse nearly everything."""
    rules = {
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
    }
    one = st.one_of(*(st.tuples(st.just(key), rule) for key, rule in rules.items()))
    return st.lists(one, max_size=3).map(dict)


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


def agree(world: QueueWorld, schema: dict[str, Any], values: list[Any]) -> None:
    said = [row["said"] for row in world.rows(ASK, json.dumps(schema), json.dumps(values))]
    oracle = jsonschema.Draft202012Validator(schema)
    for value, words in zip(values, said, strict=True):
        assert (words is None) == oracle.is_valid(value), (schema, value, words)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(schema=WHOLE, values=st.lists(VALUES, min_size=8, max_size=16))
def test_it_accepts_what_jsonschema_accepts(
    world: QueueWorld, schema: dict[str, Any], values: list[Any]
) -> None:
    agree(world, schema, values)


def test_they_agree_about_the_edge_of_each_keyword(world: QueueWorld) -> None:
    for schema, good, bad, _ in KEYWORDS:
        if "format" not in schema:
            agree(world, schema, [good, bad])
