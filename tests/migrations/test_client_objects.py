"""What clients have built on the contract of the served release survives a migration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from qdash_queue import migrate
from qdash_queue.client.database import Database
from tests.support.databases import CalibDatabase, LoginRole
from tests.upgrade.release import WHEELS, Release


@dataclass
class Served:
    """A database of the served release, with a client's own view in it."""

    database: CalibDatabase
    client: LoginRole
    colleague: LoginRole


@pytest.fixture(params=WHEELS, ids=lambda wheel: wheel.name)
def served(empty_database: CalibDatabase, tmp_path: Path, request: pytest.FixtureRequest) -> Served:
    wheel: Path = request.param
    Release.unpack(wheel, tmp_path).command(empty_database.url, "migrate")
    client, colleague = empty_database.login("calib_reader"), empty_database.login("calib_reader")
    with psycopg.connect(empty_database.url, autocommit=True) as owner:
        owner.execute(f"CREATE SCHEMA lab AUTHORIZATION {client.name}".encode())
    with psycopg.connect(client.url, autocommit=True) as connection:
        connection.execute(
            "CREATE VIEW lab.jobs AS SELECT job_id, chip_id FROM calib.jobs WHERE state = 'failed'"
        )
        connection.execute("CREATE VIEW lab.chips AS SELECT * FROM calib.chips")
        connection.execute(f"GRANT USAGE ON SCHEMA lab TO {colleague.name}".encode())
        connection.execute(f"GRANT SELECT ON lab.jobs, lab.chips TO {colleague.name}".encode())
    return Served(empty_database, client, colleague)


def test_views_and_their_grants(served: Served) -> None:
    migrate.upgrade(served.database.url)
    with psycopg.connect(served.colleague.url) as connection:
        assert connection.execute("SELECT * FROM lab.jobs").fetchall() == []
        assert connection.execute("SELECT count(*) FROM lab.chips").fetchall() == [(0,)]


def test_a_prepared_statement_that_names_columns(served: Served) -> None:
    with psycopg.connect(served.client.url, autocommit=True) as connection:
        for upgrade in (lambda: None, lambda: migrate.upgrade(served.database.url)):
            upgrade()
            rows = connection.execute("SELECT chip_id, paused FROM calib.chips", prepare=True).fetchall()
            assert rows == []


def grow_chips(database: CalibDatabase) -> None:
    """Give the view a column at its end, as a later release may."""
    with database.connect() as owner:
        ((text,),) = owner.execute("SELECT pg_get_viewdef('calib.chips'::regclass)").fetchall()
        before, _, after = str(text).partition("\n   FROM ")
        owner.execute(f"CREATE OR REPLACE VIEW calib.chips AS {before}, 1 AS later\n   FROM {after}".encode())


def test_select_star_on_a_grown_view_is_refused_once_and_our_client_asks_again(served: Served) -> None:
    database = Database(served.client.url, pool_size=1)
    every_column = "SELECT * FROM calib.chips"
    with psycopg.connect(served.client.url, autocommit=True) as connection:
        connection.execute(every_column, prepare=True)
        for _ in range(10):  # psycopg prepares what it has seen a few times.
            assert database.rows(every_column) == []
        grow_chips(served.database)
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="cached plan"):
            connection.execute(every_column, prepare=True)
        assert database.rows(every_column) == []
    database.close()
