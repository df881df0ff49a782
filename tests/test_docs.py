"""What the documents tell a reader to do, done; what they name, looked for."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import psycopg
import pytest

from qdash_queue.embedded.postgres import embedded_bin
from qdash_queue.settings import Settings
from tests.support.databases import CalibDatabase

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "benchmarks" / "README.md"]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
DATABASE = "postgresql://postgres@db/calibration"


def test_the_set_up_works_as_it_is_written(
    empty_database: CalibDatabase, client_programs: Path, tmp_path: Path
) -> None:
    """Pasted into a shell in an empty folder, with only the database's address changed."""
    block = re.findall(r"```sh\n(.+?)```", OPERATIONS.partition("## Setting up")[2], re.DOTALL)[0]
    assert DATABASE in block
    empty_database.roles += ["queue_admin", "alice", "sim16_executor", "mirror"]
    programs = [str(client_programs), str(embedded_bin()), os.environ["PATH"]]
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.replace(DATABASE, shlex.quote(empty_database.url))],
        cwd=tmp_path,
        env={**os.environ, "PATH": os.pathsep.join(programs)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with psycopg.connect(empty_database.url) as connection:
        made = connection.execute(
            "SELECT (SELECT count(*) FROM calib_private.memberships WHERE role_name = 'alice'::regrole),"
            " (SELECT count(DISTINCT qid) FROM calib.parameters WHERE chip_id = 'SIM16')"
        ).fetchone()
    assert made == (1, 16)


def test_every_setting_is_in_the_table_and_no_other() -> None:
    table = "\n".join(line for line in OPERATIONS.splitlines() if line.startswith("| `QDASH_QUEUE_"))
    named = re.findall(r"QDASH_QUEUE_([A-Z_]+)", table)
    assert sorted(named) == sorted(name.upper() for name in Settings.model_fields)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
        name, _, section = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), target
        if section:
            titles = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            assert section in {_anchor(title) for title in titles}, target


def _anchor(title: str) -> str:
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
