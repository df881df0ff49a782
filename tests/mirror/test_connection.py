"""What the settings name as MongoDB, and is none."""

from __future__ import annotations

import pytest

from qdash_queue.mirror.connection import MongoUnreachableError, connect_mongo, open_qdash


@pytest.mark.parametrize("url", ["mongodb://[::1/", "mongodb://bob:s3cret@x@db", "mongodb://bob@db:s3cret"])
def test_a_url_that_cannot_be_read_keeps_its_password(url: str) -> None:
    with pytest.raises(MongoUnreachableError, match="expected a MongoDB URL") as refused:
        connect_mongo(url)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("name", ["a b", "", "a.b"])
def test_a_name_that_mongodb_does_not_allow_is_told(name: str) -> None:
    with (
        connect_mongo("mongodb://127.0.0.1:1") as client,
        pytest.raises(MongoUnreachableError, match=f'QDASH_QUEUE_MONGO_DATABASE, got "{name}"'),
    ):
        open_qdash(client, name)
