"""Queues of targets that go through a list of tasks beside each other, for any queues and any failures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from calibtasks.task import REGISTRY
from executors.engine.orchestrator import CalibOrchestrator
from executors.job.failures import TaskFailedError
from executors.service.task_list_run import TaskListRun
from qdash_queue.domain import Failure, FailureKind

TASKS = ("CheckRabi", "CheckT1", "CheckRamsey")
FAILURE = Failure(kind=FailureKind.BAD_FIT, cause="planned", message="planned")


class Recorder:
    """Stands for a session: writes down what is measured, and fails as planned."""

    def __init__(self, failing: set[tuple[str, str]]) -> None:
        self.failing = failing
        self.calls: list[tuple[str, list[str]]] = []

    def to_repeat(self, task: str, qid: str, earlier: Sequence[str]) -> list[str]:
        return []

    def run_tasks(self, task: str, qids: Sequence[str], _details: object) -> dict[str, Any]:
        if qids:
            self.calls.append((task, list(qids)))
        return {
            qid: TaskFailedError(task, qid, FAILURE, None) if (task, qid) in self.failing else {"task_id": ""}
            for qid in qids
        }


@st.composite
def plans(draw: st.DrawFn) -> tuple[list[list[str]], set[tuple[str, str]]]:
    lengths = draw(st.lists(st.integers(0, 4), min_size=1, max_size=6))
    queues, begin = [], 0
    for length in lengths:
        queues.append([str(qid) for qid in range(begin, begin + length)])
        begin += length
    all_pairs = [(task, qid) for queue in queues for qid in queue for task in TASKS]
    return queues, set(draw(st.lists(st.sampled_from(all_pairs)))) if all_pairs else set()


def done(queues: list[list[str]], failing: set[tuple[str, str]]) -> tuple[TaskListRun, Recorder]:
    recorder = Recorder(failing)
    run = TaskListRun(cast("CalibOrchestrator", recorder), TASKS)
    run.lock_step(queues)
    return run, recorder


@given(plans())
def test_each_target_goes_through_the_list_until_it_fails(
    plan: tuple[list[list[str]], set[tuple[str, str]]],
) -> None:
    queues, failing = plan
    run, recorder = done(queues, failing)
    seen: dict[str, list[str]] = {}
    for task, qids in recorder.calls:
        for qid in qids:
            seen.setdefault(qid, []).append(task)
    for qid in (qid for queue in queues for qid in queue):
        first = next((place for place, task in enumerate(TASKS) if (task, qid) in failing), len(TASKS))
        assert tuple(seen[qid]) == TASKS[: first + 1]
        assert (qid in run.passed) is (first == len(TASKS))


@given(plans())
def test_a_queue_has_one_target_on_its_way_at_a_time(
    plan: tuple[list[list[str]], set[tuple[str, str]]],
) -> None:
    queues, failing = plan
    _, recorder = done(queues, failing)
    for queue in queues:
        order = [qid for _, qids in recorder.calls for qid in qids if qid in queue]
        assert list(dict.fromkeys(order)) == queue
        assert order == sorted(order, key=queue.index)


@given(st.integers(1, 6), st.integers(1, 4))
def test_without_failures_equal_queues_never_wait(count: int, length: int) -> None:
    queues = [[str(length * queue + place) for place in range(length)] for queue in range(count)]
    _, recorder = done(queues, set())
    assert len(recorder.calls) == length * len(TASKS)
    assert all(len(qids) == count for _, qids in recorder.calls)


def test_when_most_fail_the_next_of_their_queues_catch_up_with_the_one_that_waits() -> None:
    queues = [["0", "1"], ["4", "5"], ["8", "9"]]
    _, recorder = done(queues, {("CheckRabi", "0"), ("CheckRabi", "4")})
    assert [f"{task} {' '.join(qids)}" for task, qids in recorder.calls] == [
        "CheckRabi 0 4 8",
        "CheckRabi 1 5",
        "CheckT1 1 5 8",
        "CheckRamsey 1 5 8",
        "CheckRabi 9",
        "CheckT1 9",
        "CheckRamsey 9",
    ]


def test_the_tasks_are_about_qubits() -> None:
    assert {REGISTRY.find(task).task_type for task in TASKS} == {"qubit"}
