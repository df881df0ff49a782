"""Schemas made from signatures: the database takes them all, and judges values as the types do."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from prefect import flow
from pydantic import BaseModel, Field

from executors.flows import Coupling, FlowError, Mux, Qid, RunParameters, TaskName, flow_of
from executors.flows.signature import FORMATS, KEYWORDS
from tests.support.queue_world import QueueWorld


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Window(BaseModel):
    start: float
    stop: Annotated[float, Field(gt=0)] = 1.0
    inner: Window | None = None


class Range(BaseModel):
    start: float
    stop: Annotated[float, Field(gt=0)] = float("nan")


class Circle(BaseModel):
    kind: Literal["circle"]
    radius: float


class Square(BaseModel, extra="forbid"):
    kind: Literal[2]
    side: float


class Polygon(BaseModel):
    kind: Literal["triangle", "hexagon"]


Shape = Annotated[Circle | Square | Polygon, Field(discriminator="kind")]


class Unknown:
    pass


def schema_of(kind: object, default: object = ...) -> dict[str, Any]:
    """The schema of a flow that takes one parameter of this type."""

    def taker(username: str, chip_id: str, project_id: str, x: Any) -> None:
        """Take it."""

    taker.__annotations__["x"] = kind
    if default is not ...:
        taker.__defaults__ = (default,)
    return dict(flow_of(flow(taker)).schema)


def complaint(world: QueueWorld, chip_id: str, schema: dict[str, Any], parameters: dict[str, Any]) -> str:
    (row,) = world.rows(
        "SELECT (calib_private.check_value(%s, calib_private.flat_schema(%s, 'it'), 'parameters', %s)).*",
        json.dumps(parameters),
        json.dumps(schema, allow_nan=False),
        chip_id,
    )
    return row["message"] or ""


@pytest.fixture(scope="module")
def chip_id(world: QueueWorld) -> str:
    return world.chip()


# type, values that it takes, values that it refuses
TYPES: list[tuple[object, list[Any], list[Any]]] = [
    (bool, [True], [1, "true", None]),
    (int, [3, 3.0], [3.5, "3", True, None]),
    (float, [3, 0.5], ["3", None]),
    (str, [""], [1, None]),
    (int | None, [None, 1], ["1", 0.5]),
    (int | str, [1, "1"], [None, []]),
    (Literal["a", 1], ["a", 1], ["b", 2, None]),
    (Colour, ["red"], ["green", 1]),
    (list[int], [[], [1]], [["1"], {}, 1]),
    (set[int], [[1, 2]], [[1, 1]]),
    (dict[str, float], [{}, {"a": 1}], [{"a": "1"}, []]),
    (tuple[float, float], [[1, 2]], [[1], [1, 2, 3], ["1", 2]]),
    (tuple[int, ...], [[], [1]], [["1"]]),
    (Range, [{"start": 1}, {"start": 1, "stop": 2}], [{}, {"start": 1, "stop": 0}, {"start": "1"}]),
    (list[Range] | None, [None, [{"start": 1}]], [[{}]]),
    (Annotated[int, Field(ge=1, lt=5)], [1, 4], [0, 5]),
    (Annotated[list[int], Field(min_length=1, max_length=2)], [[1]], [[], [1, 2, 3]]),
    (Annotated[str, Field(pattern="^[a-z]+$", max_length=3)], ["abc"], ["", "ABC", "abcd"]),
    (Path, ["/tmp/x"], [1]),
    (Any, [None, 1, "x", {}], []),
    (Qid, ["0"], ["2", "00", 0]),
    (list[Coupling], [["0-1"], ["1-0"]], [["0-2"], ["0"]]),
    (Mux, [], [0, "0", 0.5]),
    (
        Shape,
        [{"kind": "circle", "radius": 1}, {"kind": 2, "side": 1}],
        [{"kind": "circle", "side": 1}, {}, 1],
    ),
    (list[Shape] | None, [None, [{"kind": "hexagon"}]], [[{"kind": "square"}], [{"side": 1}]]),
    (TaskName, ["CheckT1"], ["CheckT3"]),
    (RunParameters | None, [None, {"CheckT1": {"shots": 1}}], [{"CheckT1": {"shots": "x"}}, {"CheckT3": {}}]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "good", "bad"), TYPES, ids=[str(kind) for kind, _, _ in TYPES])
def test_the_database_judges_as_the_type_does(
    world: QueueWorld, chip_id: str, kind: object, good: list[Any], bad: list[Any]
) -> None:
    schema = schema_of(kind)
    assert [value for value in good if complaint(world, chip_id, schema, {"x": value})] == []
    for value in bad:
        assert complaint(world, chip_id, schema, {"x": value}).startswith("parameters.x")


def test_a_tagged_model_is_judged_by_its_tag(world: QueueWorld, chip_id: str) -> None:
    for value, words in (
        ({"kind": 3}, 'parameters.x.kind: expected one of "circle", 2, "triangle", "hexagon", got 3'),
        ({"side": 1}, 'parameters.x: "kind" is missing: expected "kind"'),
        ({"kind": 2, "radius": 1}, 'parameters.x: "side" is missing: expected "kind", "side"'),
    ):
        assert complaint(world, chip_id, schema_of(Shape), {"x": value}) == words


def test_a_parameter_with_a_default_may_be_left_out_and_no_other(world: QueueWorld, chip_id: str) -> None:
    assert complaint(world, chip_id, schema_of(int, 3), {}) == ""
    assert complaint(world, chip_id, schema_of(int, Field(default=3, ge=1)), {}) == ""
    assert complaint(world, chip_id, schema_of(int, Field(ge=1)), {}).endswith('"x" is missing: expected "x"')
    assert complaint(world, chip_id, schema_of(int), {}).endswith('"x" is missing: expected "x"')
    assert "unknown parameter" in complaint(world, chip_id, schema_of(int), {"x": 1, "chip_id": "other"})
    assert schema_of(int, 3)["properties"]["x"]["default"] == 3
    assert "default" not in schema_of(float, float("nan"))["properties"]["x"]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (datetime, "the database cannot check its type datetime.datetime (format date-time)"),
        (bytes, "the database cannot check its type bytes (format binary)"),
        (tuple[int, str], "the database cannot check its type tuple[int, str] (prefixItems)"),
        (list[datetime], "the database cannot check its type list[datetime.datetime] (format date-time)"),
        (Annotated[int, Field(multiple_of=2)], "(multipleOf)"),
        (Window, "(Window contains itself)"),
        (Callable[[], int], "its type collections.abc.Callable[[], int] has no JSON schema"),
        (Unknown, "Unknown has no JSON schema"),
    ],
)
def test_a_parameter_that_cannot_be_checked_is_refused_by_name(kind: object, words: str) -> None:
    with pytest.raises(FlowError) as refused:
        schema_of(kind)
    assert str(refused.value).startswith('flow "taker": parameter "x": ')
    assert words in str(refused.value)


def test_the_keywords_are_the_databases(world: QueueWorld) -> None:
    def known(key: str, rule: str) -> bool:
        (row,) = world.rows("SELECT calib_private.unsupported(%s, %s) AS wrong", key, json.dumps(rule))
        return bool(row["wrong"] != f"/{key}")

    assert [key for key in KEYWORDS if not known(key, "[")] == []
    assert [key for key in ("multipleOf", "oneOf", "prefixItems", "minProperties") if known(key, "[")] == []
    taken = world.rows(
        "SELECT f FROM unnest(%s::text[]) f WHERE calib_private.unsupported('format', to_jsonb(f)) IS NULL",
        [*FORMATS, "path", "date-time"],
    )
    assert [row["f"] for row in taken] == list(FORMATS)
