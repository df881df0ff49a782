"""Commands about projects, members, chips, executors and what may be asked for."""

from __future__ import annotations

from typing import Any

import pytest

from qdash_queue.domain import JobState
from tests.cli.desk import CHIP, Desk
from tests.support.queue_world import PROJECT


def test_a_place_to_work_is_made_by_commands_alone(bare_desk: Desk) -> None:
    member, executor = bare_desk.roles["submitter"].name, bare_desk.roles["executor"].name
    assert bare_desk.run("projects", role="admin").out == "no readable project\n"
    assert "project lab exists" in bare_desk.run("projects", "add", "lab", role="admin").out
    granted = bare_desk.run(
        *("members", "grant", "lab", member, "--username", "alice", "--access", "submitter", "--json"),
        role="admin",
    ).document
    assert granted == {"project_id": "lab", "role_name": member, "username": "alice", "access": "submitter"}
    made = bare_desk.run(
        *("chips", "add", "C4", "--backend", "fake", "--topology", "square-lattice-mux-4", "--json"),
        role="admin",
    ).document
    assert (made["chip_id"], made["n_qubits"], made["paused"]) == ("C4", 4, False)
    assert "may serve chip C4" in bare_desk.run("executors", "allow", executor, "C4", role="admin").out
    assert bare_desk.run("executors", "allow", executor, "C4", "--json", role="admin").document == {
        "role_name": executor,
        "chip_id": "C4",
    }
    projects = bare_desk.run("projects", "--json", role="submitter").document
    assert [project["project_id"] for project in projects] == ["lab"]
    members = bare_desk.run("members", "--project", "lab", "--json", role="submitter").document
    assert [row["username"] for row in members] == ["alice"]
    assert "alice" in bare_desk.run("members", role="submitter").out


def test_a_member_without_a_username_has_the_roles_own(desk: Desk) -> None:
    role = desk.roles["mirror"].name
    granted = desk.run("members", "grant", PROJECT, role, "--json", role="admin").document
    assert (granted["username"], granted["access"]) == (role, "submitter")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("projects", "add", "no spaces"), "project_id: expected"),
        (("members", "grant", "dem", "calib_reader", "--username", "abc"), 'did you mean "demo"?'),
        (("members", "grant", PROJECT, "nobody_here", "--username", "abc"), "unknown database role"),
        (("members", "grant", PROJECT, "calib_reader", "--username", "A!"), "username: expected"),
        (("members", "grant", PROJECT, "calib_reader", "--access", "king"), "submitter"),
        (("chips", "add", "C", "--backend", "real", "--topology", "linear-4"), "qubex"),
        (("chips", "add", "C", "--backend", "fake", "--topology", "ring-4"), "topology: expected"),
        (("chips", "add", "C"), "Missing option"),
        (("chips", "add", CHIP, "--backend", "qubex", "--topology", "linear-4"), "both are fixed"),
        (("chips", "set", CHIP, "--max-waiting", "0"), "max_waiting: expected 1 to 1000000"),
        (("chips", "set", "SIM61", "--max-waiting", "5"), "unknown chip"),
        (("chips", "drop", CHIP), "No such command"),
        (("executors", "allow", "nobody_here", CHIP), "unknown database role"),
        (("executors", "allow", "calib_executor", "SIM61"), "unknown chip"),
        (("executors", "disallow", "nobody_here", CHIP), "unknown database role"),
        (("members", "revoke", PROJECT, "nobody_here"), "goes by the number that stands in its place"),
        (("projects", "archive", "dem"), 'did you mean "demo"?'),
        (("chips", "retire", "SIM61"), "unknown chip"),
        (("pause", CHIP), "Missing option"),
        (("pause", CHIP, "--reason", " "), "reason: expected"),
        (("pause", "SIM61", "--reason", "x"), "unknown chip"),
        (("resume", "SIM61"), "unknown chip"),
        (("tasks", "SIM61"), "unknown chip"),
    ],
)
def test_bad_words_get_one_sentence(shared_desk: Desk, words: tuple[str, ...], said: str) -> None:
    assert said in shared_desk.run(*words, role="admin").sentence
    assert shared_desk.run(*words, "--json", role="admin").error["message"]


@pytest.mark.parametrize(
    "words",
    [
        ("projects", "add", "lab"),
        ("members", "grant", PROJECT, "calib_reader", "--username", "abc"),
        ("chips", "add", "C", "--backend", "fake", "--topology", "linear-4"),
        ("chips", "set", CHIP, "--max-waiting", "5"),
        ("executors", "allow", "calib_executor", CHIP),
        ("executors", "disallow", "calib_executor", CHIP),
        ("members", "revoke", PROJECT, "calib_reader"),
        ("projects", "archive", PROJECT),
        ("chips", "retire", CHIP),
        ("pause", CHIP, "--reason", "x"),
        ("resume", CHIP),
    ],
)
def test_a_submitter_may_do_none_of_it(shared_desk: Desk, words: tuple[str, ...]) -> None:
    assert "permission denied" in shared_desk.run(*words, role="submitter").sentence
    assert shared_desk.run(*words, "--json", role="submitter").error["code"] == "CQ003"


def test_chips_are_listed_changed_paused_and_resumed(desk: Desk) -> None:
    assert (
        desk.run("chips", "set", CHIP, "--max-waiting", "7", "--json", role="admin").document["max_waiting"]
        == 7
    )
    desk.start(desk.submit())
    assert "paused: cooldown" in desk.run("pause", CHIP, "--reason", "cooldown").out
    line = desk.run("chips").out.splitlines()[1]
    assert line.split()[:7] == [CHIP, "fake", "square-lattice-mux-16", "16", "0", "of", "7"]
    assert f"cooldown (by {desk.roles['operator'].name})" in line
    assert desk.run("resume", CHIP, "--json").document["paused"] is False
    assert [chip["running_job_id"] for chip in desk.run("chips", "--json").document] == [1]


def test_rights_are_taken_away(desk: Desk) -> None:
    submitter, executor = desk.roles["submitter"].name, desk.roles["executor"].name

    def done(*words: str) -> Any:
        return desk.run(*words, "--json", role="admin").document

    job = desk.submit()
    assert done("members", "revoke", PROJECT, submitter) == {"project_id": PROJECT, "role_name": submitter}
    assert desk.run("show", str(job.job_id), role="submitter").status == 3
    assert done("executors", "disallow", executor, CHIP) == {"role_name": executor, "chip_id": CHIP}
    assert done("chips", "retire", CHIP) == {"chip_id": CHIP, "cancelled": 1}
    assert "retired (by " in desk.run("chips").out
    assert done("projects", "archive", PROJECT) == {"project_id": PROJECT, "cancelled": 0}
    (shown,) = [each for each in done("projects") if each["project_id"] == PROJECT]
    assert shown["archived_by"] == desk.roles["admin"].name


def test_tasks_say_what_they_need_and_give(desk: Desk) -> None:
    lines = desk.run("tasks", CHIP).out.splitlines()
    assert lines[2].split() == ["CheckT1", "qubit", "qubit_frequency", "t1"]
    assert [task["task"] for task in desk.run("tasks", CHIP, "--json").document] == ["CheckRabi", "CheckT1"]


def test_executors_are_listed_with_their_job(desk: Desk) -> None:
    job = desk.submit()
    desk.start(job)
    listed = desk.run("executors", "--json").document
    assert [(row["chip_id"], row["alive"], row["job_id"]) for row in listed] == [(CHIP, True, job.job_id)]
    assert "ready" in desk.run("executors").out
    desk.executor.stopped()
    assert desk.run("executors").out == "no executor runs\n"


def test_jobs_that_end_leave_the_chip_free(desk: Desk) -> None:
    desk.end(desk.submit(), JobState.COMPLETED)
    assert desk.run("chips", "--json").document[0]["running_job_id"] is None
