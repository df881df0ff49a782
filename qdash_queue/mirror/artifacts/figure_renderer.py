"""Renders Plotly figures to PNG in a process of its own, with a time limit a try.

Kaleido drives a small browser, which may hang or die. Then the process and its browser are killed, and the
figure is tried once more in a new one. A new process first shows that it can render at all, so that a figure
which is lost twice is known to be at fault itself.
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

from qdash_queue.errors import QdashQueueError

_WORKER = Path(__file__).with_name("figure_worker.py")
_READ_SIZE = 1 << 16
_TRIES = 2


class FigureError(QdashQueueError):
    """A figure cannot be rendered; the message says why."""


class RendererBrokenError(QdashQueueError):
    """Nothing can be rendered for now; the message says why."""


class _LostError(QdashQueueError):
    """The process hung, died or said something strange."""


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
    """Turns a Plotly figure's JSON into a PNG; one figure at a time, from one thread at a time.

    Args:
        time_limit_seconds: how long a process may take to start, and how long for one figure.
        size: of figures that name none.
        worker: the program that renders; see :mod:`qdash_queue.mirror.artifacts.figure_worker`.
    """

    def __init__(
        self, time_limit_seconds: float = 20.0, size: FigureSize | None = None, worker: Path = _WORKER
    ) -> None:
        self._time_limit_seconds = time_limit_seconds
        self._size = size or FigureSize()
        self._worker = worker
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready = False
        self._is_at_work = False
        self._tries = 0
        self._request = b""
        self._unsent = b""
        self._received = bytearray()
        self._deadline = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def render(self, plotly_json: str) -> bytes:
        """The figure as PNG, waited for.

        Raises:
            FigureError: the text is no Plotly figure, kaleido refused it, or both tries were lost.
            RendererBrokenError: no process could be started that renders.
        """
        self.begin(plotly_json)
        while True:
            if (png := self.picture(self._time_limit_seconds)) is not None:
                return png

    def begin(self, plotly_json: str) -> None:
        """Start to render the figure; one that is not finished is given up.

        Raises:
            FigureError: the text is no Plotly figure.
        """
        if self._is_at_work:
            self.close()
        self._request = self._written(plotly_json)
        self._tries = 0
        self._is_at_work = True
        self._try()

    def picture(self, seconds: float) -> bytes | None:
        """The PNG of the figure begun; None if it is not there after so many seconds.

        Raises:
            FigureError: kaleido refused the figure, or both tries were lost.
            RendererBrokenError: no process could be started that renders.
        """
        until = time.monotonic() + seconds
        while True:
            try:
                answer = self._answer(until)
            except _LostError as error:
                was_ready = self._is_ready
                self._end_process()
                if self._tries < _TRIES:
                    self._try()
                    continue
                self._is_at_work = False
                if was_ready:
                    raise FigureError(f"{error}, in {_TRIES} tries") from error
                raise RendererBrokenError(str(error)) from error
            if answer is None:
                return None
            self._is_at_work = False
            if answer.png is None:
                raise FigureError(answer.error or "kaleido gave neither a picture nor a reason")
            return base64.b64decode(answer.png)

    def close(self) -> None:
        """End the process and everything it started."""
        self._is_at_work = False
        self._end_process()

    def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        # Its own group, because kaleido's browser has several processes. It may have ended by itself.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for pipe in (process.stdin, process.stdout):
            # Closing flushes, but the reader has ended.
            with contextlib.suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()
        process.wait()

    def _written(self, plotly_json: str) -> bytes:
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

    def _try(self) -> None:
        self._tries += 1
        if self._process is None or self._process.poll() is not None:
            self._end_process()
            self._process = self._started()
            self._is_ready = False
        self._unsent = self._request
        self._received.clear()
        self._deadline = time.monotonic() + self._time_limit_seconds

    def _started(self) -> subprocess.Popen[bytes]:
        # -P: the worker's folder holds modules named like libraries (gridfs).
        process = subprocess.Popen(
            [sys.executable, "-P", str(self._worker), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
        return process

    def _answer(self, until: float) -> _Answer | None:
        """What came of the figure; a new process's first line says whether it can render at all."""
        while (line := self._line(until)) is not None:
            try:
                answer = _Answer.model_validate_json(line)
            except ValidationError as error:
                raise _LostError("the renderer answered with something else than a picture") from error
            if self._is_ready:
                return answer
            if answer.error is not None:
                raise _LostError(answer.error)
            self._is_ready = True
            self._deadline = time.monotonic() + self._time_limit_seconds
        return None

    def _line(self, until: float) -> bytes | None:
        """Send what is to be sent and read a line; None if there is none by then."""
        if self._process is None or self._process.stdin is None or self._process.stdout is None:
            raise _LostError("the renderer has no pipes")
        with selectors.DefaultSelector() as ready:
            ready.register(self._process.stdout, selectors.EVENT_READ)
            if self._unsent:
                ready.register(self._process.stdin, selectors.EVENT_WRITE)
            while b"\n" not in self._received:
                now = time.monotonic()
                events = ready.select(max(0.0, min(until, self._deadline) - now))
                for key, _ in events:
                    if key.fileobj is self._process.stdout:
                        self._received += _receive_some(self._process.stdout)
                        continue
                    self._unsent = _send_some(self._process.stdin, self._unsent)
                    if not self._unsent:
                        ready.unregister(self._process.stdin)
                if not events and now >= self._deadline:
                    raise _LostError(f"not rendered within {self._time_limit_seconds:g} s")
                if not events and now >= until:
                    return None
        line, _, rest = self._received.partition(b"\n")
        self._received = rest
        return bytes(line)


def _send_some(pipe: IO[bytes], content: bytes) -> bytes:
    try:
        return content[os.write(pipe.fileno(), content) :]
    except BrokenPipeError as error:
        raise _LostError(_ENDED) from error


def _receive_some(pipe: IO[bytes]) -> bytes:
    content = os.read(pipe.fileno(), _READ_SIZE)
    if not content:
        raise _LostError(_ENDED)
    return content


_ENDED = "the renderer ended; are kaleido and plotly installed (pip install 'qdash-queue[mirror]')?"
