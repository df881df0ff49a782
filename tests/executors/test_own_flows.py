"""An executor with a folder of flows: the good ones run, the others are reported."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from executors.main import EXIT_USAGE
from qdash_queue.cli.inputs import design_values
from qdash_queue.client.leases import READY_BUT
from qdash_queue.client.parameters import Parameters
from qdash_queue.domain import JobState, TaskStatus
from qdash_queue.errors import QueueError
from tests.cli.desk import type_in
from tests.executors.fleet import Fleet
from tests.support.executor_world import StartedProcess
from tests.support.queue_world import PROJECT
from tests.support.waiting import until

CHIP = "OWN-16"
(EXAMPLE,) = re.findall(
    r"```python\n(.+?)```",
    (Path(__file__).parents[2] / "docs" / "flows.md").read_text(),
    re.DOTALL,
)
FILES = {
    "rabi.py": EXAMPLE,
    "broken.py": "x = 1\n\ndef f(:\n",
    # The second by file name.
    "second.py": EXAMPLE,
    # Python reads the pattern, the database does not.
    "wide.py": EXAMPLE.replace("rabi_again", "wide").replace(
        "qids: list[Qid]", 'qids: list[Qid], word: Annotated[str, Field(pattern="(a{0,9}){0,9}")] = ""'
    ),
}
BROKEN = "broken.py, line 3: cannot be imported: SyntaxError: invalid syntax"
TWICE = 'second.py, line 10: flow "rabi_again" is offered by rabi.py, line 10 already'
UNCHECKED = (
    'wide.py, line 10: flow "wide": its schema uses /properties/word/pattern (refers back, looks around,'
    " sets an option or counts a group), which the database cannot check"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flows")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def own(fleet: Fleet, folder: Path) -> Iterator[Fleet]:
    """A chip of its own, without an executor yet."""
    fleet.world.add_chip(CHIP)
    Parameters(fleet.owner, CHIP).import_values(design_values(), "design values")
    made = replace(fleet, chip_id=CHIP, members=[])
    try:
        yield made
    finally:
        made.close()


def condition(fleet: Fleet) -> str:
    return next((row.condition for row in fleet.queue.executors() if row.chip_id == fleet.chip_id), "")


@pytest.fixture(scope="module")
def executor(own: Fleet, folder: Path) -> StartedProcess:
    started = own.start("--flows", str(folder))
    own.members.append(started)
    until(lambda: not started.is_alive or condition(own).startswith(READY_BUT), "the executor to be ready")
    assert started.is_alive, started.log.read_text()
    return started


def offered(fleet: Fleet) -> set[str]:
    rows = fleet.owner.rows("SELECT flow FROM calib.flows WHERE chip_id = %(c)s", c=fleet.chip_id)
    return {row["flow"] for row in rows}


@pytest.mark.slow
def test_the_pages_flow_runs_beside_a_broken_file(own: Fleet, executor: StartedProcess) -> None:
    job = own.ended(own.submit("rabi_again", {"qids": ["0"], "times": 2}))
    assert job.state is JobState.COMPLETED, job.failure_message
    runs = own.queue.task_runs(job.job_id)
    assert [(run.task, run.qid, run.status) for run in runs] == [("CheckRabi", "0", TaskStatus.COMPLETED)] * 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"qids": ["0"], "times": 300}, "parameters.times: expected at most 100, got 300"),
        ({"qids": ["0"], "times": "2"}, 'parameters.times: expected integer, got string "2"'),
        ({"qids": ["16"]}, 'parameters.qids[0]: chip "OWN-16" has no qubit "16": expected "0" to "15"'),
        ({"times": 2}, 'parameters: "qids" is missing: expected "qids"'),
        ({"qids": [], "tims": 2}, 'parameters: unknown parameter "tims": did you mean "times"?'),
    ],
)
def test_the_database_refuses_a_bad_job_of_it(
    own: Fleet, executor: StartedProcess, parameters: dict[str, object], words: str
) -> None:
    with pytest.raises(QueueError, match=re.escape(words)):
        own.queue.submit(PROJECT, CHIP, parameters, flow="rabi_again")  # type: ignore[arg-type]


@pytest.mark.slow
def test_what_is_not_offered_is_reported_everywhere(own: Fleet, executor: StartedProcess) -> None:
    assert "rabi_again" in offered(own)
    assert offered(own) >= {"calibrate", "interactive", "noop"}
    assert "wide" not in offered(own)
    log = executor.log.read_text()
    assert set(re.findall(rf"WARNING {CHIP}: not offered: (.+)", log)) == {BROKEN, TWICE, UNCHECKED}
    report = f"not offered (3): {BROKEN}"
    until(lambda: condition(own) == READY_BUT + report, "the condition to be reported after a job")
    environment = {"QDASH_QUEUE_DATABASE_URL": own.queue.database.conninfo}
    (finding,) = [
        each
        for each in type_in("doctor", "--json", environment=environment).document
        if each["about"] == f"flows of {CHIP}"
    ]
    assert (finding["level"], finding["words"]) == ("problem", report)
    for words in (("chips",), ("executors",)):
        shown = type_in(*words, environment=environment | {"COLUMNS": "400"}).out
        assert any(CHIP in line and BROKEN in line for line in shown.splitlines()), shown


@pytest.mark.slow
def test_registering_without_serving_says_it_too(own: Fleet, folder: Path) -> None:
    done = own.command("register", "--chip", CHIP, "--flows", str(folder))
    assert done.returncode == 0, done.stderr
    assert set(re.findall(r"not offered: (.+)", done.stderr)) == {BROKEN, TWICE, UNCHECKED}
    assert "rabi_again" in done.stdout


@pytest.mark.parametrize("name", ["--flows", "QDASH_QUEUE_FLOWS_PATH"])
def test_a_folder_that_is_not_there_is_named(own: Fleet, tmp_path: Path, name: str) -> None:
    missing = str(tmp_path / "missing")
    arguments = [name, missing] if name == "--flows" else []
    started = own.start(*arguments, **({} if arguments else {name: missing}))
    assert started.wait() == EXIT_USAGE
    assert started.log.read_text() == f"{name}: expected a folder, got '{missing}'\n"
