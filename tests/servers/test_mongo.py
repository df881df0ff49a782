"""The embedded MongoDB, and the sentence where there is none."""

from __future__ import annotations

import platform
import shutil
from importlib import metadata
from pathlib import Path

import pymongo
import pytest

from qdash_queue.embedded.mongo import MongoServer, find_mongod
from qdash_queue.embedded.process import EmbeddedServerError


def test_comes_up_keeps_its_data_and_listens_on_the_loopback_only(tmp_path: Path) -> None:
    with MongoServer(tmp_path) as server, pymongo.MongoClient[dict[str, object]](server.url) as client:
        assert client.server_info()["version"] == "6.0.5"
        client.lab.kept.insert_one({"seven": 7})
        options = client.admin.command("getCmdLineOpts")["parsed"]["net"]
        assert options["bindIp"] == "127.0.0.1"
    with MongoServer(tmp_path) as server, pymongo.MongoClient[dict[str, object]](server.url) as client:
        assert client.lab.kept.count_documents({"seven": 7}) == 1


def test_other_machines_are_asked_for_a_url(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    monkeypatch.setattr(shutil, "which", lambda _program: None)
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(EmbeddedServerError, match=r"got Linux on aarch64\): set QDASH_QUEUE_MONGO_URL"):
        find_mongod()
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    with pytest.raises(EmbeddedServerError, match=r"install qdash-queue\[embedded\]"):
        find_mongod()
