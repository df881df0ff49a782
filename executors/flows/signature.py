"""A flow's definition from its function: the types of its parameters become the schema of a job's."""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, Field, create_model
from pydantic.errors import PydanticUserError
from pydantic.json_schema import PydanticJsonSchemaWarning

from executors.flows.definition import FlowDefinition, FlowError
from qdash_queue.errors import QdashQueueError

if TYPE_CHECKING:
    from prefect import Flow

Qid = Annotated[str, Field(json_schema_extra={"format": "qid"})]
"""A qubit of the job's chip, such as ``"0"``."""
Coupling = Annotated[str, Field(json_schema_extra={"format": "coupling"})]
"""A coupling of the job's chip, such as ``"0-1"``."""
Mux = Annotated[int, Field(json_schema_extra={"format": "mux"})]
"""A MUX of the job's chip, such as ``0``: the qubits of one readout line."""
TaskName = Annotated[str, Field(json_schema_extra={"format": "task"})]
"""A task that the chip's executors can do."""
RunParameters = Annotated[dict[str, dict[str, Any]], Field(json_schema_extra={"format": "run_parameters"})]
"""Settings of measurements: ``{task: {name: value}}``."""

COLUMNS = ("username", "chip_id", "project_id")
"""The parameters that every flow takes; they are columns of the job's row."""
KEYWORDS = {
    *("description", "default", "examples", "anyOf", "type", "enum", "const", "format", "pattern"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength"),
    *("minItems", "maxItems", "uniqueItems", "items", "properties", "required", "additionalProperties"),
}
"""What the database checks, and annotations (``calib_private.unsupported`` in ``35_schema_check.sql``)."""
FORMATS = ("qid", "coupling", "mux", "task", "run_parameters")

_Schema = dict[str, Any]


class _InexpressibleError(QdashQueueError):
    """What of a schema the database cannot check."""


def flow_of(flow: Flow[..., Any], *, repeatable: bool = False, timeout_seconds: int = 3600) -> FlowDefinition:
    """Offer a Prefect flow as its function says: name, first line of its docstring, types of its parameters.

    A flow to which ``@flow`` gives no name is called as its function; Prefect would make ``my-scan`` of
    ``my_scan``. The other arguments are those of :class:`FlowDefinition`.

    Raises:
        FlowError: a parameter that the database cannot check, or one that every flow takes and is missing.
    """
    function = flow.fn
    if flow.name == function.__name__.replace("_", "-"):
        flow = flow.with_options(name=function.__name__)
    return FlowDefinition(
        name=flow.name,
        flow=flow,
        description=(inspect.getdoc(function) or "").partition("\n")[0],
        schema=_schema(flow.name, function),
        repeatable=repeatable,
        timeout_seconds=timeout_seconds,
    )


def _schema(flow: str, function: Callable[..., Any]) -> _Schema:
    try:
        parameters = dict(inspect.signature(function, eval_str=True).parameters)
    except Exception as error:
        raise FlowError(f'flow "{flow}": a type of its parameters cannot be looked up: {error}') from error
    missing = [name for name in COLUMNS if parameters.pop(name, None) is None]
    if missing:
        raise FlowError(
            f'flow "{flow}": expected the parameters {", ".join(COLUMNS)}, got no {", ".join(missing)}'
        )
    schemas = {name: _property(flow, each) for name, each in parameters.items()}
    return {
        "type": "object",
        "required": [name for name, (_, is_required) in schemas.items() if is_required],
        "additionalProperties": False,
        "properties": {name: schema for name, (schema, _) in schemas.items()},
    }


def _property(flow: str, parameter: inspect.Parameter) -> tuple[_Schema, bool]:
    """The schema of one parameter, and whether it is required."""
    about = f'flow "{flow}": parameter "{parameter.name}"'
    if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
        raise FlowError(
            f"{about}: expected one that a job can give by its name, got a {parameter.kind.description} one"
        )
    kind: Any = Any if parameter.annotation is parameter.empty else parameter.annotation
    default: Any = ... if parameter.default is parameter.empty else parameter.default
    try:
        with warnings.catch_warnings():
            # A default that is no JSON is left out.
            warnings.simplefilter("ignore", PydanticJsonSchemaWarning)
            model: type[BaseModel] = create_model("Parameter", value=(kind, default))
            schema = model.model_json_schema()
        checkable = _checkable(schema["properties"]["value"], schema.get("$defs", {}))
        return checkable, "value" in schema.get("required", [])
    except PydanticUserError as error:
        raise FlowError(f"{about}: its type {inspect.formatannotation(kind)} has no JSON schema") from error
    except _InexpressibleError as error:
        raise FlowError(
            f"{about}: the database cannot check its type {inspect.formatannotation(kind)} ({error})"
        ) from error


def _checkable(schema: Mapping[str, Any], defs: Mapping[str, Any], within: tuple[str, ...] = ()) -> _Schema:
    """The schema in the database's keywords; what a $ref names stands in its place.

    Raises:
        _InexpressibleError: it has no equal in these keywords.
    """
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/$defs/")
        if name in within:
            raise _InexpressibleError(f"{name} contains itself")
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return _checkable({**defs[name], **rest}, defs, (*within, name))
    tag = schema.get("discriminator", {}).get("propertyName")
    if tag and "oneOf" in schema:
        # Their tags exclude each other, so that one of them is any of them.
        rest = {key: value for key, value in schema.items() if key not in ("discriminator", "oneOf")}
        return _tagged(tag, _checkable({**rest, "anyOf": schema["oneOf"]}, defs, within))
    found = _known_keywords(schema)

    def inner(each: Any) -> Any:
        return each if isinstance(each, bool) else _checkable(each, defs, within)

    for key in ("items", "additionalProperties"):
        if key in found:
            found[key] = inner(found[key])
    if "anyOf" in found:
        found["anyOf"] = [inner(each) for each in found["anyOf"]]
    if "properties" in found:
        found["properties"] = {name: inner(each) for name, each in found["properties"].items()}
    return found


def _tagged(tag: str, union: _Schema) -> _Schema:
    """The union with its tag checked by itself, so that a wrong one is refused with those expected."""
    tags = [each["properties"][tag] for each in union["anyOf"]]
    expected = [value for each in tags for value in each.get("enum", [each.get("const")])]
    return union | {"required": [tag], "properties": {tag: {"enum": expected}}}


def _known_keywords(schema: Mapping[str, Any]) -> _Schema:
    """The schema without what lies below it, in the database's keywords."""
    found = {key: value for key, value in schema.items() if key != "title"}
    if not _is_json(found.get("default")):
        del found["default"]
    items = found.get("prefixItems", [])
    # tuple[float, float] is an array of two numbers.
    if items and all(item == items[0] for item in items) and found.get("maxItems") == len(items):
        found["items"] = found.pop("prefixItems")[0]
    if found.get("format") == "path":  # Any text is one.
        del found["format"]
    if "format" in found and found["format"] not in FORMATS:
        raise _InexpressibleError(f"format {found['format']}")
    if unknown := sorted(found.keys() - KEYWORDS):
        raise _InexpressibleError(", ".join(unknown))
    return found


def _is_json(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True
