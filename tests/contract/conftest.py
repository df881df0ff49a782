"""Labs: one for a whole file, where tests keep to chips of their own, or one for a single test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.keeper import Keeper
from tests.contract.lab import Lab, open_lab
from tests.support.databases import CalibDatabase, Cluster


@pytest.fixture(scope="module")
def lab(postgres_server: Cluster) -> Iterator[Lab]:
    """A lab with the real clock, shared by the tests of a file."""
    with postgres_server.database() as calib, open_lab(calib) as lab:
        yield lab


@pytest.fixture(scope="module")
def timed(postgres_server: Cluster) -> Iterator[Lab]:
    """A lab whose clock stands until a test moves it, shared by the tests of a file."""
    with postgres_server.database() as calib, open_lab(calib) as lab:
        lab.stop_clock()
        yield lab


@pytest.fixture
def own_lab(database: CalibDatabase) -> Iterator[Lab]:
    """A lab of one test's own."""
    with open_lab(database) as lab:
        yield lab


@pytest.fixture
def own_timed(own_lab: Lab) -> Lab:
    """A lab of one test's own whose clock stands."""
    own_lab.stop_clock()
    return own_lab


@pytest.fixture
def keeper(own_timed: Lab) -> Keeper:
    """A lab of one test's own for growing old in."""
    return Keeper(own_timed)
