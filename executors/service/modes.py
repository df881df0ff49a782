"""In which order targets go through a list of tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum

from calibtasks.parameters.run_parameters import refuse
from executors.service.targets import QubitTargets
from executors.service.task_list_run import TaskListRun
from qdash_queue.scheduling import Topology, Wiring, one_qubit_schedule


class Mode(StrEnum):
    """In which order targets go through a list of tasks.

    One instrument measures one task at a time; of the targets that want it, those that may be driven and read
    together are measured in one sweep.
    """

    SERIAL = "serial"
    """One target after another, each to the end of the list."""
    SYNCHRONIZED = "synchronized"
    """In steps of one qubit of each multiplexer; a step begins when the one before it has ended."""
    SCHEDULED = "scheduled"
    """Multiplexers beside each other, the qubits of each in turn. The task that most of them want is measured
    next, for all of these; the others wait."""
    SIMULTANEOUS = "simultaneous"
    """Task after task, each on all targets. QDash calls it ``simultaneous_spectroscopy``."""

    @classmethod
    def _missing_(cls, value: object) -> Mode | None:
        return cls.SIMULTANEOUS if value == "simultaneous_spectroscopy" else None

    @classmethod
    def of(cls, word: str) -> Mode:
        """The mode of that name; CalibrationError (``invalid_request``) when there is none."""
        try:
            return cls(word)
        except ValueError:
            raise refuse(f'mode: expected one of {", ".join(cls)}, got "{word}"', "unknown_mode") from None


def run_in_mode(
    run: TaskListRun,
    mode: Mode,
    qids: Sequence[str],
    chip: Callable[[], tuple[Topology, Wiring | None]],
    positions: range | None = None,
) -> None:
    """Take qubits through the list, or through a part of it, in the order of the mode.

    ``chip`` is asked for topology and wiring only in modes that depend on them. A qubit that the wiring does
    not reach is recorded as failed and not measured.
    """
    if mode is Mode.SERIAL:
        for qid in qids:
            run.batch([qid], positions)
        return
    if mode is Mode.SIMULTANEOUS:
        run.batch(qids, positions)
        return
    plan = one_qubit_schedule(*chip(), QubitTargets(qids))
    for item in plan.left_out:
        run.refuse(item.target, "not_scheduled", f"qubit {item.target}: {item.reason}")
    for stage in plan.stages:
        if mode is Mode.SCHEDULED:
            run.lock_step(stage.queues, positions)
            continue
        for step in stage.steps:
            run.batch(step.qids, positions)
