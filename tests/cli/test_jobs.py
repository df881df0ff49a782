"""Commands about jobs: what they print, what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qdash_queue.cli import app
from qdash_queue.client.records import StageRecord
from qdash_queue.domain import JobState
from tests.cli.desk import CHIP, Desk, type_in
from tests.support.queue_world import PROJECT

ASK = ("submit", PROJECT, CHIP, "--qids", "0,1", "--tasks", "CheckRabi,CheckT1")


def test_submit_tells_the_number_and_what_it_waits_for(desk: Desk) -> None:
    outcome = desk.run(*ASK, role="submitter")
    assert outcome.status == 0
    assert outcome.out == "job 1 is scheduled, waiting: an executor to pick it up\n"


def test_why_says_what_a_job_waits_for_and_until_when(desk: Desk) -> None:
    first = desk.run(*ASK, "--json", role="submitter").document["job_id"]
    later = desk.run(*ASK, "--not-before", "2099-01-01", "--json", role="submitter").document["job_id"]
    assert desk.run("why", str(first)).out == f"job {first} waits: an executor to pick it up\n"
    said = desk.run("why", str(later)).out
    assert said.startswith(f"job {later} waits: not before 20")
    assert "(at the latest at " in said
    assert desk.run("why", str(later), "--json").document["kind"] == "not_before"
    desk.run("cancel", str(first))
    assert desk.run("why", str(first)).out == f"job {first} does not wait: it is cancelled\n"
    assert desk.run("why", "999").sentence.endswith("unknown job 999")


def test_submit_passes_every_option_on(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "parameters.json"
    file.write_text(json.dumps({"qids": ["3"]}))
    job = desk.run(
        *("submit", PROJECT, CHIP, "--parameters", f"@{file}", "--tasks", "CheckRabi", "--tasks", "CheckT1"),
        *("--flow", "calibrate", "--username", "alice", "--priority", "5", "--timeout-seconds", "60"),
        *("--max-attempts", "2", "--dedup-key", "night", "--tags", "a", "--tags", "b", "--note", '{"x": 1}'),
        *("--not-before", "2026-01-01T00:00:00", "--not-after", "2099-01-01", "--json"),
    ).document
    assert job["parameters"] == {"qids": ["3"], "tasks": ["CheckRabi", "CheckT1"]}
    assert (job["username"], job["priority"], job["timeout_seconds"]) == ("alice", 5, 60)
    assert (job["max_attempts"], job["dedup_key"], job["tags"], job["note"]) == (
        2,
        "night",
        ["a", "b"],
        {"x": 1},
    )
    assert job["not_after"].startswith("209")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("submit", PROJECT, "SIM17", "--qids", "0"), 'unknown chip "SIM17": did you mean "SIM16"?'),
        (("submit", "dem", CHIP, "--qids", "0"), "unknown project"),
        (
            (*ASK[:3], "--qids", "0", "--tasks", "CheckRaby"),
            'unknown task "CheckRaby": did you mean "CheckRabi"?',
        ),
        ((*ASK[:3], "--qids", "Q00", "--tasks", "CheckT1"), "qids[0]"),
        ((*ASK[:3], "--qids", "99", "--tasks", "CheckT1"), "99"),
        ((*ASK[:3], "--parameters", "[]"), "parameters: expected a JSON object, got an array"),
        ((*ASK[:3], "--parameters", "{"), "parameters: not valid JSON"),
        ((*ASK[:3], "--parameters", "@/nowhere"), "expected a readable file, got /nowhere"),
        ((*ASK, "--note", "1"), "note: expected a JSON object, got a number"),
        ((*ASK, "--priority", "101"), "priority: expected -100 to 100, got 101"),
        ((*ASK, "--priority", "high"), "'--priority'"),
        ((*ASK, "--not-before", "soon"), "'--not-before'"),
        ((*ASK, "--username", "bob"), 'may submit as "alice" only, not as "bob"'),
        ((*ASK, "--flow", "calibrat"), 'did you mean "calibrate"?'),
        ((*ASK, "--colour", "red"), "No such option"),
        (("submit", PROJECT), "Missing argument"),
        (("show", "77"), "unknown job 77"),
        (("show", "one"), "job_id"),
        (("events", "77"), "unknown job 77"),
        (("watch", "77"), "unknown job 77"),
        (("watch",), "Missing argument"),
        (("cancel", "77"), "unknown job 77"),
        (("cancel", "1", "--mode", "soon"), "now"),
        (("requeue", "77"), "unknown job 77"),
        (("rerun", "77"), "unknown job 77"),
        (("rerun", "1", "--set", "qids"), '--set: expected NAME=JSON, got "qids"'),
        (("rerun", "1", "--set", "=1"), '--set: expected NAME=JSON, got "=1"'),
        (("rerun", "1", "--set", "mode=serial"), "mode: not valid JSON"),
        (("rerun", "1", "--set", "a=1", "--set", "a=2"), "--set: expected each name once, got a again"),
        (("jobs", "--state", "done"), "completed"),
        (("jobs", "--limit", "0"), "--limit"),
        (("job",), "No such command"),
        (("--database-url", "mysql://x/y", "jobs"), "expected a PostgreSQL URL"),
        (("--database-url", "nonsense", "jobs"), "this is not a database URL"),
        (("--database-url", "postgresql://h:port/x", "jobs"), "database"),
        (("--database-url", "postgresql://x@127.0.0.1:1/y", "jobs"), "PostgreSQL does not answer"),
    ],
)
def test_bad_words_get_one_sentence(shared_desk: Desk, words: tuple[str, ...], said: str) -> None:
    assert said in shared_desk.run(*words, role="submitter").sentence
    error = shared_desk.run(*words, "--json", role="submitter").error
    assert error["message"]
    assert error["code"]


def test_an_error_as_json_names_code_column_and_hint(shared_desk: Desk) -> None:
    outcome = shared_desk.run("submit", PROJECT, "SIM17", "--qids", "0", "--json", role="submitter")
    assert outcome.status == 3
    assert (outcome.error["code"], outcome.error["column"]) == ("CQ001", "chip_id")
    assert outcome.error["hint"]


def test_without_a_database_the_variable_is_named() -> None:
    outcome = type_in("jobs")
    assert outcome.status == 4
    assert "QDASH_QUEUE_DATABASE_URL" in outcome.sentence


def test_a_wrong_setting_is_named(shared_desk: Desk) -> None:
    assert "QDASH_QUEUE_LEASE_SECONDS" in shared_desk.run("jobs", lease_seconds="soon").sentence


def test_the_database_named_on_the_command_line_comes_first(shared_desk: Desk) -> None:
    url = shared_desk.roles["operator"].url
    assert type_in("--database-url", url, "jobs", environment={"QDASH_QUEUE_DATABASE_URL": "x"}).status == 0


def test_a_role_without_rights_is_told_so(shared_desk: Desk) -> None:
    stranger = shared_desk.database.login()
    outcome = type_in("jobs", environment={"QDASH_QUEUE_DATABASE_URL": stranger.url})
    assert outcome.status == 3
    assert "permission denied" in outcome.sentence


def test_jobs_lists_the_newest_first_and_filters(desk: Desk) -> None:
    assert desk.run("jobs").out == "no jobs\n"
    ended = desk.end(desk.submit(), JobState.FAILED)
    waiting = desk.submit()
    lines = desk.run("jobs").out.splitlines()
    assert lines[1].split()[:3] == [str(waiting.job_id), "scheduled", CHIP]
    assert "no_signal: 2 of 2 failed" in lines[2]
    only = desk.run("jobs", "--state", "failed", "--chip", CHIP, "--project", PROJECT, "--json").document
    assert [job["job_id"] for job in only] == [ended.job_id]
    assert len(desk.run("jobs", "--limit", "1", "--json").document) == 1


def test_show_tells_results_with_errors_and_events(desk: Desk) -> None:
    job = desk.end(desk.submit("0"), JobState.COMPLETED)
    out = desk.run("show", str(job.job_id)).out
    assert f"job {job.job_id}: completed" in out
    assert "t1 = 41.81 ± 0.73 μs" in out
    assert "task_completed" in out
    document = desk.run("show", str(job.job_id), "--json").document
    assert document["job"]["state"] == "completed"
    assert [run["status"] for run in document["task_runs"]] == ["completed"]
    assert [attempt["verdict"] for attempt in document["attempts"]] == ["completed"]
    assert [event["event"] for event in document["events"]][-1] == "completed"


def test_show_tells_a_failure_in_words(desk: Desk) -> None:
    job = desk.end(desk.submit("0"), JobState.FAILED)
    out = desk.run("show", str(job.job_id)).out
    assert "no_signal: the amplitude is not above the noise; check the drive frequency" in out
    assert "no_signal: 2 of 2 failed" in out


def test_show_tells_what_a_job_waits_for(desk: Desk) -> None:
    job = desk.submit()
    desk.queue.database.close()
    assert desk.run("pause", CHIP, "--reason", "cooldown").status == 0
    assert "scheduled, waiting: chip paused: cooldown" in desk.run("show", str(job.job_id)).out


def test_nobodys_text_is_read_as_markup(desk: Desk) -> None:
    job = desk.run(*ASK, "--tags", "[red]x[/red]", "--note", '{"a": "[bold]"}', "--json").document
    out = desk.run("show", str(job["job_id"])).out
    assert "[red]x[/red]" in out
    assert "[bold]" in out


def test_events_begin_behind_the_number(desk: Desk) -> None:
    job = desk.end(desk.submit(), JobState.CANCELLED)
    events = desk.run("events", str(job.job_id), "--json").document
    assert [events[0]["event"], events[-1]["event"]] == ["submitted", "cancelled"]
    rest = desk.run("events", str(job.job_id), "--after", str(events[0]["event_id"]), "--json").document
    assert rest == events[1:]
    assert "cancel_seen" in desk.run("events", str(job.job_id)).out


def test_cancel_ends_a_waiting_job_and_asks_a_running_one(desk: Desk) -> None:
    waiting, running = desk.submit(), desk.submit()
    desk.start(running)
    assert "is cancelled" in desk.run("cancel", str(waiting.job_id), "--reason", "beam time").out
    asked = desk.run("cancel", str(running.job_id), "--mode", "after_task", "--json").document
    assert (asked["state"], asked["cancel_mode"]) == ("running", "after_task")
    assert "cannot be softened" not in desk.run("cancel", str(running.job_id)).out
    assert "cannot be softened" in desk.run("cancel", str(running.job_id), "--mode", "after_task").sentence


def test_cancel_that_comes_too_late_is_refused(desk: Desk) -> None:
    job = desk.end(desk.submit(), JobState.COMPLETED)
    outcome = desk.run("cancel", str(job.job_id))
    assert outcome.status == 3
    assert f"job {job.job_id} was not cancelled: it had already ended (completed)" in outcome.sentence
    assert desk.run("cancel", str(job.job_id), "--json").error["code"] == "CQ011"


def test_requeue_makes_a_new_job(desk: Desk) -> None:
    job = desk.end(desk.submit(), JobState.FAILED)
    assert (
        "job 2 queued as a repeat of job 1" in desk.run("requeue", str(job.job_id), "--reason", "again").out
    )
    assert desk.run("show", "2", "--json").document["job"]["note"]["requeue_of"] == job.job_id
    outcome = desk.run("requeue", "2")
    assert "only a job that has ended" in outcome.sentence


def test_rerun_submits_the_same_with_changed_parameters(desk: Desk) -> None:
    given = (*ASK, "--priority", "5", "--timeout-seconds", "60", "--max-attempts", "2", "--tags", "night")
    limits = ("--dedup-key", "once", "--not-after", "2099-01-01", "--note", '{"x": 1}')
    source = desk.run(*given, *limits, "--json", role="submitter").document
    desk.run("cancel", str(source["job_id"]))
    changes = ("--set", 'qids=["3"]', "--set", "run_parameters.CheckT1.shots=2048")
    outcome = desk.run("rerun", str(source["job_id"]), *changes, role="submitter")
    assert outcome.out == "job 2 is scheduled, waiting: an executor to pick it up\n"
    again = desk.run("show", "2", "--json").document["job"]
    assert again["parameters"] == {
        "qids": ["3"],
        "tasks": ["CheckRabi", "CheckT1"],
        "run_parameters": {"CheckT1": {"shots": 2048}},
    }
    same = ("project_id", "chip_id", "flow", "username", "priority", "timeout_seconds", "max_attempts")
    for name in (*same, "tags", "note"):
        assert again[name] == source[name], name
    assert (again["source_job_id"], again["dedup_key"], again["not_after"]) == (source["job_id"], None, None)
    assert "repeats      job 1" in desk.run("show", "2").out


def test_rerun_of_a_rerun_names_its_own_source(desk: Desk) -> None:
    desk.submit()
    desk.run("rerun", "1", role="submitter")
    found = desk.run("rerun", "2", "--json", role="submitter").document
    assert (found["job_id"], found["source_job_id"]) == (3, 2)


def test_rerun_refuses_what_the_database_or_the_parameters_refuse(desk: Desk) -> None:
    desk.submit()
    into = desk.run("rerun", "1", "--set", "tasks.CheckT1=1", role="submitter")
    assert into.status == 3
    assert "tasks.CheckT1: expected an object as tasks, got" in into.sentence
    unknown = desk.run("rerun", "1", "--set", 'tasks=["CheckRaby"]', role="submitter")
    assert 'did you mean "CheckRabi"?' in unknown.sentence
    assert len(desk.run("jobs", "--json").document) == 1


def test_show_lists_the_stages(desk: Desk) -> None:
    job = desk.submit("0")
    lease = desk.start(job)
    assert "OneQubitCheck" not in desk.run("show", str(job.job_id)).out
    qids = [str(qid) for qid in range(5)]
    check = StageRecord(name="check", step="OneQubitCheck", mode="scheduled", targets=qids, status="failed")
    lease.record_stage(0, check.model_copy(update={"message": "none passed"}))
    keep = StageRecord(name="keep", step="FilterByStatus", targets=["0", "1"], status="running")
    lease.record_stage(1, keep)
    lines = [" ".join(line.split()) for line in desk.run("show", str(job.job_id)).out.splitlines()]
    [shown] = [line for line in lines if line.startswith("1 check OneQubitCheck scheduled 5 failed ")]
    assert shown.endswith(" none passed")
    assert "1 keep FilterByStatus - 0, 1 running -" in lines
    found = desk.run("show", str(job.job_id), "--json").document["stages"]
    assert [stage["name"] for stage in found] == ["check", "keep"]


def many(*qids: str) -> list[dict[str, object]]:
    return [
        {"project_id": PROJECT, "chip_id": CHIP, "parameters": {"qids": [qid], "tasks": ["CheckT1"]}}
        for qid in qids
    ]


def test_a_file_of_jobs_is_submitted_as_an_array_or_by_the_line(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "jobs.json"
    file.write_text(json.dumps(many("0", "1")))
    assert desk.run("submit", "--file", str(file), role="submitter").out == "2 jobs submitted: 1 to 2\n"
    lines = "\n\n".join(json.dumps({**each, "not_before": "2030-01-01T00:00:00"}) for each in many("2", "3"))
    file.write_text(lines)
    assert desk.run("submit", "--file", str(file), "--json").document == {"job_ids": [3, 4]}
    submitted = [desk.queue.get(number) for number in (1, 2, 3, 4)]
    assert [job.parameters["qids"] for job in submitted] == [["0"], ["1"], ["2"], ["3"]]
    assert submitted[3].not_before.astimezone().isoformat().startswith("2030-01-01T00:00:00")


def test_jobs_come_from_standard_input_too(desk: Desk) -> None:
    environment = {"QDASH_QUEUE_DATABASE_URL": desk.roles["submitter"].url}
    piped = CliRunner().invoke(app, ["submit", "--file", "-"], input=json.dumps(many("0")), env=environment)
    assert (piped.exit_code, piped.stdout) == (0, "1 jobs submitted: 1 to 1\n")


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        ("[1]", (), "jobs[0]: expected a JSON object"),
        ("[", (), "--file: not valid JSON"),
        ("{}\n{", (), "--file, line 2: not valid JSON"),
        ("{}", (), "jobs[0]: project_id: Field required"),
        (
            '[{"project_id": "demo", "chip_id": "SIM16", "parameters": {}, "colour": 1}]',
            (),
            "jobs[0]: colour: ",
        ),
        (
            json.dumps([*many("0"), *many("99")]),
            (),
            'jobs[1]: parameters.qids[0]: chip "SIM16" has no qubit "99"',
        ),
        ("[]", ("demo", "SIM16"), "--file: expected nothing beside it"),
        ("[]", ("--priority", "1"), "--file: expected nothing beside it"),
    ],
)
def test_a_bad_file_stores_nothing(
    shared_desk: Desk, tmp_path: Path, text: str, words: tuple[str, ...], said: str
) -> None:
    file = tmp_path / "jobs.json"
    file.write_text(text)
    before = len(shared_desk.queue.list())
    assert said in shared_desk.run("submit", *words, "--file", str(file), role="submitter").sentence
    assert len(shared_desk.queue.list()) == before


def test_a_file_that_is_not_there_is_told(shared_desk: Desk) -> None:
    assert (
        "expected a readable file, got /nowhere" in shared_desk.run("submit", "--file", "/nowhere").sentence
    )
