"""Labs: one for a whole file, where tests keep to chips of their own, or one for a single test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.retention_world import RetentionWorld
from tests.support.databases import CalibDatabase, Cluster
from tests.support.queue_world import QueueWorld, open_queue_world


@pytest.fixture(scope="module")
def world(postgres_server: Cluster) -> Iterator[QueueWorld]:
    """A queue with the real clock, shared by the tests of a file."""
    with postgres_server.database() as calib, open_queue_world(calib) as world:
        yield world


@pytest.fixture(scope="module")
def timed(postgres_server: Cluster) -> Iterator[QueueWorld]:
    """A queue whose clock stands until a test moves it, shared by the tests of a file."""
    with postgres_server.database() as calib, open_queue_world(calib) as world:
        world.stop_clock()
        yield world


@pytest.fixture
def own_world(database: CalibDatabase) -> Iterator[QueueWorld]:
    """A queue of one test's own."""
    with open_queue_world(database) as world:
        yield world


@pytest.fixture
def own_timed(own_world: QueueWorld) -> QueueWorld:
    """A queue of one test's own whose clock stands."""
    own_world.stop_clock()
    return own_world


@pytest.fixture
def aging(own_timed: QueueWorld) -> RetentionWorld:
    """A queue of one test's own for growing old in."""
    return RetentionWorld(own_timed)
