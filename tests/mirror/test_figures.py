"""Pictures of figures: made by a process that may hang or die without harm."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import psutil
import pytest

from qdash_queue.client.records import FigureRecord, TaskRecord
from qdash_queue.mirror.artifacts.figure_renderer import FigureError, FigureRenderer, RendererBrokenError
from qdash_queue.mirror.write.qdash_lookup import QDashDatabase
from tests.mirror.conftest import MirrorMaker
from tests.mirror.running_mirror import running
from tests.support.chip_jobs import ChipJobs, figure_json, passing
from tests.support.waiting import PATIENCE, until

PNG = b"\x89PNG\r\n\x1a\n"
STUB = """
import base64, json, pathlib, sys, time
marks = pathlib.Path(__file__).parent
with (marks / "starts").open("a") as starts:
    starts.write("x")
if (marks / "broken").exists():
    time.sleep(600)
print(json.dumps({"png": "ready"}), flush=True)
for line in sys.stdin:
    title = json.loads(line)["figure"]["layout"]["title"]["text"]
    if title == "always" or title == "once" and not (marks / "hung").exists():
        (marks / "hung").touch()
        time.sleep(600)
    print(json.dumps({"png": base64.b64encode(title.encode()).decode()}), flush=True)
"""
"""Renders a title into itself; hangs at ``once`` the first time, at ``always`` each time."""


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


def test_a_hang_costs_a_figure_its_second_try() -> None:
    with FigureRenderer(time_limit_seconds=PATIENCE) as renderer:
        renderer.render(figure_json("first"))
        hung = worker_of(renderer)
        hung.suspend()
        # More than a pipe holds: the writing must not hang either.
        renderer.begin(figure_json("second", points=20_000))
        began = time.monotonic()
        assert renderer.picture(0.2) is None
        assert time.monotonic() - began < PATIENCE / 2
        renderer._deadline = 0.0
        png = renderer.picture(2 * PATIENCE)
        assert png is not None
        assert png.startswith(PNG)
        assert not hung.is_running()


@pytest.fixture
def stub(tmp_path: Path) -> Path:
    program = tmp_path / "stub_worker.py"
    program.write_text(STUB)
    return program


def test_a_figure_that_always_hangs_is_refused_in_words_and_others_pass(stub: Path) -> None:
    with FigureRenderer(3.0, worker=stub) as renderer:
        assert renderer.render(figure_json("once")) == b"once"
        with pytest.raises(FigureError, match="not rendered within 3 s, in 2 tries"):
            renderer.render(figure_json("always"))
        assert renderer.render(figure_json("another")) == b"another"


def test_a_renderer_that_cannot_start_is_no_figures_fault(stub: Path) -> None:
    stub.with_name("broken").touch()
    with (
        FigureRenderer(1.0, worker=stub) as renderer,
        pytest.raises(RendererBrokenError, match="within 1 s"),
    ):
        renderer.render(figure_json("innocent"))
    stub.write_text("raise SystemExit(1)")
    with (
        FigureRenderer(worker=stub) as renderer,
        pytest.raises(RendererBrokenError, match="are kaleido and plotly installed"),
    ):
        renderer.render(figure_json("innocent"))


def test_a_figure_that_was_given_up_does_not_answer_for_the_next(stub: Path) -> None:
    with FigureRenderer(PATIENCE, worker=stub) as renderer:
        renderer.begin(figure_json("always"))
        assert renderer.picture(0.0) is None
        assert renderer.render(figure_json("next")) == b"next"


def test_a_hanging_figure_keeps_neither_documents_nor_the_stop_waiting(
    stub: Path, world: ChipJobs, make_mirror: MirrorMaker, qdash: QDashDatabase
) -> None:
    def hanging(task: str, _qid: str) -> TaskRecord:
        figure = FigureRecord(name="hanging", plotly=figure_json("always"))
        return passing(task).model_copy(update={"figures": [figure]})

    def seen() -> datetime:
        moment = world.database.value("SELECT max(last_seen_at) FROM calib.mirrors")
        assert isinstance(moment, datetime)
        return moment

    with FigureRenderer(600.0, worker=stub) as its_own:
        mirror = make_mirror(its_own=its_own)
        with running(mirror):
            job = world.run(["0"], ["CheckT1"], hanging)
            until(lambda: qdash["execution_history"].count_documents({"status": "completed"}) == 1)
            before = seen()
            until(lambda: seen() > before)
        # It has stopped, long before the figure is given up, and waits for it no more.
        assert mirror._render_all().figures == 0
        assert its_own.picture(0.0) is None
    with FigureRenderer(2.0, worker=stub) as its_own:
        assert make_mirror(its_own=its_own).run_once().figures == 1
    [figure] = world.queue.figures(job.job_id)
    assert (figure.png, figure.render_error) == (None, "not rendered within 2 s, in 2 tries")


def test_dead_process_is_replaced(renderer: FigureRenderer) -> None:
    renderer.render(figure_json("first"))
    worker = worker_of(renderer)
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait(PATIENCE)
    assert renderer.render(figure_json("second")).startswith(PNG)


def test_closing_ends_the_browser_too() -> None:
    renderer = FigureRenderer(PATIENCE)
    renderer.render(figure_json("first"))
    family = [worker_of(renderer), *worker_of(renderer).children(recursive=True)]
    assert len(family) > 1
    renderer.close()
    _, alive = psutil.wait_procs(family, timeout=PATIENCE)
    assert alive == []


def test_worker_ends_when_its_mirror_is_killed() -> None:
    renderer = FigureRenderer(PATIENCE)
    renderer.render(figure_json("first"))
    family = [worker_of(renderer), *worker_of(renderer).children(recursive=True)]
    process = renderer._process
    assert process is not None
    assert process.stdin is not None
    # What the kernel does with the pipe when the mirror dies.
    process.stdin.close()
    _, alive = psutil.wait_procs(family, timeout=PATIENCE)
    renderer.close()
    assert alive == []


def test_the_renderer_ends_with_its_mirror_even_while_kaleido_hangs() -> None:
    script = (
        "import sys, time\n"
        "from qdash_queue.mirror.artifacts.figure_renderer import FigureRenderer\n"
        "renderer = FigureRenderer(60)\n"
        'renderer.render(\'{"data": [], "layout": {}}\')\n'
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
    gone, alive = psutil.wait_procs(family, timeout=PATIENCE)
    assert not alive, gone
