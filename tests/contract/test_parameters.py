"""Calibrated values: one truth at each instant, each with an origin."""

from __future__ import annotations

import math
import uuid
from datetime import timedelta

import psycopg
import pytest

from qdash_queue.client.models import Parameter
from qdash_queue.client.parameters import Parameters
from qdash_queue.client.records import PlannedTask, TaskRecord
from qdash_queue.domain import FailureKind, ParameterModel, TaskStatus, TaskType
from qdash_queue.errors import BadValueError, NotPermittedError, UnknownNameError
from tests.support.queue_world import QueueWorld

NAME = "rabi_frequency"


def measured(value: float, **given: object) -> dict[str, ParameterModel]:
    return {
        NAME: ParameterModel.model_validate(
            {"parameter_name": NAME, "value": value, "error": 0.1, "unit": "MHz"} | given
        )
    }


def in_force(world: QueueWorld, chip_id: str) -> dict[tuple[str, str], float]:
    return {(p.qid, p.name): p.value for p in Parameters(world.ana.database, chip_id).current()}


def by_hand(world: QueueWorld, chip_id: str) -> Parameters:
    return Parameters(world.olga.database, chip_id)


def test_a_passing_run_puts_its_value_in_force(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    task_run_id = lease.start_task(PlannedTask(task="CheckRabi", qid="0"))
    lease.record_task(task_run_id, TaskRecord(status=TaskStatus.COMPLETED, output_parameters=measured(12.5)))
    [found] = Parameters(world.ana.database, claimed.chip_id).current(["0"])
    assert (found.value, found.error, found.unit, found.source) == (12.5, 0.1, "MHz", "task")
    assert (found.task_run_id, found.job_id, found.execution_id) == (
        task_run_id,
        claimed.job_id,
        claimed.execution_id,
    )
    assert found.actor == world.machine.name


@pytest.mark.parametrize("status", [TaskStatus.FAILED, TaskStatus.CANCELLED, TaskStatus.SKIPPED])
def test_any_other_run_leaves_the_good_value(world: QueueWorld, status: TaskStatus) -> None:
    claimed, lease = world.running(world.chip())
    for repetition, (end, value) in enumerate([(TaskStatus.COMPLETED, 12.5), (status, 99.0)]):
        run = lease.start_task(PlannedTask(task="CheckRabi", qid="0", repetition=repetition))
        kind = FailureKind.BAD_FIT if end is TaskStatus.FAILED else None
        lease.record_task(run, TaskRecord(status=end, failure_kind=kind, output_parameters=measured(value)))
    assert in_force(world, claimed.chip_id) == {("0", NAME): 12.5}
    # Measured but refused: the run keeps its outputs.
    refused = world.ana.queue.task_runs(claimed.job_id)[1]
    assert refused.output_parameters[NAME]["value"] == 99.0  # type: ignore[index, call-overload]


def test_a_passing_run_that_is_not_to_be_kept_changes_nothing(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    run = lease.start_task(PlannedTask(task="CheckRabi", qid="0"))
    lease.record_task(
        run,
        TaskRecord(
            status=TaskStatus.COMPLETED, output_parameters=measured(1.0), persist_output_parameters=False
        ),
    )
    assert in_force(world, claimed.chip_id) == {}


@pytest.mark.parametrize(
    "output",
    [
        {"value": None},
        {"value": 1.0, "error": -1.0},
        {"value": 1.5, "value_type": "int"},
        {"value": 1.0, "parameter_name": "Bad Name"},
    ],
)
def test_a_passing_run_with_a_bad_value_is_refused_as_a_whole(
    world: QueueWorld, output: dict[str, object]
) -> None:
    claimed, lease = world.running(world.chip())
    run = lease.start_task(PlannedTask(task="CheckRabi", qid="0"))
    record = TaskRecord(
        status=TaskStatus.COMPLETED, output_parameters={NAME: ParameterModel.model_validate(output)}
    )
    with pytest.raises(BadValueError, match="parameter"):
        lease.record_task(run, record)
    assert in_force(world, claimed.chip_id) == {}
    assert world.ana.queue.task_runs(claimed.job_id)[0].status == "running"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_way_in_for_nan_and_infinity(world: QueueWorld, value: float) -> None:
    claimed, lease = world.running(world.chip())
    run = lease.start_task(PlannedTask(task="CheckRabi", qid="0"))
    for output in (measured(value), measured(1.0, error=value)):
        with pytest.raises(BadValueError, match="expected finite numbers"):
            lease.record_task(run, TaskRecord(status=TaskStatus.COMPLETED, output_parameters=output))
    parameters = by_hand(world, claimed.chip_id)
    with pytest.raises(BadValueError, match=f"parameter {NAME}: expected a finite number as"):
        parameters.set("0", NAME, value, unit="MHz", reason="x")
    with pytest.raises(BadValueError, match=f"parameter {NAME}: expected a finite number as"):
        parameters.set("0", NAME, 1.0, error=value, unit="MHz", reason="x")
    with pytest.raises(BadValueError, match="values: expected finite numbers"):
        parameters.import_values({"0": {NAME: {"value": value}}}, "x")
    with pytest.raises(psycopg.errors.CheckViolation, match="value_finite"):
        _direct(world, claimed.chip_id, value=value)
    assert in_force(world, claimed.chip_id) == {}


def _direct(
    world: QueueWorld,
    chip_id: str,
    *,
    value: float = 1.0,
    valid: str = "[2026-01-01, 2026-02-01)",
    source: str = "edit",
    task_run_id: uuid.UUID | None = None,
    reason: str = "by the owner",
) -> None:
    world.owner.execute(
        "INSERT INTO calib_private.parameter_versions (chip_id, qid, name, value, value_type,"
        " error, unit, valid,"
        " source, task_run_id, actor, reason) VALUES (%s, '0', %s, %s, 'float', 0, 'MHz', %s, %s,"
        " %s, 'owner', %s)",
        (chip_id, NAME, value, valid, source, task_run_id, reason),
    )


@pytest.mark.parametrize(
    "second",
    [
        "[2026-01-15, 2026-03-01)",
        "[2025-12-01, 2026-01-02)",
        "[2026-01-31,)",
        "(,)",
        "[2026-01-01, 2026-02-01)",
    ],
)
def test_two_truths_at_one_instant_cannot_exist(world: QueueWorld, second: str) -> None:
    chip_id = world.chip()
    _direct(world, chip_id)
    with pytest.raises(psycopg.errors.ExclusionViolation, match="parameter_versions_do_not_overlap"):
        _direct(world, chip_id, value=2.0, valid=second)
    _direct(world, chip_id, value=2.0, valid="[2026-02-01,)")


def test_a_version_has_an_origin(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    failed = lease.start_task(PlannedTask(task="CheckRabi", qid="0"))
    lease.record_task(failed, TaskRecord(status=TaskStatus.FAILED, failure_kind=FailureKind.BAD_FIT))
    going = lease.start_task(PlannedTask(task="CheckT1", qid="0"))
    for run in (failed, going, uuid.uuid4()):
        with pytest.raises(psycopg.Error, match="expected a completed task run as its origin"):
            _direct(world, claimed.chip_id, source="task", task_run_id=run)
    with pytest.raises(psycopg.errors.CheckViolation, match="has_origin"):
        _direct(world, claimed.chip_id, reason="")
    with pytest.raises(psycopg.errors.CheckViolation, match="source"):
        _direct(world, claimed.chip_id, source="rumour")
    with pytest.raises(psycopg.Error, match="expected a completed task run"):
        _direct(world, claimed.chip_id, source="task", task_run_id=None)


def test_import_set_revert_and_the_past(timed: QueueWorld) -> None:
    chip_id = timed.chip()
    parameters = by_hand(timed, chip_id)
    times = [timed.now()]
    assert (
        parameters.import_values(
            {"0": {NAME: {"value": 1, "unit": "MHz"}}, "1": {"t1": {"value": 20.5}}}, "design"
        )
        == 2
    )
    timed.advance(10)
    times.append(timed.now())
    parameters.set("0", NAME, 2.0, unit="MHz", reason="looked wrong", error=0.5)
    timed.advance(10)
    times.append(timed.now())
    parameters.revert("0", NAME, times[0], "was right after all")
    history = parameters.history("0", NAME)
    assert [(p.value, p.error, p.source, p.reason, p.valid_from, p.valid_to) for p in history] == [
        (1.0, 0.0, "revert", "was right after all", times[2], None),
        (2.0, 0.5, "edit", "looked wrong", times[1], times[2]),
        (1.0, 0.0, "import", "design", times[0], times[1]),
    ]
    assert {p.actor for p in history} == {timed.olga.name}

    def then(seconds: float) -> dict[str, float]:
        return {p.name: p.value for p in parameters.as_of(times[0] + timedelta(seconds=seconds))}

    assert then(-0.000001) == {}
    assert then(0) == {NAME: 1, "t1": 20.5}
    assert then(9.999999) == {NAME: 1, "t1": 20.5}
    assert then(10) == {NAME: 2, "t1": 20.5}
    assert then(20) == {NAME: 1, "t1": 20.5}


def test_changes_within_one_microsecond_stay_in_order(timed: QueueWorld) -> None:
    chip_id = timed.chip()
    parameters = by_hand(timed, chip_id)
    for value in (1.0, 2.0, 3.0):
        parameters.set("0", NAME, value, unit="MHz", reason="fast")
    history: list[Parameter] = parameters.history("0", NAME)
    assert [p.value for p in history] == [3.0, 2.0, 1.0]
    starts = [p.valid_from - timed.now() for p in history]
    assert starts == [timedelta(microseconds=n) for n in (2, 1, 0)]
    assert in_force(timed, chip_id) == {("0", NAME): 3.0}


def test_a_clock_that_steps_back_loses_nothing(timed: QueueWorld) -> None:
    chip_id = timed.chip()
    parameters = by_hand(timed, chip_id)
    parameters.set("0", NAME, 1.0, unit="MHz", reason="before")
    timed.advance(-3600)
    parameters.set("0", NAME, 2.0, unit="MHz", reason="after")
    timed.advance(3600)
    assert in_force(timed, chip_id) == {("0", NAME): 2.0}


def test_an_import_is_all_or_nothing(world: QueueWorld) -> None:
    chip_id = world.chip()
    parameters = by_hand(world, chip_id)
    with pytest.raises(UnknownNameError, match=f'chip "{chip_id}" has no qubit or coupling "7"'):
        parameters.import_values({"0": {NAME: {"value": 1}}, "7": {NAME: {"value": 1}}}, "design")
    with pytest.raises(
        BadValueError, match=f"parameter {NAME}: expected a finite number as value, got nothing"
    ):
        parameters.import_values({"0": {"t1": {"value": 1}, NAME: {"unit": "MHz"}}}, "design")
    with pytest.raises(
        BadValueError, match='parameter name: expected lower-case letters, digits and _, got "T1"'
    ):
        parameters.import_values({"0": {"T1": {"value": 1}}}, "design")
    with pytest.raises(BadValueError, match=r'expected a finite number as value, got "1.5"'):
        parameters.import_values({"0": {"t1": {"value": "1.5"}}}, "design")
    for number, said in (("1e999", "values: expected numbers between"), ("1e-400", "too large or too small")):
        with pytest.raises(BadValueError, match=said):
            world.olga.database.execute(
                "SELECT calib.import_parameters(%(chip_id)s, CAST(%(values)s AS jsonb), 'design')",
                chip_id=chip_id,
                values=f'{{"0": {{"t1": {number}}}}}',
            )
    for name, near in (("erorr", "error"), ("units", "unit")):
        said = f'parameter {NAME}: unknown name "{name}": did you mean "{near}"'
        with pytest.raises(BadValueError, match=said):
            parameters.import_values({"0": {"t1": {"value": 1}, NAME: {"value": 1, name: 3}}}, "design")
    for reason in ("", "   "):
        with pytest.raises(BadValueError, match="reason: expected 1 to 1000 characters"):
            parameters.import_values({"0": {"t1": {"value": 1}}}, reason)
    assert in_force(world, chip_id) == {}


def test_who_may_edit(world: QueueWorld) -> None:
    chip_id = world.chip()
    with pytest.raises(NotPermittedError):
        Parameters(world.ana.database, chip_id).set("0", NAME, 1.0, unit="MHz", reason="x")
    stranger = world.person("stranger", "calib_operator")
    with pytest.raises(
        NotPermittedError, match="may not edit parameters: expected an operator of some project"
    ):
        Parameters(stranger.database, chip_id).set("0", NAME, 1.0, unit="MHz", reason="x")
    with pytest.raises(UnknownNameError, match="had no value at"):
        by_hand(world, chip_id).revert("0", NAME, world.now(), "x")


@pytest.mark.parametrize("digits", [-15, 0, 3])
def test_no_digit_of_a_value_is_lost(world: QueueWorld, digits: int) -> None:
    """Older clients set extra_float_digits, which rounds a number on its way into JSON."""
    chip_id, value = world.chip(), 4.123456789012345678
    session = world.session(world.olga, autocommit=True)
    session.execute(f"SET extra_float_digits = {digits}".encode())
    session.execute(
        "SELECT calib.set_parameter(%s, '0', 'qubit_frequency', %s, 0, 'GHz', 'x')", (chip_id, value)
    )
    session.execute(
        "SELECT calib.revert_parameter(%s, '0', 'qubit_frequency', clock_timestamp(), 'x')", (chip_id,)
    )
    history = by_hand(world, chip_id).history("0", "qubit_frequency")
    assert [p.value for p in history] == [value, value]


@pytest.mark.parametrize("coupling", ["0-1", "1-0"])
def test_outputs_of_a_coupling_go_to_their_owner(world: QueueWorld, coupling: str) -> None:
    control, target = coupling.split("-")
    claimed, lease = world.running(world.chip())
    run = lease.start_task(PlannedTask(task="CheckRabi", qid=coupling, task_type=TaskType.COUPLING))
    outputs = {
        role or "none": ParameterModel.model_validate(
            {"parameter_name": f"x_{role or 'own'}", "value": n, "qid_role": role}
        )
        for n, role in enumerate(["control", "target", "coupling", ""])
    }
    lease.record_task(run, TaskRecord(status=TaskStatus.COMPLETED, output_parameters=outputs))
    assert in_force(world, claimed.chip_id) == {
        (control, "x_control"): 0,
        (target, "x_target"): 1,
        (coupling, "x_coupling"): 2,
        (coupling, "x_own"): 3,
    }
