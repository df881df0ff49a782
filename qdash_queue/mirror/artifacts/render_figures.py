"""Gives every stored figure its picture, or the reason why it has none."""

from __future__ import annotations

import logging
import time

from qdash_queue.mirror.artifacts.figure_renderer import FigureError, FigureRenderer, RendererBrokenError
from qdash_queue.mirror.read.queue_database import QueueDatabase
from qdash_queue.mirror.read.rows import UnrenderedFigure
from qdash_queue.stopping import StopSign

_log = logging.getLogger(__name__)

_RETRY_SECONDS = 60.0
_LOOK_SECONDS = 0.1


class FigureRendering:
    """Takes figures without a picture from PostgreSQL, renders them there and stores what came of it.

    Args:
        source: the queue's rows.
        renderer: makes the pictures.
        stop: once it is set, no figure is waited for.
    """

    def __init__(self, source: QueueDatabase, renderer: FigureRenderer, stop: StopSign) -> None:
        self._source = source
        self._renderer = renderer
        self._stop = stop
        self._begun: UnrenderedFigure | None = None
        self._out_of_order_until = 0.0

    @property
    def is_at_work(self) -> bool:
        """Whether a figure was begun and is not settled."""
        return self._begun is not None

    def render_waiting(self, limit: int, seconds: float) -> int:
        """Render up to so many figures for so long; returns how many are settled.

        A figure that takes longer goes on and is settled by a later call. One that cannot be rendered is
        settled too, with the reason. Where nothing can be rendered at all (kaleido missing or broken),
        figures wait and everything else goes on.
        """
        until = time.monotonic() + seconds
        if time.monotonic() < self._out_of_order_until:
            return 0
        settled = 0
        for figure in [self._begun] if self._begun else self._source.unrendered_figures(limit):
            if (settled and time.monotonic() > until) or not self._settle(figure, until):
                break
            settled += 1
        return settled

    def _settle(self, figure: UnrenderedFigure, until: float) -> bool:
        try:
            if self._begun is None:
                self._renderer.begin(figure.plotly)
                self._begun = figure
            png = self._picture(until)
        except FigureError as error:
            self._begun = None
            _log.warning("figure %s is not rendered: %s", figure.figure_id, error)
            self._source.store_render_error(figure.figure_id, str(error))
            return True
        except RendererBrokenError as error:
            self._begun = None
            self._out_of_order_until = time.monotonic() + _RETRY_SECONDS
            _log.warning("no figures are rendered for now: %s", error)
            return False
        if png is None:
            return False
        self._begun = None
        self._source.store_png(figure.figure_id, png)
        return True

    def _picture(self, until: float) -> bytes | None:
        while not self._stop.is_set():
            left = until - time.monotonic()
            png = self._renderer.picture(min(max(left, 0.0), _LOOK_SECONDS))
            if png is not None or left <= 0:
                return png
        return None
