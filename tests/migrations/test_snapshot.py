"""The committed dump is what a fresh database and a migrated one have."""

from __future__ import annotations

from pathlib import Path

import pytest

from qdash_queue import migrate
from tests.migrations.snapshot import SNAPSHOT, dump
from tests.support.databases import CalibDatabase, Cluster
from tests.upgrade.release import WHEELS, Release


@pytest.fixture(autouse=True)
def _postgresql_18(postgres_server: Cluster) -> None:
    if not postgres_server.version.startswith("18."):
        pytest.skip("the snapshot is PostgreSQL 18's dump")


def test_a_fresh_database(database: CalibDatabase) -> None:
    assert dump(database.url) == SNAPSHOT.read_text(encoding="utf-8"), "run `make snapshot` and commit it"


@pytest.mark.parametrize("wheel", WHEELS, ids=lambda wheel: wheel.name)
def test_a_migrated_database(empty_database: CalibDatabase, wheel: Path, tmp_path: Path) -> None:
    Release.unpack(wheel, tmp_path).command(empty_database.url, "migrate")
    assert migrate.current(empty_database.url) != migrate.head()
    migrate.upgrade(empty_database.url)
    assert dump(empty_database.url) == SNAPSHOT.read_text(encoding="utf-8")
