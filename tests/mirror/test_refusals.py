"""What MongoDB refuses for good is set aside in words, and keeps nothing else back. An outage waits."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import PurePosixPath

import pytest
from pymongo.errors import AutoReconnect, OperationFailure

from qdash_queue.client.models import Job
from qdash_queue.client.records import TaskRecord
from qdash_queue.errors import QueueError
from qdash_queue.mirror import Mirror, MongoUnreachableError
from qdash_queue.mirror.artifacts.files import FileTree
from qdash_queue.mirror.write.qdash_lookup import QDashDatabase
from qdash_queue.mirror.write.refusals import is_for_good
from tests.mirror.conftest import MirrorMaker
from tests.mirror.qdash import set_up_qdash
from tests.mirror.reading import execution_of, qubit_of
from tests.support.chip_jobs import CHIP, ChipJobs, passing
from tests.support.killable_servers import FailingMongo, kill
from tests.support.queue_world import PROJECT

REFUSALS_UNTIL_DEAD = 5
TASKS_OF_JOB = ["CheckT1", "CheckRamsey"]


def try_again_at_once(world: ChipJobs) -> None:
    """As if the back-off had passed."""
    world.database.execute("UPDATE calib_private.outbox SET next_try_at = calib_private.now()")


def mirror_until_dead(world: ChipJobs, mirror: Mirror) -> None:
    for number in range(REFUSALS_UNTIL_DEAD):
        assert mirror.lag().dead_letters == [], number
        assert list(mirror.run_once().refused) != []
        try_again_at_once(world)


def bulky(task: str, _qid: str) -> TaskRecord:
    """CheckT1 leaves more behind than a document of MongoDB may hold."""
    record = passing(task)
    if task == "CheckT1":
        # Small enough for PostgreSQL's row, and for nothing else.
        record = record.model_copy(update={"note": {"trace": "x" * 17_000_000}})
    return record


def _validator(qdash: QDashDatabase) -> None:
    qdash.command("collMod", "task_result_history", validator={"name": {"$ne": "CheckT1"}})


def _own_unique_index(qdash: QDashDatabase) -> None:
    qdash["task_result_history"].create_index(
        [("name", 1)], unique=True, partialFilterExpression={"name": "CheckT1"}
    )
    qdash["task_result_history"].insert_one({"name": "CheckT1", "project_id": "other", "task_id": "theirs"})


def _note_of_another_form(qdash: QDashDatabase) -> None:
    qdash["qubit"].update_one({"qid": "0"}, {"$set": {"data": "none"}})


def _validator_of_files(qdash: QDashDatabase) -> None:
    qdash.command("collMod", "fs.files", validator={"filename": {"$not": {"$regex": "CheckT1"}}})


@pytest.mark.parametrize(
    ("spoil", "record", "document", "reason", "remedy"),
    [
        (None, bulky, "task_result_history of CheckT1 on 0", "", "MongoDB takes 16 MB"),
        (_validator, None, "task_result_history of CheckT1 on 0", "failed validation", "let it (collMod)"),
        (_own_unique_index, None, "task_result_history of CheckT1 on 0", "dup key", "remove that one"),
        (_note_of_another_form, None, "qubit 0 of chip SIM16", "Cannot create field", "fix it"),
        (_validator_of_files, None, "GridFS file /app/calib_data/alice/", "failed validation", "collMod"),
    ],
)
def test_a_refused_document_is_set_aside_and_the_others_pass(
    world: ChipJobs,
    mirror: Mirror,
    qdash: QDashDatabase,
    spoil: Callable[[QDashDatabase], None] | None,
    record: Callable[[str, str], TaskRecord] | None,
    document: str,
    reason: str,
    remedy: str,
) -> None:
    if spoil is not None:
        spoil(qdash)
    job = world.run(["0"], TASKS_OF_JOB, record or (lambda task, _: passing(task)))
    mirror_until_dead(world, mirror)
    (letter,) = mirror.lag().dead_letters
    assert (letter.job_id, letter.refusals) == (job.job_id, REFUSALS_UNTIL_DEAD)
    told = letter.refused[0]
    assert told.document.startswith(document)
    assert reason in told.reason
    assert remedy in told.remedy
    assert letter.last_error is not None
    assert letter.last_error.startswith(str(told)[:100])
    # Everything else is there, and other jobs pass.
    assert execution_of(qdash, job.execution_id)["status"] == "completed"
    assert qdash["task_result_history"].count_documents({"name": "CheckRamsey"}) == 1
    other = world.run(["1"], ["CheckRamsey"])
    assert mirror.run_once().mirrored == 1
    assert execution_of(qdash, other.execution_id)["status"] == "completed"
    # A dead letter is not taken again by itself, and is no lag.
    try_again_at_once(world)
    assert mirror.run_once().worked is False
    assert (mirror.lag().marks, mirror.lag().seconds) == ([], 0.0)


def dead_letter(world: ChipJobs, mirror: Mirror, qdash: QDashDatabase) -> Job:
    _validator(qdash)
    job = world.run(["0"], TASKS_OF_JOB)
    mirror_until_dead(world, mirror)
    assert [mark.job_id for mark in mirror.lag().dead_letters] == [job.job_id]
    return job


def test_a_dead_letter_is_retried_on_request(world: ChipJobs, mirror: Mirror, qdash: QDashDatabase) -> None:
    job = dead_letter(world, mirror, qdash)
    qdash.command("collMod", "task_result_history", validator={})
    for job_id, marks in ((job.job_id + 1, 0), (job.job_id, 1)):
        assert world.database.value("SELECT calib.retry_marks(%(job_id)s)", job_id=job_id) == marks
    assert mirror.run_once().mirrored == 1
    assert qdash["task_result_history"].count_documents({"name": "CheckT1"}) == 1
    assert (mirror.lag().dead_letters, mirror.lag().marks) == ([], [])


def test_a_dead_letter_lives_again_when_its_job_changes(
    world: ChipJobs, mirror: Mirror, qdash: QDashDatabase
) -> None:
    job = dead_letter(world, mirror, qdash)
    world.database.execute("SELECT calib.mark(%(job_id)s)", job_id=job.job_id)
    (mark,) = mirror.lag().marks
    assert (mark.dead_at, mark.refusals) == (None, 0)
    mirror_until_dead(world, mirror)
    assert [mark.job_id for mark in mirror.lag().dead_letters] == [job.job_id]


@pytest.mark.parametrize("whole", [False, True])
def test_a_rebuild_raises_the_dead(
    world: ChipJobs, mirror: Mirror, qdash: QDashDatabase, whole: bool
) -> None:
    job = dead_letter(world, mirror, qdash)
    report = mirror.rebuild(job.job_id)
    assert [refusal.document[:30] for refusal in report.refused[f"job {job.job_id}"]] == [
        "task_result_history of CheckT1"
    ]
    qdash.command("collMod", "task_result_history", validator={})
    assert mirror.rebuild(None if whole else job.job_id).refused == {}
    assert qdash["task_result_history"].count_documents({"name": "CheckT1"}) == 1
    mirror.run_once()
    assert (mirror.lag().dead_letters, mirror.lag().marks) == ([], [])


def test_an_execution_of_another_queue_is_left_alone(
    world: ChipJobs, mirror: Mirror, qdash: QDashDatabase
) -> None:
    job = world.submit(["0"], ["CheckT1"])
    lease = world.start(job)
    execution_id = world.queue.get(job.job_id).execution_id
    theirs = {
        "project_id": PROJECT,
        "execution_id": execution_id,
        "note": {"qdash_queue": {"job_id": job.job_id + 7, "version": 1}},
    }
    qdash["execution_history"].insert_one(dict(theirs))
    lease.give_back("the executor leaves")
    report = mirror.run_once()
    (refusal,) = report.refused[f"job {job.job_id}"]
    assert refusal.document == f"execution_history of {execution_id}"
    assert "a QDash database of its own" in refusal.remedy
    mirror.rebuild(job.job_id)
    assert list(qdash["execution_history"].find({}, {"_id": 0})) == [theirs]


def test_a_change_while_it_was_refused_counts_from_the_beginning(world: ChipJobs) -> None:
    world.run(["0"], ["CheckT1"])
    (mark,) = world.database.rows("SELECT mark_id, version FROM calib_private.outbox")
    refuse = "SELECT calib.mark_refused(%(mark_id)s, %(version)s, 'no', '[]', 1) AS dead"
    stale = world.database.value(refuse, mark_id=mark["mark_id"], version=mark["version"] - 1)
    assert stale is False
    assert world.database.value("SELECT refusals FROM calib.mirror_lag") == 0
    assert world.database.value(refuse, **mark) is True
    # It is gone: another mirror has mirrored it.
    world.database.execute("DELETE FROM calib_private.outbox")
    assert world.database.value(refuse, **mark) is False


def test_a_refusal_of_nothing_is_refused_in_words(world: ChipJobs) -> None:
    world.run(["0"], ["CheckT1"])
    with pytest.raises(QueueError, match="expected the documents that MongoDB refused, got nothing"):
        world.database.execute("SELECT calib.mark_refused(mark_id, 1, 'no', NULL) FROM calib_private.outbox")


def test_an_outage_is_no_refusal(
    world: ChipJobs, own_mongo: FailingMongo, own_qdash: QDashDatabase, make_mirror: MirrorMaker
) -> None:
    mirror = make_mirror(own_mongo.url)
    world.run(["0"], ["CheckT1"])
    kill(own_mongo)
    for _ in range(REFUSALS_UNTIL_DEAD + 1):
        try_again_at_once(world)
        # Past the first ping, so that the outage is met in the midst of the work.
        (mark,) = mirror._source.take_marks(1, 0.0)
        with pytest.raises(MongoUnreachableError, match="MongoDB does not answer"):
            mirror._mirror_mark(mark)
    lag = mirror.lag()
    assert (lag.dead_letters, [mark.refusals for mark in lag.marks]) == ([], [0])
    own_mongo.start()
    try_again_at_once(world)
    assert mirror.run_once().mirrored == 1
    assert mirror.lag().marks == []


def test_missing_in_qdash_waits_for_ever(world: ChipJobs, mirror: Mirror, qdash: QDashDatabase) -> None:
    qdash["chip"].delete_many({"chip_id": CHIP})
    world.run(["0"], ["CheckT1"])
    for _ in range(2 * REFUSALS_UNTIL_DEAD):
        assert mirror.run_once().waiting != {}
        try_again_at_once(world)
    assert mirror.lag().dead_letters == []
    set_up_qdash(qdash)
    assert mirror.run_once().mirrored == 1


def test_a_full_disk_of_files_waits(
    world: ChipJobs, mirror: Mirror, qdash: QDashDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_tree: FileTree, _contents: dict[PurePosixPath, bytes]) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    world.run(["0"], ["CheckT1"])
    with monkeypatch.context() as patched:
        patched.setattr(FileTree, "write", full)
        for _ in range(2 * REFUSALS_UNTIL_DEAD):
            assert "No space left on device" in next(iter(mirror.run_once().waiting.values()))
            try_again_at_once(world)
    assert mirror.lag().dead_letters == []
    assert mirror.run_once().mirrored == 1
    assert qubit_of(qdash)["data"]["t1"]["value"] == 41.5


@pytest.mark.parametrize("code", [13, 14031, 50, 64, 91, 112, 189, 11600, 10107])
def test_what_passes_with_time_is_no_refusal(code: int) -> None:
    """Unauthorized, OutOfDiskSpace, timeouts, a server that shuts down or is no primary now."""
    assert not is_for_good(OperationFailure("no", code))
    assert not is_for_good(AutoReconnect("no"))


def test_a_full_disk_of_mongodb_waits(
    world: ChipJobs, own_mongo: FailingMongo, own_qdash: QDashDatabase, make_mirror: MirrorMaker
) -> None:
    mirror = make_mirror(own_mongo.url)
    world.run(["0"], ["CheckT1"])
    fail = {"failCommands": ["update"], "errorCode": 14031}
    own_qdash.client.admin.command({"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": fail})
    for _ in range(REFUSALS_UNTIL_DEAD + 1):
        assert "MongoDB refused" in next(iter(mirror.run_once().waiting.values()))
        try_again_at_once(world)
    assert mirror.lag().dead_letters == []
    own_qdash.client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
    assert mirror.run_once().mirrored == 1
