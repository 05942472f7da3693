"""A sidecar that starts answers the kubelet before it has loaded what takes the time."""

import http.client
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from sidecar.__main__ import LOADING_SECONDS, while_loading
from sidecar.report.message import Answer, Request
from sidecar.report.server import HttpServer
from tests.support.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def server(clock: Clock) -> Iterator[HttpServer]:
    server = HttpServer(while_loading(clock), 0, waits=lambda _: False, host="127.0.0.1")
    server.start()
    yield server
    server.stop()


def code(server: HttpServer, path: str) -> int:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)) as connection:
        connection.request("GET", path)
        return connection.getresponse().status


def test_only_the_watchdog_is_answered_with_yes_and_not_for_ever(
    server: HttpServer, clock: Clock
) -> None:
    assert [code(server, path) for path in ("/liveness", "/healthz", "/primary")] == [200, 503, 503]
    clock.advance(LOADING_SECONDS)
    assert code(server, "/liveness") == 503


def test_then_it_answers_with_what_the_member_knows(server: HttpServer) -> None:
    threads = []

    def answer(request: Request) -> Answer:
        threads.append(threading.current_thread().name)
        return Answer.of(418, {"path": request.path})

    server.answer_by(answer, waits=lambda request: request.path == "/status")
    assert [code(server, path) for path in ("/liveness", "/status")] == [418, 418]
    assert threads[0] == "http" != threads[1]


def test_nothing_that_takes_long_to_load_comes_before_that() -> None:
    loaded = "import sys; import sidecar.__main__; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert {"psycopg", "urllib3", "prometheus_client", "sidecar.agent"}.isdisjoint(
        run.stdout.split()
    )
