from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from calibtasks.task import REGISTRY
from tests.engine.conftest import world

__all__ = ["served", "world"]


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """QDash's names can be imported; tasks that the test defines are forgotten after it."""
    from qdash_queue_compat import QDashFinder

    others = [finder for finder in sys.meta_path if finder is not QDashFinder]
    monkeypatch.setattr(sys, "meta_path", [*others, QDashFinder])
    known = dict(REGISTRY._classes)
    yield
    REGISTRY._classes.clear()
    REGISTRY._classes.update(known)
    for name in [name for name in sys.modules if name.partition(".")[0] == "qdash"]:
        del sys.modules[name]
