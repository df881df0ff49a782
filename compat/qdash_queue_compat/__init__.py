"""Serves QDash's import names from qdash-queue: importing this package installs the import finder.

``qdash_queue_compat.pth`` imports it whenever the interpreter starts, so this module imports ``sys`` alone.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # By itself: at every start of the interpreter typing would cost milliseconds.
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ["QDashFinder"]


class QDashFinder:
    """Finds ``qdash`` and what is below it; it is the last finder, so an installed QDash is found before."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The served module; ModuleNotFoundError with a sentence for one that is left out."""
        if fullname.partition(".")[0] != "qdash":
            return None
        from qdash_queue_compat.served import spec_of  # noqa: PLC0415 - only when it is used

        return spec_of(fullname)


sys.meta_path.append(QDashFinder)
