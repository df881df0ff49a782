"""What a user's function can do inside another login's maintenance: nothing in that login's name.

A plain login may create an index whose function calls the queue, on a table of its own. PostgreSQL runs
that function inside a superuser's ANALYZE, REINDEX and the like, and inside autovacuum: the session's user
is then the superuser, who here operates a project.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import psycopg
import pytest

from qdash_queue import migrate
from qdash_queue.embedded.postgres import PostgresServer, system_bin
from qdash_queue.embedded.process import Durability
from tests.support.databases import CalibDatabase
from tests.support.queue_world import QueueWorld, open_queue_world
from tests.support.waiting import until

VIEWS = """
SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'calib'::regnamespace AND c.relkind = 'v' ORDER BY 1
"""
VERBS = """
SELECT p.oid::regprocedure::text,
       format('SELECT * FROM %s(%s)', p.oid::regproc,
              (SELECT string_agg('NULL::' || format_type(t, NULL), ', ' ORDER BY n)
                 FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS a(t, n)))
  FROM pg_proc p WHERE p.pronamespace = 'calib'::regnamespace AND p.provolatile = 'v' ORDER BY 1
"""
# Rows of a project are what must not show; the others show to every reader.
OF_A_PROJECT = {
    "jobs", "attempts", "job_events", "task_runs", "sweeps", "stages", "figures", "raw_data",
    "projects", "memberships", "mirror_lag",
}  # fmt: skip
BAIT = """
CREATE TABLE {schema}.log (door text, tried text, said text);
CREATE TABLE {schema}.bait (i integer);
CREATE FUNCTION {schema}.attack() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  v_tried text; v_sql text; v_rows bigint;
BEGIN
  FOR v_tried, v_sql IN SELECT t.tried, t.sql FROM {schema}.tries t LOOP
    BEGIN
      EXECUTE v_sql;
      GET DIAGNOSTICS v_rows = ROW_COUNT;
      INSERT INTO {schema}.log VALUES (session_user || ' ' || current_user, v_tried, v_rows || ' rows');
    EXCEPTION WHEN OTHERS THEN
      INSERT INTO {schema}.log VALUES (session_user || ' ' || current_user, v_tried, SQLERRM);
    END;
  END LOOP;
  RETURN 1;
END $$;
CREATE FUNCTION {schema}.lure(integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS
  $$ BEGIN RETURN {schema}.attack() + $1; END $$;
CREATE TABLE {schema}.tries (tried text, sql text);
"""
DOORS = {
    "ANALYZE": "ANALYZE {schema}.bait",
    "VACUUM ANALYZE": "VACUUM ANALYZE {schema}.bait",
    "REINDEX": "REINDEX TABLE {schema}.bait",
    "CREATE INDEX": "CREATE INDEX ON {schema}.bait ({schema}.lure(i + 1))",
    "CLUSTER": "CLUSTER {schema}.bait USING bait_lure_idx",
    "REFRESH": "REFRESH MATERIALIZED VIEW {schema}.seen",
}


@dataclass
class Bait:
    """A login's own schema with the attack laid out, in a database where the superuser operates a project.

    Attributes:
        login: the attacker's role; it may call every verb, and belongs to no project.
        verbs: the functions of the contract that change something.
    """

    world: QueueWorld
    login: str
    verbs: list[str]

    @property
    def schema(self) -> str:
        return self.login

    def spring(self, command: str) -> dict[str, set[str]]:
        """What each try came to when the superuser ran the command."""
        self.forget()
        with psycopg.connect(self.world.calib.url, autocommit=True) as superuser:
            superuser.execute(command.format(schema=self.schema).encode())
        return self.came_to()

    def forget(self) -> None:
        with psycopg.connect(self.world.calib.url) as superuser:
            superuser.execute(f"TRUNCATE {self.schema}.log".encode())

    def came_to(self) -> dict[str, set[str]]:
        said: dict[str, set[str]] = {}
        with psycopg.connect(self.world.calib.url) as superuser:
            rows = superuser.execute(f"SELECT DISTINCT door, tried, said FROM {self.schema}.log".encode())
            for door, tried, answer in rows:
                assert door == f"{superuser.info.user} {self.login}", "in the superuser's session"
                said.setdefault(tried, set()).add(answer)
        return said

    def check(self, said: dict[str, set[str]]) -> None:
        """Everything was tried; nothing got through."""
        refused = "refused: called from inside a maintenance command"
        assert set(said) == {*self.verbs, *(f"read {view}" for view in OF_A_PROJECT), "INSERT", "UPDATE"}
        through = {
            tried: answers
            for tried, answers in said.items()
            if ((tried.startswith("read ") or tried == "UPDATE") and answers != {"0 rows"})
            or (tried == "INSERT" and not all(each.startswith(refused) for each in answers))
            or (tried in self.verbs and not all(each.startswith(refused) for each in answers))
        }
        assert through == {}, through


@pytest.fixture(scope="module")
def bait(world: QueueWorld) -> Bait:
    return lay(world)


def lay(world: QueueWorld) -> Bait:
    chip = world.chip()
    world.submit(chip)
    attacker_login = world.calib.login("calib_submitter")
    login = attacker_login.name
    with psycopg.connect(world.calib.url, autocommit=True) as superuser:
        world.admin.grant_member("demo", superuser.info.user, "root", "operator")
        superuser.execute(f"CREATE SCHEMA {login} AUTHORIZATION {login}".encode())
        superuser.execute(f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA calib TO {login}".encode())
        verbs: dict[str, str] = dict(superuser.execute(VERBS).fetchall())
    with psycopg.connect(attacker_login.url, autocommit=True) as attacker:
        attacker.execute(BAIT.format(schema=login).encode())
        tries = {
            **{f"read {view}": f"SELECT * FROM calib.{view}" for view in OF_A_PROJECT},
            **verbs,
            "INSERT": f"INSERT INTO calib.jobs (project_id, chip_id, parameters)"
            f""" VALUES ('demo', '{chip}', '{{"qids": ["0"], "tasks": ["CheckRabi"]}}')""",
            "UPDATE": "UPDATE calib.jobs SET cancel_requested = true",
        }
        attacker.execute(f"CREATE INDEX bait_lure_idx ON {login}.bait ({login}.lure(i))".encode())
        attacker.execute(f"INSERT INTO {login}.bait VALUES (1), (2)".encode())
        attacker.execute(
            f"CREATE MATERIALIZED VIEW {login}.seen AS SELECT {login}.lure(i) FROM {login}.bait".encode()
        )
        with attacker.cursor() as cursor:
            cursor.executemany(f"INSERT INTO {login}.tries VALUES (%s, %s)".encode(), list(tries.items()))
    return Bait(world, login, sorted(verbs))


@pytest.mark.parametrize("door", DOORS)
def test_no_door_speaks_for_the_superuser(bait: Bait, door: str) -> None:
    bait.check(bait.spring(DOORS[door]))


def test_autovacuum_does_not_either() -> None:
    major = os.environ.get("PG")
    with PostgresServer(
        programs=system_bin(int(major)) if major else None, durability=Durability.FAST
    ) as server:
        with psycopg.connect(server.url, autocommit=True) as superuser:
            superuser.execute("ALTER SYSTEM SET autovacuum_naptime = '1s'")
            superuser.execute("SELECT pg_reload_conf()")
        migrate.upgrade(server.url)
        with open_queue_world(CalibDatabase(server, "postgres")) as world:
            bait = lay(world)
            bait.forget()
            with psycopg.connect(world.calib.url, autocommit=True) as superuser:
                superuser.execute(
                    f"ALTER TABLE {bait.schema}.bait SET"
                    " (autovacuum_analyze_threshold = 1, autovacuum_analyze_scale_factor = 0)".encode()
                )
            until(lambda: len(bait.came_to()) > 0)
            bait.check(bait.came_to())


def test_a_materialized_view_shows_its_owner_what_the_owner_may_read(world: QueueWorld) -> None:
    """Refreshed by another login it still answers for its owner, as every view does."""
    chip = world.chip()
    world.submit(chip, world.ana)
    owner = world.ana.name
    with psycopg.connect(world.calib.url, autocommit=True) as superuser:
        superuser.execute(f"CREATE SCHEMA {owner} AUTHORIZATION {owner}".encode())
    with psycopg.connect(world.ana.url, autocommit=True) as ana:
        ana.execute(
            f"CREATE MATERIALIZED VIEW {owner}.mine AS"
            f" SELECT job_id FROM calib.jobs WHERE chip_id = '{chip}'".encode()
        )
    world.submit(chip, world.ana)
    with psycopg.connect(world.calib.url, autocommit=True) as superuser:
        superuser.execute(f"REFRESH MATERIALIZED VIEW {owner}.mine".encode())
        assert superuser.execute(f"SELECT count(*) FROM {owner}.mine".encode()).fetchone() == (2,)
