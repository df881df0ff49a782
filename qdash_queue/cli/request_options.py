"""The options of ``submit`` and ``edit`` that follow from the fields of a request."""

from __future__ import annotations

from datetime import datetime
from inspect import Parameter, Signature
from typing import Annotated, Any, get_args, get_origin

import typer
from typer.core import TyperCommand

from qdash_queue.cli.inputs import json_object, zoned

_COLUMNS = f"{__name__}.columns"


class RequestCommand(TyperCommand):
    """A command that also takes an option for every optional field of a request.

    They are added when the command itself is parsed: the help of all others need not load pydantic.
    """

    model = "JobRequest"
    _has_columns = False

    def get_params(self, ctx: Any) -> Any:
        """All parameters of the command."""
        if not self._has_columns:
            self.params.extend(_options(self.model))
            self._has_columns = True
        return super().get_params(ctx)


class EditCommand(RequestCommand):
    """A command that also takes an option for every column of a waiting job that can be changed."""

    model = "JobEdit"


def given_columns(context: typer.Context) -> dict[str, Any]:
    """The columns that the command line gave, by name."""
    found: dict[str, Any] = context.meta.get(_COLUMNS, {})
    return found


def _options(model: str) -> list[Any]:
    from qdash_queue import requests  # noqa: PLC0415 - slow to load

    def take(**_columns: Any) -> None:
        """Typer makes the options of a signature."""

    parameters = []
    for name, field in getattr(requests, model).model_fields.items():
        if not field.is_required():
            (kind, _) = get_args(field.annotation)
            is_object = get_origin(kind) is dict
            option = typer.Option(
                help=field.description, callback=_keep_object if is_object else _keep, expose_value=False
            )
            annotation: Any = Annotated[(str if is_object else kind) | None, option]
            parameters.append(Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=annotation))
    take.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    application = typer.Typer(add_completion=False)
    application.command()(take)
    return typer.main.get_command(application).params


def _keep(context: typer.Context, parameter: typer.CallbackParam, value: Any) -> None:
    if value is not None and parameter.name:
        columns = context.meta.setdefault(_COLUMNS, {})
        columns[parameter.name] = zoned(value) if isinstance(value, datetime) else value


def _keep_object(context: typer.Context, parameter: typer.CallbackParam, value: str | None) -> None:
    if value is not None and parameter.name:
        _keep(context, parameter, json_object(value, parameter.name))
