"""Whom the sidecar's HTTP server answers, and whom it does not wait for, over real sockets."""

import contextlib
import http.client
import json
import logging
import resource
import select
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import urllib3

from sidecar.report.message import MAX_BODY, MAX_HEAD, Answer, Request
from sidecar.report.server import (
    CONNECTIONS,
    FROM_ONE_ADDRESS,
    SECONDS,
    THREADS,
    WAITING,
    HttpServer,
    Waiting,
    listen,
)
from tests.support.http_server import PATIENT, HoldsUp
from tests.support.waiting import wait_until

PROBE = b"GET /liveness HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
SLOW = b"GET /slow HTTP/1.1\r\n\r\n"

WAITS = {"/slow": Waiting.STRANGER, "/member": Waiting.MEMBER, "/failsafe": Waiting.FAILSAFE}

PROBE_SECONDS = 1.0
"""What the kubelet waits for its answer."""

PROBES = 10

LONG = 20_000
"""Bytes, more than any answer has."""

AT_ONCE = THREADS[Waiting.STRANGER]

ROOM = 1.0
"""Seconds, for this shared machine: a deadline twice as long would still be noticed."""


class Served:
    """A server whose /slow waits until it may go on, and whose /broken fails."""

    def __init__(self, seconds: float) -> None:
        """`seconds`: for a whole request to arrive."""
        self.go_on = threading.Event()
        self.at_work = 0
        """How many requests for /slow are being answered."""
        self._lock = threading.Lock()
        self.server = HttpServer(
            self.answer,
            listen(0, "127.0.0.1"),
            waits=lambda request: WAITS.get(request.path),
            seconds=seconds,
        )

    def answer(self, request: Request) -> Answer:
        if request.path == "/broken":
            raise LookupError("a fault")
        if request.path == "/slow":
            self._count(1)
            self.go_on.wait(600)
            self._count(-1)
        if request.path == "/long":
            return Answer(200, b"x" * LONG)
        told = f"{request.method} {request.path} {request.query} "
        return Answer(200, told.encode() + request.body)

    def _count(self, more: int) -> None:
        with self._lock:
            self.at_work += more

    def eventually(self, number: int) -> None:
        """Wait until so many requests are being answered that take long."""
        wait_until(lambda: self.at_work == number, f"{number} long answers", pause=0.01)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.server.port), timeout=180)

    def ask(self, *pieces: bytes) -> bytes:
        """What comes back for these pieces, sent a little apart."""
        with self.connect() as client:
            for piece in pieces:
                client.sendall(piece)
                time.sleep(0.02 if len(pieces) > 1 else 0)
            return rest(client)

    def probe(self) -> None:
        """Fail unless the answer comes in time, now or when a busy machine is asked again."""
        took = []
        while not took or took[-1] >= PROBE_SECONDS:
            began = time.monotonic()
            try:
                answer = self.ask(PROBE)
            except ConnectionError:
                answer = b""
            # One that the machine holds up until after the deadline is refused, or cut off.
            is_cut = not answer or answer.startswith(b"HTTP/1.1 408 ")
            assert is_cut or answer.startswith(b"HTTP/1.1 200 ")
            took.append(float("inf") if is_cut else time.monotonic() - began)
            assert len(took) < PROBES, took


def asked_from(address: str, server: HttpServer, target: str) -> socket.socket:
    near = (address, 0)
    client = socket.create_connection(("127.0.0.1", server.port), 180, source_address=near)
    client.sendall(f"GET {target} HTTP/1.1\r\n\r\n".encode())
    return client


def rest(client: socket.socket) -> bytes:
    """All that comes until the server ends the connection."""
    return b"".join(iter(lambda: client.recv(65536), b""))


def is_closed(client: socket.socket) -> bool:
    """Tell whether the server takes no more from this client, which has read all that came."""
    client.sendall(b"x")
    poll = select.poll()
    poll.register(client, select.POLLHUP)
    return bool(poll.poll(180_000))


@contextlib.contextmanager
def serving(seconds: float) -> Iterator[Served]:
    served = Served(seconds)
    served.server.start()
    yield served
    served.go_on.set()
    served.server.stop()
    assert not [it for it in threading.enumerate() if it.name.startswith("http")]


@pytest.fixture
def served() -> Iterator[Served]:
    """One that gives up nobody: a busy machine may not run a client for seconds."""
    with serving(PATIENT) as served:
        yield served


@pytest.fixture
def strict() -> Iterator[Served]:
    """One that gives a request as long as a sidecar does."""
    with serving(SECONDS) as served:
        yield served


@pytest.fixture
def open_clients() -> Iterator[contextlib.ExitStack]:
    """Connections that stay open until the test has ended."""
    with contextlib.ExitStack() as stack:
        yield stack


def test_a_request_is_answered_and_its_connection_closed(served: Served) -> None:
    answer = b"Content-Length: 23\r\nConnection: close\r\n\r\nPOST /a b lag=1kB hello"
    asked = b"POST /a%20b?lag=1kB HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello"
    assert served.ask(asked).endswith(answer)


def test_a_request_may_come_in_pieces(served: Served) -> None:
    pieces = (b"POST / HT", b"TP/1.1\r\nContent-Le", b"ngth: 4\r\n\r\nab", b"cd")
    assert served.ask(*pieces).endswith(b"\r\n\r\nPOST /  abcd")


def test_a_pool_of_connections_gets_all_its_answers(served: Served) -> None:
    """As the members ask each other."""
    with urllib3.PoolManager(retries=False, timeout=180) as pool:
        url = f"http://127.0.0.1:{served.server.port}/failsafe"
        said = [pool.request("POST", url, body=f"{n}").data for n in range(5)]
    assert said == [f"POST /failsafe  {n}".encode() for n in range(5)]


def test_head_has_no_body(served: Served) -> None:
    assert served.ask(b"HEAD / HTTP/1.1\r\n\r\n").endswith(b"Connection: close\r\n\r\n")


def test_it_is_found_on_every_address_of_either_family() -> None:
    server = HttpServer(
        lambda _: Answer(200, b"here"), listen(0), waits=lambda _: None, seconds=PATIENT
    )
    server.start()
    addresses = ["127.0.0.1", "127.0.0.2", *(["::1"] if socket.has_dualstack_ipv6() else [])]
    for address in addresses:
        client = http.client.HTTPConnection(address, server.port, timeout=180)
        client.request("GET", "/")
        assert client.getresponse().read() == b"here"
        client.close()
    server.stop()


# ── who keeps no probe from its answer ────────────────────────────────────────────────────


@contextlib.contextmanager
def dripping(served: Served, number: int) -> Iterator[None]:
    """So many clients that send a byte of a request now and then, and come again when cut off."""
    ended = threading.Event()

    def drip() -> None:
        while not ended.is_set():
            with served.connect() as client, contextlib.suppress(OSError):
                for byte in b"GET /status HTTP/1.1\r\nA: " + b"a" * 1000:
                    client.send(bytes([byte]))
                    if ended.wait(0.05):
                        break

    threads = [threading.Thread(target=drip) for _ in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


@pytest.mark.thorough
def test_hundreds_of_silent_clients_and_a_dozen_slow_ones(
    strict: Served, open_clients: contextlib.ExitStack
) -> None:
    for _ in range(200):
        open_clients.enter_context(strict.connect())
    with dripping(strict, 12):
        end = time.monotonic() + SECONDS + ROOM
        while time.monotonic() < end:
            strict.probe()
            time.sleep(0.1)
        assert strict.at_work == 0


def test_the_oldest_makes_room_where_too_many_say_nothing(
    served: Served, open_clients: contextlib.ExitStack
) -> None:
    clients = [open_clients.enter_context(served.connect()) for _ in range(CONNECTIONS + 10)]
    # Once: each takes a place.
    assert served.ask(PROBE).startswith(b"HTTP/1.1 200 ")
    ended, _, _ = select.select(clients, [], [], 0)
    # The probe may have taken the place of one more, until its request came.
    assert ended in (clients[:10], clients[:11])
    clients[11].sendall(PROBE)
    assert rest(clients[11]).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("held_up", ["/first", "/crowd-50"], ids=["with them", "after them"])
def test_an_address_from_which_hundreds_come_at_once_keeps_no_other_waiting(
    open_clients: contextlib.ExitStack, held_up: str
) -> None:
    answered: list[str] = []
    first, crowd, held, go_on = (threading.Event() for _ in range(4))

    def answer(request: Request) -> Answer:
        if request.path == "/first":
            first.set()
            crowd.wait(600)
        if request.path == held_up:
            held.set()
            go_on.wait(600)
        answered.append(request.path)
        return Answer(200, b"")

    def ask(path: str, address: str) -> socket.socket:
        return open_clients.enter_context(asked_from(address, server, path))

    server = HttpServer(answer, listen(0, "127.0.0.1"), waits=lambda _: None, seconds=PATIENT)
    server.start()
    clients = [ask("/first", "127.0.0.1")]
    assert first.wait(180)
    clients += [ask(f"/crowd-{it}", "127.0.0.1") for it in range(200)]
    crowd.set()
    assert held.wait(180)
    clients += [ask("/probe", "127.0.0.2")]
    go_on.set()
    for client in clients:
        rest(client)
    server.stop()
    # It is looked who else has come after every sixteen.
    assert answered.index("/probe") - answered.index(held_up) <= 17


@pytest.mark.parametrize("path", ["/member", "/failsafe"])
def test_members_questions_that_one_address_sends_again_keep_no_member_waiting(
    open_clients: contextlib.ExitStack, path: str
) -> None:
    """However many it has recorded: what a member remembers of them is bounded."""
    answer = HoldsUp()

    def ask(query: str, address: str) -> socket.socket:
        return open_clients.enter_context(asked_from(address, server, f"{path}?{query}"))

    server = HttpServer(
        answer, listen(0, "127.0.0.1"), waits=lambda it: WAITS[it.path], seconds=PATIENT
    )
    server.start()
    again = FROM_ONE_ADDRESS + AT_ONCE
    clients = [ask("replayed", "127.0.0.2") for _ in range(again + 20)]
    for _ in range(again):
        assert answer.at_work.acquire(timeout=180)
    for _ in range(5):
        assert rest(ask("mine", "127.0.0.1")).startswith(b"HTTP/1.1 200 ")
    answer.go_on.set()
    for client in clients:
        rest(client)
    assert rest(ask("mine", "127.0.0.2")).startswith(b"HTTP/1.1 200 ")
    assert not server._shares._taken
    server.stop()


@pytest.mark.thorough
def test_who_does_not_end_is_left_at_the_deadline(strict: Served) -> None:
    """It is for the whole request: each of the slow one's bytes is in time."""
    late = (408, "no whole request has come within 2 s")
    with strict.connect() as silent, strict.connect() as refused:
        refused.sendall(b"hello\r\n\r\n")
        took = []
        while not took or took[-1] >= SECONDS + ROOM:
            took.append(left_after(strict, late))
            assert len(took) < PROBES, took
        assert took[-1] > SECONDS - 0.2
        assert refusal(rest(silent)) == late
        assert refusal(rest(refused))[0] == 400
        assert is_closed(refused)


def left_after(served: Served, late: tuple[int, str]) -> float:
    """Seconds until a slow one was told so; many where the machine was too busy for it to be."""
    began = time.monotonic()
    with served.connect() as slow:
        try:
            while time.monotonic() < began + SECONDS - 0.3:
                slow.sendall(b"x")
                time.sleep(0.1)
            assert refusal(rest(slow)) == late
        except OSError:
            return float("inf")
    return time.monotonic() - began


def test_an_answer_that_takes_long_keeps_no_other_waiting(served: Served) -> None:
    with served.connect() as one, served.connect() as other:
        one.sendall(SLOW)
        other.sendall(SLOW)
        served.eventually(2)
        served.probe()
        served.go_on.set()
        assert rest(one) == rest(other) == served.ask(SLOW)
    served.eventually(0)


def test_only_so_many_answers_may_take_long_at_once_and_probes_are_none_of_them(
    served: Served, open_clients: contextlib.ExitStack
) -> None:
    clients = [open_clients.enter_context(served.connect()) for _ in range(AT_ONCE + WAITING)]
    for client in clients[:AT_ONCE]:
        client.sendall(SLOW)
    served.eventually(AT_ONCE)
    for client in clients[AT_ONCE:]:
        client.sendall(SLOW)
    waiting = served.server._workers[Waiting.STRANGER]._waiting
    wait_until(waiting.full, "all of them to wait")
    served.probe()
    assert refusal(served.ask(SLOW))[0] == 503
    served.probe()
    for path in ("/member", "/failsafe"):
        asked = f"GET {path} HTTP/1.1\r\n\r\n".encode()
        assert served.ask(asked).startswith(b"HTTP/1.1 200 "), "strangers keep no member waiting"
    served.go_on.set()
    assert {rest(client)[:12] for client in clients} == {b"HTTP/1.1 200"}
    served.eventually(0)
    assert served.ask(SLOW).startswith(b"HTTP/1.1 200 ")


def test_who_does_not_take_the_answer_is_not_waited_for(
    served: Served, open_clients: contextlib.ExitStack
) -> None:
    """And gets all of it when it looks, for the kernel has it."""
    clients = []
    for _ in range(20):
        client = open_clients.enter_context(socket.socket())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.settimeout(180)
        client.connect(("127.0.0.1", served.server.port))
        client.sendall(b"GET /long HTTP/1.1\r\n\r\n")
        clients.append(client)
    served.probe()
    assert {len(rest(client).partition(b"\r\n\r\n")[2]) for client in clients} == {LONG}


# ── what is refused ───────────────────────────────────────────────────────────────────────


def refusal(answer: bytes) -> tuple[int, str]:
    """The code and the sentence of an answer in JSON."""
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert b"Content-Type: application/json" in lines
    assert f"Content-Length: {len(body)}".encode() in lines
    return int(lines[0].split()[1]), json.loads(body)["error"]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"hello\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno header\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: much\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", 411),
        (b"GET /%s" % (b"a" * MAX_HEAD), 431),
        (b"\x16\x03\x01" * MAX_HEAD, 431),
        # The client sends all of a megabyte before it reads.
        (b"POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000, 413),
        (b"GET /broken HTTP/1.1\r\n\r\n", 500),
    ],
)
def test_what_is_no_request_gets_one_clear_answer_and_the_next_is_served(
    served: Served, sent: bytes, code: int
) -> None:
    with served.connect() as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        assert refusal(rest(client))[0] == code
    served.probe()
    assert served.at_work == 0


def test_the_largest_body_comes_through(served: Served) -> None:
    body = b"x" * MAX_BODY
    sent = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % MAX_BODY + body
    assert served.ask(sent).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("sent", [b"", b"GET", PROBE, SLOW, b"hello\r\n\r\n"])
def test_who_goes_away_does_no_harm(served: Served, sent: bytes) -> None:
    for _ in range(20):
        with served.connect() as client:
            client.sendall(sent)
            # Closed with a reset, as by a client that crashes.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, *[0] * 7]))
    served.go_on.set()
    served.probe()
    served.eventually(0)


# ── what the machine may be short of ──────────────────────────────────────────────────────


def test_it_goes_on_after_there_was_no_file_descriptor(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as client:
        client.settimeout(180)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        began = time.monotonic()
        try:
            client.connect(("127.0.0.1", served.server.port))
            client.sendall(PROBE)
            wait_until(lambda: "cannot accept a connection" in caplog.text, "a refusal")
            time.sleep(0.3)
        finally:
            lasted = time.monotonic() - began
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert rest(client).startswith(b"HTTP/1.1 200 ")
    assert "cannot accept a connection: Too many open files" in caplog.text
    # Ten a second.
    assert len(caplog.records) < 10 + 20 * lasted


def test_no_request_needs_a_new_thread(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where memory is short it would never say that it runs, and who started it would wait."""
    monkeypatch.setattr(threading, "_start_new_thread", lambda *_: 0)
    served.go_on.set()
    for _ in range(3):
        assert served.ask(SLOW).startswith(b"HTTP/1.1 200 ")
        served.probe()


def test_a_fault_is_told_in_the_log(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        served.ask(b"GET /broken HTTP/1.1\r\n\r\n")
    assert "GET /broken could not be answered" in caplog.text
    assert "LookupError: a fault" in caplog.text
