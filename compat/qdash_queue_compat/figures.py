"""Plotly figures with a role, as QDash's tasks make them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from calibtasks.figures.plots import Figure

_ROLE: Final = "qdash_figure_role"


def set_figure_role(fig: Any, role: str) -> Any:
    """Mark a Plotly figure as ``raw`` or ``marked``; the same figure."""
    kept = fig.layout.meta if isinstance(fig.layout.meta, dict) else {}
    fig.update_layout(meta={**kept, _ROLE: role})
    return fig


def named(figures: Iterable[Any], prefix: str = "") -> list[Figure]:
    """The figures by number and role (``figure_0_raw``); what a fit that drew nothing gives is left out."""
    drawn = [(number, figure) for number, figure in enumerate(figures) if figure is not None]
    return [
        Figure.of(f"{prefix}figure_{number}{_suffix(figure)}", figure.to_dict()) for number, figure in drawn
    ]


def _suffix(figure: Any) -> str:
    role = figure.layout.meta.get(_ROLE) if isinstance(figure.layout.meta, dict) else None
    return f"_{role}" if role in ("raw", "marked") else ""
