"""The instrument is idle before the chip is free, or the chip is paused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from executors.job.context import instruments_folder
from qdash_queue.domain import CancelMode, FailureKind, JobState
from tests.executors.fleet import Fleet
from tests.support.waiting import until

START = ["submitted", "claimed", "flow_run_created", "flow_started"]
CANCEL = [
    "cancel_requested",
    "cancel_seen",
    "stop_requested",
    "sigterm",
    "concluded",
    "child_exited",
    "hook_ran",
]


@pytest.fixture(scope="module", autouse=True)
def executor(fleet: Fleet) -> None:
    fleet.need(1)


@pytest.fixture
def busy(fleet: Fleet) -> Path:
    """There while the simulated instrument measures."""
    return instruments_folder(fleet.state_path) / f"{fleet.chip_id}.busy.json"


@pytest.fixture
def deaf_instrument(fleet: Fleet) -> Iterator[Path]:
    """The simulated instrument does not become idle as long as the file is there."""
    faults = instruments_folder(fleet.state_path) / f"{fleet.chip_id}.faults.json"
    faults.parent.mkdir(parents=True, exist_ok=True)
    faults.write_text(json.dumps({"error_at_quiesce": True}))
    yield faults
    faults.unlink(missing_ok=True)
    fleet.queue.resume_chip(fleet.chip_id)


@pytest.mark.parametrize("end", ["cancel", "timeout", "crash", "fail"])
def test_quiesced_before_the_chip_is_free(fleet: Fleet, busy: Path, end: str) -> None:
    parameters = {
        "seconds": 0.5 if end in ("crash", "fail") else 3000,
        "then": "die" if end == "crash" else end,
    }
    job_id = fleet.submit("busy", parameters, timeout_seconds=5 if end == "timeout" else None)
    fleet.started(job_id)
    until(busy.exists, "the instrument to measure")
    if end == "cancel":
        fleet.queue.cancel(job_id, CancelMode.NOW)
    fleet.ended(job_id)
    assert fleet.events(job_id)[-2:] == ["quiesced", "cancelled" if end == "cancel" else "failed"]
    assert not busy.exists()


def test_chip_is_paused_when_the_instrument_does_not_become_idle(
    fleet: Fleet, busy: Path, deaf_instrument: Path
) -> None:
    job_id = fleet.submit("busy", {"seconds": 3000, "then": ""})
    fleet.started(job_id)
    until(busy.exists, "the instrument to measure")
    fleet.queue.cancel(job_id, CancelMode.NOW)
    assert fleet.ended(job_id).state is JobState.CANCELLED
    assert fleet.events(job_id) == [*START, *CANCEL, "quiesce_failed", "cancelled"]
    chip = fleet.queue.chip(fleet.chip_id)
    assert chip.paused
    assert "instrument not in a safe idle state" in (chip.pause_reason or "")
    assert busy.exists()
    next_id = fleet.submit("noop")
    assert (fleet.queue.get(next_id).waiting_for or "").startswith("chip paused")

    deaf_instrument.unlink()
    fleet.queue.resume_chip(fleet.chip_id)
    assert fleet.ended(next_id).state is JobState.COMPLETED
    assert fleet.events(next_id)[:4] == ["submitted", "claimed", "quiesced", "flow_run_created"]
    assert not busy.exists()


def test_a_job_goes_back_when_the_instrument_is_not_idle_before_it(
    fleet: Fleet, deaf_instrument: Path
) -> None:
    fleet.owner.execute("UPDATE calib_private.leases SET dirty = true")
    job_id = fleet.submit("patient", {"seconds": 0}, max_attempts=2)
    fleet.logged(job_id, "requeued")
    assert fleet.events(job_id) == ["submitted", "claimed", "quiesce_failed", "requeued"]
    assert fleet.queue.chip(fleet.chip_id).paused
    deaf_instrument.unlink()
    fleet.queue.resume_chip(fleet.chip_id)
    assert fleet.ended(job_id).state is JobState.COMPLETED


def test_a_job_of_one_attempt_fails_when_the_instrument_is_not_idle_before_it(
    fleet: Fleet,
    deaf_instrument: Path,
) -> None:
    fleet.owner.execute("UPDATE calib_private.leases SET dirty = true")
    job_id = fleet.submit("patient", {"seconds": 0})
    job = fleet.ended(job_id)
    assert (job.state, job.failure_kind) == (JobState.FAILED, FailureKind.INSTRUMENT)
    assert fleet.events(job_id) == ["submitted", "claimed", "quiesce_failed", "concluded", "failed"]
    deaf_instrument.unlink()
    fleet.queue.resume_chip(fleet.chip_id)
    assert fleet.ended(fleet.submit("patient", {"seconds": 0})).state is JobState.COMPLETED
