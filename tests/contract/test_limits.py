"""Limits of the backlog and of a submitter's priority: kept without waiting for an open transaction."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from qdash_queue.errors import BacklogFullError, BadValueError, NotPermittedError
from tests.contract.meeting import open_transaction
from tests.support.queue_world import PROJECT, Connection, QueueWorld, insert
from tests.support.waiting import PATIENCE, until

CLIENTS = 16
OPEN = 10
ROWS_OF_EACH = 3


def waiting(world: QueueWorld, chip_id: str) -> int:
    found = world.value(
        "SELECT count(*) FROM calib_private.jobs WHERE chip_id = %s AND state = 'scheduled'", chip_id
    )
    return int(found)


def many(session: Connection, chip_id: str, count: int) -> None:
    session.execute(
        "INSERT INTO calib.jobs (project_id, chip_id, flow)"
        " SELECT %s, %s, 'repeat' FROM generate_series(1, %s)",
        (PROJECT, chip_id, count),
    )


def test_a_limit_of_one_project(world: QueueWorld) -> None:
    chip_id = world.chip()
    world.admin.add_project("second", "Second")
    world.admin.grant_member("second", world.ana.name, "ana", "submitter")
    world.admin.set_chip(chip_id, 5, max_waiting_per_project=2)
    for _ in range(2):
        world.submit(chip_id)
    said = f'chip "{chip_id}" has 2 jobs of project "{PROJECT}" waiting and takes no more of it'
    with pytest.raises(BacklogFullError, match=said) as refused:
        world.submit(chip_id)
    assert refused.value.column == "project_id"
    world.ana.queue.submit("second", chip_id, {}, flow="repeat")
    assert world.ready(chip_id).claim() is not None
    world.submit(chip_id)


def test_limits_are_changed_one_by_one_and_checked(world: QueueWorld) -> None:
    chip_id = world.chip()
    world.admin.set_chip(chip_id, submitter_priority=3)
    chip = world.ana.queue.chip(chip_id)
    assert (chip.max_waiting, chip.max_waiting_per_project, chip.submitter_priority) == (1000, None, 3)
    for name, value in (("max_waiting", 0), ("max_waiting_per_project", 0), ("submitter_priority", 101)):
        with pytest.raises(BadValueError, match=f"{name}: expected"):
            world.admin.set_chip(chip_id, **{name: value})


def test_a_submitter_gives_no_higher_priority_than_it_may(world: QueueWorld) -> None:
    chip_id = world.chip()
    world.admin.set_chip(chip_id, submitter_priority=10)
    job_id = world.submit(chip_id, priority=10)
    said = f'priority: on chip "{chip_id}" a submitter may give at most 10, got 11'
    with pytest.raises(NotPermittedError, match=said):
        world.submit(chip_id, priority=11)
    with pytest.raises(NotPermittedError, match=said):
        world.ana.queue.edit(job_id, priority=11)
    assert world.olga.queue.edit(job_id, priority=11).priority == 11
    # Its own job, whose priority an operator has raised.
    assert world.ana.queue.edit(job_id, tags=["mine"]).priority == 11


def test_a_job_that_waits_again_is_exempt(world: QueueWorld) -> None:
    chip_id = world.chip()
    world.admin.set_chip(chip_id, 1)
    _, lease = world.running(chip_id, flow="repeat", parameters={}, max_attempts=2)
    world.submit(chip_id)
    assert lease.give_back("executor stopped") == "scheduled"
    assert waiting(world, chip_id) == 2


def test_many_clients_beside_open_transactions(own_world: QueueWorld) -> None:
    """Over the limit by no more than what is open; no client waits for another's transaction."""
    world, limit = own_world, 400
    chip_id = world.chip()
    world.admin.set_chip(chip_id, limit)
    many(world.session(world.ana, autocommit=True), chip_id, limit // 2)
    open_ones = [world.session(world.ana) for _ in range(OPEN)]
    for session in open_ones:
        many(session, chip_id, ROWS_OF_EACH)
    refusals: list[str | None] = []
    refused = threading.Event()

    def client(_: int) -> None:
        with psycopg.connect(world.ana.url, autocommit=True) as session:
            session.execute("SET lock_timeout = '200ms'")
            while not refused.is_set():
                try:
                    session.execute(
                        "INSERT INTO calib.jobs (project_id, chip_id, flow) VALUES ('demo', %s, 'repeat')",
                        (chip_id,),
                    )
                except psycopg.Error as error:
                    refusals.append(error.sqlstate)
                    refused.set()

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(client, range(CLIENTS), timeout=PATIENCE))
    assert set(refusals) == {BacklogFullError.code}
    assert limit <= waiting(world, chip_id) < limit + CLIENTS
    for session in open_ones:
        session.commit()
    over = waiting(world, chip_id) - limit
    assert 0 <= over < OPEN * ROWS_OF_EACH + CLIENTS
    with pytest.raises(BacklogFullError, match=f"has {limit + over} jobs waiting"):
        world.submit(chip_id)


def test_a_count_forgets_no_job_of_a_transaction_that_was_open(own_world: QueueWorld) -> None:
    world = own_world
    chip_id = world.chip()
    session = world.session(world.ana, autocommit=True)
    with_numbers = world.session(world.ana)
    many(with_numbers, chip_id, 10)
    many(session, chip_id, 300)
    for _ in range(200):
        insert(session, project_id=PROJECT, chip_id=chip_id, flow="repeat")
    with_numbers.commit()
    for _ in range(200):
        insert(session, project_id=PROJECT, chip_id=chip_id, flow="repeat")
    world.admin.set_chip(chip_id, 711)
    world.submit(chip_id)
    with pytest.raises(BacklogFullError, match="has 711 jobs waiting"):
        world.submit(chip_id)
    assert counted(world, chip_id) > 600


def counted(world: QueueWorld, chip_id: str) -> int:
    return int(world.value("SELECT waiting FROM calib_private.backlogs WHERE chip_id = %s", chip_id))


def test_a_count_held_open_holds_up_nobody(own_world: QueueWorld) -> None:
    world = own_world
    chip_id = world.chip()
    many(world.session(world.ana, autocommit=True), chip_id, 100)
    with open_transaction(world.session(world.ana)) as holder:
        many(holder, chip_id, 100)
        session = world.session(world.ana, autocommit=True)
        session.execute("SET lock_timeout = '200ms'")
        for _ in range(200):
            insert(session, project_id=PROJECT, chip_id=chip_id, flow="repeat")
        assert world.ready(chip_id).claim() is not None


def test_an_insert_reads_few_pages_behind_a_large_backlog(own_world: QueueWorld) -> None:
    world = own_world
    chip_id = world.chip()
    world.admin.set_chip(chip_id, 20_000)
    session = world.session(world.ana, autocommit=True)
    many(session, chip_id, 10_000)

    def is_counted() -> bool:
        insert(session, project_id=PROJECT, chip_id=chip_id, flow="repeat")
        return counted(world, chip_id) > 10_000

    # A transaction of any database on the server that is still open holds it up for ten seconds.
    until(is_counted, "an insert to count the backlog")
    world.owner.execute("VACUUM ANALYZE calib_private.jobs")
    check = (
        "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT calib_private.check_backlog(c, 'demo', 1, 1)"
        " FROM calib_private.chips c WHERE c.chip_id = %s"
    )
    for _ in range(10):  # a prepared statement of PL/pgSQL changes its plan after five
        world.rows(check, chip_id)
    plan = world.value(check, chip_id)[0]["Plan"]
    one_row_of_chips = 2
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] <= 10 + one_row_of_chips, plan
