"""A mirror that runs beside the test."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from qdash_queue.mirror import Mirror
from tests.support.waiting import PATIENCE


@contextmanager
def running(mirror: Mirror) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=mirror.run)
    thread.start()
    try:
        yield thread
    finally:
        mirror.stop()
        thread.join(PATIENCE)
    assert not thread.is_alive()
