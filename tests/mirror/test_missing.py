"""What QDash lacks waits and what cannot be shown is told; neither stops anything else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest

from qdash_queue.client.database import Database, ResultRow
from qdash_queue.client.records import FigureRecord, RawDataRecord, SweepTask, TaskRecord
from qdash_queue.domain import JobState, TaskType
from qdash_queue.mirror import Mirror
from qdash_queue.mirror.documents.layout import Layout
from qdash_queue.mirror.write.qdash_lookup import QDashDatabase
from tests.mirror.qdash import set_up_qdash
from tests.mirror.reading import assert_readable, execution_of, result_of
from tests.support.chip_jobs import CHIP, USER, ChipJobs, always, make_chip, passing


def _no_user(qdash: QDashDatabase) -> None:
    qdash["user"].delete_many({"username": USER})


def _no_project(qdash: QDashDatabase) -> None:
    qdash["project"].delete_many({})


def _no_chip(qdash: QDashDatabase) -> None:
    qdash["chip"].delete_many({"chip_id": CHIP})


def _no_qubit(qdash: QDashDatabase) -> None:
    qdash["qubit"].delete_many({"chip_id": CHIP, "qid": "1"})


def test_a_multiplexer_needs_no_qubit_of_its_number(
    world: ChipJobs, mirror: Mirror, qdash: QDashDatabase
) -> None:
    world.run(["1"])
    mirror.run_once()
    _no_qubit(qdash)
    job = world.submit(["0"])
    lease = world.start(job)
    started = lease.start_sweep([SweepTask(task="CheckT1", qid="1", task_type=TaskType.MUX)])
    record = passing("CheckT1").model_copy(update={"persist_output_parameters": False})
    lease.record_task(started.task_ids["1"], record)
    lease.conclude(JobState.COMPLETED)
    lease.finish()
    assert mirror.run_once().waiting == {}
    assert result_of(qdash, "CheckT1", "")["task_type"] == "global"
    assert_readable(qdash)


@pytest.mark.parametrize(
    ("remove", "words"),
    [
        (_no_user, 'QDash has no user "alice"'),
        (_no_project, 'QDash has no project "demo"'),
        (_no_chip, 'QDash has no chip "SIM16" in project "demo"'),
        (_no_qubit, 'QDash has no qubit "1" of chip "SIM16"'),
    ],
)
def test_missing_in_qdash_waits_in_words(
    world: ChipJobs,
    mirror: Mirror,
    qdash: QDashDatabase,
    remove: Callable[[QDashDatabase], None],
    words: str,
) -> None:
    remove(qdash)
    job = world.run()
    assert list(mirror.run_once().waiting) == [f"job {job.job_id}"]
    (mark,) = mirror.lag().marks
    assert mark.last_error is not None
    assert mark.last_error.startswith(words)
    assert mark.next_try_at > mark.marked_at
    assert qdash["task_result_history"].count_documents({}) == 0
    assert mirror.rebuild().waiting != {}

    set_up_qdash(qdash)
    world.database.execute("SELECT calib.mark_all()")
    assert mirror.run_once().waiting == {}
    assert mirror.lag().marks == []
    assert execution_of(qdash, job.execution_id)["status"] == "completed"


def test_other_chips_pass_one_that_waits(world: ChipJobs, mirror: Mirror, qdash: QDashDatabase) -> None:
    waiting = make_chip(world.world, "GHOST").run(["0"], ["CheckT1"])
    shown = world.run(["0"], ["CheckT1"])
    report = mirror.run_once()
    assert list(report.waiting) == [f"job {waiting.job_id}"]
    assert execution_of(qdash, shown.execution_id)["status"] == "completed"
    assert [mark.job_id for mark in mirror.lag().marks] == [waiting.job_id]


@contextmanager
def snapshots() -> Iterator[list[str]]:
    """The statements meanwhile that read a job's results."""
    seen: list[str] = []

    ask = Database.rows_once

    def note(database: Database, statement: str, /, **parameters: Any) -> Sequence[ResultRow]:
        if "calib.task_runs" in statement:
            seen.append(statement)
        return ask(database, statement, **parameters)

    with patch.object(Database, "rows_once", note):
        yield seen


@pytest.mark.parametrize("remove", [_no_user, _no_project, _no_chip])
def test_a_job_that_waits_for_qdash_costs_no_look_at_its_results(
    world: ChipJobs, mirror: Mirror, qdash: QDashDatabase, remove: Callable[[QDashDatabase], None]
) -> None:
    remove(qdash)
    job = world.run(["0"], ["CheckT1"], always(passing("CheckT1", figures=0)))
    with snapshots() as seen:
        assert list(mirror.run_once().waiting) == [f"job {job.job_id}"]
    assert seen == []
    set_up_qdash(qdash)
    world.database.execute("SELECT calib.mark_all()")
    with snapshots() as seen:
        assert mirror.run_once().waiting == {}
    assert len(seen) == 1


def test_fresh_jobs_pass_many_that_wait(
    world: ChipJobs, mirror: Mirror, qdash: QDashDatabase, owner: Database
) -> None:
    record = always(passing("CheckT1", figures=0))
    ghost = make_chip(world.world, "GHOST")
    waiting = {f"job {ghost.run(['0'], ['CheckT1'], record).job_id}" for _ in range(60)}
    fresh = world.run(["0"], ["CheckT1"], record)
    # All of them are due before it.
    owner.execute("UPDATE calib_private.outbox SET next_try_at = marked_at")
    with snapshots() as seen:
        assert set(mirror.run_once().waiting) == waiting
    assert len(seen) == 1
    assert execution_of(qdash, fresh.execution_id)["status"] == "completed"


def test_figure_that_cannot_be_rendered_stops_nothing(
    world: ChipJobs, mirror: Mirror, qdash: QDashDatabase, layout: Layout
) -> None:
    bad = '{"data": [{"type": "scattermapbox"}], "layout": {"mapbox": {"style": "dark"}}}'

    def record(task: str, _qid: str) -> TaskRecord:
        good = passing(task)
        return good.model_copy(update={"figures": [FigureRecord(name="map", plotly=bad), *good.figures]})

    world.run(["0"], ["CheckT1"], record)
    assert mirror.run_once().waiting == {}
    result = result_of(qdash, "CheckT1")
    assert [path.rsplit("/", 1)[1] for path in result["figure_path"]] == ["CheckT1_0_1.png"]
    assert [path.rsplit("/", 1)[1] for path in result["json_figure_path"]] == [
        "CheckT1_0_1.json",
        "CheckT1_0_0.json",
    ]
    assert "Mapbox" in result["note"]["qdash_queue"]["figures_not_rendered"]["CheckT1_0_0"]
    assert next(layout.base.rglob("CheckT1_0_0.json")).read_text() == bad
    assert mirror.run_once().worked is False
    assert_readable(qdash)


def test_unreadable_raw_data_stop_nothing(world: ChipJobs, mirror: Mirror, qdash: QDashDatabase) -> None:
    odd = RawDataRecord(name="odd", dtype="object", shape=(1,), unit="", data=b"12345678")
    good = passing("CheckT1")
    world.run(["0"], ["CheckT1"], always(good.model_copy(update={"raw_data": [odd, *good.raw_data]})))
    assert mirror.run_once().waiting == {}
    result = result_of(qdash, "CheckT1")
    assert [path.rsplit("/", 1)[1] for path in result["raw_data_path"]] == ["CheckT1_0_raw_1.csv"]
    unread, read = result["note"]["qdash_queue"]["raw_data"]
    assert (unread["name"], unread["path"]) == ("odd", "")
    assert 'got "object"' in unread["problem"]
    assert (read["name"], read["problem"]) == ("iq", "")
    assert_readable(qdash)
