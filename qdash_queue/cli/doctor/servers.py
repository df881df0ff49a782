"""The doctor's checks outside PostgreSQL: Prefect's server and MongoDB."""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Iterator

from qdash_queue.cli.doctor.findings import Finding, fine, note, problem
from qdash_queue.embedded.mongo import find_mongod
from qdash_queue.embedded.process import EmbeddedServerError
from qdash_queue.extras import MissingExtraError, require_extras
from qdash_queue.settings import Settings

ANSWER_WITHIN_SECONDS = 5.0


def prefect_findings(api_url: str) -> Iterator[Finding]:
    """Whether Prefect's API answers."""
    if not api_url:
        yield note(
            "Prefect",
            "no Prefect server is configured; only executors need one",
            "Set QDASH_QUEUE_PREFECT_API_URL to http://host:4200/api, or run qdash-queue up.",
        )
        return
    # What stands before the @ may be a password.
    shown_url = re.sub(r"^(\w+://)?.*@", r"\1", api_url)
    trouble = _prefect_trouble(shown_url)
    if trouble is None:
        yield fine("Prefect", f"{shown_url} answers")
        return
    yield problem(
        "Prefect",
        f"{shown_url} {trouble}; jobs wait until it answers",
        "Start it with prefect server start, or correct QDASH_QUEUE_PREFECT_API_URL; it ends in /api.",
    )


def _prefect_trouble(api_url: str) -> str | None:
    if not api_url.startswith(("http://", "https://")):
        return "is not the URL of an API: expected http://host:4200/api"
    try:
        with urllib.request.urlopen(f"{api_url.rstrip('/')}/health", timeout=ANSWER_WITHIN_SECONDS) as answer:  # noqa: S310 - its scheme was checked
            return None if answer.read() == b"true" else "answers, but not as Prefect does"
    except urllib.error.HTTPError as error:
        return f"answers with status {error.code}, not as Prefect does"
    except urllib.error.URLError as error:
        return f"does not answer: {error.reason}"
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"does not answer: {error}"


def mongo_findings(settings: Settings) -> Iterator[Finding]:
    """Whether MongoDB answers, or could be started."""
    if not settings.mongo_url:
        yield _embedded_mongo()
        return
    try:
        require_extras("the mirror", "mirror")
    except MissingExtraError as error:
        yield problem("MongoDB", str(error), "Install it where the mirror runs.")
        return
    from pymongo.errors import PyMongoError  # noqa: PLC0415 - needs the extra "mirror"

    from qdash_queue.mirror.connection import MongoUnreachableError, connect_mongo, mongo_words  # noqa: PLC0415

    try:
        with connect_mongo(settings.mongo_url) as client:
            version = client.server_info()["version"]
    except MongoUnreachableError as error:
        yield problem("MongoDB", str(error), "Correct QDASH_QUEUE_MONGO_URL.")
    except PyMongoError as error:
        yield problem(
            "MongoDB",
            f"{mongo_words(error)}; jobs continue and QDash falls behind",
            "Start it, or correct QDASH_QUEUE_MONGO_URL; the mirror catches up automatically.",
        )
    else:
        yield fine("MongoDB", f"answers (version {version})")


def _embedded_mongo() -> Finding:
    try:
        program = find_mongod()
    except EmbeddedServerError as error:
        return note(
            "MongoDB",
            f"no MongoDB is configured and none can be started; only the mirror needs one: {error}",
            "Set QDASH_QUEUE_MONGO_URL to mongodb://host:27017.",
        )
    return note(
        "MongoDB",
        f"no MongoDB is configured; only the mirror needs one, and {program} can be started",
        "Set QDASH_QUEUE_MONGO_URL to mongodb://host:27017, or run qdash-queue up.",
    )
