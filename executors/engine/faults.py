"""Which targets of a sweep an instrument's error is about."""

from __future__ import annotations

import re
from collections.abc import Iterable

from executors.backends.base import BaseBackend
from qdash_queue.domain import Failure, FailureKind


def at_fault(backend: BaseBackend, qids: Iterable[str], failure: Failure) -> list[str]:
    """The targets whose box an instrument's failure names as a word; all of them if it names none."""
    every = list(qids)
    if failure.kind is not FailureKind.INSTRUMENT or len(every) < 2:
        return every
    named = [qid for qid in every if any(_names(failure.message, box) for box in backend.boxes(qid))]
    return named or every


def _names(message: str, box: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(box)}(?!\w)", message) is not None
