"""A sidecar that starts keeps the kubelet's probe waiting, and does not refuse it."""

import ast
import http.client
import re
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from sidecar.report.message import Answer
from sidecar.report.server import HttpServer, listen
from tests.support.http_server import PATIENT


def test_a_probe_that_comes_before_all_is_loaded_is_answered_then() -> None:
    listener = listen(0, "127.0.0.1")
    port = listener.getsockname()[1]
    codes: list[int] = []

    def probe() -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=180)) as connection:
            connection.request("GET", "/liveness")
            codes.append(connection.getresponse().status)

    probing = threading.Thread(target=probe)
    probing.start()
    probing.join(0.3)
    assert (probing.is_alive(), codes) == (True, [])
    server = HttpServer(lambda _: Answer(200, b""), listener, waits=lambda _: None, seconds=PATIENT)
    server.start()
    probing.join(180)
    server.stop()
    assert codes == [200]


def test_nothing_that_takes_long_to_load_comes_before_that() -> None:
    loaded = "import sys; import sidecar.__main__; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert {"psycopg", "urllib3", "prometheus_client", "sidecar.agent"}.isdisjoint(
        run.stdout.split()
    )


@pytest.mark.thorough
def test_no_thread_is_left_to_be_started_when_the_loop_begins(tmp_path: Path) -> None:
    """Where memory is short, `Thread.start` may wait for ever, and with it who calls it."""
    command = [sys.executable, "-m", "tests.support.idle_threads", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.split("\n") == [""], run.stderr


def test_threads_are_made_where_what_has_them_is_made() -> None:
    """So that the test before this one sees them, and none is made, and started, with some work."""
    made = [
        (path.name, function.name)
        for path in (Path(__file__).parents[2] / "sidecar").rglob("*.py")
        if re.search(r"\b(Thread|Workers|Timer)\(", source := path.read_text())
        for function in ast.walk(ast.parse(source))
        if isinstance(function, ast.FunctionDef)
        for call in ast.walk(function)
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) in ("threading.Thread", "Thread", "Workers", "threading.Timer")
    ]
    assert {name for _, name in made} == {"__init__"}, made
