"""What the name of a parameter stands for, and who says so: the list, and the tasks of the chip."""

from __future__ import annotations

import ast
import json
import math
import re
import uuid
import zipfile
from dataclasses import dataclass

import psycopg
import pytest
from pydantic import JsonValue

from calibtasks.parameters.declared import Param, declared
from executors.engine.catalogue import task_entry
from qdash_queue.client.leases import Executor, Lease
from qdash_queue.client.parameters import Parameters
from qdash_queue.client.records import OutputEntry, PlannedTask, TaskRecord
from qdash_queue.domain import FailureKind, ParameterModel, TaskStatus
from qdash_queue.errors import BadValueError, QueueError, UnknownNameError
from tests.contract.catalogue import PAGE
from tests.engine.tasks import GoodTask
from tests.support.queue_world import INTERACTIVE, REPEAT, TASKS, QueueWorld, qubit_task
from tests.upgrade.release import WHEELS


@dataclass(frozen=True)
class Bad:
    """A value that is refused, and the answer; ``forced``: whether force keeps it."""

    name: str
    value: float
    unit: str
    answer: str
    forced: bool = True

    @property
    def row(self) -> str:
        """Its row in docs/sql.md."""
        kept = "yes" if self.forced else "no"
        return f"| `{self.name}` | {self.value:g} | `{self.unit}` | {self.answer} | {kept} |"


BAD = [
    Bad("qubit_freqency", 4.2, "GHz", 'unknown parameter "qubit_freqency": did you mean "qubit_frequency"?'),
    Bad(
        *("qubit_frequency", 4.2e9, "Hz"),
        'parameter qubit_frequency: expected a value in "GHz", got one in "Hz"',
    ),
    Bad("qubit_frequency", 4.2e9, "GHz", "parameter qubit_frequency: expected 2 to 12 GHz, got 4200000000"),
    Bad("qubit_frequency", -5, "GHz", "parameter qubit_frequency: expected 2 to 12 GHz, got -5"),
    Bad("anharmonicity", 0.34, "GHz", "parameter anharmonicity: expected -1 to 0 GHz, got 0.34"),
    Bad("t1", 40, "ms", 'parameter t1: expected a value in "μs", got one in "ms"'),
    Bad("t1", 42960, "μs", "parameter t1: expected 0 to 10000 μs, got 42960"),
    Bad(
        "readout_amplitude",
        0.1,
        "V",
        'parameter readout_amplitude: expected a value in "a.u.", got one in "V"',
    ),
    Bad("average_gate_fidelity", 99.3, "a.u.", "parameter average_gate_fidelity: expected 0 to 1, got 99.3"),
    Bad("f01_quality_level", 10.5, "a.u.", "parameter f01_quality_level: expected a whole number, got 10.5"),
    Bad("t1", math.nan, "μs", 'parameter t1: expected a finite number as value, got "NaN"', forced=False),
    Bad(
        "t1", math.inf, "μs", 'parameter t1: expected a finite number as value, got "Infinity"', forced=False
    ),
]
each_bad = pytest.mark.parametrize("bad", BAD, ids=lambda bad: f"{bad.name}-{bad.value:g}-{bad.unit}")


def by_hand(world: QueueWorld, chip_id: str) -> Parameters:
    return Parameters(world.olga.database, chip_id)


@each_bad
def test_a_bad_value_is_refused_by_every_way_in(world: QueueWorld, bad: Bad) -> None:
    chip_id = world.chip()
    hand = by_hand(world, chip_id)
    with pytest.raises(BadValueError) as refused:
        hand.set("0", bad.name, bad.value, unit=bad.unit, reason="trial")
    assert str(refused.value) == bad.answer
    if not bad.forced:
        with pytest.raises(BadValueError):
            hand.set("0", bad.name, bad.value, unit=bad.unit, reason="trial", force=True)
        return
    values: dict[str, dict[str, JsonValue]] = {
        "0": {"t2_echo": 12.5, bad.name: {"value": bad.value, "unit": bad.unit}}
    }
    with pytest.raises(BadValueError, match=re.escape(bad.answer)):
        hand.import_values(values, "trial")
    assert hand.current() == []
    for put in (
        lambda: hand.set("0", bad.name, bad.value, unit=bad.unit, reason="trial", force=True),
        lambda: hand.import_values(values, "trial", force=True),
    ):
        put()
        kept = {p.name: p for p in hand.current()}[bad.name]
        assert (kept.value, kept.unit, kept.reason) == (bad.value, bad.unit, "forced: trial")
    assert {p.name: p for p in hand.current()}["t2_echo"].reason == "trial"
    # What was forced is not put back without a word.
    hand.set("0", bad.name, bad.value, unit=bad.unit, reason="again", force=True)
    with pytest.raises(BadValueError, match=re.escape(bad.answer)):
        hand.revert("0", bad.name, world.now(), "as it was")


@pytest.mark.parametrize("bad", [bad for bad in BAD if bad.forced and bad.name != "qubit_freqency"])
def test_a_bad_value_that_was_measured_is_refused(world: QueueWorld, bad: Bad) -> None:
    """Of a name that is known; any other is the task's own. The refused run is then recorded as failed."""
    chip_id = world.chip()
    executor = world.ready(chip_id)
    executor.register_catalogue([INTERACTIVE], [qubit_task("Trial", bad.name)])
    claimed, lease = world.claim(executor, world.submit(chip_id, flow="interactive", parameters={}))
    run = lease.start_task(PlannedTask(task="Trial", qid="0"))
    outputs = {bad.name: ParameterModel(value=bad.value, error=0.1, unit=bad.unit)}
    with pytest.raises(BadValueError, match=re.escape(bad.answer)):
        lease.record_task(run, TaskRecord(status=TaskStatus.COMPLETED, output_parameters=outputs))
    failed = TaskRecord(
        status=TaskStatus.FAILED, failure_kind=FailureKind.OUT_OF_RANGE, output_parameters=outputs
    )
    lease.record_task(run, failed)
    [kept] = world.ana.queue.task_runs(claimed.job_id)
    assert (kept.status, list(kept.output_parameters)) == ("failed", [bad.name])
    assert by_hand(world, chip_id).current() == []


def test_to_leave_out_force_is_not_to_force(world: QueueWorld) -> None:
    session = world.session(world.olga, autocommit=True)
    edit = "SELECT calib.set_parameter(%s, '0', 'qubit_freqency', 4.2, 0, 'GHz', 'trial', p_force => NULL)"
    with pytest.raises(psycopg.Error, match="unknown parameter") as refused:
        session.execute(edit, (world.chip(),))
    assert refused.value.sqlstate == "CQ007"


def test_the_page_shows_the_same_answers() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `") and " | yes |" in line]
    rows += [line for line in PAGE.read_text().splitlines() if line.startswith("| `") and " | no |" in line]
    assert [bad.row for bad in BAD] == rows


@pytest.mark.parametrize(
    ("name", "unit", "kept"),
    [("t1", "us", "μs"), ("t1", "µs", "μs"), ("t1", "", "μs"), ("hpi_amplitude", "–", "a.u."),
     ("rabi_phase", "rad", "a.u."), ("rabi_angle", "deg", "degree")],
)  # fmt: skip
def test_another_spelling_of_the_unit_is_kept_as_the_list_has_it(
    world: QueueWorld, name: str, unit: str, kept: str
) -> None:
    hand = by_hand(world, world.chip())
    hand.set("0", name, 0.5, unit=unit, reason="trial")
    assert [(p.unit, p.reason) for p in hand.current()] == [(kept, "trial")]


def test_a_range_that_a_task_declares_binds(world: QueueWorld) -> None:
    chip_id = world.chip()
    hand = by_hand(world, chip_id)
    hand.set("0", "t1", 3000, unit="μs", reason="trial")
    outputs = [OutputEntry(name="t1", unit="μs", lower=0.1, upper=2000), OutputEntry(name="gain", unit="dB")]
    task = qubit_task("Trial", "t1", "gain").model_copy(update={"outputs": outputs})
    world.ready(chip_id).register_catalogue([INTERACTIVE], [task])
    with pytest.raises(BadValueError, match=r"parameter t1: expected 0\.1 to 2000 μs, got 3000"):
        hand.set("0", "t1", 3000, unit="μs", reason="trial")
    with pytest.raises(BadValueError, match='parameter gain: expected a value in "dB", got one in "V"'):
        hand.set("0", "gain", 3, unit="V", reason="trial")
    hand.set("0", "gain", 3, unit="dB", reason="trial")
    with pytest.raises(BadValueError, match='unknown parameter "gains": did you mean "gain"'):
        hand.set("0", "gains", 3, unit="dB", reason="trial")


def test_an_executor_declares_what_its_tasks_give() -> None:
    assert task_entry(GoodTask).outputs == [OutputEntry(name="t1", unit="μs", lower=0, upper=100)]


@pytest.mark.parametrize("param", declared().values(), ids=declared().keys())
def test_the_list_has_what_the_tasks_of_this_project_give(world: QueueWorld, param: Param) -> None:
    for name in param.names:
        [known] = world.rows("SELECT * FROM calib.known_parameters WHERE name = %s", name)
        assert known["unit"] == param.unit
        assert known["lower"] <= param.low <= param.high <= known["upper"]


def _complete(world: QueueWorld, lease: Lease, task: str, **outputs: float) -> uuid.UUID:
    run = lease.start_task(PlannedTask(task=task, qid="0"))
    given = {name: ParameterModel(value=value, error=0.1) for name, value in outputs.items()}
    lease.record_task(run, TaskRecord(status=TaskStatus.COMPLETED, output_parameters=given))
    return run


def test_an_executor_completes_only_what_it_registered(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    near = 'task "CheckRabbi" is not registered for chip .*: did you mean "CheckRabi"'
    with pytest.raises(UnknownNameError, match=near):
        _complete(world, lease, "CheckRabbi", t1=1)
    with pytest.raises(BadValueError, match='task CheckT1 declares no output "t1s": did you mean "t1"'):
        _complete(world, lease, "CheckT1", t1s=1)
    with pytest.raises(BadValueError, match='task CreateHPIPulse declares no output "0_t1"'):
        _complete(world, lease, "CreateHPIPulse", **{"0_t1": 1})
    runs = world.ana.queue.task_runs(claimed.job_id)
    assert {run.status for run in runs} == {"running"}
    for run in runs:  # A refused result does not get lost: it is recorded as a failure.
        failed = TaskRecord(
            status=TaskStatus.FAILED,
            failure_kind=FailureKind.INTERNAL,
            output_parameters={"t1s": ParameterModel(value=1)},
        )
        lease.record_task(run.task_run_id, failed)
    assert by_hand(world, claimed.chip_id).current() == []
    assert [list(run.output_parameters) for run in world.ana.queue.task_runs(claimed.job_id)] == [["t1s"]] * 3


def test_an_output_is_not_stored_under_a_name_that_its_task_does_not_declare(world: QueueWorld) -> None:
    chip_id = world.chip()
    executor = world.ready(chip_id)
    outputs = [OutputEntry(name="t1", unit="μs"), OutputEntry(name="qubit_frequency", unit="GHz")]
    task = qubit_task("Trial", "t1", "target_frequency").model_copy(update={"outputs": outputs})
    executor.register_catalogue([REPEAT], [task])
    _, lease = world.claim(executor, world.submit(chip_id, flow="repeat", parameters={}))
    run = lease.start_task(PlannedTask(task="Trial", qid="0"))
    for name in ("qubit_freqency", "readout_frequency"):
        with pytest.raises(BadValueError, match=f'task Trial declares no output "{name}": did you mean'):
            lease.record_task(run, _with_name("target_frequency", name))
    lease.record_task(run, _with_name("target_frequency", "qubit_frequency"))
    assert [p.name for p in by_hand(world, chip_id).current()] == ["qubit_frequency"]


def _with_name(key: str, name: str) -> TaskRecord:
    output = ParameterModel(parameter_name=name, value=4.5, unit="GHz")
    return TaskRecord(status=TaskStatus.COMPLETED, output_parameters={key: output})


def test_an_output_of_one_qubit_of_a_multiplexer_has_its_number_in_front(world: QueueWorld) -> None:
    claimed, lease = world.running(world.chip())
    run = lease.start_task(PlannedTask(task="CheckT1", qid="0"))
    outputs = {"1_t1": ParameterModel(parameter_name="t1", qid_role="1", value=2, unit="μs")}
    lease.record_task(run, TaskRecord(status=TaskStatus.COMPLETED, output_parameters=outputs))
    assert [(p.qid, p.name) for p in by_hand(world, claimed.chip_id).current()] == [("1", "t1")]


def test_a_script_brings_tasks_and_values_of_its_own(world: QueueWorld) -> None:
    chip_id = world.chip()
    executor = world.ready(chip_id)
    executor.register_catalogue([INTERACTIVE], TASKS)
    _, lease = world.claim(executor, world.submit(chip_id, flow="interactive", parameters={}))
    _complete(world, lease, "MyTask", my_value=3, t1=4)
    found = {p.name: (p.value, p.unit, p.reason) for p in by_hand(world, chip_id).current()}
    assert found == {"my_value": (3, "", ""), "t1": (4, "μs", "")}
    with pytest.raises(BadValueError, match="parameter t2_echo: expected 0 to 10000 μs, got -4"):
        _complete(world, lease, "MyOtherTask", t2_echo=-4)


def _statements(module: str, verb: str) -> list[str]:
    """The statements of the release before that call a verb, word for word."""
    with zipfile.ZipFile(WHEELS[-1]) as archive:
        tree = ast.parse(archive.read(module))
    constants = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return [text for text in constants if isinstance(text, str) and f"calib.{verb}(" in text]


@pytest.mark.parametrize(
    ("verb", "values"),
    [("set_parameter", None), ("import_parameters", '{"0": {"t1": {"value": 1.5, "unit": "μs"}}}')],
)
def test_calls_of_the_release_before_still_work(world: QueueWorld, verb: str, values: str | None) -> None:
    chip_id = world.chip()
    [statement] = _statements("qdash_queue/client/parameters.py", verb)
    given = {"chip_id": chip_id, "qid": "0", "name": "t1", "value": 1.5, "error": 0.1, "unit": "μs"}
    session = world.session(world.olga, autocommit=True)
    session.execute(
        re.sub(r"(?<!:):(\w+)", r"%(\1)s", statement).encode(), given | {"values": values, "reason": "trial"}
    )
    assert [(p.name, p.value, p.unit) for p in by_hand(world, chip_id).current()] == [("t1", 1.5, "μs")]


def test_an_executor_of_the_release_before_names_its_outputs_only(world: QueueWorld) -> None:
    """Its tasks complete, and a value of theirs can be set by hand."""
    chip_id = world.chip()
    Executor(world.machine.database, chip_id, "fake", "1.0").register()
    session = world.session(world.machine, autocommit=True)
    task = qubit_task("Old", "gain").model_dump(mode="json", by_alias=True, exclude={"outputs"})
    session.execute(
        "SELECT calib.register_catalogue(%s, 'fake', '0.7.0', '[]', %s)", (chip_id, json.dumps([task]))
    )
    by_hand(world, chip_id).set("0", "gain", 3, unit="dB", reason="trial")
    with pytest.raises(QueueError, match='unknown parameter "gains"'):
        by_hand(world, chip_id).set("0", "gains", 3, unit="dB", reason="trial")


QDASH = {
    **dict.fromkeys(
        ("drag_hpi_duration", "drag_pi_duration", "hpi_duration", "pi_length", "cr_ramptime"), "ns"
    ),
    **dict.fromkeys(("control_frequency", "ef_frequency", "purcell_filter_frequency"), "GHz"),
    **dict.fromkeys(
        ("resonator_purcell_filter_coupling", "purcell_filter_linewidth", "dispersive_shift"), "MHz"
    ),
    **dict.fromkeys(("rabi_r2", "hpi_amplitude", "gate_fidelity", "error_per_gate", "drag_pi_beta"), ""),
    **dict.fromkeys(("critical_photon_number", "ef_control_amplitude", "zx_rotation_rate"), "a.u."),
    "rabi_phase": "rad",
    "rabi_angle": "degree",
    "static_zz_interaction": "KHz",
    "t1_std": "μs",
}
"""Some of the values that QDash's tasks publish, its newest among them, with its spelling of the unit."""


def test_values_of_qdash_can_be_imported(world: QueueWorld) -> None:
    hand = by_hand(world, world.chip())
    value = {"frequency": 4.5, "duration": 32, "length": 32, "ramptime": 16}
    given: dict[str, JsonValue] = {
        name: {"value": value.get(name.rpartition("_")[2], 0.5), "error": 0.01, "unit": unit}
        for name, unit in QDASH.items()
    }
    assert hand.import_values({"0": given}, "from QDash") == len(QDASH)
