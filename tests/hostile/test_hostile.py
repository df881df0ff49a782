"""The short form of ``make hostile``: a few hundred tries at each face, the same every time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hostile.attack import FACES, attack
from tests.hostile.stage import Stage, open_stage
from tests.support.databases import Cluster

TRIES = 400
SEED = 11


@pytest.fixture(scope="module")
def stage(postgres_server: Cluster) -> Iterator[Stage]:
    with postgres_server.database() as database, open_stage(database) as stage:
        yield stage


@pytest.mark.parametrize("face", FACES)
def test_every_try_is_refused_in_words_or_rightly_accepted(stage: Stage, face: str) -> None:
    said: list[str] = []
    tallies = attack(stage, round(TRIES * FACES[face][0]), SEED, [face], said.append)
    assert [tally.wrong for tally in tallies] == [[]], "\n".join(said)
    assert all(tally.accepted and tally.refused for tally in tallies), "\n".join(said)
