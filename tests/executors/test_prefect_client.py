"""What the supervisor makes of Prefect's answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from executors.prefect.client import PrefectLink, PrefectRefusedError, PrefectUnreachableError
from executors.prefect.flow_runs import FlowRunRequest
from qdash_queue.domain import JobState
from qdash_queue.stopping import Wakeup
from tests.executors.flows import noop

REFUSAL = "what you ask for is not to be had"
PAGE = "<html><body>We will be back soon.</body></html>"
REQUEST = FlowRunRequest("a run", (), {}, "a key")


class Grumpy(ThreadingHTTPServer):
    """A server that answers every question in one way."""

    status = 200
    words = json.dumps({"detail": REFUSAL})


class Answer(BaseHTTPRequestHandler):
    server: Grumpy

    def do_GET(self) -> None:
        body = self.server.words.encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(BrokenPipeError):  # The link's watchers leave as they like.
            self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def grumpy() -> Iterator[Grumpy]:
    with Grumpy(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings = {
            PREFECT_API_URL: f"http://127.0.0.1:{server.server_port}/api",
            PREFECT_CLIENT_MAX_RETRIES: 0,
        }
        with temporary_settings(settings):
            yield server
        server.shutdown()


@pytest.mark.parametrize("status", [400, 409, 413, 422])
def test_a_refusal_is_no_absence(grumpy: Grumpy, status: int) -> None:
    grumpy.status = status
    with PrefectLink("SIM16", Wakeup()) as link, pytest.raises(PrefectRefusedError, match=REFUSAL) as told:
        link.set_final_state(uuid4(), JobState.COMPLETED, "")
    assert f"answered {status}" in str(told.value)


@pytest.mark.parametrize("status", [401, 403, 500, 502, 503])
def test_an_answer_that_may_change_is_waited_for(grumpy: Grumpy, status: int) -> None:
    grumpy.status = status
    with PrefectLink("SIM16", Wakeup()) as link, pytest.raises(PrefectUnreachableError):
        link.set_final_state(uuid4(), JobState.COMPLETED, "")


def test_a_server_that_answers_so_is_not_healthy(grumpy: Grumpy) -> None:
    grumpy.status = 422
    with PrefectLink("SIM16", Wakeup()) as link:
        assert not link.healthy()


@pytest.mark.parametrize("words", [PAGE, "{}", "[]", "null"])
def test_an_answer_that_is_not_prefects_is_an_absence(grumpy: Grumpy, words: str) -> None:
    grumpy.words = words
    with PrefectLink("SIM16", Wakeup()) as link:
        with pytest.raises(PrefectUnreachableError):
            link.create_flow_run(noop, REQUEST, 5.0).value()
        with pytest.raises(PrefectUnreachableError):
            link.open_flow_runs(["SIM16"])


def test_an_unreadable_state_is_an_absence(grumpy: Grumpy) -> None:
    grumpy.words = '{"name": "of another version"}'
    with PrefectLink("SIM16", Wakeup()) as link, pytest.raises(PrefectUnreachableError):
        link.set_final_state(uuid4(), JobState.COMPLETED, "")


def test_a_page_for_people_is_not_healthy(grumpy: Grumpy) -> None:
    grumpy.words = PAGE
    with PrefectLink("SIM16", Wakeup()) as link:
        assert not link.healthy()
