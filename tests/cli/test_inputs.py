"""What is read from words: nothing is lost, and nothing ends in a traceback."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from qdash_queue.cli.error_messages import RefusedError
from qdash_queue.cli.inputs import json_object, zoned


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"0": {"f": {"value": 1}}, "1": {}, "0": {}}', 'each name once in an object, got "0" again'),
        ('{"0": {"f": {"value": 1, "value": 2}}}', 'each name once in an object, got "value" again'),
        ("[" * 5000 + "]" * 5000, "nested too deep"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "nested too deep"),
        ("[1]", "got an array"),
        ("{", "not valid JSON"),
    ],
    ids=["twice", "twice within", "deep array", "deep object", "array", "broken"],
)
def test_what_cannot_be_meant_is_refused(text: str, said: str) -> None:
    with pytest.raises(RefusedError, match=said) as refused:
        json_object(text, "parameters")
    assert str(refused.value).startswith("parameters: ")
    assert refused.value.column == "parameters"


@pytest.fixture(params=["Asia/Tokyo", "America/New_York"])
def elsewhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


def test_a_time_at_the_edge_of_the_calendar(elsewhere: str) -> None:
    edge = datetime(1, 1, 1) if elsewhere == "Asia/Tokyo" else datetime(9999, 12, 31, 23)  # noqa: DTZ001
    with pytest.raises(RefusedError, match="expected a time between the years 2 and 9998"):
        zoned(edge)
    noon = zoned(datetime(2026, 3, 1, 12))  # noqa: DTZ001
    assert noon is not None
    assert noon.utcoffset() is not None
    assert zoned(None) is None
