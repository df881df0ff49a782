"""What the doctor found, as tests read it."""

from __future__ import annotations

from typing import Any

from tests.cli.desk import Outcome, type_in


def diagnosis(outcome: Outcome, about: str) -> dict[str, Any]:
    """The finding about one thing; a problem has a remedy."""
    found = [each for each in outcome.document if each["about"] == about]
    assert len(found) == 1, outcome.out
    assert found[0]["level"] == "ok" or found[0]["remedy"]
    return dict(found[0])


def problems(outcome: Outcome) -> list[str]:
    return [each["about"] for each in outcome.document if each["level"] == "problem"]


def at(url: str, **settings: str) -> Outcome:
    environment = {f"QDASH_QUEUE_{name.upper()}": value for name, value in settings.items()}
    return type_in("doctor", "--json", environment=environment | {"QDASH_QUEUE_DATABASE_URL": url})
