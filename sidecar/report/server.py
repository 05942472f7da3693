"""The sockets of the sidecar's HTTP: one request to a connection, answered and closed.

The kubelet asks two or three times a second for as long as the pod lives, so its questions are
most of what a member at rest costs; and where its watchdog gets no answer, it stops PostgreSQL.
Hence one thread that waits for all connections at once and answers what can be answered at once:
slow, silent or numerous clients cost some memory, but no threads. A request that has to wait for
something else is left to other threads, which are there from the start; the kubelet's need none.

The cost of each request is bounded, too: every byte is looked at once, and what is expensive to
compute is computed once a second. Of all that have come, the first of each address is answered
before the second of any: whoever comes in hundreds waits for himself. After every few answers it is
looked who else has come, so that a probe waits for those few and not for the hundreds.

An answer has a few kB at most, which the kernel takes for any new connection, whether or not the
client reads it: so sending waits for no client either.
"""

import contextlib
import logging
import resource
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial
from typing import Final

from sidecar.report.message import Answer, Reading, Request
from sidecar.report.newcomers import Newcomers
from sidecar.report.shares import Key, Shares
from sidecar.workers import Workers

SECONDS: Final = 2.0
"""For a whole request to arrive. The kubelet gives its probe 1 s, a member its request 0.6 s."""

CONNECTIONS: Final = 256
"""Held at once: more than come while a probe's request is on its way. The oldest gives way to a
new one."""


class Waiting(Enum):
    """What requests that wait for something wait as. Each has threads of its own: no number of
    strangers keeps a member from its answer."""

    FAILSAFE = "failsafe"
    MEMBER = "member"
    STRANGER = "stranger"


THREADS: Final = {Waiting.FAILSAFE: 4, Waiting.MEMBER: 8, Waiting.STRANGER: 4}
"""Requests of a kind at once. Of the members only one asks to stay, and all may ask what it has."""
WAITING: Final = 64
"""More of a kind, until one of those has its answer. Who asks gives up after 0.6 s."""

FROM_ONE_ADDRESS: Final = 2
"""Members' requests at once, as which a member asks. More wait as a stranger's: who has recorded
thousands of signed ones may send them again, and what a member remembers of them is bounded. So
does what comes from no member's address, by however many it is sent."""

_FILES: Final = 2048
"""File descriptors to ask the kernel for; where a process may have 1024, as with containerd 2, the
limit that it may set itself is far higher."""
_OTHER_FILES: Final = 128
"""For all that is no client: PostgreSQL, the API server, files, and what they are made of."""

_IN_A_TURN: Final = 16
"""Newcomers that are heard before it is looked who else has come: some milliseconds."""

_BACKLOG: Final = 1024
"""Connections in the kernel's queue. If it is full, a client tries again after a second, which is
too late for a probe."""

_CHUNK: Final = 8192
_PAUSE: Final = 0.1
"""Seconds to wait if the kernel has no file descriptor for a new connection."""

_BUSY: Final = Answer.of(503, {"error": "too many requests of this kind are being answered"})
_FAULT: Final = Answer.of(500, {"error": "this is a bug in pgset: see its log"})

_log = logging.getLogger(__name__)


class _Connection:
    """A client that has not sent its whole request, or whose request was refused."""

    def __init__(self, client: socket.socket, deadline: float) -> None:
        self.client = client
        self.deadline = deadline
        self.reading = Reading()
        self.refused = False
        self.let_go = False
        """It is closed, or has its whole request and is somebody else's."""


def listen(port: int, host: str = "") -> socket.socket:
    """Return a socket that clients may connect to; what they send waits until somebody answers.

    `port` 0 is any that is free; `host`: only this address of the machine, not every one.
    """
    both = not host and socket.has_dualstack_ipv6()
    return socket.create_server(
        (host, port),
        family=socket.AF_INET6 if both or ":" in host else socket.AF_INET,
        backlog=_BACKLOG,
        dualstack_ipv6=both,
    )


class HttpServer:
    """Answers requests on a socket until it is stopped."""

    def __init__(
        self,
        answer: Callable[[Request], Answer],
        listener: socket.socket,
        *,
        waits: Callable[[Request], Waiting | None],
        is_a_members: Callable[[str], bool] = lambda _: True,
        threads: Mapping[Waiting, int] = THREADS,
        seconds: float = SECONDS,
    ) -> None:
        """Take over a socket that `listen` has made.

        `waits` says as what a request waits for whose answer may take longer than a few
        milliseconds; None for any other. `is_a_members` says whether a member may ask from that
        address. `threads`: for each of these. `seconds`: for a whole request to arrive.
        """
        self._answer = answer
        self._seconds = seconds
        self._waits = waits
        self._is_a_members = is_a_members
        self._listener = listener
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._poll = select.epoll()
        self._poll.register(self._listener, select.EPOLLIN)
        self._newcomers = Newcomers()
        self._held: dict[int, _Connection] = {}
        """By file descriptor; the oldest first."""
        served = CONNECTIONS + sum(number + WAITING for number in threads.values())
        self._most_newcomers = min(_BACKLOG, _may_open(_FILES) - _OTHER_FILES - served)
        self._workers = {
            it: Workers(f"http-{it.value}", number, most_waiting=WAITING)
            for it, number in threads.items()
        }
        self._shares = Shares(FROM_ONE_ADDRESS)
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        for workers in self._workers.values():
            workers.start()
        self._thread.start()

    def stop(self) -> None:
        """End, after the requests that are being answered now."""
        self._stopping = True
        # On Linux this wakes a thread that waits for a connection; closing alone does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for workers in self._workers.values():
            workers.stop()
        self._listener.close()
        self._poll.close()

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._turn()
            except Exception:
                # Without this thread the kubelet would stop PostgreSQL.
                _log.exception("a turn of the HTTP server failed")
                time.sleep(_PAUSE)
        for connection in list(self._held.values()):
            self._end(connection)
        while self._newcomers:
            self._newcomers.take().close()

    def _turn(self) -> None:
        ready = [descriptor for descriptor, _ in self._poll.poll(self._seconds_left())]
        # A new connection is usually a probe, and those that are held are slow.
        if self._listener.fileno() in ready:
            self._accept()
        for _ in range(min(_IN_A_TURN, len(self._newcomers))):
            self._begin(self._newcomers.take())
        for descriptor in ready:
            if descriptor in self._held:
                self._read(self._held[descriptor])
        self._end_late_ones()

    def _seconds_left(self) -> float | None:
        if self._newcomers:
            return 0.0
        oldest = next(iter(self._held.values()), None)
        return None if oldest is None else max(0.0, oldest.deadline - time.monotonic())

    def _end_late_ones(self) -> None:
        now = time.monotonic()
        while self._held:
            connection = next(iter(self._held.values()))
            if connection.deadline > now:
                break
            if not connection.refused:
                sentence = f"no whole request has come within {self._seconds:g} s"
                _send(connection.client, Answer.of(408, {"error": sentence}).encode())
            self._end(connection)

    def _accept(self) -> None:
        """Accept all that wait: a probe is behind those that came before it, until it is known."""
        while len(self._newcomers) < self._most_newcomers:
            try:
                client, (address, *_) = self._listener.accept()
            except BlockingIOError:
                return
            except ConnectionError:
                continue
            except OSError as error:
                if not self._newcomers and not self._stopping:
                    _log.warning("cannot accept a connection: %s", error.strerror)
                    time.sleep(_PAUSE)
                return
            self._newcomers.add(client, address)

    def _begin(self, client: socket.socket) -> None:
        client.setblocking(False)
        connection = _Connection(client, time.monotonic() + self._seconds)
        # A probe's request has usually come by now, and waiting for it would take another turn.
        self._read(connection)
        if connection.let_go:
            return
        if len(self._held) >= CONNECTIONS:
            self._make_room()
        self._poll.register(client, select.EPOLLIN)
        self._held[client.fileno()] = connection

    def _make_room(self) -> None:
        """Close the oldest, unless its request has come since it was last looked at."""
        oldest = next(iter(self._held.values()))
        self._read(oldest)
        if self._held.get(oldest.client.fileno()) is oldest:
            self._end(oldest)

    def _read(self, connection: _Connection) -> None:
        try:
            self._read_what_is_there(connection)
        except Exception:
            # It would be ready again at once, and with it the fault.
            _log.exception("a connection is ended")
            self._end(connection)

    def _read_what_is_there(self, connection: _Connection) -> None:
        try:
            received = connection.client.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:
            self._end(connection)
        elif not connection.refused:
            self._consider(connection, received)

    def _consider(self, connection: _Connection, received: bytes) -> None:
        request = connection.reading.take(received)
        if isinstance(request, Request):
            self._serve(request, self._let_go(connection))
        elif request is not None:
            # Closed now, with bytes still to come, it would be reset and the answer lost.
            _send(connection.client, request.encode())
            connection.refused = True
            with contextlib.suppress(OSError):
                connection.client.shutdown(socket.SHUT_WR)

    def _serve(self, request: Request, client: socket.socket) -> None:
        waiting = self._waits(request)
        if waiting is None:
            self._respond(request, client)
            return
        share: Key | None = None
        if waiting is not Waiting.STRANGER:
            address = _address_of(client)
            share = (waiting, address)
            # Whether a holder may stay is asked with a challenge, and so can't be asked again.
            known = waiting is Waiting.FAILSAFE or self._is_a_members(address)
            if not (known and self._shares.take(share)):
                share, waiting = None, Waiting.STRANGER
        if not self._workers[waiting].take(partial(self._respond, request, client, share)):
            self._give_back(share)
            with client:
                _send(client, _BUSY.encode(request.method))

    def _respond(self, request: Request, client: socket.socket, share: Key | None = None) -> None:
        with client:
            try:
                encoded = self._answer(request).encode(request.method)
            except Exception:
                # The thread has to go on: without it the kubelet would stop PostgreSQL.
                _log.exception("%s %s could not be answered", request.method, request.path)
                encoded = _FAULT.encode(request.method)
            # Before the client has its answer: it may ask again at once.
            self._give_back(share)
            _send(client, encoded)

    def _give_back(self, share: Key | None) -> None:
        if share is not None:
            self._shares.give_back(share)

    def _let_go(self, connection: _Connection) -> socket.socket:
        connection.let_go = True
        if self._held.get(connection.client.fileno()) is connection:
            del self._held[connection.client.fileno()]
            self._poll.unregister(connection.client)
        return connection.client

    def _end(self, connection: _Connection) -> None:
        self._let_go(connection).close()


def _address_of(client: socket.socket) -> str:
    """Return where it comes from; "" where it has gone."""
    try:
        address: str = client.getpeername()[0]
    except OSError:
        return ""
    return address


def _send(client: socket.socket, answer: bytes) -> None:
    """Hand it to the kernel; a client that has gone or takes nothing gets no answer."""
    with contextlib.suppress(OSError):
        client.sendall(answer)


def _may_open(wanted: int) -> int:
    """Return how many files this process may have open, after asking for so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft
