"""Gives every stored figure its picture, or the reason why it has none."""

from __future__ import annotations

import logging
import time

from qdash_queue.mirror.figures import FigureError, FigureRenderer, RendererLostError
from qdash_queue.mirror.rows import UnrenderedFigure
from qdash_queue.mirror.source import Source

_log = logging.getLogger(__name__)

_EMPTY_FIGURE = '{"data": [], "layout": {}}'
_RETRY_SECONDS = 60.0


class FigureRendering:
    """Takes figures without a picture from PostgreSQL, renders them there and stores what came of it."""

    def __init__(self, source: Source, renderer: FigureRenderer) -> None:
        self._source = source
        self._renderer = renderer
        self._out_of_order_until = 0.0

    def render_waiting(self, limit: int, budget_seconds: float) -> int:
        """Render up to so many figures, starting none once the budget is spent; returns how many are settled.

        A figure that cannot be rendered is settled too, with the reason. Where nothing can be rendered at all
        (kaleido missing or broken), figures wait and everything else goes on.
        """
        now = time.monotonic()
        if now < self._out_of_order_until:
            return 0
        settled = 0
        for figure in self._source.unrendered_figures(limit):
            if not self._settle(figure):
                break
            settled += 1
            if time.monotonic() - now > budget_seconds:
                break
        return settled

    def _settle(self, figure: UnrenderedFigure) -> bool:
        try:
            png = self._render(figure.plotly)
        except FigureError as error:
            if not self._works():
                self._out_of_order_until = time.monotonic() + _RETRY_SECONDS
                _log.warning("no figures are rendered for now: %s", error)
                return False
            _log.warning("figure %s is not rendered: %s", figure.figure_id, error)
            self._source.store_render_error(figure.figure_id, str(error))
        else:
            self._source.store_png(figure.figure_id, png)
        return True

    def _render(self, plotly: str) -> bytes:
        try:
            return self._renderer.render(plotly)
        except RendererLostError:
            # Perhaps the machine was busy, or the last figure had left the browser ill.
            return self._renderer.render(plotly)

    def _works(self) -> bool:
        try:
            self._renderer.render(_EMPTY_FIGURE)
        except FigureError:
            return False
        return True
