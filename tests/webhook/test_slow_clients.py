"""Slow and broken clients of a real gunicorn: they are cut off, and nobody else waits for them."""

import base64
import contextlib
import http.client
import json
import math
import re
import resource
import socket
import ssl
import time
from pathlib import Path

import pytest

from tests.webhook import objects
from tests.webhook.gunicorn_server import answer_to, serving
from webhook.framing import MAX_BODY
from webhook.patient_worker import MAX_WAITING, PATIENCE

HEAD = b"POST /mutate/pods HTTP/1.1\r\nHost: webhook\r\nContent-Type: application/json\r\n"


pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("tls")) as server:
        yield server


def silent(server):
    return server.tcp()


def half_a_handshake(server):
    client = server.tcp()
    client.sendall(b"\x16\x03\x01\x02\x00\x01")
    return client


def half_a_head(server):
    client = server.tls()
    client.sendall(HEAD)
    return client


def half_a_body(server):
    client = server.tls()
    client.sendall(HEAD + b"Content-Length: 100\r\n\r\n{")
    return client


def answered_and_not_closing(server):
    client = server.tls()
    client.sendall(b"GET /livez HTTP/1.1\r\nHost: webhook\r\nConnection: close\r\n\r\n")
    return client


def in_reserve(server):
    return server.tls()


SLOW = [silent, half_a_handshake, half_a_head, half_a_body, answered_and_not_closing, in_reserve]


def assert_a_review_is_answered(server):
    review = objects.admission_review(objects.article_pod())
    with server.connect() as connection:
        status, answer = answer_to(connection, "POST", "/mutate/pods", json.dumps(review))
    assert (status, answer["response"]["allowed"]) == (200, True)


def assert_a_review_is_answered_at_once(server, open_others):
    """Once in five times: a busy machine may stand still. By then none of them is cut off."""

    def took():
        try:
            open_others()
        except OSError:  # one was cut off by then, as this took so long
            return math.inf
        began = time.monotonic()
        assert_a_review_is_answered(server)
        return time.monotonic() - began

    assert any(took() < PATIENCE / 2 for _ in range(5))


@pytest.fixture
def opened(server):
    """Opens clients that are closed when the test is over."""
    with contextlib.ExitStack() as clients:
        yield lambda kind: clients.enter_context(kind(server))


@pytest.mark.parametrize("slow", SLOW)
def test_many_slow_clients_stop_nobody_else_from_being_served(server, opened, slow):
    assert_a_review_is_answered_at_once(server, lambda: [opened(slow) for _ in range(30)])


def test_slow_clients_are_cut_off_and_connections_in_reserve_are_kept(opened):
    clients = [opened(slow) for slow in SLOW if slow is not in_reserve]
    reserve, trickling = opened(in_reserve), opened(half_a_body)
    started = time.monotonic()
    while time.monotonic() - started < PATIENCE + 1.5:
        with contextlib.suppress(OSError):
            trickling.sendall(b" ")
        time.sleep(0.2)
    for client in [*clients, trickling]:
        rest_of(client)  # comes to its end
    reserve.sendall(b"GET /livez HTTP/1.1\r\nHost: webhook\r\n\r\n")
    assert reserve.recv(12) == b"HTTP/1.1 200"


def rest_of(client):
    """Return all that comes until the server closes; TimeoutError where it doesn't."""
    received = bytearray()
    try:
        while chunk := client.recv(65536):
            received += chunk
    except ConnectionResetError:
        pass
    return bytes(received)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (HEAD + b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1), b"413"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"411"),
        (HEAD + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", b"417"),
        (HEAD + b"X: " + b"x" * 20_000, b"431"),
        (HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}   ", b"400"),
        (HEAD + b"Content-Length: five\r\n\r\n", b"400"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"\r\n\r\n", b"400"),
        (b"GET /mutate/pods HTTP/1.1\r\nHost: webhook\r\nConnection: close\r\n\r\n", b"405"),
        (b"POST /mutate/nodes HTTP/1.1\r\nHost: webhook\r\nConnection: close\r\n\r\n", b"404"),
    ],
)
def test_a_bad_request_is_answered_with_4xx_and_closed(server, request_, status):
    with server.tls() as client:
        client.sendall(request_)
        assert rest_of(client)[9:12] == status


def test_plain_http_is_cut_off(server):
    with server.tcp() as client:
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: webhook\r\n\r\n")
        assert b"HTTP" not in rest_of(client)
    assert_a_review_is_answered(server)


def test_a_body_that_ends_early_is_nobodys_trouble(server):
    for _ in range(5):
        half_a_body(server).close()
    assert_a_review_is_answered(server)


def comes_in_time(question):
    """Return the first answer; asked again where the client was cut off, as a busy machine may take
    all of the time that it has, but not five times in a row."""
    for _ in range(5):
        began = time.monotonic()
        try:
            return question()
        except (OSError, http.client.HTTPException):
            if time.monotonic() - began < PATIENCE:
                raise
    raise AssertionError("it was cut off each time")


def test_a_review_may_come_in_pieces(server):
    body = json.dumps(objects.admission_review(objects.article_pod())).encode()
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body

    def asked():
        with server.tls() as client:
            for start in range(0, len(request), 500):
                client.sendall(request[start : start + 500])
                time.sleep(0.01)
            return answered(client)

    assert comes_in_time(asked).startswith(b"HTTP/1.1 200")


def test_a_review_of_7_mib_is_read(server):
    body = json.dumps(objects.admission_review(objects.article_pod())).ljust(MAX_BODY)

    def asked():
        with server.connect() as connection:
            return answer_to(connection, "POST", "/mutate/pods", body)

    assert comes_in_time(asked)[0] == 200


def test_a_client_that_does_not_wait_for_answers_gets_the_first_and_is_closed(server):
    with server.tls() as client:
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: webhook\r\n\r\n" * 2)
        assert rest_of(client).count(b"HTTP/1.1 200") == 1


def test_unfinished_bodies_hold_only_so_much_memory(server):
    size = MAX_BODY - 1000

    def first_of_too_many():
        with contextlib.ExitStack() as opened:
            number = MAX_WAITING // size + 1
            clients = [opened.enter_context(in_reserve(server)) for _ in range(number)]
            # On a busy machine it is cut off before all have come, as it has its time only.
            with contextlib.suppress(OSError):
                for client in clients:
                    client.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % MAX_BODY)
                    client.sendall(b" " * size)
            return rest_of(clients[0])[9:12]

    # Who has waited longest gives way, so that nobody who is faster has to.
    assert any(first_of_too_many() == b"503" for _ in range(5))
    assert_a_review_is_answered(server)


def large_review():
    """The answer is larger than what sockets hold: both of our containers get the variable too."""
    pod = objects.article_pod()
    variable = {"name": "POSTGRES_LARGE", "value": "x" * 3 * 2**20}
    pod["spec"]["containers"][0].setdefault("env", []).append(variable)
    body = json.dumps(objects.admission_review(pod)).encode()
    return HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body


def test_who_does_not_read_the_answer_is_not_waited_for(server, opened):
    request = large_review()

    def ask_and_do_not_read():
        for _ in range(4):
            client = opened(in_reserve)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(request)

    assert_a_review_is_answered_at_once(server, ask_and_do_not_read)


def memory(server):
    """MiB that the server's processes hold, all but the master's."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in children.split())
    return pages * resource.getpagesize() / 2**20


def test_answers_that_nobody_reads_hold_only_so_much_memory(server, opened):
    request = large_review()
    before = memory(server)
    for _ in range(40):
        client = opened(in_reserve)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        # On a busy machine one is cut off before all of it has come, as it has its time only.
        with contextlib.suppress(OSError):
            client.sendall(request)
    assert_a_review_is_answered(server)
    # What is held, twice while it grows, and one answer in the making. All forty: 400 MiB.
    assert memory(server) - before < 128


FEW = 40


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A server that takes only so few connections; the real one takes 1,000."""
    with serving(tmp_path_factory.mktemp("tls"), f"--worker-connections={FEW}") as server:
        yield server


@pytest.fixture
def opened_there(small):
    with contextlib.ExitStack() as clients:
        yield lambda kind: clients.enter_context(kind(small))


def test_who_never_asks_gives_way_where_there_are_too_many(small, opened_there):
    """Else it would accept nobody for 100 s: neither a review nor a probe."""
    api_server = opened_there(in_reserve)
    assert_has_a_review_answered(api_server)
    silent_ones = [opened_there(silent) for _ in range(FEW)]
    idle = [opened_there(in_reserve) for _ in range(FEW)]
    assert_a_review_is_answered(small)
    assert_asks(api_server)
    assert_asks(idle[-1])
    for client in (silent_ones[0], idle[0]):
        client.settimeout(2.0)
        assert rest_of(client) == b""


def test_who_has_asked_once_and_is_idle_keeps_nobody_out(small, opened_there):
    clients = [opened_there(in_reserve) for _ in range(FEW)]
    for client in clients:
        with contextlib.suppress(OSError, ssl.SSLError):
            assert_asks(client)
    assert_a_review_is_answered(small)


def assert_asks(client):
    client.sendall(b"GET /livez HTTP/1.1\r\nHost: webhook\r\n\r\n")
    received = b""
    while not received.endswith(b"}\n"):
        piece = client.recv(4096)
        if not piece:
            raise ConnectionError("closed before it answered")
        received += piece
    assert received.startswith(b"HTTP/1.1 200")


def test_who_only_asks_whether_it_lives_pushes_no_api_server_out(opened_there):
    api_server = opened_there(in_reserve)
    assert_has_a_review_answered(api_server)
    for _ in range(2 * FEW):
        with contextlib.suppress(OSError, ssl.SSLError):
            assert_asks(opened_there(in_reserve))
    assert_has_a_review_answered(api_server)


def assert_has_a_review_answered(client):
    body = json.dumps(objects.admission_review(objects.article_pod())).encode()
    client.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    assert answered(client).startswith(b"HTTP/1.1 200")


def answered(client):
    """Return the whole answer; ConnectionError where it is closed before."""
    received = bytearray()
    while b"\r\n\r\n" not in received or len(received) < length_of(received):
        piece = client.recv(2**20)
        if not piece:
            raise ConnectionError("closed before it answered")
        received += piece
    return bytes(received)


def test_an_answer_that_is_read_late_is_whole(opened):
    def read_late():
        client = opened(in_reserve)
        client.sendall(large_review())
        time.sleep(1.0)
        return client, answered(client)

    client, received = comes_in_time(read_late)
    response = json.loads(received.partition(b"\r\n\r\n")[2])["response"]
    assert len(base64.b64decode(response["patch"])) > 2 * 3 * 2**20
    client.sendall(b"GET /livez HTTP/1.1\r\nHost: webhook\r\n\r\n")
    assert client.recv(12) == b"HTTP/1.1 200"


def length_of(response):
    head, _, _ = response.partition(b"\r\n\r\n")
    (length,) = re.findall(rb"content-length: (\d+)", bytes(head).lower())
    return len(head) + 4 + int(length)
