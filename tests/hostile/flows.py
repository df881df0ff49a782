"""What the database took as a flow's parameters, given to the flow: it fits, or is refused in words."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any

import psycopg
from hypothesis import strategies as st

from calibtasks.active_protocols import active_tasks
from calibtasks.parameters.overrides import check_defaults, overrides_for
from executors.child.main import not_started
from executors.engine.config import CalibConfig
from executors.flows import FlowDefinition, load_flows
from executors.job.failures import flow_failure
from executors.prefect.flow_runs import flow_arguments
from qdash_queue.client.models import ClaimedJob
from qdash_queue.domain import Failure, FailureKind
from tests.hostile.answers import DRIVER, refusal
from tests.hostile.hostile_values import deep
from tests.hostile.strategies import for_each, mutated, near_schema
from tests.hostile.tally import Answer, Tally
from tests.hostile.target import Target
from tests.support.queue_world import PROJECT

INVALID = FailureKind.INVALID_REQUEST.value
Case = tuple[str, Any]


def attack(target: Target, tries: int, seed: int) -> Tally:
    """Submit near-fitting parameters; run what was taken through the flow's own checks. Nothing is kept."""
    tally = Tally("flow parameters")
    flows = load_flows()
    session = target.session("submitter")
    session.autocommit = False

    def body(case: Case) -> None:
        name, parameters = case
        try:
            taken = _submit(target, name, parameters)
        except UnicodeEncodeError:
            tally.count(Answer(DRIVER), *case)
        except psycopg.Error as error:
            tally.count(refusal(error), *case)
        else:
            tally.count(judged(flows[name], taken), *case)
        finally:
            session.rollback()

    with tally.timed():
        for_each(_cases(target, flows), tries, seed, body)
    session.autocommit = True
    return tally


def judged(definition: FlowDefinition, claimed: ClaimedJob) -> Answer:
    """How the job would go on: its flow begins, or it ends as an invalid request."""
    arguments = flow_arguments(claimed)
    try:
        definition.flow.validate_parameters(arguments)
    except Exception as error:  # noqa: BLE001 - the child treats every error this way
        return _answer(not_started(error).failure, error)
    if definition.name != "calibrate":
        return Answer()
    try:
        _begin(arguments)
    except Exception as error:  # noqa: BLE001 - so does the guard around the flow's body
        return _answer(flow_failure(error), error)
    return Answer()


def _answer(failure: Failure | None, error: Exception) -> Answer:
    kind = failure.kind.value if failure else FailureKind.INTERNAL.value
    wrong = (
        "" if kind == INVALID and failure and failure.message else f"{kind}: {type(error).__name__}: {error}"
    )
    return Answer(kind, wrong[:300])


def _begin(arguments: dict[str, Any]) -> None:
    """What the flow `calibrate` does before it touches the instrument."""
    tasks = active_tasks()
    config = CalibConfig(
        username=arguments["username"],
        chip_id=arguments["chip_id"],
        project_id=arguments["project_id"],
        qids=arguments["qids"],
        flow_name=arguments.get("flow_name"),
        tags=arguments.get("tags"),
        default_run_parameters=arguments.get("run_parameters") or {},
    )
    check_defaults(config.default_run_parameters, {name: task.run_parameters for name, task in tasks.items()})
    for name in arguments["tasks"]:
        task = tasks[name](overrides_for(name, tasks[name].run_parameters, config.default_run_parameters))
        json.dumps(
            {each: given.model_dump(mode="json") for each, given in task.run_parameters.items()},
            allow_nan=False,
        )


def _submit(target: Target, flow: str, parameters: Any) -> ClaimedJob:
    row = (
        target.session("submitter")
        .execute(
            "INSERT INTO calib.jobs (project_id, chip_id, flow, parameters)"
            " VALUES (%s, %s, %s, %s) RETURNING *",
            (PROJECT, target.chip_id, flow, json.dumps(parameters)),
        )
        .fetchone()
    )
    assert row is not None
    claim = {"fence": 1, "attempt": 1, "execution_id": "20260101-q001", "started_at": row["submitted_at"]}
    claim |= {"claim": uuid.uuid4(), "repeatable": True, "dirty": False}
    return ClaimedJob.model_validate({**row, **claim})


def _cases(target: Target, flows: dict[str, FlowDefinition]) -> st.SearchStrategy[Case]:
    tasks = target.world.rows(
        "SELECT task, schema FROM calib.tasks WHERE chip_id = %s ORDER BY task", target.chip_id
    )
    words: dict[str, Sequence[Any]] = {
        "qid": ["0", "1"],
        "coupling": ["0-1"],
        "mux": [0],
        "task": [row["task"] for row in tasks],
        "run_parameters": [None],
    }
    settings = {row["task"]: near_schema(row["schema"], words, sound=30) for row in tasks}
    runs = st.fixed_dictionaries({}, optional=settings)
    base = {"qids": ["0"], "tasks": ["CheckRabi"], "flow_name": "x", "tags": ["a"], "run_parameters": {}}
    texts = {name: near_schema(each, words) for name, each in _texts(flows).items()}
    calibrate = st.one_of(
        runs.map(lambda run: {**base, "tasks": list(run) or ["CheckRabi"], "run_parameters": run}),
        st.fixed_dictionaries({}, optional=texts).map(lambda given: {**base, **given}),
        near_schema(flows["calibrate"].schema, words, sound=30),
        mutated(base),
        st.sampled_from([1, 5, 31, 32, 33, 200]).map(
            lambda n: {**base, "run_parameters": json.loads(deep(n))}
        ),
    )
    return st.one_of(
        *[calibrate.map(lambda value: ("calibrate", value))] * 6,
        *[
            st.tuples(st.just(name), near_schema(flows[name].schema, words, sound=30))
            for name in ("interactive", "pipeline", "two_qubit_scheduled", "single-task-executor")
        ],
    )


def _texts(flows: dict[str, FlowDefinition]) -> dict[str, Any]:
    properties: Any = flows["calibrate"].schema["properties"]
    return {name: properties[name] for name in ("flow_name", "tags")}
