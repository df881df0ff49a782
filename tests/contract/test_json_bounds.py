"""A small document costs the database little memory and time, whatever its numbers are."""

# ruff: noqa: E501  (one attack, one line)

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import psycopg
import pytest

from qdash_queue.client.records import PlannedTask
from qdash_queue.domain import TaskType
from tests.support.queue_world import PARAMETERS, PROJECT, Connection, Person, QueueWorld

# 13.6 kB each; written out they are 223 MB and 24 MB.
HUGE = f"[{','.join(['1e131071'] * 1500)}]"
TINY = f"[{','.join(['1e-16383'] * 1500)}]"
MOST_KIB = 4096
MOST_SECONDS = 0.1
ROW = "INSERT INTO calib.jobs (project_id, chip_id, parameters, note) VALUES ('{project}', '{chip}', %s, %s)"
TASK = '[{"task": "CheckT1", "qid": "0", "task_type": "qubit", "repetition": %s}]'
START = "SELECT calib.start_sweep({job}, '{claim}'::uuid, %s)"
STAGE = "SELECT calib.record_stage({job}, '{claim}'::uuid, 0, %s)"
RECORD = "SELECT calib.record_task({job}, '{claim}'::uuid, '{task}', 'completed', %s, %s, %s)"
FLOW = '{"flow": "odd", "repeatable": false, "timeout_seconds": 5, "on_cancellation": ["on_flow_cancellation"], "schema": %s}'
OFFERED = '{"task": "X", "task_type": "qubit", "input_parameters": [], "output_parameters": [], "schema": %s}'
CATALOGUE = "SELECT calib.register_catalogue('{chip}', 'fake', '1', %s, %s)"
GOOD = json.dumps(PARAMETERS)

# who, what, its documents with a place for the numbers
ATTACKS = [
    ("ana", ROW, ('{"x": %s}', "{}")),
    (
        "ana",
        ROW,
        ('{"qids": ["0"], "tasks": ["CheckT1"], "run_parameters": {"CheckT1": {"shots": %s}}}', "{}"),
    ),
    ("ana", ROW, (GOOD, '{"x": %s}')),
    ("ana", ROW, ('{"x": %s}', '{"x": %s}')),
    ("olga", "SELECT calib.import_parameters('{chip}', %s, 'design')", ('{"0": {"t1": {"value": %s}}}',)),
    ("machine", CATALOGUE, (f"[{FLOW}]" % '{"enum": %s}', "[]")),
    ("machine", CATALOGUE, ("[]", f"[{OFFERED}]" % '{"enum": %s}')),
    ("machine", "SELECT calib.plan_tasks({job}, '{claim}'::uuid, %s)", (TASK,)),
    ("machine", START, (TASK,)),
    (
        "machine",
        START,
        ('[{"task": "CheckT1", "qid": "0", "task_type": "qubit", "run_parameters": {"x": %s}}]',),
    ),
    ("machine", STAGE, ('{"name": "s", "step": "X", "status": "running", "result": {"x": %s}}',)),
    ("machine", RECORD, ('{"output_parameters": {"t1": {"value": %s}}}', "[]", "[]")),
    ("machine", RECORD, ("{}", '[{"name": %s}]', "[]")),
    ("machine", RECORD, ("{}", "[]", '[{"name": "r", "dtype": "x", "unit": "", "shape": %s}]')),
    ("machine", "SELECT calib.log_event({job}, '{claim}'::uuid, 'hook_ran', %s)", ('{"x": %s}',)),
    ("machine", "SELECT calib.quiesced({job}, '{claim}'::uuid, %s)", ('{"x": %s}',)),
]


class Backend:
    """A session whose memory and processor time can be read."""

    def __init__(self, session: Connection) -> None:
        self.session = session
        self.files = Path("/proc") / str(session.info.backend_pid)

    def peak_kib(self) -> int:
        lines = (self.files / "status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))

    def seconds(self) -> float:
        fields = (self.files / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="module")
def place(world: QueueWorld, contained: bool) -> dict[str, object]:
    """What the statements name: a chip, its running job, a task of it."""
    if contained:
        pytest.skip("a server in a container has its processes to itself")
    chip_id = world.chip()
    claimed, lease = world.running(chip_id)
    task = lease.start_task(PlannedTask(task="CheckT1", qid="0", task_type=TaskType.QUBIT))
    return {"project": PROJECT, "chip": chip_id, "job": claimed.job_id, "claim": claimed.claim, "task": task}


@pytest.mark.parametrize("numbers", [HUGE, TINY], ids=["1e131071", "1e-16383"])
@pytest.mark.parametrize(
    ("who", "statement", "documents"), ATTACKS, ids=[f"{a[0]}-{i}" for i, a in enumerate(ATTACKS)]
)
def test_numbers_are_bounded_before_they_are_written_out(
    world: QueueWorld,
    place: dict[str, object],
    who: str,
    statement: str,
    documents: tuple[str, ...],
    numbers: str,
) -> None:
    person: Person = getattr(world, who)
    backend = Backend(world.session(person, autocommit=True))
    text = statement.format(**place).encode()

    def ask(numbers: str) -> str:
        with pytest.raises(psycopg.Error) as refused:
            backend.session.execute(text, [each.replace("%s", numbers) for each in documents])
        return str(refused.value)

    ask("[1e400]")  # Loads and plans what every refusal needs.
    memory, seconds = backend.peak_kib(), backend.seconds()
    assert re.search("expected numbers between|digits in all its numbers", ask(numbers))
    assert backend.peak_kib() - memory < MOST_KIB
    assert backend.seconds() - seconds < MOST_SECONDS


def test_many_digits_of_a_long_document_are_taken(world: QueueWorld) -> None:
    chip_id = world.chip()
    claimed, lease = world.running(chip_id)
    numbers = [n + 0.123456789012345 for n in range(50_000)]
    world.session(world.machine, autocommit=True).execute(
        "SELECT calib.log_event(%s, %s, 'hook_ran', %s)",
        (claimed.job_id, lease.claim, json.dumps({"x": numbers})),
    )
    assert world.events(claimed.job_id)[-1] == "hook_ran"
