"""Files of jobs: a JSON array, or one JSON object a line."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from qdash_queue.cli.error_messages import RefusedError
from qdash_queue.cli.inputs import file_text, json_value, zoned

if TYPE_CHECKING:
    from pydantic import JsonValue

    from qdash_queue.requests import JobRequest


def job_requests(file: Path) -> list[JobRequest]:
    """The jobs of a file, or of standard input for ``-``.

    Raises:
        RefusedError: naming the line that is not JSON, or the place of the job that cannot be one.
    """
    return [_request(given, f"jobs[{place}]") for place, given in enumerate(_documents(_text(file)))]


def _text(file: Path) -> str:
    if file != Path("-"):
        return file_text(file, "--file")
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise RefusedError("--file: expected UTF-8 text on standard input", column="--file") from error


def _documents(text: str) -> list[JsonValue]:
    if text.lstrip().startswith("["):
        found = json_value(text, "--file")
        return found if isinstance(found, list) else []
    lines = enumerate(text.splitlines(), 1)
    return [json_value(line, f"--file, line {number}") for number, line in lines if line.strip()]


def _request(given: JsonValue, place: str) -> JobRequest:
    from qdash_queue.errors import BadValueError  # noqa: PLC0415 - slow to load
    from qdash_queue.requests import JobRequest  # noqa: PLC0415 - slow to load

    if not isinstance(given, dict):
        raise RefusedError(f"{place}: expected a JSON object", column="--file")
    try:
        request = JobRequest.of(**given)
    except BadValueError as error:
        raise RefusedError(f"{place}: {error}", column=error.column) from error
    # A time without a zone is the caller's local one, as on the command line.
    times = {name: zoned(value) for name, value in request if isinstance(value, datetime)}
    return request.model_copy(update=times)
