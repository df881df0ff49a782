"""Commands about what is kept, and for how long."""

from __future__ import annotations

import pytest

from qdash_queue.cli.amounts import age
from qdash_queue.cli.inputs import kept_for
from qdash_queue.domain import JobState
from tests.cli.desk import Desk


def test_nothing_is_pruned_until_somebody_says_so(desk: Desk) -> None:
    assert desk.run("retention", "show", role="submitter").out.splitlines()[:4] == [
        "jobs      forever",
        "events    forever",
        "figures   forever",
        "raw data  forever",
    ]
    set_by = desk.run("retention", "set", "--jobs", "365d", "--raw-data", "36h", role="admin").out
    assert set_by.splitlines()[:4] == [
        "jobs      365d",
        "events    forever",
        "figures   forever",
        "raw data  36h",
    ]
    assert f"set by {desk.roles['admin'].name}, " in set_by
    changed = desk.run("retention", "set", "--jobs", "forever", "--events", "90d", "--json", role="admin")
    assert changed.document["set_by"] == desk.roles["admin"].name
    shown = desk.run("retention", "show", "--json").document
    assert shown == changed.document
    parts = ("jobs", "events", "figures", "raw_data")
    assert [shown[part] for part in parts] == [None, "P90D", None, "P1DT12H"]


def test_what_is_too_old_is_pruned_by_hand(desk: Desk) -> None:
    job = desk.end(desk.submit("0"), JobState.COMPLETED)
    desk.run("retention", "set", "--jobs", "1h", role="admin")
    with desk.database.connect() as owner:
        owner.execute("UPDATE calib_private.jobs SET finished_at = finished_at - interval '2 hours'")
        # It is not mirrored.
        assert desk.run("retention", "run", role="admin").out.startswith(
            "pruned: 0 jobs, 0 events, 0 figures"
        )
        owner.execute("SELECT calib.mark_done(mark_id, version) FROM calib_private.outbox")
    assert desk.run("retention", "run", "--json", role="mirror").document == {
        "jobs": 1,
        "events": 0,
        "figures": 0,
        "raw_data": 0,
        "executors": 0,
    }
    assert f"unknown job {job.job_id}" in desk.run("show", str(job.job_id)).sentence
    assert (
        desk.run("parameters", "history", job.chip_id, "0", "t1", "--json").document[0]["job_id"]
        == job.job_id
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("set",), "expected at least one of --jobs, --events, --figures and --raw-data"),
        (("set", "--jobs", "90"), "jobs: expected a number of days or hours such as 90d or 12h"),
        (("set", "--raw-data", "1m"), "raw_data: expected a number of days"),
        (("set", "--events", "0d"), "events: expected a number of days"),
        (("set", "--figures", "-5d"), "figures: expected a number of days"),
        (("set", "--figures", "never"), "figures: expected a number of days"),
        (("set", "--jobs", "1000000d"), "jobs: expected an age from 1 hour to 100 years"),
        (("drop",), "No such command"),
    ],
)
def test_bad_words_get_one_sentence(shared_desk: Desk, words: tuple[str, ...], said: str) -> None:
    assert said in shared_desk.run("retention", *words, role="admin").sentence
    assert shared_desk.run("retention", *words, "--json", role="admin").error["message"]


@pytest.mark.parametrize("words", [("set", "--jobs", "1d"), ("run",)])
def test_an_operator_may_not(shared_desk: Desk, words: tuple[str, ...]) -> None:
    assert "permission denied" in shared_desk.run("retention", *words).sentence


@pytest.mark.parametrize("text", ["1h", "36h", "1d", "90d", "36500d", "forever"])
def test_an_age_is_shown_as_it_is_given(text: str) -> None:
    assert age(kept_for(text, "jobs")) == text
