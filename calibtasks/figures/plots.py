"""Figures of the tasks: data, fit, value and error in the title; Plotly JSON with plain lists."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray
from plotly.io import templates

Real = NDArray[np.float64]

DATA_COLOUR: Final = "#1f77b4"
SECOND_COLOUR: Final = "#2ca02c"
FIT_COLOUR: Final = "#d62728"
_CURVE_POINTS: Final = 600
_DIGITS: Final = 7
"""Significant digits of a drawn number: finer than any screen, and half as long as a full one."""

Drawing = dict[str, Any]
"""Plotly's JSON before its arrays are written out; a ``go.Figure`` takes ten times as long to check."""


@dataclass(frozen=True)
class Figure:
    """A named figure: Plotly's JSON, with plain lists and ``null`` where a number is not finite."""

    name: str
    plotly: str

    @classmethod
    def of(cls, name: str, figure: go.Figure | Drawing) -> Figure:
        """The figure with its arrays written out."""
        drawing = figure.to_dict() if isinstance(figure, go.Figure) else figure
        return cls(name, json.dumps(_plain(drawing), allow_nan=False, separators=(",", ":")))


@dataclass(frozen=True)
class Axis:
    """An axis: its title with the unit, and its scale (``linear`` or ``log``)."""

    title: str
    scale: str = "linear"


@dataclass(frozen=True)
class Series:
    """Points and the line that was fitted to them."""

    name: str
    x: Real
    y: Real
    line_x: Real
    line_y: Real
    colour: str = DATA_COLOUR


def value_and_error(value: float, error: float, unit: str) -> str:
    """``value ± error unit`` to the error's second digit; ``no value`` if it is not finite.

    >>> value_and_error(40.473, 0.613, "μs")
    '40.47 ± 0.61 μs'
    """
    unit = "" if unit == "a.u." else unit
    if not math.isfinite(value):
        return "no value"
    if not math.isfinite(error) or error <= 0:
        return f"{value:.6g} {unit}".rstrip()
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{digits}f} ± {error:.{digits}f} {unit}".rstrip()


def spaced(first: float, last: float, scale: str) -> Real:
    """Points for a smooth line over an axis."""
    if scale == "log":
        return np.geomspace(first, last, _CURVE_POINTS)
    return np.linspace(first, last, _CURVE_POINTS)


def fit_figure(title: str, subtitle: str, x: Axis, y: Axis, series: list[Series]) -> Drawing:
    """Data points and fitted lines over one axis."""
    traces = []
    for item in series:
        marker = {"size": 6, "color": item.colour}
        traces.append(_trace(item.name, item.x, item.y, mode="markers", marker=marker))
        line = {"width": 2, "color": FIT_COLOUR if len(series) == 1 else item.colour}
        name = "fit" if len(series) == 1 else f"fit of {item.name}"
        traces.append(_trace(name, item.line_x, item.line_y, mode="lines", line=line))
    return {"data": traces, "layout": _layout(title, subtitle, x, y)}


def plane_figure(title: str, subtitle: str, unit: str, clouds: Mapping[str, ArrayLike]) -> Drawing:
    """Points in the IQ plane, both axes to one scale; the cloud named ``fit`` is drawn as a line."""
    traces = []
    for name, points in clouds.items():
        iq = np.asarray(points, dtype=np.complex128)
        style: dict[str, Any] = {"mode": "markers", "marker": {"size": 6, "color": DATA_COLOUR}}
        if name == "fit":
            style = {"mode": "lines", "line": {"width": 1.5, "color": FIT_COLOUR}}
        elif iq.size == 1:
            style["marker"] = {"size": 11, "color": SECOND_COLOUR}
        traces.append(_trace(name, iq.real, iq.imag, **style))
    layout = _layout(title, subtitle, Axis(f"In phase ({unit})"), Axis(f"Quadrature ({unit})"))
    layout["yaxis"] |= {"scaleanchor": "x", "scaleratio": 1}
    return {"data": traces, "layout": layout}


def add_level(drawing: Drawing, name: str, level: float) -> None:
    """Draw a dotted line over the whole width, with its name at the right end."""
    across = {"type": "line", "xref": "x domain", "x0": 0, "x1": 1, "y0": level, "y1": level}
    drawing["layout"].setdefault("shapes", []).append({**across, "line": {"dash": "dot", "width": 1}})
    place = {"xref": "x domain", "x": 1, "xanchor": "right", "y": level, "yanchor": "bottom"}
    words = {**place, "text": name, "showarrow": False}
    drawing["layout"].setdefault("annotations", []).append(words)


def _trace(name: str, x: Real, y: Real, **style: Any) -> Drawing:
    return {"type": "scatter", "name": name, "x": x, "y": y, **style}


def _layout(title: str, subtitle: str, x: Axis, y: Axis) -> Drawing:
    return {
        "template": _template(),
        "title": {"text": f"<b>{title}</b><br><sup>{subtitle}</sup>", "x": 0.02},
        "xaxis": {"title": {"text": x.title}, "type": x.scale, "mirror": True, "showgrid": True},
        "yaxis": {"title": {"text": y.title}, "type": y.scale, "mirror": True, "showgrid": True},
        "legend": {"orientation": "h", "x": 0.5, "xanchor": "center", "y": -0.22, "yanchor": "top"},
        "margin": {"l": 80, "r": 30, "t": 85, "b": 115},
        "font": {"size": 15},
    }


@cache
def _template() -> Drawing:
    return dict(templates["simple_white"].to_plotly_json())


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _numbers(value) if value.ndim == 1 and value.dtype.kind == "f" else _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _numbers(values: Real) -> list[float | None]:
    """Rounded, all by one format, which takes a third of the time."""
    words = (f"%.{_DIGITS}g " * values.size) % tuple(values.tolist())
    return [number if math.isfinite(number) else None for number in map(float, words.split())]
