"""Answers as JSON documents."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, JsonValue

from qdash_queue.cli.escapes import printable

Document = (
    BaseModel
    | Sequence[BaseModel]
    | Sequence[Mapping[str, JsonValue]]
    | Mapping[str, JsonValue | BaseModel | Sequence[BaseModel]]
)


def json_text(document: Document) -> str:
    """The document as indented JSON; times are ISO 8601, and no NaN stands in it."""
    return printable(json.dumps(_plain(document), indent=2, ensure_ascii=False, allow_nan=False))


def _plain(document: object) -> object:
    if isinstance(document, BaseModel):
        return document.model_dump(mode="json")
    if isinstance(document, Mapping):
        return {str(key): _plain(value) for key, value in document.items()}
    if isinstance(document, Sequence) and not isinstance(document, str):
        return [_plain(item) for item in document]
    return document
