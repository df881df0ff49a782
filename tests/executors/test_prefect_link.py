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

from executors.prefect_link import PrefectAwayError, PrefectLink, PrefectRefusedError
from executors.wakeup import Wakeup
from qdash_queue.values import JobState

REFUSAL = "what you ask for is not to be had"


class Grumpy(ThreadingHTTPServer):
    """A server that answers every question in one way."""

    status = 200


class Answer(BaseHTTPRequestHandler):
    server: Grumpy

    def do_GET(self) -> None:
        body = json.dumps({"detail": REFUSAL}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(BrokenPipeError):  # The link's watchers leave as they like.
            self.wfile.write(body)

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
        link.make_equal(uuid4(), JobState.COMPLETED, "")
    assert f"answered {status}" in str(told.value)


@pytest.mark.parametrize("status", [401, 403, 500, 502, 503])
def test_an_answer_that_may_change_is_waited_for(grumpy: Grumpy, status: int) -> None:
    grumpy.status = status
    with PrefectLink("SIM16", Wakeup()) as link, pytest.raises(PrefectAwayError):
        link.make_equal(uuid4(), JobState.COMPLETED, "")


def test_whoever_answers_so_is_not_healthy(grumpy: Grumpy) -> None:
    grumpy.status = 422
    with PrefectLink("SIM16", Wakeup()) as link:
        assert not link.healthy()
