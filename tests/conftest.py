"""Real servers for the tests: containers where a Docker engine answers, else the embedded ones.

`PG=15` chooses the system's PostgreSQL 15 (or its container), `TEST_SERVERS=embedded` keeps Docker out.
No test can reach a real installation: the QDASH_QUEUE_* and PREFECT_* variables of the caller are dropped.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pymongo
import pytest
from xdist.workermanage import WorkerController

from qdash_queue.embedded.mongo import MongoServer
from qdash_queue.embedded.postgres import PostgresServer, system_bin
from qdash_queue.embedded.prefect_server import QUIET, PrefectServer, prefect_version
from qdash_queue.embedded.process import Durability
from tests.support import containers, installations, processes
from tests.support.databases import CalibDatabase, Cluster
from tests.support.waiting import PATIENCE

VERSIONS = pytest.StashKey[dict[str, str]]()
LONGEST = ("chaos", "executors")


def pytest_configure(config: pytest.Config) -> None:
    """Shut the caller's own settings out before anything reads them."""
    for name in list(os.environ):
        if name.startswith(("QDASH_QUEUE_", "PREFECT_")):
            del os.environ[name]
    os.environ.update(QUIET)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Test modules import Prefect while they are collected; its files belong here, not in the caller's home.
    home = tempfile.mkdtemp(prefix="qdq-tests-")
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    os.environ["PREFECT_HOME"] = home
    os.environ["PREFECT_PROFILES_PATH"] = f"{home}/profiles.toml"
    processes.tag_session()
    config.stash[VERSIONS] = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the rooms that take longest, lest one process is left alone with them at the end."""
    items.sort(key=lambda item: item.path.parent.name not in LONGEST)  # Keeps the order otherwise.


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the process that started this one, if it is one of several, on which servers its tests ran."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["versions"] = session.config.stash[VERSIONS]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: WorkerController) -> None:
    """Take in what one of several processes tells at its end."""
    node.config.stash[VERSIONS].update(getattr(node, "workeroutput", {}).get("versions", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say on which servers the tests ran."""
    for name, version in config.stash[VERSIONS].items():
        terminalreporter.write_line(f"{name}: {version}")


@pytest.fixture(scope="session", autouse=True)
def no_process_left_behind() -> Iterator[None]:
    """Whatever the tests started has ended when the session is over."""
    yield
    alive = processes.left_over(PATIENCE)
    named = [processes.describe(process) for process in alive]
    processes.end(alive)
    assert not named, "left behind by the tests (and killed now):\n" + "\n".join(named)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel built from the tree as it is."""
    return installations.build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def client_programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs of an installation without extras."""
    return installations.install_client(wheel, tmp_path_factory.mktemp("client"))


@pytest.fixture(scope="session")
def contained() -> bool:
    """Whether the servers run in containers."""
    return containers.wanted()


@pytest.fixture(scope="session")
def postgres_server(contained: bool, pytestconfig: pytest.Config) -> Iterator[Cluster]:
    """A PostgreSQL server with the migrated template; the version is chosen by the variable PG."""
    wanted = os.environ.get("PG")
    if contained:
        with containers.postgres(int(wanted or containers.DEFAULT_MAJOR)) as server:
            yield _prepared(Cluster.prepare(server), "in a container", pytestconfig)
        return
    programs = system_bin(int(wanted)) if wanted else None
    with PostgresServer(programs=programs, durability=Durability.FAST) as embedded:
        yield _prepared(Cluster.prepare(embedded), "the system's" if wanted else "embedded", pytestconfig)


def _prepared(cluster: Cluster, origin: str, config: pytest.Config) -> Cluster:
    config.stash[VERSIONS]["PostgreSQL"] = f"{cluster.version}, {origin}"
    return cluster


@pytest.fixture
def database(postgres_server: Cluster) -> Iterator[CalibDatabase]:
    """A migrated, empty database of this test's own, and login roles for it."""
    with postgres_server.database() as database:
        yield database


@pytest.fixture
def database_url(database: CalibDatabase) -> str:
    """URL of this test's database, as superuser."""
    return database.url


@pytest.fixture
def empty_database(postgres_server: Cluster) -> Iterator[CalibDatabase]:
    """A database that was never migrated."""
    with postgres_server.database(template="template1") as database:
        yield database


@pytest.fixture(scope="session")
def mongo_url(contained: bool, pytestconfig: pytest.Config) -> Iterator[str]:
    """URL of a MongoDB server, without a database's name."""
    if contained:
        with containers.mongo() as url:
            yield _noted_mongo(url, "in a container", pytestconfig)
        return
    with MongoServer() as server:
        yield _noted_mongo(server.url, "embedded", pytestconfig)


def _noted_mongo(url: str, origin: str, config: pytest.Config) -> str:
    with pymongo.MongoClient[dict[str, object]](url) as client:
        config.stash[VERSIONS]["MongoDB"] = f"{client.server_info()['version']}, {origin}"
    return url


@pytest.fixture
def mongo_database(mongo_url: str) -> Iterator[str]:
    """Name of a MongoDB database of this test's own, dropped afterwards."""
    name = f"test_{secrets.token_hex(6)}"
    yield name
    with pymongo.MongoClient[dict[str, object]](mongo_url) as client:
        client.drop_database(name)


@pytest.fixture(scope="session")
def prefect_server(pytestconfig: pytest.Config) -> Iterator[PrefectServer]:
    """A Prefect server on SQLite."""
    with PrefectServer() as server:
        pytestconfig.stash[VERSIONS]["Prefect"] = f"{prefect_version()}, embedded"
        yield server


@pytest.fixture(scope="session")
def prefect_api_url(prefect_server: PrefectServer) -> str:
    """URL of the Prefect server's API."""
    return prefect_server.url


@pytest.fixture
def prefect_environment(prefect_server: PrefectServer, tmp_path: Path) -> dict[str, str]:
    """The variables under which a process of its own talks to the Prefect server, with a home of its own."""
    own = {
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_PROFILES_PATH": str(tmp_path / "profiles.toml"),
    }
    return prefect_server.client_environment | own
