"""Every command with hostile words, typed as each role: one sentence, and an exit status of docs/cli.md."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import typer.main
from hypothesis import strategies as st
from typer.testing import CliRunner

from qdash_queue.cli import app
from qdash_queue.cli.error_messages import EXIT_REFUSED, EXIT_UNREACHABLE
from tests.hostile.hostile_values import JSONS, NUMBERS, TEXTS, TIMES
from tests.hostile.strategies import TEXT, for_each
from tests.hostile.tally import Answer, Tally
from tests.hostile.target import ROLES, Target
from tests.support.queue_world import PROJECT

# They start servers, stay until they are stopped, or wait for servers that are not there; `watch` gets only
# jobs that have ended.
LEFT_OUT = {
    ("up",),
    ("demo",),
    ("migrate",),
    ("doctor",),
    ("mirror", "run"),
    ("mirror", "lag"),
    ("mirror", "rebuild"),
}
# What a terminal obeys; a line feed ends the command's own lines.
COMMANDING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
LONGEST = 3000


@dataclass(frozen=True)
class Line:
    """One command line and the role that types it."""

    role: str
    words: list[str]


@dataclass(frozen=True)
class Command:
    """A command: the words that name it, its arguments, its options (flags have no value)."""

    path: tuple[str, ...]
    arguments: tuple[str, ...]
    options: tuple[tuple[str, str], ...]
    flags: tuple[str, ...]


def commands() -> list[Command]:
    """Every command that ends by itself, as the program itself declares them."""
    return [each for each in _below(typer.main.get_command(app), ()) if each.path not in LEFT_OUT]


def _below(command: Any, path: tuple[str, ...]) -> list[Command]:
    subcommands: dict[str, Any] = getattr(command, "commands", {})
    found = [each for name, inner in subcommands.items() for each in _below(inner, (*path, name))]
    if not path or (subcommands and not command.invoke_without_command):
        return found
    arguments = tuple(each.name for each in command.params if each.param_type_name == "argument")
    options = [each for each in command.params if each.param_type_name == "option"]
    valued = tuple((each.name, each.opts[0]) for each in options if not each.is_flag)
    flags = tuple(each.opts[0] for each in options if each.is_flag)
    return [*found, Command(path, arguments, valued, flags)]


def attack(target: Target, tries: int, seed: int) -> Tally:
    """Type commands in this process."""
    tally = Tally("command line")
    runner = CliRunner()
    words = _likely(target)
    damaged_before = target.damage()
    assert not damaged_before

    def body(line: Line) -> None:
        tally.count(typed(runner, target, line), line)

    with tally.timed():
        for_each(_lines(words), tries, seed, body)
    if damage := target.damage():
        tally.record_wrong(damage)
    target.delete_jobs()
    return tally


def typed(runner: CliRunner, target: Target, line: Line) -> Answer:
    """Type one command in; what it said is judged."""
    environment = {
        "QDASH_QUEUE_DATABASE_URL": target.person(line.role).url,
        "QDASH_QUEUE_MONGO_URL": "mongodb://127.0.0.1:1",
    }
    result = runner.invoke(app, line.words, env=environment)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return Answer("traceback", f"traceback: {type(result.exception).__name__}: {result.exception}"[:300])
    wrong = judged(line.words, result.exit_code, result.stdout, result.stderr)
    return Answer("" if result.exit_code in (0, 1, 2) else f"exit {result.exit_code}", wrong)


def judged(words: list[str], status: int, out: str, err: str) -> str:
    """What is wrong with the answer; nothing if docs/cli.md promises it."""
    if raw := COMMANDING.search(out + err):
        return f"a raw control character {raw.group()!r}"
    if "Traceback" in err:
        return "a traceback"
    if status == 0:
        return _wrong_answer(words, out, err)
    if status in (1, 2) and words[0] == "watch":
        return ""
    return _wrong_refusal(status, out, err)


def _wrong_answer(words: list[str], out: str, err: str) -> str:
    if "--json" in words:
        return _not_json(words, out)
    return f"done, but said {err[:200]!r}" if err else ""


def _wrong_refusal(status: int, out: str, err: str) -> str:
    if status == EXIT_UNREACHABLE:
        return f"calls the reachable database unreachable: {err[:200]!r}"
    if status != EXIT_REFUSED or out:
        return f"exit status {status} with {out[:100]!r} and {err[:200]!r}"
    if len(err.splitlines()) != 1 or len(err) > LONGEST:
        return f"no single sentence: {err[:300]!r}"
    return ""


def _not_json(words: list[str], out: str) -> str:
    if "--help" in words:
        return ""
    try:
        json.loads(out)
    except ValueError as error:
        return f"no JSON document: {error}: {out[:100]!r}"
    return ""


def _likely(target: Target) -> dict[str, list[str]]:
    """Words that fit, by the name of the argument or option; ended jobs carry every hostile text."""
    return {
        "project_id": [PROJECT],
        "project": [PROJECT],
        "chip_id": [target.chip_id],
        "chip": [target.chip_id],
        "job_id": [*_decorated_jobs(target), "0", "-1", str(2**63), str(10**30)],
        "job_ids": _decorated_jobs(target),
        "qids": ["0", "0,1"],
        "qid": ["0", "0-1"],
        "tasks": ["CheckRabi"],
        "name": ["t1", "rabi_frequency"],
        "flow": ["calibrate", "repeat"],
        "parameters": ["{}", '{"qids": ["0"], "tasks": ["CheckRabi"]}', *JSONS],
        "note": ["{}", *JSONS],
        "value": ["1.5", "-1", *NUMBERS],
        "error": ["0.1", *NUMBERS],
        "priority": ["1", *NUMBERS],
        "limit": ["5", *NUMBERS],
        "max_waiting": ["1000000", *NUMBERS],
        "not_before": ["2026-01-01", *TIMES],
        "not_after": ["2099-01-01", *TIMES],
        "as_of": ["2026-01-01", "2099-01-01T00:00:00", *TIMES],
        "mode": ["now", "after_task"],
        "state": ["cancelled", "scheduled"],
        "backend": ["fake"],
        "topology": ["linear-2"],
        "access": ["reader"],
        "unit": ["us"],
        "reason": ["because"],
        "role_name": [target.person("reader").name],
        "file": ["/dev/null", "/nowhere", "."],
    }


def _decorated_jobs(target: Target) -> list[str]:
    """Jobs that were cancelled, each with hostile texts wherever a person may write."""
    known = target.world.rows("SELECT job_id FROM calib.jobs WHERE flow = 'repeat' ORDER BY job_id LIMIT 20")
    if known:
        return [str(row["job_id"]) for row in known]
    storable = [text for text in TEXTS if text and len(text) <= 100 and text.isascii() | (text > "\x80")]
    storable = [text for text in storable if "\x00" not in text and not re.search("[\ud800-\udfff]", text)]
    client = target.person("submitter").queue
    jobs = []
    for start in range(0, len(storable), 8):
        texts: list[Any] = storable[start : start + 8]
        note = {text: text for text in texts}
        job = client.submit(
            PROJECT, target.chip_id, {"a": note}, flow="repeat", tags=texts, note=note, dedup_key=texts[0]
        )
        client.cancel(job.job_id, reason=" ".join(texts))
        jobs.append(str(job.job_id))
    return jobs


def _lines(likely: dict[str, list[str]]) -> st.SearchStrategy[Line]:
    bad = st.one_of(st.sampled_from(TEXTS), TEXT, st.sampled_from(["--help", "-", "--", "--x", "@/dev/null"]))

    def word(name: str) -> st.SearchStrategy[str]:
        fair = st.sampled_from(likely.get(name, ["words"]))
        watching = name == "job_ids"
        return fair if watching else st.one_of(fair, fair, fair, bad)

    def line(command: Command, role: str) -> st.SearchStrategy[Line]:
        options = [st.tuples(st.just(flag), word(name)).map(list) for name, flag in command.options]
        chosen = st.lists(st.one_of(*options, *([st.just([flag]) for flag in command.flags])), max_size=5)
        stray = (
            st.lists(bad.map(lambda text: [text]), max_size=1) if command.path != ("watch",) else st.just([])
        )
        arguments = st.tuples(*(word(name) for name in command.arguments)).map(list)
        return st.builds(
            lambda given, named, odd: Line(
                role, [*command.path, *given, *(each for pair in [*named, *odd] for each in pair)]
            ),
            arguments,
            chosen,
            st.one_of(st.just([]), st.just([]), st.just([]), stray),
        )

    roles = [*ROLES, "operator", "operator", "submitter", "submitter", "admin", "admin"]
    return st.tuples(st.sampled_from(commands()), st.sampled_from(roles)).flatmap(lambda pair: line(*pair))
