"""What others wrote stays byte for byte, and their indexes and doubles stop nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from gridfs import GridFSBucket
from pymongo.errors import DuplicateKeyError

from qdash_queue.client.database import Database
from qdash_queue.domain import JobState
from qdash_queue.mirror import Mirror, NothingToMirrorError
from qdash_queue.mirror.artifacts.figure_renderer import FigureRenderer
from qdash_queue.mirror.documents.layout import Layout
from qdash_queue.mirror.write.indexes import UNIQUE_KEYS, ensure_indexes
from qdash_queue.mirror.write.qdash_lookup import QDashDatabase
from tests.mirror.conftest import MirrorMaker
from tests.mirror.qdash_lint import lint_references
from tests.mirror.reading import MIRRORED, execution_of, qubit_of
from tests.mirror.running_mirror import running
from tests.support.chip_jobs import CHIP, USER, ChipJobs, always, passing
from tests.support.queue_world import PROJECT
from tests.support.waiting import until

KEYED = ("execution_history", "task_result_history", "qubit_history", "execution_counter", "tag")


def everything(qdash: QDashDatabase, layout: Layout) -> dict[str, Any]:
    """All documents by collection and id, and all files."""
    there: dict[str, Any] = {
        f"{collection}/{document['_id']}": document
        for collection in qdash.list_collection_names()
        for document in qdash[collection].find()
    }
    for path in layout.base.rglob("*"):
        if path.is_file():
            there[str(path)] = path.read_bytes()
    return there


def foreign_documents(qdash: QDashDatabase, layout: Layout) -> None:
    """Other programs' documents, GridFS files and files, beside and among ours."""
    for collection in (*MIRRORED, "note", "chip_history"):
        if not collection.startswith("fs."):
            qdash[collection].insert_one(
                dict.fromkeys(UNIQUE_KEYS.get(collection, ("name",)), f"theirs {collection}")
            )
    qdash["qubit"].insert_one({"project_id": PROJECT, "chip_id": "THEIRS", "qid": "0", "username": USER})
    GridFSBucket(qdash).upload_from_stream("/app/calib_data/alice/theirs.png", b"theirs")
    for name in ("theirs.png", "alice/20260101/000/fig/CheckT1_0_0.png", "alice/.hidden.part"):
        path = layout.base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"theirs " + name.encode())


def test_rebuild_leaves_everything_of_others_byte_for_byte(
    world: ChipJobs, mirror: Mirror, qdash: QDashDatabase, layout: Layout
) -> None:
    foreign_documents(qdash, layout)
    there = everything(qdash, layout)
    job = world.run(["0"], ["CheckT1"])
    mirror.run_once()
    qubit = f"qubit/{qubit_of(qdash)['_id']}"
    kept = {name: value for name, value in there.items() if name != qubit}
    for job_id in (job.job_id, None):
        mirror.rebuild(job_id)
        now = everything(qdash, layout)
        assert {name: now.get(name) for name in kept} == kept
    # Of the qubit's row only the value and its date are ours.
    changed = qubit_of(qdash)
    for field in ("data", "system_info"):
        changed.pop(field)
        there[qubit].pop(field)
    assert changed == there[qubit]


def test_rebuild_of_a_day(world: ChipJobs, mirror: Mirror, qdash: QDashDatabase, owner: Database) -> None:
    owner.execute("SELECT calib.set_time_zone('Pacific/Kiritimati')")
    # 23:50 and, after it, 00:10 of the next day in that zone.
    for moment in ("09:50", "10:10"):
        owner.execute(
            "CREATE OR REPLACE FUNCTION calib_private.now() RETURNS timestamptz LANGUAGE sql VOLATILE"
            f" AS $$ SELECT '2026-03-01 {moment}:00+00'::timestamptz $$"
        )
        world.run(["0"], ["CheckT1"])
    jobs = {day: execution_id for execution_id in _execution_ids(world) for day in [execution_id[6:8]]}
    report = mirror.rebuild(day=date(2026, 3, 2))
    assert report.mirrored == 1
    assert qdash["execution_history"].distinct("execution_id") == [jobs["02"]]
    mirror.rebuild(day=date(2026, 3, 1))
    assert sorted(qdash["execution_history"].distinct("execution_id")) == sorted(jobs.values())
    with pytest.raises(NothingToMirrorError, match="no job first started on 2026-03-03"):
        mirror.rebuild(day=date(2026, 3, 3))


def _execution_ids(world: ChipJobs) -> list[str]:
    return [
        str(row["execution_id"])
        for row in world.database.rows("SELECT execution_id FROM calib.jobs WHERE execution_id IS NOT NULL")
    ]


def _another_name(qdash: QDashDatabase, collection: str, fields: tuple[str, ...]) -> None:
    qdash[collection].create_index([(field, -1) for field in reversed(fields)], unique=True, name="theirs")


def _not_unique(qdash: QDashDatabase, collection: str, fields: tuple[str, ...]) -> None:
    qdash[collection].create_index([(field, 1) for field in fields])


def _partial(qdash: QDashDatabase, collection: str, fields: tuple[str, ...]) -> None:
    qdash[collection].create_index(
        [(field, 1) for field in fields],
        unique=True,
        partialFilterExpression={"project_id": {"$gt": "z"}},
    )


def _other_collation(qdash: QDashDatabase, collection: str, fields: tuple[str, ...]) -> None:
    qdash[collection].create_index(
        [(field, 1) for field in fields], unique=True, collation={"locale": "en", "strength": 2}
    )


@pytest.mark.parametrize("theirs", [_another_name, _not_unique, _partial, _other_collation])
def test_copes_with_the_indexes_it_finds(
    empty_qdash: QDashDatabase, theirs: Callable[[QDashDatabase, str, tuple[str, ...]], None]
) -> None:
    for collection, fields in UNIQUE_KEYS.items():
        theirs(empty_qdash, collection, fields)
    before = {name: set(empty_qdash[name].index_information()) for name in UNIQUE_KEYS}
    for _ in range(2):
        assert ensure_indexes(empty_qdash) == []
    for collection, fields in UNIQUE_KEYS.items():
        there = set(empty_qdash[collection].index_information())
        assert there >= before[collection]
        assert len(there - before[collection]) == (0 if theirs is _another_name else 1)
        for _ in range(2):
            document = dict.fromkeys(fields, "a")
            try:
                empty_qdash[collection].insert_one(document)
            except DuplicateKeyError:
                break
        else:
            pytest.fail(f"{collection} takes doubles")


def test_makes_the_indexes_where_there_are_none(empty_qdash: QDashDatabase) -> None:
    assert ensure_indexes(empty_qdash) == []
    for collection, fields in UNIQUE_KEYS.items():
        information = empty_qdash[collection].index_information()
        assert information["_".join(f"{field}_1" for field in fields)]["unique"]


def double(qdash: QDashDatabase) -> None:
    """What an import of a dump leaves that is run twice before QDash has made its indexes."""
    for collection in KEYED:
        qdash[collection].drop_indexes()
        copies = list(qdash[collection].find({}, {"_id": 0}))
        assert copies
        qdash[collection].insert_many(copies)


def copies_by_key(qdash: QDashDatabase) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    """All documents of one key, but for their ids."""
    found: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for collection in KEYED:
        for document in qdash[collection].find({}, {"_id": 0}):
            key = (collection, *(document[field] for field in UNIQUE_KEYS[collection]))
            found.setdefault(key, []).append(document)
    return found


def test_doubles_are_kept_equal_and_told_once(
    world: ChipJobs, make_mirror: MirrorMaker, qdash: QDashDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    job = world.submit(["0"], ["CheckT1", "CheckRamsey"])
    lease = world.start(job)
    first, second = world.plan(lease, ["0"], ["CheckT1", "CheckRamsey"])
    lease.record_task(lease.start_task(first), passing("CheckT1"))
    make_mirror().run_once()
    double(qdash)
    mirror = make_mirror()
    with running(mirror):
        lease.record_task(lease.start_task(second), passing("CheckRamsey"))
        lease.conclude(JobState.COMPLETED)
        lease.finish()
        until(lambda: qdash["execution_history"].count_documents({"status": "completed"}) == 2)
        # A figure that is drawn later changes its task's document again.
        until(lambda: qdash["task_result_history"].count_documents({"figure_path": {"$ne": []}}) == 4)
        until(lambda: mirror.lag().marks == [])
        (alive,) = (each for each in mirror.lag().mirrors if each.alive)
    for collection in KEYED:
        assert f"{collection} holds doubles, such as {{ " in alive.condition
    warnings = [record for record in caplog.records if "holds doubles" in record.getMessage()]
    assert len(warnings) == 1
    copies = copies_by_key(qdash)
    assert {len(documents) for documents in copies.values()} == {2}
    assert all(one == other for one, other in copies.values())
    (shown,) = (documents[0] for key, documents in copies.items() if key[0] == "qubit_history")
    assert set(shown["data"]) == {"t1", "t2_star"}
    # Again, and by force, makes no third.
    world.database.execute("SELECT calib.mark_all()")
    mirror.run_once()
    mirror.rebuild()
    assert copies_by_key(qdash) == copies
    # Once one of each is removed, the indexes are made.
    for collection in KEYED:
        for document in list(qdash[collection].find().sort("_id", -1))[: len(copies)]:
            key = {field: document[field] for field in UNIQUE_KEYS[collection]}
            if qdash[collection].count_documents(key) > 1:
                qdash[collection].delete_one({"_id": document["_id"]})
    assert ensure_indexes(qdash) == []


def test_two_mirrors_make_no_doubles_even_without_an_index(
    world: ChipJobs, make_mirror: MirrorMaker, qdash: QDashDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qdash_queue.mirror.connection.ensure_indexes", lambda _database: [])
    for collection in KEYED:
        qdash[collection].drop_indexes()
    with FigureRenderer() as its_own:
        mirror = make_mirror()
        with running(mirror), running(make_mirror(its_own=its_own)):
            for number in range(4):
                world.run([str(number)], ["CheckT1"])
                # Both mirror the same job at the same time.
                world.database.execute("SELECT calib.mark_all()")
            until(lambda: mirror.lag().marks == [])
    assert {len(documents) for documents in copies_by_key(qdash).values()} == {1}
    assert qdash["task_result_history"].count_documents({"status": "completed"}) == 4
    assert lint_references(qdash) == []


def test_an_older_write_makes_no_double_without_an_index(
    world: ChipJobs, mirror: Mirror, qdash: QDashDatabase
) -> None:
    job = world.run(["0"], ["CheckT1"])
    mirror.run_once()
    for collection in KEYED:
        qdash[collection].drop_indexes()
    for collection in ("execution_history", "task_result_history"):
        # As an earlier version of the mirror wrote it: an id of MongoDB's choice; and newer than PostgreSQL.
        (document,) = qdash[collection].find({}, {"_id": 0})
        qdash[collection].delete_many({})
        document["note"]["qdash_queue"]["version"] = 10_000
        document["status"] = "failed"
        qdash[collection].insert_one(document)
    world.database.execute("SELECT calib.mark_all()")
    mirror.run_once()
    assert execution_of(qdash, job.execution_id)["status"] == "failed"
    assert {len(documents) for documents in copies_by_key(qdash).values()} == {1}


def test_every_row_of_a_qubit_gets_the_value(world: ChipJobs, mirror: Mirror, qdash: QDashDatabase) -> None:
    """QDash keeps one for each user who made the chip, and reads whichever it finds."""
    row = qubit_of(qdash) | {"username": "bob"}
    row.pop("_id")
    qdash["qubit"].insert_one(row)
    for value in (30.0, 40.0):
        world.run(["0"], ["CheckT1"], always(passing("CheckT1", value=value)))
        mirror.run_once()
        rows = list(qdash["qubit"].find({"qid": "0", "chip_id": CHIP}))
        assert [each["data"]["t1"]["value"] for each in rows] == [value, value]
    assert qdash["qubit_history"].count_documents({}) == 1


def test_what_users_set_stays_even_in_doubles(world: ChipJobs, mirror: Mirror, qdash: QDashDatabase) -> None:
    world.run(["0"], ["CheckT1"])
    mirror.run_once()
    double(qdash)
    theirs: dict[str, Any] = {
        "user_note": {"content": "odd"},
        "ai_review": {"status": "done"},
        "ai_review_note": {"content": "x"},
        "excluded": True,
        "excluded_reason": "warm",
        "excluded_by": "bob",
        "cooldown_id": "cd-1",
    }
    one, other = qdash["task_result_history"].find()
    qdash["task_result_history"].update_one({"_id": one["_id"]}, {"$set": theirs})
    mirror.rebuild()
    for before, fields in ((one, theirs), (other, {})):
        after = qdash["task_result_history"].find_one({"_id": before["_id"]})
        assert after is not None
        assert {name: after.get(name) for name in theirs} == {
            name: fields.get(name, before.get(name)) for name in theirs
        }
