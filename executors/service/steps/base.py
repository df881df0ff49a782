"""What a step of a calibration is, and what the steps of one calibration hand on to each other."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from pydantic import JsonValue

from executors.service.task_list_run import TargetResult
from qdash_queue.domain import CalibrationError, TaskType

if TYPE_CHECKING:
    from executors.service.calib_service import CalibService
    from executors.service.targets import Target

Group = tuple[str, ...]
"""Couplings that are calibrated together, such as ``("0-1", "4-6")``."""


@dataclass(frozen=True)
class StepResult:
    """What became of a step.

    Attributes:
        targets: result by qubit or coupling; none of a step that measures nothing.
        values: what it found beside them.
    """

    targets: Mapping[str, TargetResult] = field(default_factory=dict)
    values: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def passed(self) -> list[str]:
        """The targets that passed."""
        return [target for target, result in self.targets.items() if result.failure is None]

    @property
    def failures(self) -> dict[str, CalibrationError]:
        """Why the others did not, by target."""
        return {target: each.failure for target, each in self.targets.items() if each.failure is not None}

    def as_json(self) -> dict[str, JsonValue]:
        """What is kept with the stage: names and reasons; the measured values are in the task runs."""
        failed: dict[str, JsonValue] = {target: str(error) for target, error in self.failures.items()}
        measured: dict[str, JsonValue] = {"passed": [*self.passed], "failed": failed} if self.targets else {}
        return {**measured, **self.values}


@dataclass
class StepContext:
    """What the steps of a calibration hand on to each other.

    Attributes:
        candidate_qids: the qubits that the next steps work on; empty means none.
        candidate_couplings: groups of couplings, to be calibrated one after another; None: no step made any.
        results: of the steps so far, by name; of two steps of one name the later.
        latest: the result of the latest step that measured qubits.
    """

    candidate_qids: tuple[str, ...] = ()
    candidate_couplings: tuple[Group, ...] | None = None
    results: dict[str, StepResult] = field(default_factory=dict)
    latest: StepResult | None = None

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups without the couplings of qubits that a filter has dropped."""
        kept = set(self.candidate_qids)
        narrowed = (
            tuple(coupling for coupling in group if kept.issuperset(coupling.split("-")))
            for group in self.candidate_couplings or ()
        )
        return tuple(group for group in narrowed if group)


class Step(ABC):
    """One step of a calibration.

    Attributes:
        tasks: the names of those that it runs; an unknown one is refused before anything is measured.
        mode: in which order targets go through them; empty where there is no choice.
        measures_qubits: whether it measures qubits, so that a filter can follow.
        subjects: the types of tasks that it can run.
        is_filter: whether it needs a step before it that measured qubits.
    """

    tasks: Sequence[str] | None = ()
    mode: str = ""
    measures_qubits: ClassVar[bool] = False
    subjects: ClassVar[frozenset[TaskType]] = frozenset(TaskType)
    is_filter: ClassVar[bool] = False

    @property
    def kind(self) -> str:
        """The class's name; QDash's pipelines call it the step's type."""
        return type(self).__name__

    @property
    def name(self) -> str:
        """By which its result is kept: ``one_qubit_check`` of ``OneQubitCheck``."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=CR)(?=S)", "_", self.kind).lower()

    def task_names(self) -> tuple[str, ...]:
        """The tasks that it runs, in order."""
        return tuple(self.tasks or ())

    def targets(self, ctx: StepContext) -> tuple[str, ...]:
        """What it works on; a step of no targets is skipped."""
        return ctx.candidate_qids

    @abstractmethod
    def execute(self, service: CalibService, targets: Target, ctx: StepContext) -> StepResult:
        """Do it, on what the steps before it have left.

        Args:
            service: the calibration.
            targets: what the calibration was started with.
            ctx: what the steps before it hand on.

        Raises:
            CalibrationError: the whole step failed.
        """
