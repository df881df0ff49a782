"""A list of tasks on many targets."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from calibtasks.parameters.overrides import TaskDetails
from calibtasks.task import REGISTRY
from executors.engine.orchestrator import CalibOrchestrator
from executors.engine.session import TaskOutputs
from executors.job.failures import TaskFailedError
from qdash_queue.domain import CalibrationError, Failure, FailureKind, TaskType


@dataclass
class TargetResult:
    """What became of one target.

    Attributes:
        outputs: by task; of a task that ran twice the later ones.
        failure: why it did not get to the end of the list.
    """

    outputs: dict[str, TaskOutputs] = field(default_factory=dict)
    failure: CalibrationError | None = None

    def as_dict(self) -> dict[str, object]:
        """The outputs by task, with ``status`` and the ``error``, in QDash's shape."""
        if self.failure is None:
            return {**self.outputs, "status": "success"}
        return {**self.outputs, "status": "failed", "error": str(self.failure)}

    def value(self, name: str) -> float | None:
        """The latest measured value of an output; None: there is none."""
        for outputs in reversed(self.outputs.values()):
            found = outputs.get(name)
            if found is not None and not isinstance(found, str):
                return found.value
        return None


@dataclass
class TaskListRun:
    """Targets on their way through a list of tasks; a target's first failure ends its way.

    A task is run once more before a later one that needs its value, when a parameter that the value was
    measured with has moved since. A task about a multiplexer, or about the whole chip, runs once for all its
    targets.

    Attributes:
        tasks: their names, in order.
        task_details: run parameters, above the session's; as of :meth:`CalibOrchestrator.run_task`.
        results: by target.
        repeated: tasks that had to run again, with their targets.
    """

    session: CalibOrchestrator
    tasks: Sequence[str]
    task_details: TaskDetails | None = None
    results: dict[str, TargetResult] = field(default_factory=dict)
    repeated: set[tuple[str, str]] = field(default_factory=set)
    _outcomes: dict[int, dict[str, TaskOutputs | TaskFailedError]] = field(default_factory=dict)

    @property
    def passed(self) -> list[str]:
        """The targets that reached the end of the list."""
        return [qid for qid, result in self.results.items() if result.failure is None]

    @property
    def failures(self) -> dict[str, CalibrationError]:
        """Why the others did not, by target."""
        return {qid: each.failure for qid, each in self.results.items() if each.failure is not None}

    def planned(self, targets: Sequence[str], *, one_by_one: bool = False) -> list[tuple[str, str]]:
        """The tasks with what they will run on, target by target or task by task."""
        batches = [[target] for target in targets] if one_by_one else [targets]
        places = (
            (position, self._subject(task, qid))
            for batch in batches
            for position, task in enumerate(self.tasks)
            for qid in batch
        )
        return [(self.tasks[position], subject) for position, subject in dict.fromkeys(places)]

    def batch(self, targets: Iterable[str], positions: range | None = None) -> None:
        """Take the targets through the list together, or through a part of it."""
        qids = list(targets)
        for position in positions or range(len(self.tasks)):
            qids = self.advance(position, qids)

    def lock_step(self, queues: Iterable[Sequence[str]], positions: range | None = None) -> None:
        """Take the targets of each queue through the list in turn, the queues beside each other."""
        part = positions or range(len(self.tasks))
        active = [_Queue(deque(queue), part.start) for queue in queues if queue]
        while active:
            wanted = Counter(queue.position for queue in active)
            # Of equally wanted ones the later: its targets come to the end, and join those that begin.
            position = max(wanted, key=lambda place: (wanted[place], place))
            turn = [queue for queue in active if queue.position == position]
            passed = self.advance(position, [queue.targets[0] for queue in turn])
            for queue in turn:
                queue.step(part, passed=queue.targets[0] in passed)
            active = [queue for queue in active if queue.targets]

    def advance(self, position: int, qids: Sequence[str]) -> list[str]:
        """Run the task at that position of the list on targets that have come so far; those that passed."""
        for qid in qids:
            self.results.setdefault(qid, TargetResult())
        task, earlier = self.tasks[position], self.tasks[:position]
        for name in dict.fromkeys(earlier):
            again = [qid for qid in self._unfailed(qids) if self._must_repeat(name, task, qid, earlier)]
            self.repeated |= {(name, qid) for qid in again}
            self._run(name, again, {})
        self._run(task, self._unfailed(qids), self._outcomes.setdefault(position, {}))
        return self._unfailed(qids)

    def require_some_passed(self, step: str) -> None:
        """Raise the first failure, with the count, when there were targets and none of them has passed."""
        failures = self.failures
        if not failures or self.passed:
            return
        first = next(iter(failures.values()))
        message = f"{step}: none of {len(failures)} targets passed; first: {first}"
        raise CalibrationError(first.failure.model_copy(update={"message": message})) from first

    def refuse(self, qid: str, cause: str, message: str) -> None:
        """Record that a target cannot be measured at all."""
        failure = Failure(kind=FailureKind.INVALID_REQUEST, cause=cause, message=message)
        self.results[qid] = TargetResult(failure=CalibrationError(failure))

    def _unfailed(self, qids: Sequence[str]) -> list[str]:
        return [qid for qid in qids if self.results[qid].failure is None]

    def _must_repeat(self, name: str, task: str, qid: str, earlier: Sequence[str]) -> bool:
        return (name, qid) not in self.repeated and name in self.session.to_repeat(task, qid, earlier)

    def _run(self, task: str, qids: Sequence[str], known: dict[str, TaskOutputs | TaskFailedError]) -> None:
        """Run a task on what it is about for these targets, unless the outcome is known already."""
        subjects = {qid: self._subject(task, qid) for qid in qids}
        wanted = [subject for subject in dict.fromkeys(subjects.values()) if subject not in known]
        known.update(self.session.run_tasks(task, wanted, self.task_details))
        for qid, subject in subjects.items():
            self._note(task, qid, known[subject])

    def _note(self, task: str, qid: str, outcome: TaskOutputs | TaskFailedError) -> None:
        result = self.results[qid]
        if isinstance(outcome, TaskFailedError):
            result.failure = outcome
        else:
            result.outputs.pop(task, None)
            result.outputs[task] = outcome

    def _subject(self, task: str, qid: str) -> str:
        """What the task runs on for a target: itself, its multiplexer, or the whole chip."""
        task_type = REGISTRY.find(task).task_type
        if task_type is TaskType.MUX:
            mux = self.session.mux_of(qid)
            return "" if mux is None else str(mux)
        return qid if task_type in (TaskType.QUBIT, TaskType.COUPLING) else ""


@dataclass
class _Queue:
    """Targets that go through a list one after another.

    Attributes:
        targets: those that have not ended; the first is on its way.
        position: of the task that it wants next.
    """

    targets: deque[str]
    position: int

    def step(self, part: range, *, passed: bool) -> None:
        """The first target wants the next task, or makes room for the one behind it."""
        self.position += 1
        if not passed or self.position == part.stop:
            self.targets.popleft()
            self.position = part.start
