"""Values that a later change has spoiled, and the tasks that run again for it."""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import Literal

import pytest

from calibtasks.parameters.declared import HPI_AMPLITUDE, QUBIT_FREQUENCY, declared
from executors.backends.simchip.device import true_qubit
from executors.flows.calibrate import calibrate
from executors.job.context import JobContext
from qdash_queue.domain import ParameterModel
from tests.engine.world import CHIP, PROJECT, USERNAME, World

RABI, HPI, RAMSEY, T1 = "CheckRabi", "CreateHPIPulse", "CheckRamsey", "CheckT1"


@dataclass(frozen=True)
class Ran:
    """A task run in the order of its start."""

    task: str
    qid: str
    repetition: int
    status: str


def ran(world: World, job: JobContext) -> list[Ran]:
    begun = [
        (run.started_at, Ran(run.task, run.qid, run.repetition, run.status.value))
        for run in world.queue.task_runs(job.claimed.job_id)
        if run.started_at is not None
    ]
    return [run for _, run in sorted(begun, key=itemgetter(0))]


def frequency(world: World, qid: str) -> float:
    found = world.value(qid, "qubit_frequency")
    assert found is not None
    return found.value


def test_a_stored_value_is_suspect_once_its_frequency_has_moved(world: World) -> None:
    with world.job([RABI, HPI], ["5"]) as job:
        calibrate.fn(USERNAME, CHIP, PROJECT, ["5"], [RABI, HPI])
        job.lease.finish()
    measured_at = frequency(world, "5")
    for shift, is_suspect in ((0.0, False), (4e-4, False), (6e-4, True), (-6e-4, True)):
        world.set_values({"5": {"qubit_frequency": measured_at + shift}})
        with world.job([T1], ["5"]) as job:
            session = world.session(["5"])
            backend = session._open().backend
            assert backend.is_suspect("5", "hpi_amplitude") is is_suspect, shift
            assert not backend.is_suspect("5", "control_amplitude")
            assert session.to_repeat(T1, "5", [RABI, HPI]) == ([HPI] if is_suspect else [])
            assert session.to_repeat(T1, "5", [RABI]) == []
            session.complete()
            job.lease.finish()


def test_a_value_set_by_hand_or_without_a_value_to_compare_is_not_suspect(world: World) -> None:
    with world.job(["GoodTask"], ["5"]):
        session = world.session(["5"])
        backend = session._open().backend
        session.set_parameter("5", "hpi_amplitude", 0.03, "a.u.")
        session.set_parameter("5", "qubit_frequency", 4.0)
        assert not backend.is_suspect("5", "hpi_amplitude")
        assert not backend.is_suspect("5", "no_such_parameter")


def test_what_is_finite_is_there(world: World) -> None:
    with world.job(["GoodTask"], ["5"]):
        backend = world.session(["5"])._open().backend
        assert backend.has_parameter("5", "qubit_frequency")
        assert not backend.has_parameter("5", "hpi_amplitude")
        backend.update_note("5", {"hpi_amplitude": ParameterModel(value=float("nan"), unit="a.u.")})
        assert not backend.has_parameter("5", "hpi_amplitude")


@pytest.mark.parametrize("mode", ["serial", "simultaneous"])
def test_a_corrected_frequency_leads_to_a_new_pulse_before_it_is_used(
    world: World, mode: Literal["serial", "simultaneous"]
) -> None:
    tasks = [RABI, HPI, RAMSEY, T1]
    off, right = "5", "10"
    truth = {qid: true_qubit(0, CHIP, int(qid)).frequency for qid in (off, right)}
    world.set_values({off: {"qubit_frequency": truth[off] + 1e-3}, right: {"qubit_frequency": truth[right]}})
    with world.job(tasks, [off, right], mode=mode) as job:
        calibrate.fn(USERNAME, CHIP, PROJECT, [off, right], tasks, mode=mode)
        assert job.lease.finish() == "completed"
    assert frequency(world, off) == pytest.approx(truth[off], abs=1e-4)
    order = ran(world, job)
    assert [item.task for item in order if item.qid == off] == [RABI, HPI, RAMSEY, HPI, T1]
    assert [item.task for item in order if item.qid == right] == tasks
    assert {item.status for item in order} == {"completed"}
    runs = world.task_runs(job.claimed.job_id)
    used = ParameterModel.model_validate(runs[T1, off, 0].input_parameters["hpi_amplitude"])
    again = ParameterModel.model_validate(runs[HPI, off, 1].output_parameters["hpi_amplitude"])
    assert used.value == again.value
    ended = world.queue.get(job.claimed.job_id)
    assert (ended.tasks_total, ended.tasks_done, ended.tasks_failed) == (9, 9, 0)


def test_every_name_of_a_declared_parameter_is_known() -> None:
    assert declared()["hpi_amplitude"] is HPI_AMPLITUDE
    assert declared()["control_frequency"] is QUBIT_FREQUENCY
    # Otherwise nothing would ever be suspect.
    spoilers = {name for param in declared().values() for name in param.spoiled_by}
    assert spoilers
    assert spoilers <= set(declared())
