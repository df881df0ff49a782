"""A desk of each test's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.desk import Desk
from tests.support.databases import CalibDatabase, Cluster
from tests.support.queue_world import open_queue_world


def pytest_configure(config: pytest.Config) -> None:
    """The mark of the one test that plays the whole demo."""
    config.addinivalue_line("markers", "demo: plays the whole demo, about a minute")


@pytest.fixture
def bare_desk(database: CalibDatabase) -> Iterator[Desk]:
    """People with roles, and nothing else: no project, no chip."""
    with open_queue_world(database, bare=True) as world:
        yield Desk(world)


@pytest.fixture(scope="module")
def lasting_desk(postgres_server: Cluster) -> Iterator[Desk]:
    with postgres_server.database() as database, open_queue_world(database, bare=True) as world:
        desk = Desk(world)
        desk.furnish()
        desk.offer()
        yield desk


@pytest.fixture
def shared_desk(lasting_desk: Desk) -> Desk:
    """The same as `desk`, for tests that leave nothing behind."""
    lasting_desk.executor.seen()
    return lasting_desk


@pytest.fixture
def desk(bare_desk: Desk) -> Desk:
    """A project with its people, a chip, and an executor that has registered."""
    bare_desk.furnish()
    bare_desk.offer()
    return bare_desk
