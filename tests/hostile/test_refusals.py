"""What once was an accident in the middle of a function is a refusal in words."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.hostile.functions import fair_call, functions, present
from tests.hostile.hostile_values import deep
from tests.hostile.strategies import Fair
from tests.hostile.target import Target, open_target
from tests.support.databases import Cluster

# function, argument, what is given, who gives it, the sentence
BAD = [
    ("register_executor", "p_host", None, "executor", "host: expected 1 to 255 characters, got nothing"),
    (
        "register_executor",
        "p_version",
        "x" * 300,
        "executor",
        "version: expected 1 to 200 characters, got 300",
    ),
    ("register_executor", "p_pid", None, "executor", "pid: expected the number of a process, got nothing"),
    (
        "register_catalogue",
        "p_version",
        None,
        "executor",
        "version: expected 1 to 200 characters, got nothing",
    ),
    ("register_catalogue", "p_flows", "1", "executor", "flows: expected array, got number 1"),
    ("register_catalogue", "p_tasks", '[{"task": "a"}]', "executor", 'task: "[a-z_]+" is missing'),
    ("plan_tasks", "p_tasks", "{}", "executor", "tasks: expected array, got object {}"),
    (
        "plan_tasks",
        "p_tasks",
        '[{"task": "a", "qid": "0"}]',
        "executor",
        'tasks\\[0\\]: "task_type" is missing',
    ),
    ("record_stage", "p_position", "1001", "executor", "position: expected 0 to 1000, got 1001"),
    ("record_stage", "p_position", None, "executor", "position: expected 0 to 1000, got nothing"),
    ("record_stage", "p_stage", "[]", "executor", "stage: expected object, got array \\[\\]"),
    ("record_stage", "p_stage", '{"name": "a"}', "executor", 'stage: "step" is missing'),
    ("start_sweep", "p_tasks", "[]", "executor", "tasks: expected one task, on one qid or more, got none"),
    (
        "start_sweep",
        "p_tasks",
        '[{"task": "CheckT1", "qid": "1", "task_type": "qubit", "upstream_id": "x"}]',
        "executor",
        "upstream_id: expected a text like",
    ),
    ("end_sweep", "p_sweep_id", None, "executor", "unknown sweep nothing of job"),
    ("end_sweep", "p_hardware_seconds", "NaN", "executor", "expected a number from 0 to 1000000000, got NaN"),
    ("log_event", "p_event", None, "executor", "event: an executor may not write nothing itself"),
    ("log_event", "p_detail", deep(50), "executor", "detail: expected JSON nested at most 32 levels deep"),
    (
        "record_task",
        "p_result",
        '{"hardware_seconds": "x"}',
        "executor",
        "hardware_seconds: expected number or null",
    ),
    (
        "record_task",
        "p_figures",
        '[{"name": "f", "plotly": "{"}]',
        "executor",
        'figure "f": expected Plotly JSON',
    ),
    ("record_task", "p_raw_meta", "5", "executor", "raw_meta: expected array, got number 5"),
    (
        "record_task",
        "p_raw_data",
        '{"a","b"}',
        "executor",
        "expected one byte string for each of the 0 items",
    ),
    ("register_mirror", "p_host", None, "mirror", "host: expected 1 to 255 characters, got nothing"),
    ("add_project", "p_description", "x" * 20_000, "admin", "description: expected 0 to 10000 characters"),
    ("add_chip", "p_chip_id", "\x1b[2J\u202ex\ny", "admin", 'got "\\?\\[2J\\?x\\?y"'),
]
TAKEN = [
    ("take_marks", "p_max", "-5", "mirror"),
    ("take_marks", "p_hold_seconds", None, "mirror"),
    ("take_marks", "p_hold_seconds", "NaN", "mirror"),
    ("unrendered_figures", "p_max", "-1", "mirror"),
    ("executor_seen", "p_condition", None, "executor"),
    ("add_project", "p_description", None, "admin"),
]


@pytest.fixture(scope="module")
def target(postgres_server: Cluster) -> Iterator[Target]:
    with postgres_server.database() as database, open_target(database) as target:
        yield target


@pytest.fixture(scope="module")
def likely(target: Target) -> dict[str, Fair]:
    return present(target, target.chip_id, target.running_job())


def call(
    target: Target, likely: dict[str, Fair], name: str, argument: str, value: str | None, role: str
) -> None:
    """The function with fair arguments but for one; rolled back."""
    function = next(each for each in functions(target) if each.name == name)
    session = target.world.session(target.person(role))
    try:
        session.execute(*fair_call(function, {**likely, argument: (value,)}))
    finally:
        session.close()


@pytest.mark.parametrize(("name", "argument", "value", "role", "sentence"), BAD)
def test_the_refusal_is_one_sentence(
    target: Target,
    likely: dict[str, Fair],
    name: str,
    argument: str,
    value: str | None,
    role: str,
    sentence: str,
) -> None:
    with pytest.raises(psycopg.Error, match=sentence) as refused:
        call(target, likely, name, argument, value, role)
    assert (refused.value.sqlstate or "").startswith("CQ")
    assert "\n" not in (refused.value.diag.message_primary or "\n")


@pytest.mark.parametrize(("name", "argument", "value", "role"), TAKEN)
def test_what_means_something_is_taken(
    target: Target, likely: dict[str, Fair], name: str, argument: str, value: str | None, role: str
) -> None:
    call(target, likely, name, argument, value, role)
