"""The sidecar's HTTP server: what it answers, and whom it does not wait for. Over real sockets."""

import http.client
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from sidecar.report import server as module
from sidecar.report.server import MAX_BODY, MAX_HEAD, HttpServer


def echo(environ: Any, start_response: Any) -> Iterable[bytes]:
    """Tell what came; /broken and /hangs are what they say."""
    if environ["PATH_INFO"] == "/broken":
        raise LookupError("a fault")
    if environ["PATH_INFO"] == "/hangs":
        hung.wait(10)
    body = environ["wsgi.input"].read()
    names = ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "HTTP_PGSET_SIGNATURE")
    said = "|".join([*(environ.get(name, "") for name in names), body.decode()]).encode()
    start_response("200 OK", [("Content-Length", str(len(said)))])
    return [said]


hung = threading.Event()


@pytest.fixture
def server() -> Iterator[HttpServer]:
    hung.clear()
    server = HttpServer(echo, 0, host="127.0.0.1", threads=2)
    server.start()
    yield server
    hung.set()
    server.close()


def connect(server: HttpServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=5)


def talk(server: HttpServer, *pieces: bytes) -> bytes:
    """What comes back for these pieces, sent a little apart."""
    with connect(server) as client:
        for piece in pieces:
            client.sendall(piece)
            time.sleep(0.05)
        return b"".join(iter(lambda: client.recv(4096), b""))


def status(server: HttpServer, *pieces: bytes) -> str:
    return talk(server, *pieces).partition(b"\r\n")[0].decode()


def test_a_request_comes_to_the_application_and_its_answer_back(server: HttpServer) -> None:
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    client.request("POST", "/a%20b?lag=1kB", body=b"question", headers={"Pgset-Signature": "x"})
    answer = client.getresponse()
    assert (answer.status, answer.read()) == (200, b"POST|/a b|lag=1kB|x|question")
    assert answer.headers["Connection"] == "close"
    client.close()


def test_a_request_may_come_in_pieces(server: HttpServer) -> None:
    pieces = (b"POST / HT", b"TP/1.1\r\nContent-Le", b"ngth: 4\r\n\r\nab", b"cd")
    assert talk(server, *pieces).endswith(b"\r\n\r\nPOST|/|||abcd")


@pytest.mark.parametrize(
    ("request_", "line"),
    [
        (b"hello\r\n\r\n", "400 Bad Request"),
        (b"GET /\r\n\r\n", "400 Bad Request"),
        (b"GET / SMTP\r\n\r\n", "400 Bad Request"),
        (b"GET / HTTP/1.1\r\nno header\r\n\r\n", "400 Bad Request"),
        (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "400 Bad Request"),
        (b"GET / HTTP/1.1\r\nContent-Length: \xb2\r\n\r\n", "400 Bad Request"),
        (b"GET / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY + 1), "413 Content Too Large"),
        (b"GET / HTTP/1.1\r\nContent-Length: %s\r\n\r\n" % (b"9" * 5000), "413 Content Too Large"),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "411 Length Required"),
        (b"GET /%s" % (b"a" * MAX_HEAD), "431 Request Header Fields Too Large"),
        (b"GET /broken HTTP/1.1\r\n\r\n", "500 Internal Server Error"),
    ],
)
def test_what_is_no_request_is_refused_and_the_next_is_answered(
    server: HttpServer, request_: bytes, line: str
) -> None:
    for _ in range(3):  # more often than there are threads
        assert status(server, request_) == f"HTTP/1.1 {line}"
    assert status(server, b"GET / HTTP/1.1\r\n\r\n") == "HTTP/1.1 200 OK"


def test_one_answer_that_takes_long_keeps_no_other_waiting(server: HttpServer) -> None:
    with connect(server) as slow:
        slow.sendall(b"GET /hangs HTTP/1.1\r\n\r\n")
        assert status(server, b"GET / HTTP/1.1\r\n\r\n") == "HTTP/1.1 200 OK"
        hung.set()
        assert slow.recv(4096).startswith(b"HTTP/1.1 200 OK")


def test_clients_that_say_nothing_keep_nobody_waiting(server: HttpServer) -> None:
    """Four of them, more than there are threads."""
    silent = [connect(server) for _ in range(4)]
    began = time.monotonic()
    assert status(server, b"GET / HTTP/1.1\r\n\r\n") == "HTTP/1.1 200 OK"
    assert time.monotonic() - began < 0.5
    for client in silent:
        client.close()


def test_who_goes_on_slowly_is_left(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece in time, and the whole too late."""
    monkeypatch.setattr(module, "SECONDS", 0.3)
    began = time.monotonic()
    with connect(server) as slow:
        for _ in range(2):
            slow.sendall(b"GET /")
            time.sleep(0.2)
        assert slow.recv(4096) == b""
    assert time.monotonic() - began < 1.5


def test_a_client_that_ends_in_the_middle_does_no_harm(server: HttpServer) -> None:
    for piece in (b"GET", b"GET /hangs HTTP/1.1\r\n\r\n"):
        for _ in range(2):
            with connect(server) as client:
                client.sendall(piece)
    hung.set()
    assert status(server, b"GET / HTTP/1.1\r\n\r\n") == "HTTP/1.1 200 OK"


def test_it_is_found_on_every_address_of_either_family() -> None:
    server = HttpServer(echo, 0, threads=1)
    server.start()
    addresses = ["127.0.0.1", *(["::1"] if socket.has_dualstack_ipv6() else [])]
    for address in addresses:
        client = http.client.HTTPConnection(address, server.port, timeout=5)
        client.request("GET", "/")
        assert client.getresponse().status == 200
        client.close()
    server.close()
