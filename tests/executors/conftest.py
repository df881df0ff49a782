"""A chip, its queue and its executors, shared by all tests here: an executor takes seconds to start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from qdash_queue.client.admin import Admin
from qdash_queue.client.database import Database
from qdash_queue.client.queue import Queue
from qdash_queue.embedded.prefect_server import PrefectServer
from tests.executors.fleet import PROJECT, Fleet
from tests.executors.relay import Relay
from tests.support.databases import Cluster

CHIP = "SIM-16"


@pytest.fixture(scope="session")
def fleet(
    postgres_server: Cluster, prefect_server: PrefectServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Fleet]:
    """Executors for one chip; none is started yet."""
    folder = tmp_path_factory.mktemp("fleet")
    with postgres_server.database() as database:
        operator, executor = database.login("calib_operator"), database.login("calib_executor")
        admin = Admin(Database(database.login("calib_admin").url))
        admin.add_project(PROJECT)
        admin.grant_member(PROJECT, operator.name, "alice", "operator")
        admin.add_chip(CHIP, "fake", "square-lattice-mux-16")
        admin.allow_executor(executor.name, CHIP)
        relay = Relay(prefect_server.port)
        with (
            temporary_settings({PREFECT_API_URL: prefect_server.url}),
            get_client(sync_client=True) as prefect,
        ):
            made = Fleet(
                chip_id=CHIP,
                queue=Queue.connect(operator.url),
                owner=Database(database.overseer.url),
                executor_url=executor.url,
                relay=relay,
                folder=folder,
                prefect_environment=_home(prefect_server, folder),
                prefect=prefect,
            )
            try:
                yield made
            finally:
                made.close()
                relay.cut()
                admin.database.close()
                made.queue.database.close()
                made.owner.close()


def _home(prefect_server: PrefectServer, folder: Path) -> dict[str, str]:
    return {
        **prefect_server.client_environment,
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_PROFILES_PATH": str(folder / "profiles.toml"),
    }
