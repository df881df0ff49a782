"""Pictures of figures: made by a process that may hang or die without harm."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from qdash_queue.mirror.figures import FigureError, FigureRenderer, RendererLostError
from tests.mirror.world import figure_json

PNG = b"\x89PNG\r\n\x1a\n"


def size_of(png: bytes) -> tuple[int, int]:
    return int.from_bytes(png[16:20]), int.from_bytes(png[20:24])


def worker_of(renderer: FigureRenderer) -> psutil.Process:
    assert renderer._process is not None
    return psutil.Process(renderer._process.pid)


def test_renders_and_keeps_the_figures_own_size(renderer: FigureRenderer) -> None:
    png = renderer.render(figure_json("CheckT1 0"))
    assert png.startswith(PNG)
    assert size_of(png) == (1200, 750)
    sized = '{"data": [], "layout": {"width": 400, "height": 300}}'
    assert size_of(renderer.render(sized)) == (600, 450)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nonsense", "Invalid JSON"),
        ("[1]", "should be an object"),
        ('{"layout": {}}', "data: Field required"),
        ('{"data": 3}', "data: Input should be a valid array"),
        ('{"data": [], "layout": {"width": 1e9}}', "layout.width"),
        # Found out by plotly's own script only.
        ('{"data": [{"type": "scattermapbox"}], "layout": {"mapbox": {"style": "dark"}}}', "Mapbox access"),
    ],
)
def test_refuses_in_words_and_renders_the_next(renderer: FigureRenderer, text: str, words: str) -> None:
    with pytest.raises(FigureError, match=words):
        renderer.render(text)
    assert renderer.render(figure_json("next")).startswith(PNG)


def test_hanging_process_is_killed_within_the_limit_and_replaced() -> None:
    with FigureRenderer(time_limit_seconds=60) as renderer:
        renderer.render(figure_json("first"))
        hung = worker_of(renderer)
        hung.suspend()
        renderer._time_limit_seconds = 1.0
        began = time.monotonic()
        # More than a pipe holds: the writing must not hang either.
        with pytest.raises(RendererLostError, match="not rendered within 1 s"):
            renderer.render(figure_json("second", points=20_000))
        assert time.monotonic() - began < 5
        assert not hung.is_running()
        renderer._time_limit_seconds = 60.0
        assert renderer.render(figure_json("third")).startswith(PNG)


def test_dead_process_is_replaced(renderer: FigureRenderer) -> None:
    renderer.render(figure_json("first"))
    worker = worker_of(renderer)
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait(10)
    assert renderer.render(figure_json("second")).startswith(PNG)


def test_closing_ends_the_browser_too() -> None:
    renderer = FigureRenderer()
    renderer.render(figure_json("first"))
    family = [worker_of(renderer), *worker_of(renderer).children(recursive=True)]
    assert len(family) > 1
    renderer.close()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []


def test_worker_ends_when_its_mirror_is_killed() -> None:
    renderer = FigureRenderer()
    renderer.render(figure_json("first"))
    family = [worker_of(renderer), *worker_of(renderer).children(recursive=True)]
    process = renderer._process
    assert process is not None
    assert process.stdin is not None
    # What the kernel does with the pipe when the mirror dies.
    process.stdin.close()
    _, alive = psutil.wait_procs(family, timeout=10)
    renderer.close()
    assert alive == []


def test_the_renderer_ends_with_its_mirror_even_while_kaleido_hangs() -> None:
    script = (
        "import sys, time\n"
        "from qdash_queue.mirror.figures import FigureRenderer, RendererLostError\n"
        "renderer = FigureRenderer()\n"
        "for _ in range(5):\n"
        "    try:\n"
        '        renderer.render(\'{"data": [], "layout": {}}\')\n'
        "        break\n"
        "    except RendererLostError:  # Kaleido may hang before the test wants it to.\n"
        "        pass\n"
        "print('rendered', flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as mirror:
        assert mirror.stdout is not None
        assert mirror.stdout.readline() == b"rendered\n"
        family = psutil.Process(mirror.pid).children(recursive=True)
        assert len(family) >= 2
        for process in family[1:]:
            process.suspend()
        mirror.kill()
    gone, alive = psutil.wait_procs(family, timeout=10)
    assert not alive, gone
