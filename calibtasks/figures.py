"""Figures as Plotly JSON with plain lists, so that any viewer of any version can read them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go


@dataclass(frozen=True)
class Figure:
    """A named figure: Plotly's JSON, with plain lists and ``null`` where a number is not finite."""

    name: str
    plotly: str

    @classmethod
    def of(cls, name: str, figure: go.Figure) -> Figure:
        """The figure with its arrays written out."""
        return cls(name, json.dumps(_plain(figure.to_dict()), allow_nan=False, separators=(",", ":")))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
