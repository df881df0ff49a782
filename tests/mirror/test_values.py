"""Which values of a qubit or coupling QDash gets to see."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from qdash_queue.client.database import Database
from qdash_queue.client.parameters import Parameters
from qdash_queue.mirror import Mirror
from qdash_queue.mirror.write.qdash_lookup import QDashDatabase
from tests.mirror.reading import assert_readable, execution_of, qubit_of
from tests.support.chip_jobs import CHIP, ChipJobs, always, failing, passing


def test_each_day_keeps_what_was_valid_at_its_end(
    world: ChipJobs, mirror: Mirror, qdash: QDashDatabase, owner: Database
) -> None:
    owner.execute("SELECT calib.set_time_zone('Pacific/Kiritimati')")
    # 23:50 and, after it, 00:10 of the next day in that zone, which is 14 hours ahead of UTC.
    for moment, value in (("09:50", 30.0), ("10:10", 40.0)):
        owner.execute(
            "CREATE OR REPLACE FUNCTION calib_private.now() RETURNS timestamptz LANGUAGE sql VOLATILE"
            f" AS $$ SELECT '2026-03-01 {moment}:00+00'::timestamptz $$"
        )
        measured = passing("CheckT1", value=value)
        world.run(["0"], ["CheckT1"], always(measured))
    owner.execute(
        "CREATE OR REPLACE FUNCTION calib_private.now() RETURNS timestamptz LANGUAGE sql VOLATILE"
        " AS $$ SELECT '2026-03-05 00:00:00+00'::timestamptz $$"
    )
    mirror.run_once()
    mirror.rebuild()
    days = {row["recorded_date"]: row["data"]["t1"]["value"] for row in qdash["qubit_history"].find()}
    assert days == {"20260301": 30.0, "20260302": 40.0}
    assert sorted(qdash["execution_counter"].distinct("date")) == ["20260301", "20260302"]
    assert sorted(qdash["execution_history"].distinct("execution_id")) == ["20260301-q001", "20260302-q001"]
    assert qubit_of(qdash)["data"]["t1"]["value"] == 40.0
    assert_readable(qdash)


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_of_two_values_the_later_calibrated_stays(
    world: ChipJobs, mirror: Mirror, qdash: QDashDatabase, seconds: float
) -> None:
    theirs = {"value": 99.0, "unit": "μs", "calibrated_at": datetime.now(UTC) + timedelta(seconds=seconds)}
    qdash["qubit"].update_one({"qid": "0"}, {"$set": {"data.t1": theirs}})
    world.run(["0"], ["CheckT1"])
    mirror.run_once()
    assert qubit_of(qdash)["data"]["t1"]["value"] == (99.0 if seconds > 0 else 41.5)


def test_value_without_a_date_in_qdash_is_replaced(
    world: ChipJobs, mirror: Mirror, qdash: QDashDatabase
) -> None:
    qdash["qubit"].update_one({"qid": "0"}, {"$set": {"data.t1": 12.0}})
    world.run(["0"], ["CheckT1"])
    mirror.run_once()
    assert qubit_of(qdash)["data"]["t1"]["value"] == 41.5


def test_imports_and_edits_show_without_any_job(
    world: ChipJobs, mirror: Mirror, qdash: QDashDatabase
) -> None:
    parameters = Parameters(world.database, CHIP)
    parameters.import_values({"5": {"qubit_frequency": {"value": 4.8, "unit": "GHz"}}}, reason="design")
    mirror.run_once()
    shown = qubit_of(qdash, "5")["data"]["qubit_frequency"]
    assert (shown["value"], shown["execution_id"][:12]) == (4.8, "seed-import-")
    parameters.set("5", "qubit_frequency", 4.9, error=0.1, unit="GHz", reason="by hand")
    mirror.run_once()
    shown = qubit_of(qdash, "5")["data"]["qubit_frequency"]
    assert (shown["value"], shown["execution_id"][:12]) == (4.9, "manual-edit-")
    assert qdash["qubit_history"].count_documents({"qid": "5"}) == 1
    assert_readable(qdash)


def test_coupling_goes_to_its_own_row(world: ChipJobs, mirror: Mirror, qdash: QDashDatabase) -> None:
    world.run(["0-1"], ["CheckT1"])
    mirror.run_once()
    rows = {row["qid"]: row["data"] for row in qdash["coupling"].find({"qid": {"$in": ["0-1", "1-0"]}})}
    assert rows["0-1"]["t1"]["value"] == 41.5
    assert rows["1-0"] == {}
    assert qdash["coupling_history"].distinct("qid") == ["0-1"]
    assert_readable(qdash)


def test_refused_outputs_change_no_parameter(world: ChipJobs, mirror: Mirror, qdash: QDashDatabase) -> None:
    world.run(["0"], ["CheckT1"])
    job = world.run(["0"], ["CheckT1"], record=lambda task, _: failing(task))
    mirror.run_once()
    refused = qdash["task_result_history"].find_one({"execution_id": job.execution_id})
    assert refused is not None
    assert (refused["status"], refused["output_parameters"]) == ("failed", {})
    assert refused["output_parameter_names"] == ["t1"]
    assert refused["note"]["qdash_queue"]["refused_output_parameters"]["t1"]["value"] == 41.5
    assert refused["figure_path"]
    assert refused["raw_data_path"]
    assert execution_of(qdash, job.execution_id)["message"] == "1 task failed"
    assert qubit_of(qdash)["data"]["t1"]["execution_id"] != job.execution_id
    assert_readable(qdash)
