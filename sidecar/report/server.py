"""The sockets of the sidecar's HTTP: one request to a connection, answered and closed.

The kubelet asks two or three times a second for as long as the pod lives, so its questions are
most of what a member at rest costs; and where its watchdog gets no answer, it stops PostgreSQL.
Hence one thread that waits for all connections at once and answers what can be answered at once:
slow, silent or numerous clients cost some memory, but no threads. A request that has to wait for
something else is left to other threads, which are there from the start; the kubelet's need none.

The cost of each request is bounded, too: every byte is looked at once, and what is expensive to
compute is computed once a second. Of all that have come, the first of each address is answered
before the second of any: whoever comes in hundreds waits for himself.

An answer has a few kB at most, which the kernel takes for any new connection, whether or not the
client reads it: so sending waits for no client either.
"""

import contextlib
import logging
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial
from typing import Final

from sidecar.report.message import Answer, Reading, Request
from sidecar.workers import Workers

SECONDS: Final = 2.0
"""For a whole request to arrive. The kubelet gives its probe 1 s, a member its request 0.6 s."""

CONNECTIONS: Final = 256
"""Open at once: below the 1024 file descriptors that a process has at least, and more than come
while a probe's request is on its way. The oldest gives way to a new one."""


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

_AT_ONCE: Final = 384
"""Accepted before any of them is read. With those that are held or wait for threads, below the file
descriptors again."""

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

    def __init__(self, client: socket.socket) -> None:
        self.client = client
        self.deadline = time.monotonic() + SECONDS
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
        threads: Mapping[Waiting, int] = THREADS,
    ) -> None:
        """Take over a socket that `listen` has made.

        `waits` says as what a request waits for whose answer may take longer than a few
        milliseconds; None for any other. `threads`: for each of these.
        """
        self._answer = answer
        self._waits = waits
        self._listener = listener
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._poll = select.epoll()
        self._poll.register(self._listener, select.EPOLLIN)
        self._held: dict[int, _Connection] = {}
        """By file descriptor; the oldest first."""
        self._workers = {
            it: Workers(f"http-{it.value}", number, most_waiting=WAITING)
            for it, number in threads.items()
        }
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

    def _turn(self) -> None:
        ready = [descriptor for descriptor, _ in self._poll.poll(self._seconds_left())]
        # A new connection is usually a probe, and those that are held are slow.
        if self._listener.fileno() in ready:
            for client in self._newcomers():
                self._begin(client)
        for descriptor in ready:
            if descriptor in self._held:
                self._read(self._held[descriptor])
        self._end_late_ones()

    def _seconds_left(self) -> float | None:
        oldest = next(iter(self._held.values()), None)
        return None if oldest is None else max(0.0, oldest.deadline - time.monotonic())

    def _end_late_ones(self) -> None:
        now = time.monotonic()
        while self._held:
            connection = next(iter(self._held.values()))
            if connection.deadline > now:
                break
            if not connection.refused:
                late = Answer.of(408, {"error": f"no whole request has come within {SECONDS:g} s"})
                _send(connection.client, late.encode())
            self._end(connection)

    def _newcomers(self) -> list[socket.socket]:
        """Accept all that wait: one per turn would leave a probe waiting for as many turns as there
        are others. Return the first of each address, then the second of each, and so on."""
        found: list[tuple[int, socket.socket]] = []
        come: Counter[str] = Counter()
        while len(found) < _AT_ONCE:
            try:
                client, (address, *_) = self._listener.accept()
            except BlockingIOError:
                break
            except ConnectionError:
                continue
            except OSError as error:
                if not found and not self._stopping:
                    _log.warning("cannot accept a connection: %s", error.strerror)
                    time.sleep(_PAUSE)
                break
            found.append((come[address], client))
            come[address] += 1
        return [client for _, client in sorted(found, key=lambda it: it[0])]

    def _begin(self, client: socket.socket) -> None:
        client.setblocking(False)
        connection = _Connection(client)
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
        elif not self._workers[waiting].take(partial(self._respond, request, client)):
            with client:
                _send(client, _BUSY.encode(request.method))

    def _respond(self, request: Request, client: socket.socket) -> None:
        with client:
            try:
                encoded = self._answer(request).encode(request.method)
            except Exception:
                # The thread has to go on: without it the kubelet would stop PostgreSQL.
                _log.exception("%s %s could not be answered", request.method, request.path)
                encoded = _FAULT.encode(request.method)
            _send(client, encoded)

    def _let_go(self, connection: _Connection) -> socket.socket:
        connection.let_go = True
        if self._held.get(connection.client.fileno()) is connection:
            del self._held[connection.client.fileno()]
            self._poll.unregister(connection.client)
        return connection.client

    def _end(self, connection: _Connection) -> None:
        self._let_go(connection).close()


def _send(client: socket.socket, answer: bytes) -> None:
    """Hand it to the kernel; a client that has gone or takes nothing gets no answer."""
    with contextlib.suppress(OSError):
        client.sendall(answer)
