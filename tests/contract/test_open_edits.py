"""What operators and administrators leave open: ended by the server when it idles, waited for no longer."""

from __future__ import annotations

from functools import partial

import psycopg
import pytest

from qdash_queue.client.records import PlannedTask
from tests.contract.meeting import (
    RECORD,
    be_impatient,
    cancel,
    full_life,
    in_thread,
    open_transaction,
)
from tests.support.queue_world import Connection, QueueWorld
from tests.support.waiting import PATIENCE


@pytest.fixture(scope="module", autouse=True)
def impatient(world: QueueWorld) -> None:
    be_impatient(world)


def _idle_timeout(session: Connection) -> str:
    row = session.execute("SHOW idle_in_transaction_session_timeout").fetchone()
    assert row is not None
    return str(row["idle_in_transaction_session_timeout"])


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT calib.set_parameter('{chip}', '0', 'rabi_frequency', 1, 0, 'MHz', 'by hand')",
        "SELECT calib.import_parameters('{chip}', '{{\"0\": {{\"rabi_frequency\": 1}}}}', 'design')",
        "SELECT calib.pause_chip('{chip}', 'beam time')",
        "SELECT calib.resume_chip('{chip}')",
    ],
)
def test_an_edit_left_open_is_ended_by_the_server(world: QueueWorld, statement: str) -> None:
    session = world.session(world.olga)
    session.execute(statement.format(chip=world.chip()).encode())
    assert _idle_timeout(session) == "10s"
    session.rollback()
    assert _idle_timeout(session) == "0"


def test_a_cancel_of_a_running_job_left_open_is_ended_by_the_server(world: QueueWorld) -> None:
    """Another one's cancel of the same job waits for it; a waiting job's holds up nothing that runs."""
    claimed, _ = world.running(world.chip())
    waiting = world.submit(claimed.chip_id)
    with open_transaction(world.session(world.olga)) as session:
        session.execute(*cancel(waiting))
        assert _idle_timeout(session) == "0"
        session.execute(*cancel(claimed.job_id))
        assert _idle_timeout(session) == "10s"


def test_a_task_is_recorded_once_the_edit_beside_it_is_gone(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    task_run_id = lease.start_task(PlannedTask(task="CheckRabi", qid="0"))
    operator = world.session(world.olga)
    operator.execute(
        "SELECT calib.set_parameter(%s, '0', 'rabi_frequency', 1, 0, 'MHz', 'by hand')", (claimed.chip_id,)
    )
    operator.execute("SET LOCAL idle_in_transaction_session_timeout = '300ms'")
    recorder = world.session(world.machine, autocommit=True)
    recorder.execute(f"SET lock_timeout = '{PATIENCE:g}s'".encode())
    recorder.execute(
        "SELECT calib.record_task(%s, %s, %s, 'completed', %s)",
        (claimed.job_id, claimed.claim, task_run_id, RECORD.model_dump_json(include={"output_parameters"})),
    )
    values = world.rows(
        "SELECT value, source FROM calib.parameter_history WHERE chip_id = %s ORDER BY valid_from",
        claimed.chip_id,
    )
    assert values == [{"value": 12.5, "source": "task"}]


def test_two_writers_of_one_value_take_turns(world: QueueWorld) -> None:
    chip_id = world.chip()
    first, second = world.session(world.olga), world.session(world.olga, autocommit=True)
    edit = "SELECT calib.set_parameter(%s, '0', 't1', %s, 0, 'us', 'by hand')"
    for begin in (1.0, 3.0):  # once without a value in force, once with one
        first.execute(edit, (chip_id, begin))
        waiting = in_thread(partial(second.execute, edit, (chip_id, begin + 1)))
        world.wait_until_blocked(world.olga)
        first.commit()
        waiting.result(timeout=PATIENCE)
    history = world.rows(
        "SELECT value, valid_from, valid_to FROM calib.parameter_history WHERE chip_id = %s"
        " ORDER BY valid_from",
        chip_id,
    )
    assert [row["value"] for row in history] == [1, 2, 3, 4]
    assert [row["valid_to"] for row in history[:-1]] == [row["valid_from"] for row in history[1:]]
    assert history[-1]["valid_to"] is None


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize(
    "edit",
    [
        "SELECT calib.set_parameter(%s, '0', 't1', 2, 0, 'us', 'by hand')",
        "SELECT calib.import_parameters(%s, '{\"0\": {\"t1\": 2}}', 'by hand')",
    ],
)
def test_a_crossed_edit_of_one_value_is_refused_in_words(
    world: QueueWorld, level: str, there: bool, edit: str
) -> None:
    chip_id = world.chip()
    first, second = world.session(world.olga), world.session(world.olga)
    if there:
        first.execute(edit.encode(), (chip_id,))
        first.commit()
    second.execute(f"SET TRANSACTION ISOLATION LEVEL {level}".encode())
    second.execute("SELECT FROM calib.parameters")
    first.execute(f"SET TRANSACTION ISOLATION LEVEL {level}".encode())
    first.execute(edit.encode(), (chip_id,))
    waiting = in_thread(partial(second.execute, edit.encode(), (chip_id,)))
    world.wait_until_blocked(world.olga)
    first.commit()
    words = "parameter t1 of 0 was changed meanwhile: ask again in a new transaction"
    with pytest.raises(psycopg.Error, match=words) as refused:
        waiting.result(timeout=PATIENCE)
    assert refused.value.sqlstate == "CQ010"
    second.rollback()
    second.execute(edit.encode(), (chip_id,))
    second.commit()


def test_a_crossed_edit_of_another_value_is_refused_in_words(world: QueueWorld) -> None:
    """Both mark the chip for the mirror."""
    chip_id = world.chip()
    first, second = world.session(world.olga), world.session(world.olga)
    edit = "SELECT calib.set_parameter(%s, %s, 't1', 2, 0, 'us', 'by hand')"
    second.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    second.execute("SELECT FROM calib.parameters")
    first.execute(edit, (chip_id, "0"))
    first.commit()
    with pytest.raises(psycopg.Error, match=f"a parameter of {chip_id} was changed meanwhile") as refused:
        second.execute(edit, (chip_id, "1"))
    assert refused.value.sqlstate == "CQ010"


def test_marks_of_all_jobs_left_open_do_not_block_a_running_one(world: QueueWorld) -> None:
    claimed, _ = world.running(world.chip())
    with open_transaction(world.session(world.person("root"))) as admin:
        admin.execute("SELECT calib.mark_all()")
        assert _idle_timeout(admin) == "10s"
        full_life(world, claimed)
