"""Tells permanent refusals of MongoDB from transient ones.

A retry is useless where the document itself is refused: it is too large, a validator rejects it, its key
belongs to another document. An outage, a full disk or a missing right is transient, however long it lasts.
"""

from __future__ import annotations

from collections.abc import Sequence

from bson.errors import BSONError
from pymongo.errors import DocumentTooLarge, OperationFailure

from qdash_queue.errors import QdashQueueError
from qdash_queue.mirror.read.rows import Refusal

DUPLICATE_KEY = 11000
TOO_LARGE = 10334
_VALIDATION = 121
_OTHER_FORM = 28
# BadValue, FailedToParse, TypeMismatch, Overflow (too deep), bad field names, a document too large after an
# update, a key too long for its index.
_OTHERS = (2, 9, 14, 15, 52, 56, 57, 17419, 17280)
FOR_GOOD = frozenset({DUPLICATE_KEY, TOO_LARGE, _VALIDATION, _OTHER_FORM, *_OTHERS})

# What the driver raises over a document that it cannot even send.
UNSENDABLE = (BSONError, OverflowError, UnicodeEncodeError)

_AGAIN = "then qdash-queue mirror retry"
_REMEDIES = {
    DUPLICATE_KEY: f"another document holds its key: remove that one from QDash's database, {_AGAIN}",
    TOO_LARGE: "MongoDB takes 16 MB: let the task keep its bulk as raw data or a figure, then measure again",
    _VALIDATION: f"the collection's validator does not take it: let it (collMod), {_AGAIN}",
    _OTHER_FORM: f"a document there has another form than QDash's: fix it, {_AGAIN}",
}


class DocumentsRefusedError(QdashQueueError):
    """MongoDB permanently refused documents; all others of the same subject are written."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        more = f" (and {len(refusals) - 1} more)" if len(refusals) > 1 else ""
        super().__init__(f"{refusals[0]}{more}")
        self.refusals = list(refusals)


def is_for_good(error: Exception) -> bool:
    """Whether the error concerns the document itself, so that a retry fails too."""
    return isinstance(error, UNSENDABLE) or (isinstance(error, OperationFailure) and error.code in FOR_GOOD)


def refusal(document: str, error: Exception) -> Refusal:
    """The permanent error as a refusal."""
    code = TOO_LARGE if isinstance(error, DocumentTooLarge) else getattr(error, "code", None)
    details = getattr(error, "details", None) or {}
    words = str(details.get("errmsg", error)).split("\n", maxsplit=1)[0][:500]
    return Refusal(
        document=document,
        reason=words,
        remedy=_REMEDIES.get(code or 0, f"fix what the task wrote or what QDash holds, {_AGAIN}"),
    )
