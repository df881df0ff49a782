"""Each released wheel at work on the present schema."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from qdash_queue.embedded.prefect_server import PrefectServer
from tests.support.databases import Cluster
from tests.upgrade.release import WHEELS, Release, version_of
from tests.upgrade.upgrade_world import Upgrade, UpgradeWorld, set_up, upgrade_under_load

# Where several processes run the tests, all of one release in one.
RELEASES = [
    pytest.param(wheel, id=version_of(wheel), marks=pytest.mark.xdist_group(version_of(wheel)))
    for wheel in WHEELS
]


@pytest.fixture(scope="session", params=RELEASES)
def release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Release:
    wheel: Path = request.param
    return Release.unpack(wheel, tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="session")
def world(
    release: Release,
    postgres_server: Cluster,
    prefect_server: PrefectServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[UpgradeWorld]:
    """A world on the release's schema, set up with the release."""
    with (
        postgres_server.database(template="template1") as database,
        set_up(release, database, prefect_server, tmp_path_factory.mktemp("upgrade")) as world,
    ):
        yield world


@pytest.fixture(scope="session")
def upgrade(world: UpgradeWorld) -> Upgrade:
    """The upgrade to the present schema; a test that uses it runs on the upgraded world."""
    return upgrade_under_load(world)
