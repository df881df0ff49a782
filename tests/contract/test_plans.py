"""What the hot statements cost, at no and at 100,000 finished jobs: index, buffers, no write when idle."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.support.queue_world import QueueWorld, Row

MOST_BUFFERS = 6
# Fifty rows, with what the waiting ones wait for; the whole table has 3,000 pages.
MOST_LISTING_BUFFERS = 400
FINISHED = 100_000
CLAIM = "SELECT * FROM calib.claim(%s, %s, gen_random_uuid(), 30, NULL)"

HISTORY = """
INSERT INTO calib_private.jobs (project_id, username, chip_id, flow, parameters, priority, not_before,
    timeout_seconds, max_attempts, repeatable, tags, note, state, attempt, fence, execution_id, executor_id,
    submitted_by, submitted_at, started_at, finished_at)
SELECT 'demo', 'ana', CASE n %% 10 WHEN 0 THEN 'TENTH' ELSE %(chip_id)s END, 'repeat', '{}', n %% 5, now(),
       60, 1, true, '{}', '{}', 'completed', 1, n, '20200101-q' || n, 'x', 'ana', now(), now(), now()
  FROM generate_series(1, %(count)s) n
"""


def statements(world: QueueWorld) -> dict[str, str]:
    """What the database's functions have between `NAME:begin` and `NAME:end`, with numbered parameters."""
    rows = world.rows("SELECT prosrc FROM pg_proc WHERE pronamespace = 'calib_private'::regnamespace")
    text = "".join(row["prosrc"] for row in rows)
    found = dict(re.findall(r"-- ([\w-]+):begin\n(.*?)-- [\w-]+:end", text, flags=re.DOTALL))
    return {
        name: re.sub(r"^\s*PERFORM", "SELECT", body)
        .replace("INTO v_job_id", "")
        .replace("p_chip_id", "$1")
        .replace("v_now", "$2")
        .strip()
        .rstrip(";")
        for name, body in found.items()
    }


@pytest.fixture(scope="module", params=[0, FINISHED], ids=["empty", "100k-finished"])
def busy_chip(world: QueueWorld, request: pytest.FixtureRequest) -> Iterator[str]:
    """A chip with that many finished jobs."""
    chip_id = world.chip()
    if request.param:
        world.owner.execute("SET session_replication_role = replica")
        world.owner.execute(HISTORY, {"chip_id": chip_id, "count": request.param})
        world.owner.execute("SET session_replication_role = origin")
        world.owner.execute("VACUUM ANALYZE calib_private.jobs")
    yield chip_id
    empty(world, chip_id)


def empty(world: QueueWorld, chip_id: str) -> None:
    """End all that waits."""
    world.owner.execute(
        "UPDATE calib.jobs SET cancel_requested = true WHERE chip_id = %s AND state = 'scheduled'", (chip_id,)
    )


def explained(world: QueueWorld, statement: str, chip_id: str) -> Row:
    """The plan of a statement as PL/pgSQL runs it: prepared, with a generic plan."""
    explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE hot ('{chip_id}', clock_timestamp())".encode()
    with world.session(autocommit=True) as session:
        session.prepare_threshold = None
        session.execute("SET plan_cache_mode = force_generic_plan")
        session.execute(f"PREPARE hot (text, timestamptz) AS {statement}".encode())
        session.execute(explain)  # reads the catalogue and cold pages
        row = session.execute(explain).fetchone()
    assert row is not None
    plan = row["QUERY PLAN"][0]["Plan"]
    assert isinstance(plan, dict)
    return plan


def nodes(plan: Row) -> Iterator[Row]:
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


@pytest.mark.parametrize("name", ["due-job", "idle-poll"])
@pytest.mark.parametrize("waiting", [0, 50])
def test_looking_for_work_reads_six_buffers_at_most(
    world: QueueWorld, busy_chip: str, name: str, waiting: int
) -> None:
    for _ in range(waiting):
        world.submit(busy_chip, flow="repeat", parameters={})
    plan = explained(world, statements(world)[name], busy_chip)
    scans = [node for node in nodes(plan) if "Scan" in node["Node Type"]]
    assert [node.get("Index Name") for node in scans] == ["jobs_waiting"]
    assert not any("Sort" in node["Node Type"] for node in nodes(plan))
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] <= MOST_BUFFERS


def test_an_idle_claim_writes_nothing(world: QueueWorld, busy_chip: str) -> None:
    empty(world, busy_chip)
    executor = world.ready(busy_chip)
    assert_writes_nothing(world, CLAIM, busy_chip, executor.executor_id)
    world.rows("SELECT * FROM calib.sweep()")  # counts the jobs, which is done once a minute
    assert_writes_nothing(world, "SELECT * FROM calib.sweep()")


def assert_writes_nothing(world: QueueWorld, statement: str, *parameters: object) -> None:
    """The statement gives no row and its transaction gets no number."""
    session = world.session(world.machine)
    with session:
        assert session.execute(statement.encode(), parameters or None).fetchall() == []
        row = session.execute("SELECT pg_current_xact_id_if_assigned() AS number").fetchone()
        assert row == {"number": None}


def test_a_paused_chip_writes_nothing(world: QueueWorld) -> None:
    chip_id = world.chip()
    world.submit(chip_id)
    world.olga.queue.pause_chip(chip_id, "beam time")
    executor = world.ready(chip_id)
    assert_writes_nothing(world, CLAIM, chip_id, executor.executor_id)


def test_standing_by_behind_a_running_job_writes_nothing(world: QueueWorld) -> None:
    claimed, _ = world.running(world.chip())
    world.submit(claimed.chip_id)
    other = world.ready(claimed.chip_id, "two")
    assert_writes_nothing(world, CLAIM, claimed.chip_id, other.executor_id)


def test_a_job_by_its_number_is_found_by_the_key(world: QueueWorld, busy_chip: str) -> None:
    job_id = world.submit(busy_chip, flow="repeat", parameters={})
    with world.session() as session:
        # A table of one page is cheaper to read as a whole; where the key cannot be used, it still is.
        session.execute("SET LOCAL enable_seqscan = off")
        found = session.execute(
            f"EXPLAIN (FORMAT JSON) SELECT * FROM calib.jobs WHERE job_id = {job_id}".encode()
        ).fetchone()
    assert found is not None
    scans = [
        node["Node Type"]
        for node in nodes(found["QUERY PLAN"][0]["Plan"])
        if node.get("Relation Name") == "jobs"
    ]
    assert scans
    assert "Seq Scan" not in scans


@pytest.mark.parametrize(
    "where",
    [
        "",
        "chip_id = 'NONE'",
        "chip_id = 'TENTH'",
        "project_id = 'demo'",
        "state = 'completed'",
        "state = 'failed'",
    ],
)
def test_the_newest_jobs_are_found_from_the_end_of_an_index(
    world: QueueWorld, busy_chip: str, where: str
) -> None:
    matching = f"SELECT * FROM calib.jobs {where and 'WHERE ' + where}"
    statement = f"{matching} LIMIT 50"
    assert world.rows(statement) == world.rows(f"{matching} ORDER BY job_id DESC LIMIT 50")
    explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}"
    world.value(explain)
    plan = world.value(explain)[0]["Plan"]
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] <= MOST_LISTING_BUFFERS


def test_why_a_job_waits_is_only_computed_when_asked(world: QueueWorld) -> None:
    """A list of states must not count the jobs ahead of each one."""
    plain = world.rows("EXPLAIN (VERBOSE) SELECT job_id, state FROM calib.jobs")
    asked = world.rows("EXPLAIN (VERBOSE) SELECT job_id, waiting_for FROM calib.jobs")
    assert "waiting_for(" not in str(plain)
    assert "waiting_for(" in str(asked)


def test_many_rows_in_one_statement_take_one_transaction_number(world: QueueWorld) -> None:
    """A number for each row would overflow what other sessions can see of a transaction at a glance."""
    chip_id = world.chip()
    session = world.session(world.ana)
    with session.cursor().copy("COPY calib.jobs (project_id, chip_id, flow) FROM STDIN") as copy:
        for _ in range(100):
            copy.write_row(("demo", chip_id, "repeat"))
    session.commit()
    numbers = "SELECT count(DISTINCT xmin::text) FROM calib_private.jobs WHERE chip_id = %s"
    assert world.value(numbers, chip_id) == 1
