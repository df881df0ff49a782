"""A chip, its queue and its executors, shared by all tests here: an executor takes seconds to start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from qdash_queue.embedded.prefect_server import PrefectServer
from tests.executors.fleet import Fleet, open_relay
from tests.support.databases import Cluster
from tests.support.queue_world import open_queue_world

CHIP = "SIM-16"


@pytest.fixture(scope="session")
def fleet(
    postgres_server: Cluster, prefect_server: PrefectServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    """Executors for one chip; none is started yet."""
    with (
        postgres_server.database() as database,
        open_queue_world(database) as world,
        open_relay(prefect_server) as (relay, prefect),
    ):
        world.add_chip(CHIP)
        queue = world.person("alice", "calib_operator", access="operator").queue
        folder = tmp_path_factory.mktemp("fleet")
        made = Fleet(CHIP, world, queue, prefect_server, relay, prefect, folder)
        try:
            yield made
        finally:
            made.close()
