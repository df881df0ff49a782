"""Runs a task of QDash's on values that are stored in a dictionary, as the engine does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace

from calibtasks.results import PostProcessResult, PreProcessResult, RunResult, missing_input
from calibtasks.task import Task
from executors.engine.gate import judge, judge_data
from qdash_queue.domain import Failure, ParameterModel

Values = Mapping[str, Mapping[str, tuple[float, str]]]


class StoredValues:
    """The part of a backend that a task uses.

    Attributes:
        kind: of the instrument.
    """

    def __init__(self, values: Values, kind: str = "fake", members: Sequence[str] = ()) -> None:
        self._values = values
        self._members = tuple(members)
        self.kind = kind
        self.session = SimpleNamespace(chip_id="SIM16", qids=("0", "1"))
        self.files = SimpleNamespace(note="note.json", classifiers="classifier")

    def has_parameter(self, qid: str, name: str) -> bool:
        return name in self._values.get(qid, {})

    def parameter(self, qid: str, name: str) -> ParameterModel:
        if not self.has_parameter(qid, name):
            raise missing_input(f"qubit {qid} of SIM16 has no {name}", "no_value")
        value, unit = self._values[qid][name]
        return ParameterModel(parameter_name=name, value=value, unit=unit)

    def members(self, qid: str) -> tuple[str, ...]:
        return self._members

    def muxes(self) -> list[int]:
        return [0]


def run(
    kind: type[Task], backend: StoredValues, qid: str = "0", **settings: object
) -> tuple[PreProcessResult, RunResult, PostProcessResult, Failure | None]:
    """What the task was given and gave, and why the gate refuses it."""
    task = kind(settings)
    prepared = task.prepare(backend, qid)  # type: ignore[arg-type]
    measured = task.measure(backend, [qid])[qid]  # type: ignore[arg-type]
    bad_data = judge_data(task, qid, measured)
    result = task.analyse("20260101-000", qid, measured)
    return prepared, measured, result, bad_data or judge(task, qid, result)
