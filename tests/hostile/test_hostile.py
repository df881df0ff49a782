"""The short form of ``make hostile``: a few hundred tries at each interface, the same every time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hostile.attack import INTERFACES, attack
from tests.hostile.target import Target, open_target
from tests.support.databases import Cluster

TRIES = 400
SEED = 11


@pytest.fixture(scope="module")
def target(postgres_server: Cluster) -> Iterator[Target]:
    with postgres_server.database() as database, open_target(database) as target:
        yield target


@pytest.mark.parametrize("interface", INTERFACES)
def test_every_try_is_refused_in_words_or_rightly_accepted(target: Target, interface: str) -> None:
    said: list[str] = []
    tallies = attack(target, round(TRIES * INTERFACES[interface][0]), SEED, [interface], said.append)
    assert [tally.wrong for tally in tallies] == [[]], "\n".join(said)
    assert all(tally.accepted and tally.refused for tally in tallies), "\n".join(said)
