"""What the API server says in the middle of a watch becomes an error by what to do."""

import concurrent.futures
import http.server
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar import clock
from sidecar.kube.client import (
    READ_SECONDS,
    ApiClient,
    ApiError,
    GoneError,
    RetryLaterError,
)
from tests.support import loopback
from tests.support.line import Line
from tests.support.waiting import is_quick


class _Watch(loopback.QuietHandler):
    """Answers every request with the lines that the server was given."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.lines)  # type: ignore[attr-defined]

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET


@pytest.fixture
def server() -> Iterator[http.server.HTTPServer]:
    with loopback.serving(_Watch) as server:
        yield server


@pytest.mark.parametrize(
    ("code", "error"), [(410, GoneError), (500, RetryLaterError)], ids=["410", "500"]
)
def test_an_error_in_a_watch_says_what_to_do(
    server: http.server.HTTPServer, tmp_path: Path, code: int, error: type[ApiError]
) -> None:
    pod = {"type": "ADDED", "object": {"metadata": {"name": "orders-0"}}}
    status = {"type": "ERROR", "object": {"code": code, "message": "too old resource version"}}
    server.lines = b"".join(json.dumps(event).encode() + b"\n" for event in (pod, status))  # type: ignore[attr-defined]
    (tmp_path / "token").write_text("token")
    address = loopback.url(server)
    client = ApiClient(address, tmp_path / "ca.crt", tmp_path / "token")
    events = client.watch("/api/v1/pods", {})
    assert next(events) == pod
    with pytest.raises(error, match="too old resource version"):
        next(events)


@pytest.mark.parametrize("left", [0.5, -5.0])
def test_nobody_is_waited_for_beyond_the_deadline(tmp_path: Path, left: float) -> None:
    (tmp_path / "token").write_text("token")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        client = ApiClient(address, tmp_path / "ca.crt", tmp_path / "token")

        def ask() -> None:
            client.hurry(clock.now() + left)
            with pytest.raises(RetryLaterError):
                client.get("/api/v1/pods")

        assert is_quick(ask, READ_SECONDS)


def test_who_is_in_a_hurry_says_so_for_one_request(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("token")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        client = ApiClient(address, tmp_path / "ca.crt", tmp_path / "token")

        def ask() -> None:
            with pytest.raises(RetryLaterError):
                client.get("/api/v1/pods", seconds=0.3)

        assert is_quick(ask, READ_SECONDS)


class _Trickle(loopback.QuietHandler):
    """Sends a byte of its answer now and then: in time for each read, and never for all of it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        part, every = self.server.trickles  # type: ignore[attr-defined]
        whole = json.dumps({"kind": "Lease"}).encode()
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(whole), whole)
        at_once = answer.index(whole) if part == "body" else 0
        try:
            self.wfile.write(answer[:at_once])
            for byte in answer[at_once:]:
                time.sleep(every)
                self.wfile.write(bytes((byte,)))
        except OSError:
            self.close_connection = True

    do_PUT = do_GET


@pytest.mark.parametrize("part", ["head", "body"])
@pytest.mark.parametrize(
    ("left", "at_most"),
    [pytest.param(float("inf"), 5.0, marks=pytest.mark.thorough), (0.5, 2.5), (-5.0, 2.0)],
)
def test_a_server_that_trickles_has_one_deadline_for_all_of_its_answer(
    tmp_path: Path, part: str, left: float, at_most: float
) -> None:
    (tmp_path / "token").write_text("token")
    with loopback.serving(_Trickle) as server:
        server.trickles = part, 0.15 if part == "head" else 0.4  # type: ignore[attr-defined]
        client = ApiClient(loopback.url(server), tmp_path / "ca.crt", tmp_path / "token")

        def ask() -> None:
            client.hurry(clock.now() + left)
            with pytest.raises(RetryLaterError):
                client.replace("/leases/pgset-orders", {})

        assert is_quick(ask, at_most)


def test_who_was_given_up_in_the_middle_is_no_harm_to_the_next_request(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("token")
    with loopback.serving(_Trickle) as server:
        client = Line(loopback.url(server), tmp_path / "ca.crt", tmp_path / "token")
        server.trickles = "body", 0.4  # type: ignore[attr-defined]
        with pytest.raises(RetryLaterError):
            client.get("/leases/pgset-orders", seconds=0.5)
        server.trickles = "body", 0.0  # type: ignore[attr-defined]
        for _ in range(3):
            assert client.get("/leases/pgset-orders") == {"kind": "Lease"}


def test_the_hurry_is_that_of_the_thread_that_fences(tmp_path: Path) -> None:
    """A list for a watch may take longer: without it the sidecar would never hear again."""
    (tmp_path / "token").write_text("token")
    with loopback.serving(_Trickle) as server:
        server.trickles = "body", 0.04  # type: ignore[attr-defined]
        client = Line(loopback.url(server), tmp_path / "ca.crt", tmp_path / "token")
        client.hurry(clock.now() - 5.0)
        with pytest.raises(RetryLaterError):
            client.get("/leases/pgset-orders")
        with concurrent.futures.ThreadPoolExecutor() as other:
            asked = other.submit(client.get, "/leases/pgset-orders")
            assert asked.result() == {"kind": "Lease"}


def test_the_operating_system_looks_after_a_watch_that_says_nothing(
    server: http.server.HTTPServer, tmp_path: Path
) -> None:
    """A line that was cut would else be waited on for 75 s, though it is long back."""
    (tmp_path / "token").write_text("token")
    server.lines = b"{}"  # type: ignore[attr-defined]
    client = Line(loopback.url(server), tmp_path / "ca.crt", tmp_path / "token")
    connected = list[socket.socket]()
    connect = socket.create_connection

    def note(address: tuple[str, int], *arguments: Any) -> socket.socket:
        made = connect(address, *arguments)
        # A thread that an earlier test has left behind may connect meanwhile, to somebody else.
        if address == server.server_address:
            connected.append(made.dup())
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "create_connection", note)
        assert list(client.watch("/api/v1/pods", {})) == []
    (line,) = connected
    with line:
        assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 5


def test_requests_are_counted_by_the_api_servers_verbs(
    server: http.server.HTTPServer, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("token")
    server.lines = b"{}"  # type: ignore[attr-defined]
    address = loopback.url(server)
    client = Line(address, tmp_path / "ca.crt", tmp_path / "token")
    assert set(client.requests().values()) == {0}
    selector = {"labelSelector": "pgset.dev/set=orders"}
    client.get("/api/v1/pods/orders-0")
    client.get("/api/v1/pods", selector)
    assert list(client.watch("/api/v1/pods", selector)) == []
    client.create("/api/v1/events", {})
    client.replace("/leases/pgset-orders", {})
    client.merge("/api/v1/pods/orders-0", {})
    client.delete("/api/v1/pods/orders-0", "uid-0")
    verbs = ("get", "list", "watch", "create", "update", "patch", "delete")
    assert client.requests() == dict.fromkeys(verbs, 1)


def test_a_request_without_an_answer_counts_too(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("token")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        client = ApiClient(address, tmp_path / "ca.crt", tmp_path / "token")
        with pytest.raises(RetryLaterError):
            client.get("/api/v1/pods/orders-0", seconds=0.3)
    assert client.requests()["get"] == 1


@pytest.mark.parametrize("token", [b"secret\nsecret", b"secret\xff", b"secret\0"])
def test_a_token_that_is_no_text_is_an_error_that_does_not_tell_it(
    server: http.server.HTTPServer, tmp_path: Path, token: bytes
) -> None:
    (tmp_path / "token").write_bytes(token)
    client = Line(loopback.url(server), tmp_path / "ca.crt", tmp_path / "token")
    with pytest.raises(RetryLaterError, match="token") as error:
        client.get("/api/v1/pods/orders-0")
    assert "secret" not in str(error.value)
    with pytest.raises(RetryLaterError):
        next(client.watch("/api/v1/pods", {}))
