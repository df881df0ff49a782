"""What the questions of docs/sql.md cost: a large history, and each question as several people.

`python -m benchmarks.growth` shows the table. The history is written by set-based SQL with triggers off: one
job for each second, over ten chips, with its attempt, five events and a task run; parameters; a queue.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.rows import dict_row

PAGE = Path(__file__).parents[1] / "docs" / "sql.md"
TITLE = "## What one asks at 3 a.m."
MOST_BUFFERS = 300
ROLES = ("reader", "submitter", "operator")
Session = psycopg.Connection[dict[str, Any]]

# Project demo has what is asked for; quiet has a tenth of the jobs, all on CHIP1 and of nothing that is asked
# for. NAME reads demo, NAME_quiet reads quiet.
SEED = """
INSERT INTO calib_private.jobs (project_id, username, chip_id, flow, parameters, priority, not_before,
    timeout_seconds, max_attempts, repeatable, dedup_key, tags, note, state, attempt, fence, execution_id,
    flow_run_id, executor_id, submitted_by, submitted_at, started_at, finished_at, failure_kind)
SELECT 'demo', 'ana', chip, 'calibrate', '{"qids": ["0", "1"], "tasks": ["CheckRabi", "CheckT1"]}',
       n % 5, at, 60, 1, false, CASE n % 100 WHEN 0 THEN 'night-' || n % 700 END,
       CASE n % 50 WHEN 0 THEN ARRAY['nightly', 'rare'] ELSE ARRAY['nightly'] END,
       jsonb_build_object('ticket', 'QX-' || n % 1000), CASE n % 20 WHEN 0 THEN 'failed' ELSE 'completed' END,
       1, n, to_char(at, 'YYYYMMDD') || '-q' || lpad(n::text, 9, '0'), gen_random_uuid(), 'one',
       CASE n % 3 WHEN 0 THEN %(submitter)s ELSE 'ana' END, at, at, at,
       CASE WHEN n % 20 = 0 THEN 'bad_fit' END
  FROM generate_series(1, %(finished)s::bigint) n,
       LATERAL (SELECT now() - (%(finished)s::bigint - n) * interval '1 second' AS at,
         CASE n % 10 WHEN 0 THEN 'SIM16' ELSE 'CHIP' || n % 10 END AS chip) made;
UPDATE calib_private.jobs SET project_id = 'quiet', tags = '{}', note = '{}', dedup_key = NULL,
    submitted_by = 'cora' WHERE chip_id = 'CHIP1';
VACUUM FULL calib_private.jobs;
INSERT INTO calib_private.attempts (job_id, attempt, fence, executor_id, flow_run_id, started_at, ended_at,
    verdict, outcome, prefect_synced)
SELECT job_id, 1, fence, executor_id, flow_run_id, started_at, finished_at, 'completed', 'completed', true
  FROM calib_private.jobs;
INSERT INTO calib_private.task_runs (job_id, attempt, task, qid, task_type, status, ordinal, started_at,
    ended_at)
SELECT job_id, 1, 'CheckRabi', (job_id / 10 % 16)::text, 'qubit', 'completed', 1, started_at, finished_at
  FROM calib_private.jobs;
INSERT INTO calib_private.job_events (job_id, at, actor, event, old_state, new_state, attempt, fence)
SELECT job_id, finished_at, 'ana', event, old_state, CASE new_state WHEN 'end' THEN state ELSE new_state END,
       1, fence
  FROM calib_private.jobs, (VALUES ('submitted', NULL, 'scheduled'), ('claimed', 'scheduled', 'running'),
         ('task_completed', NULL, NULL), ('concluded', NULL, NULL), ('ended', 'running', 'end'))
         e (event, old_state, new_state);
INSERT INTO calib_private.parameter_versions (chip_id, qid, name, value, value_type, error, unit, valid,
    source, actor, reason)
SELECT chip_id, (n % 16)::text, 'qubit_frequency', 5, 'float', 0, 'GHz',
       tstzrange(at, CASE WHEN n <= %(versions)s::bigint - 16 THEN at + 16 * step END), 'edit', 'ana', 'seed'
  FROM calib_private.chips, generate_series(1, %(versions)s::bigint) n,
       LATERAL (SELECT interval '11 days' / %(versions)s::bigint AS step) s,
       LATERAL (SELECT now() - (%(versions)s::bigint - n) * step AS at) made;
INSERT INTO calib_private.jobs (project_id, username, chip_id, flow, parameters, priority, not_before,
    timeout_seconds, max_attempts, repeatable, tags, note, submitted_by, submitted_at)
SELECT 'demo', 'ana', CASE n % 10 WHEN 0 THEN 'SIM16' ELSE 'CHIP' || n % 10 END, 'calibrate', '{}', n % 5,
       now(), 60, 1, false, '{nightly}', '{}', CASE n % 20 WHEN 0 THEN %(submitter)s ELSE 'ana' END, now()
  FROM generate_series(1, %(waiting)s::bigint) n;
"""
KEYS = """
INSERT INTO calib_private.job_keys SELECT k, job_id
  FROM calib_private.jobs j, unnest(calib_private.keys_of(j)) k ORDER BY 1, 2;
INSERT INTO calib_private.job_keys
SELECT calib_private.job_key(j.project_id, 'flow_run_id', a.flow_run_id::text), job_id
  FROM calib_private.attempts a JOIN calib_private.jobs j USING (job_id) ORDER BY 1, 2;
INSERT INTO calib_private.job_keys
SELECT calib_private.task_key(j.project_id, j.chip_id, t.task, t.qid), job_id
  FROM calib_private.task_runs t JOIN calib_private.jobs j USING (job_id) ORDER BY 1, 2;
UPDATE calib_private.job_counting SET counted_at = '-infinity';
"""


@dataclass(frozen=True)
class Question:
    """A row of the table: what is asked, and how."""

    words: str
    statement: str


def questions(page: Path = PAGE) -> list[Question]:
    """Those of the table in the documentation, in their order."""
    text = page.read_text(encoding="utf-8").split(f"{TITLE}\n")[1].split("\n## ")[0]
    return [
        Question(*found) for found in re.findall(r"^\| ([^|`]+) \| `(SELECT [^`]+)` \|$", text, re.MULTILINE)
    ]


def seed(session: Session, logins: Mapping[str, str], finished: int, waiting: int) -> None:
    """Projects, members and the history; `session` is an overseer's.

    Args:
        session: in autocommit, of a superuser with calib_admin and calib_executor.
        logins: names of login roles, by role and by role with `_quiet`.
        finished: number of jobs that have ended.
        waiting: number of jobs that wait.
    """
    for project, ending in (("demo", ""), ("quiet", "_quiet")):
        session.execute("SELECT calib.add_project(%s)", (project,))
        for role in ROLES:
            login = logins[f"{role}{ending}"]
            session.execute("SELECT calib.grant_member(%s, %s, 'ana', %s)", (project, login, role))
    for chip_id in ("SIM16", *(f"CHIP{n}" for n in range(1, 10))):
        session.execute("SELECT calib.add_chip(%s, 'fake', 'square-lattice-mux-16')", (chip_id,))
    session.execute("SET session_replication_role = replica")
    given = {
        "finished": finished,
        "waiting": waiting,
        "versions": max(320, finished // 50),
        "submitter": logins["submitter"],
    }
    for statement in (SEED + KEYS).strip().rstrip(";").split(";\n"):
        if "%(" in statement:
            session.execute(re.sub(r"%(?!\()", "%%", statement).encode(), given)
        else:
            session.execute(statement.encode())
    session.execute("SET session_replication_role = origin")
    session.execute("SELECT calib.sweep()")
    session.execute("VACUUM ANALYZE")


def touched(session: Session, statement: str) -> tuple[int, float]:
    """Buffers and milliseconds of the statement on a warm cache, its functions included."""
    explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}".encode()
    for _ in range(2):
        row = session.execute(explain).fetchone()
    assert row is not None
    plan = row["QUERY PLAN"][0]
    buffers = plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]
    return buffers, plan["Planning Time"] + plan["Execution Time"]


@dataclass(frozen=True)
class Answer:
    """What a question cost one person."""

    question: Question
    login: str
    buffers: int
    milliseconds: float


def ask(url_of: Mapping[str, str]) -> Iterator[Answer]:
    """Each question as each person; `url_of` has a URL for each of `people()`."""
    for login, url in url_of.items():
        with psycopg.connect(url, autocommit=True, row_factory=dict_row) as session:
            for question in questions():
                yield Answer(question, login, *touched(session, question.statement))


def people() -> list[str]:
    """A reader, a submitter and an operator: of the project that has what is asked for, and of the other."""
    return [f"{role}{ending}" for ending in ("", "_quiet") for role in ROLES]


def make_logins(session: Session, url: str) -> dict[str, str]:
    """A URL for each of `people()`, whose logins bear these names."""
    for login in people():
        session.execute(f"DROP ROLE IF EXISTS {login}".encode())
        session.execute(f"CREATE ROLE {login} LOGIN IN ROLE calib_{login.split('_')[0]}".encode())
    parsed = sa.make_url(url)
    return {login: parsed.set(username=login).render_as_string(hide_password=False) for login in people()}


def tell(answers: Iterable[Answer]) -> None:
    """The table: buffers and milliseconds, with rows of one's own and without."""
    found: dict[str, list[Answer]] = {}
    for answer in answers:
        found.setdefault(answer.question.words, []).append(answer)
    print(f"\n{'buffers (ms)':<46}" + "".join(f"{login:>19}" for login in people()))
    for words, row in found.items():
        cells = (f"{answer.buffers:,} ({answer.milliseconds:.1f})" for answer in row)
        print(f"{words:<46}" + "".join(f"{cell:>19}" for cell in cells))
    most = max(answer.buffers for row in found.values() for answer in row)
    print(f"most buffers of a question: {most:,}; allowed {MOST_BUFFERS}")


def show(url: str, finished: int, waiting: int) -> None:
    """Fill the empty, migrated database, ask, and print; its logins stay until the server is gone."""
    with psycopg.connect(url, autocommit=True, row_factory=dict_row) as session:
        url_of = make_logins(session, url)
        seed(session, {login: login for login in people()}, finished, waiting)
    tell(ask(url_of))
