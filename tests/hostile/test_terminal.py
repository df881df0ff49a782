"""What people wrote into a job never commands the terminal on which it is shown."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from pydantic import JsonValue
from typer.testing import CliRunner

from qdash_queue.cli.escapes import printable
from qdash_queue.cli.views import Views, make_console
from qdash_queue.cli.watch import Bars, Glance
from tests.hostile.command_line import COMMANDING, Line, typed
from tests.hostile.hostile_values import SCREEN, UNICODE
from tests.hostile.tally import Answer
from tests.hostile.target import Target, open_target
from tests.support.databases import Cluster
from tests.support.queue_world import PROJECT
from tests.support.waiting import PATIENCE

# The program's own: colours, and where a progress bar moves the cursor.
OWN = re.compile(r"\x1b\[[0-9;]*[mAK]|\x1b\[\?25[lh]|\r")
HOSTILE = [text for text in [*SCREEN, *UNICODE] if len(text) <= 100]


@pytest.fixture(scope="module")
def target(postgres_server: Cluster) -> Iterator[Target]:
    with postgres_server.database() as database, open_target(database) as target:
        yield target


@pytest.fixture(scope="module")
def job_id(target: Target) -> int:
    queue = target.person("submitter").queue
    note: dict[str, JsonValue] = {text: text for text in HOSTILE}
    job = queue.submit(PROJECT, target.chip_id, {"a": note}, flow="repeat", tags=HOSTILE, note=note)
    return queue.cancel(job.job_id, reason=" ".join(HOSTILE)[:1000]).job_id


def foreign(shown: str) -> list[str]:
    """Control characters that are not the program's own."""
    return COMMANDING.findall(OWN.sub("", shown))


def test_tables_bars_and_words_on_a_terminal(target: Target, job_id: int) -> None:
    queue = target.person("submitter").queue
    job, events = queue.get(job_id), queue.events(job_id)
    console = make_console()
    console.file, console._force_terminal = io.StringIO(), True
    views = Views(console)
    views.jobs([job])
    views.job(job, [], [], events)
    views.events(events)
    with Bars.make_progress(console) as progress:
        Bars(progress).see(Glance(job, [], events))
    shown = console.file.getvalue()
    assert "\x1b[" in shown
    assert "\\u001b[2J" in shown
    assert foreign(shown) == []


@pytest.mark.parametrize("words", [("show",), ("show", "--json"), ("events",), ("jobs",), ("watch",)])
def test_a_process_on_a_real_terminal(target: Target, job_id: int, words: tuple[str, ...]) -> None:
    job = [str(job_id)] if words[0] != "jobs" else []
    command = [sys.executable, "-m", "qdash_queue.cli", words[0], *job, *words[1:]]
    environment = {**os.environ, "QDASH_QUEUE_DATABASE_URL": target.person("submitter").url, "TERM": "xterm"}
    master, slave = pty.openpty()
    with subprocess.Popen(command, stdout=slave, stderr=slave, env=environment) as process:
        os.close(slave)
        shown = b"".join(_read(master))
        assert process.wait(PATIENCE) in (0, 2)
    os.close(master)
    assert foreign(shown.decode()) == []


def _read(terminal: int) -> Iterator[bytes]:
    """All that is written until the last writer is gone, which Linux tells as an error."""
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:
            return
        if not data:
            return
        yield data


@pytest.mark.parametrize("words", [["show", b"\xff"], ["submit", "demo", b"CHIP\xed\xa0\x80", "--qids", "0"]])
def test_words_that_are_no_text_are_refused_in_one(target: Target, words: list[str | bytes]) -> None:
    environment = {**os.environ, "QDASH_QUEUE_DATABASE_URL": target.person("submitter").url}
    command = [sys.executable, "-m", "qdash_queue.cli", *words]
    ended = subprocess.run(command, env=environment, capture_output=True, timeout=PATIENCE, check=False)
    assert ended.returncode == 3, ended.stderr
    assert len(ended.stderr.splitlines()) == 1, ended.stderr


def test_printable_keeps_what_is_harmless() -> None:
    assert printable("é ☃ 💥\n\t{}") == "é ☃ 💥\n\t{}"
    assert printable("\x1b\x9b\u202e\ud800") == "\\u001b\\u009b\\u202e\\ud800"


@pytest.mark.parametrize(
    "words",
    [
        ["chips", "set", "HOSTILE1", "--max-waiting", str(10**12)],
        ["requeue", str(10**30)],
        ["submit", PROJECT, "CHIP\ud800", "--qids", "0"],
    ],
)
def test_a_number_or_text_beyond_the_database_is_refused(target: Target, words: list[str]) -> None:
    """And not taken for a database that is unreachable or too old."""
    assert typed(CliRunner(), target, Line("admin", words)) == Answer("exit 3")
