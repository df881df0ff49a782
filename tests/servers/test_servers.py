"""Several servers with one life."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from qdash_queue.embedded.mongo import MongoServer
from qdash_queue.embedded.process import Durability, EmbeddedServerError, Lifetime
from qdash_queue.embedded.servers import EmbeddedServers, Kind
from tests.support.waiting import until

PAIR = frozenset({Kind.POSTGRES, Kind.MONGO})


def test_starts_those_that_are_wanted_and_reports_each() -> None:
    reported: dict[Kind, float] = {}
    servers = EmbeddedServers(kinds=PAIR, durability=Durability.FAST)
    try:
        servers.start(report=reported.__setitem__)
        assert servers.postgres.url.startswith("postgresql://")
        assert servers.mongo.url.startswith("mongodb://")
        with pytest.raises(EmbeddedServerError, match="embedded prefect server, it was not started"):
            _ = servers.prefect
    finally:
        servers.stop()
    assert reported.keys() == PAIR


def test_one_that_fails_stops_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_server: MongoServer) -> None:
        raise EmbeddedServerError("no space left")

    monkeypatch.setattr(MongoServer, "_come_up", fail)
    before = psutil.Process().children(recursive=True)
    with pytest.raises(EmbeddedServerError, match="no space left"):
        EmbeddedServers(kinds=PAIR, durability=Durability.FAST).start()
    assert psutil.Process().children(recursive=True) == before


def test_one_that_dies_is_told_with_its_logs_end(tmp_path: Path) -> None:
    with EmbeddedServers(tmp_path, kinds={Kind.MONGO}) as servers:
        servers.check()
        process = servers.mongo._process
        assert process is not None
        (mongod,) = psutil.Process(process.pid).children()
        mongod.kill()
        until(lambda: not process.is_running(), "the guard to end")
        with pytest.raises(EmbeddedServerError, match=r"mongod ended with status 137; its log .*mongod.log"):
            servers.check()


def test_detached_ones_need_a_directory() -> None:
    with pytest.raises(ValueError, match="expected a directory"):
        EmbeddedServers(None, lifetime=Lifetime.DETACHED)


def test_each_has_a_folder_of_its_name(tmp_path: Path) -> None:
    with EmbeddedServers(tmp_path, kinds={Kind.MONGO}) as servers:
        assert servers.mongo.home == tmp_path / "mongo"
