"""A migrated queue, a QDash database and mirrors between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import pytest
from pymongo import MongoClient

from qdash_queue.client.database import Database
from qdash_queue.embedded.mongo import find_mongod
from qdash_queue.embedded.process import EmbeddedServerError
from qdash_queue.mirror import Mirror, Pace
from qdash_queue.mirror.artifacts.figure_renderer import FigureRenderer
from qdash_queue.mirror.connection import connect_mongo, open_qdash
from qdash_queue.mirror.documents.layout import Layout
from qdash_queue.mirror.write.qdash_lookup import MongoDocument, QDashDatabase
from tests.mirror.qdash import set_up_qdash
from tests.support.chip_jobs import CHIP, ChipJobs, make_chip
from tests.support.databases import CalibDatabase
from tests.support.killable_servers import FailingMongo, kill
from tests.support.queue_world import QueueWorld, open_queue_world

MirrorMaker = Callable[..., Mirror]
QUICK = Pace(idle_seconds=0.02, away_seconds=0.1, sweep_seconds=0.1)


@pytest.fixture
def queue(database: CalibDatabase) -> Iterator[QueueWorld]:
    with open_queue_world(database) as queue:
        yield queue


@pytest.fixture
def owner(queue: QueueWorld) -> Database:
    """The queue's database, as its overseer."""
    return queue.database


@pytest.fixture
def world(queue: QueueWorld) -> ChipJobs:
    """The queue with a chip and an executor."""
    return make_chip(queue, CHIP)


@pytest.fixture
def mongo(mongo_url: str) -> Iterator[MongoClient[MongoDocument]]:
    client = connect_mongo(mongo_url)
    yield client
    client.close()


@pytest.fixture
def empty_qdash(mongo: MongoClient[MongoDocument], mongo_database: str) -> QDashDatabase:
    """QDash's empty database."""
    return open_qdash(mongo, mongo_database)


@pytest.fixture
def qdash(empty_qdash: QDashDatabase) -> QDashDatabase:
    """QDash's database with the user, the project and the chip."""
    set_up_qdash(empty_qdash)
    return empty_qdash


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(base=tmp_path / "calib_data", base_in_qdash=PurePosixPath("/app/calib_data"))


@pytest.fixture(scope="session")
def renderer() -> Iterator[FigureRenderer]:
    """One for all tests: its first figure costs a second, and more on a busy machine."""
    with FigureRenderer(60.0) as renderer:
        yield renderer


@pytest.fixture
def make_mirror(
    database: CalibDatabase, mongo_url: str, mongo_database: str, layout: Layout, renderer: FigureRenderer
) -> Iterator[MirrorMaker]:
    """Makes mirrors with the rights they have in production: the mirror's role and no other."""
    login = database.login("calib_mirror")
    made: list[Mirror] = []

    def make(url: str = mongo_url, its_own: FigureRenderer | None = None) -> Mirror:
        mirror = Mirror(
            Database(login.url),
            connect_mongo(url),
            mongo_database,
            layout,
            pace=QUICK,
            renderer=its_own or renderer,
        )
        made.append(mirror)
        return mirror

    yield make
    for mirror in made:
        mirror.close()


@pytest.fixture
def mirror(make_mirror: MirrorMaker, qdash: QDashDatabase) -> Mirror:
    return make_mirror()


@pytest.fixture
def own_mongo(tmp_path: Path) -> Iterator[FailingMongo]:
    try:
        find_mongod()
    except EmbeddedServerError as error:
        pytest.skip(str(error))
    own = FailingMongo(tmp_path / "own_mongo")
    own.start()
    yield own
    kill(own)


@pytest.fixture
def own_qdash(own_mongo: FailingMongo, mongo_database: str) -> Iterator[QDashDatabase]:
    client = connect_mongo(own_mongo.url)
    qdash = open_qdash(client, mongo_database)
    set_up_qdash(qdash)
    client.admin.command("fsync")  # Nothing of the set-up is lost when the server is killed at once.
    yield qdash
    client.close()
