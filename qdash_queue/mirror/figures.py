"""Renders Plotly figures to PNG in a process of its own, with a time limit.

Kaleido drives a small browser. It may hang or die on a strange figure; then the process and its browser are
killed, the figure is reported as not rendered, and the next one starts a fresh process.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

_WORKER = Path(__file__).with_name("figure_worker.py")
_READ_SIZE = 1 << 16


class FigureError(Exception):
    """A figure cannot be rendered; the message says why."""


class RendererLostError(FigureError):
    """The process that renders hung or died; the figure may be innocent."""


class FigureSize(BaseModel):
    """Size of a picture in layout pixels, and how many picture pixels each becomes."""

    model_config = ConfigDict(frozen=True)

    width: int = 800
    height: int = 500
    scale: float = 1.5


class _Layout(BaseModel):
    width: float | None = Field(default=None, ge=10, le=4000)
    height: float | None = Field(default=None, ge=10, le=4000)


class _Figure(BaseModel):
    data: list[dict[str, JsonValue]]
    layout: _Layout = Field(default_factory=_Layout)


class _Answer(BaseModel):
    png: str | None = None
    error: str | None = None


class FigureRenderer:
    """Turns a Plotly figure's JSON into a PNG; one figure at a time, from one thread at a time."""

    def __init__(self, time_limit_seconds: float = 20.0, size: FigureSize | None = None) -> None:
        self._time_limit_seconds = time_limit_seconds
        self._size = size or FigureSize()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def render(self, plotly_json: str) -> bytes:
        """The figure as PNG.

        Raises:
            FigureError: the text is no Plotly figure, or kaleido refused it.
            RendererLostError: the time limit passed, or the process ended.
        """
        request = self._request(plotly_json)
        try:
            answer = _Answer.model_validate_json(self._exchange(request))
        except ValidationError as error:
            self.close()
            raise RendererLostError("the renderer answered with something else than a picture") from error
        except RendererLostError:
            self.close()
            raise
        if answer.png is None:
            raise FigureError(answer.error or "kaleido gave neither a picture nor a reason")
        return base64.b64decode(answer.png)

    def close(self) -> None:
        """End the process and everything it started."""
        process, self._process = self._process, None
        if process is None:
            return
        # Its own group, because kaleido's browser has several processes. It may have ended by itself.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for pipe in (process.stdin, process.stdout):
            # Closing flushes, but nobody is left to read.
            with contextlib.suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()
        process.wait()

    def _request(self, plotly_json: str) -> bytes:
        try:
            figure = _Figure.model_validate_json(plotly_json)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the text"
            raise FigureError(
                f"expected a Plotly figure with data and layout: {where}: {first['msg']}"
            ) from error
        options = {
            "width": figure.layout.width or self._size.width,
            "height": figure.layout.height or self._size.height,
            "scale": self._size.scale,
        }
        # The stored text itself goes through, on one line, so that nothing is lost on the way.
        one_line = plotly_json.replace("\n", " ").replace("\r", " ")
        return f'{{"figure": {one_line}, {json.dumps(options)[1:]}\n'.encode()

    def _worker(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            # -P: the worker's folder holds modules named like libraries (gridfs).
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(_WORKER), str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        return self._process

    def _exchange(self, request: bytes) -> bytes:
        """Send one line and read one, both within the time limit."""
        deadline = time.monotonic() + self._time_limit_seconds
        process = self._worker()
        if process.stdin is None or process.stdout is None:
            raise RendererLostError("the renderer has no pipes")
        os.set_blocking(process.stdin.fileno(), False)
        os.set_blocking(process.stdout.fileno(), False)
        received = bytearray()
        with selectors.DefaultSelector() as ready:
            ready.register(process.stdin, selectors.EVENT_WRITE)
            ready.register(process.stdout, selectors.EVENT_READ)
            while not received.endswith(b"\n"):
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    raise RendererLostError(f"not rendered within {self._time_limit_seconds:g} s")
                for key, _ in ready.select(remaining):
                    if key.fileobj is process.stdin:
                        request = _send_some(process.stdin, request)
                        if not request:
                            ready.unregister(process.stdin)
                    else:
                        received += _receive_some(process.stdout)
        return bytes(received)


def _send_some(pipe: IO[bytes], content: bytes) -> bytes:
    try:
        return content[os.write(pipe.fileno(), content) :]
    except BrokenPipeError as error:
        raise RendererLostError(_ENDED) from error


def _receive_some(pipe: IO[bytes]) -> bytes:
    content = os.read(pipe.fileno(), _READ_SIZE)
    if not content:
        raise RendererLostError(_ENDED)
    return content


_ENDED = "the renderer ended; are kaleido and plotly installed (pip install 'qdash-queue[mirror]')?"
