"""The validator of flows' parameters: each keyword, kept and broken; what it cannot check."""

# ruff: noqa: E501  (one keyword, one line)
from __future__ import annotations

import json
import re
from typing import Any

import pytest

from qdash_queue import migrate
from qdash_queue.client.records import FlowEntry, TaskEntry
from qdash_queue.domain import TaskType
from qdash_queue.errors import CatalogueRefusedError
from tests.support.queue_world import QueueWorld

# schema, a value that fits, one that does not, what is said about it
KEYWORDS: list[tuple[dict[str, Any], Any, Any, str]] = [
    ({"type": "null"}, None, 0, "expected null, got number 0"),
    ({"type": "boolean"}, False, 0, "expected boolean, got number 0"),
    ({"type": "integer"}, 3.0, 3.5, "expected integer, got number 3.5"),
    ({"type": "integer"}, 3, "3", 'expected integer, got string "3"'),
    ({"type": "number"}, -1.5, True, "expected number, got boolean true"),
    ({"type": "string"}, "", None, "expected string, got null"),
    ({"type": "array"}, [], {}, "expected array, got object {}"),
    ({"type": "object"}, {}, [], "expected object, got array []"),
    ({"type": ["string", "null"]}, None, 1, "expected string or null, got number 1"),
    ({"enum": ["a", 1, None]}, None, "b", 'expected one of "a", 1, null, got "b"'),
    ({"enum": ["serial", 1, None]}, "serial", "seriel", 'unknown value "seriel": did you mean "serial"?'),
    ({"enum": [{"a": 1}]}, {"a": 1}, {}, 'expected one of {"a": 1}, got {}'),
    ({"const": 5}, 5.0, 6, "expected 5, got 6"),
    ({"const": None}, None, [], "expected null, got []"),
    ({"minimum": 1}, 1, 0.999, "expected at least 1, got 0.999"),
    ({"maximum": 1}, 1, 1.001, "expected at most 1, got 1.001"),
    ({"exclusiveMinimum": 1}, 1.1, 1, "expected more than 1, got 1"),
    ({"exclusiveMaximum": 1}, 0.9, 1, "expected less than 1, got 1"),
    ({"minLength": 2}, "ab", "a", 'expected at least 2 characters, got "a"'),
    ({"maxLength": 2}, "☃☃", "abc", 'expected at most 2 characters, got "abc"'),
    ({"pattern": "^[a-z]+$"}, "abc", "ABC", 'expected a text like ^[a-z]+$, got "ABC"'),
    ({"minItems": 1}, [0], [], "expected at least 1 items, got 0"),
    ({"maxItems": 1}, [0], [0, 1], "expected at most 1 items, got 2"),
    ({"uniqueItems": True}, [1, "1"], [1, 1.0], "expected every item once, got a repeated one"),
    ({"items": {"type": "integer"}}, [1, 2], [1, "x"], 'parameters[1]: expected integer, got string "x"'),
    ({"required": ["a"]}, {"a": 1}, {"b": 1}, '"a" is missing: expected "a"'),
    ({"properties": {"a": {"type": "integer"}}}, {"a": 1, "b": 2}, {"a": "x"}, "parameters.a: expected integer"),
    ({"properties": {"a": {}}, "additionalProperties": False}, {"a": 1}, {"b": 1}, 'unknown parameter "b"'),
    ({"additionalProperties": {"type": "integer"}}, {"x": 1}, {"x": "y"}, "parameters.x: expected integer"),
    ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, None, "x", "expected integer, got string"),
    ({"anyOf": [{"type": "integer"}, {"type": "null"}], "minimum": 5}, None, 4, "expected at least 5, got 4"),
    ({"$defs": {"A": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/A"}}}, {"a": 1}, {"a": "x"}, "parameters.a: expected integer"),
    ({"$defs": {"A": {"type": "integer"}}, "$ref": "#/$defs/A", "maximum": 2}, 2, 3, "expected at most 2, got 3"),
    ({"format": "qid"}, "1", "2", 'has no qubit "2": expected "0" to "1"'),
    ({"format": "qid"}, "0", "01", '"01" is not a qubit id'),
    ({"format": "coupling"}, "0-1", "0-2", 'has no coupling "0-2"'),
    ({"format": "coupling"}, "1-0", "0", 'has no coupling "0"'),
    ({"format": "task"}, "CheckT1", "CheckT3", 'unknown task "CheckT3": did you mean "CheckT1"?'),
    ({"format": "run_parameters"}, {"CheckT1": {"shots": 1}}, {"CheckT1": {"shots": "x"}}, "CheckT1.shots: expected integer"),
    ({"format": "run_parameters"}, {}, [], "expected object, got array"),
    ({"properties": {"a": True, "b": False}}, {"a": 1}, {"b": 1}, "parameters.b: nothing is expected here"),
    ({"title": "T", "description": "D", "default": 1, "examples": [1]}, "anything", None, ""),
]  # fmt: skip


def complaint(world: QueueWorld, chip_id: str, value: object, schema: dict[str, Any]) -> str | None:
    rows = world.rows(
        "SELECT (calib_private.check_value(%s, calib_private.flat_schema(%s, 'it'), 'parameters', %s)).message",
        json.dumps(value),
        json.dumps(schema),
        chip_id,
    )
    message = rows[0]["message"]
    assert message is None or isinstance(message, str)
    return message


@pytest.fixture(scope="module")
def chip_id(world: QueueWorld) -> str:
    return world.chip()


@pytest.mark.parametrize(
    ("schema", "good", "bad", "words"), KEYWORDS, ids=[json.dumps(k[0])[:40] for k in KEYWORDS]
)
def test_keyword(
    world: QueueWorld, chip_id: str, schema: dict[str, Any], good: object, bad: object, words: str
) -> None:
    assert complaint(world, chip_id, good, schema) is None
    if words:
        said = complaint(world, chip_id, bad, schema)
        assert said is not None
        assert words in said
        assert said.startswith("parameters")


def test_a_chip_without_muxes_has_none(world: QueueWorld, chip_id: str) -> None:
    said = complaint(world, chip_id, 0, {"format": "mux"})
    assert said == 'parameters: chip "CHIP1" has no MUX "0": expected none, for it has no MUXes'


def test_of_alternatives_that_of_the_given_constant_is_complained_about(
    world: QueueWorld, chip_id: str
) -> None:
    def of(kind: str, **properties: object) -> dict[str, Any]:
        return {"properties": {"kind": {"const": kind}, **properties}, "required": ["kind", *properties]}

    schema = {
        "anyOf": [of("a"), of("b", x={"type": "integer"}), {"type": "null"}],
        "properties": {"kind": {"enum": ["a", "b"]}},
    }
    for value in (None, {"kind": "a"}, {"kind": "b", "x": 1}):
        assert complaint(world, chip_id, value, schema) is None
    for value, words in (
        ({"kind": "b", "x": "1"}, 'parameters.x: expected integer, got string "1"'),
        ({"kind": "b"}, 'parameters: "x" is missing: expected "kind", "x"'),
        ({"kind": "c"}, 'parameters.kind: expected one of "a", "b", got "c"'),
        ({}, 'parameters: "kind" is missing: expected "kind"'),
    ):
        assert complaint(world, chip_id, value, schema) == words


LIST = {
    "$defs": {
        "L": {"type": "object", "properties": {"next": {"$ref": "#/$defs/L"}}, "additionalProperties": False}
    },
    "$ref": "#/$defs/L",
}

# 2 ** 20 times what the last one is; one below the other.
GROWING = {
    "$defs": {
        f"L{n}": {"properties": {"a": {"$ref": f"#/$defs/L{n + 1}"}, "b": {"$ref": f"#/$defs/L{n + 1}"}}}
        for n in range(20)
    }
    | {"L20": {"type": "string"}},
    "$ref": "#/$defs/L0",
}
DEEP = {
    "$defs": {f"L{n}": {"items": {"$ref": f"#/$defs/L{n + 1}"}} for n in range(99)} | {"L99": {}},
    "$ref": "#/$defs/L0",
}
REFERRING = {"$defs": {"A": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/A", "title": "A"}}}

UNSUPPORTED: list[tuple[object, str]] = [
    ({"oneOf": []}, "/oneOf"),
    ({"allOf": []}, "/allOf"),
    ({"not": {}}, "/not"),
    ({"if": {}}, "/if"),
    ({"patternProperties": {}}, "/patternProperties"),
    ({"properties": {"a": {"multipleOf": 2}}}, "/properties/a/multipleOf"),
    ({"items": {"contains": {}}}, "/items/contains"),
    ({"anyOf": [{"prefixItems": []}]}, "/anyOf/prefixItems"),
    ({"$defs": {"A": {"propertyNames": {}}}}, "/$defs/A/propertyNames"),
    ({"additionalProperties": {"dependentRequired": {}}}, "/additionalProperties/dependentRequired"),
    ({"format": "uuid"}, '/format ("uuid")'),
    ({"pattern": "("}, "/pattern (not a regular expression"),
    ({"pattern": "(?<name>a)"}, "/pattern (not a regular expression"),
    *(
        ({"pattern": each}, "/pattern (refers back,")
        for each in (r"(a*)\1", "a(?=b)", "(?x)a", "(a{0,9}){0,9}")
    ),
    ({"pattern": "a" * 201}, "/pattern (of more than 200"),
    ({"anyOf": []}, "/anyOf (an empty array)"),
    ({"type": ["string", 1]}, '/type (["string", 1])'),
    ({"$defs": {"A": {}}, "$ref": "#/$defs/A", "anyOf": [{}]}, "/anyOf (beside a $ref)"),
    (GROWING, "(more than 256 KiB, each $ref counted as what it names)"),
    (DEEP, "(more than 64 levels deep)"),
    ({"$ref": "https://example.org"}, "/$ref (only local"),
    ({"$ref": "#/$defs/A"}, "/$ref to #/$defs/A, which is not there"),
    ({"$defs": {"A": {"$ref": "#/$defs/A"}}}, "/$defs/A/$ref to #/$defs/A, which leads back to itself"),
    (
        {"$defs": {"A": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/B"}]}, "B": {"$ref": "#/$defs/A"}}},
        "which leads back to itself",
    ),
    (LIST, "/$defs/L/properties/next/$ref to #/$defs/L, which leads back to itself"),
    ({"type": "strng"}, '/type ("strng")'),
    ({"required": "a"}, "/required (not an array)"),
    ({"required": [1]}, "/required (not an array of texts)"),
    ({"minimum": "1"}, "/minimum (not a number)"),
    ({"minItems": -1}, "/minItems (not a count)"),
    ({"maxLength": 1.5}, "/maxLength (not a count)"),
    ({"uniqueItems": 1}, "/uniqueItems (neither true nor false)"),
    ({"properties": []}, "/properties (not an object)"),
    ({"properties": {"a": 5}}, "/properties/a: number where a schema object is expected"),
    ({"anyOf": {}}, "/anyOf (not an array)"),
    ({"enum": 1}, "/enum (not an array)"),
    (True, "boolean where a schema object is expected"),
]


@pytest.mark.parametrize(("schema", "words"), UNSUPPORTED, ids=[json.dumps(u[0])[:50] for u in UNSUPPORTED])
def test_a_schema_that_cannot_be_checked_is_refused_by_name(
    world: QueueWorld, chip_id: str, schema: object, words: str
) -> None:
    entry = {
        "flow": "odd",
        "repeatable": False,
        "timeout_seconds": 5,
        "on_cancellation": ["on_flow_cancellation"],
    }
    flows = json.dumps([entry | {"schema": schema}])
    before = world.rows("SELECT flow FROM calib.flows WHERE chip_id = %s ORDER BY 1", chip_id)
    with pytest.raises(CatalogueRefusedError) as refused:
        world.machine.database.execute(
            "SELECT calib.register_catalogue(%(chip_id)s, 'fake', '1', CAST(%(flows)s AS jsonb), '[]')",
            chip_id=chip_id,
            flows=flows,
        )
    assert str(refused.value).startswith('flow "odd": its schema uses ')
    assert words in str(refused.value)
    assert world.rows("SELECT flow FROM calib.flows WHERE chip_id = %s ORDER BY 1", chip_id) == before


def test_what_was_registered_before_is_made_flat(own_world: QueueWorld) -> None:
    own_world.chip()
    own_world.owner.execute("UPDATE calib_private.flows SET schema = %s", [json.dumps(REFERRING)])
    own_world.owner.execute("UPDATE calib_private.tasks SET schema = %s", [json.dumps(REFERRING)])
    text = (migrate.script_location() / "schema" / "35_schema_check.sql").read_text()
    for statement in re.findall(r"^UPDATE .*?;$", text, re.MULTILINE | re.DOTALL):
        own_world.owner.execute(statement.encode())
    flat = {"properties": {"a": {"title": "A", "anyOf": [{"type": "integer"}]}}}
    for row in own_world.rows(
        "SELECT schema FROM calib_private.flows UNION ALL SELECT schema FROM calib_private.tasks"
    ):
        assert row["schema"] == flat


def test_a_flow_without_a_schema_is_refused(world: QueueWorld, chip_id: str) -> None:
    entry = _flow().model_dump(by_alias=True, exclude={"parameters_schema"})
    with pytest.raises(CatalogueRefusedError, match='flow odd: "schema" is missing'):
        world.machine.database.execute(
            "SELECT calib.register_catalogue(%(chip_id)s, 'fake', '1', CAST(%(flows)s AS jsonb), '[]')",
            chip_id=chip_id,
            flows=json.dumps([entry]),
        )


def _flow(**given: object) -> FlowEntry:
    entry = {
        "flow": "odd",
        "schema": {},
        "repeatable": False,
        "timeout_seconds": 5,
        "on_cancellation": ["on_flow_cancellation"],
    }
    return FlowEntry.model_validate(entry | given)


@pytest.mark.parametrize(
    ("flow", "words"),
    [
        (_flow(on_cancellation=[]), 'flow "odd" does not register on_flow_cancellation'),
        (_flow(on_cancellation=["another"]), 'flow "odd" does not register on_flow_cancellation'),
        (_flow(flow="Odd Flow"), 'flow name: expected lower-case letters, digits, _ and -, got "Odd Flow"'),
        (_flow(timeout_seconds=0), "flow odd.timeout_seconds: expected at least 1, got 0"),
    ],
)
def test_a_flow_that_cannot_be_run_is_refused(
    world: QueueWorld, chip_id: str, flow: FlowEntry, words: str
) -> None:
    with pytest.raises(CatalogueRefusedError, match=words):
        world.executor(chip_id).register_catalogue([flow], [])


def test_asking_for_a_flow_tells_and_changes_nothing(world: QueueWorld) -> None:
    chip_id = world.chip()
    catalogue = "SELECT to_jsonb(f) FROM calib.flows f WHERE chip_id = %s ORDER BY flow"
    before = world.rows(catalogue, chip_id)
    executor = world.executor(chip_id)
    executor.check_flow(_flow())
    with pytest.raises(CatalogueRefusedError, match='flow "odd": its schema uses /oneOf'):
        executor.check_flow(_flow(schema={"oneOf": []}))
    executor.check_flow(_flow(flow="other"))
    assert world.rows(catalogue, chip_id) == before


def test_a_task_that_cannot_be_checked_is_refused(world: QueueWorld, chip_id: str) -> None:
    task = TaskEntry(
        task="CheckX",
        task_type=TaskType.QUBIT,
        parameters_schema={"oneOf": []},
        input_parameters=[],
        output_parameters=[],
    )
    with pytest.raises(CatalogueRefusedError, match='task "CheckX": its schema uses /oneOf'):
        world.executor(chip_id).register_catalogue([_flow()], [task])


@pytest.mark.parametrize(
    "flows",
    ["{}", "[1]", '["x"]', '[{"flow": "odd", "on_cancellation": ["on_flow_cancellation"], "schema": {}}]'],
)
def test_a_malformed_catalogue_is_refused_in_words(world: QueueWorld, chip_id: str, flows: str) -> None:
    with pytest.raises(CatalogueRefusedError):
        world.machine.database.execute(
            "SELECT calib.register_catalogue(%(chip_id)s, 'fake', '1', CAST(%(flows)s AS jsonb), '[]')",
            chip_id=chip_id,
            flows=flows,
        )


def test_what_is_registered_no_more_is_gone(world: QueueWorld) -> None:
    chip_id = world.chip()
    world.executor(chip_id).register_catalogue([_flow(flow="only")], [])
    assert world.rows("SELECT flow FROM calib.flows WHERE chip_id = %s", chip_id) == [{"flow": "only"}]
    assert world.rows("SELECT task FROM calib.tasks WHERE chip_id = %s", chip_id) == []
