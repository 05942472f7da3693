"""HTTP by the standard library's client, with one deadline for all of an answer.

A good part of what a member at rest costs is what it asks the API server, and urllib3 takes a
third more time for each request, and two megabytes. Its time-outs are for each read, too, so that a
server which sends a byte now and then would be waited for without end.
"""

import contextlib
import http.client
import io
import queue
import select
import socket
import ssl
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from sidecar import clock

Response = http.client.HTTPResponse

ERRORS: Final = (OSError, http.client.HTTPException, ValueError)
"""What a request ends with that was not answered; ValueError where it can't be sent."""

_IDLE: Final = 6
"""Connections to a server that are kept for later requests."""

_SOCKET_OPTIONS: Final = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
)
"""A watch that was cut off ends after 8 s, so that a new one begins when the network is back."""


class Timeouts(NamedTuple):
    """How long a request may take, in seconds."""

    connect: float
    """To connect, and as many again for TLS."""
    answer: float
    """From the request to the end of its answer; where it is streamed, for each part."""
    total: float = float("inf")
    """For all of that."""


class Request(NamedTuple):
    """What is asked; `path` may have a query."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes | None = None


class Server:
    """One server, at an http or https address. Safe from any thread.

    All that fails raises one of ERRORS, and is not tried again.
    """

    def __init__(self, address: str, ca_file: Path | None = None) -> None:
        """`ca_file`: who vouches for a server at an https address, read for each connection."""
        self._address = urlsplit(address)
        self._ca_file = ca_file
        self._idle: queue.LifoQueue[_Connection] = queue.LifoQueue(_IDLE)
        weakref.finalize(self, _close, self._idle)

    def request(
        self, asked: Request, timeouts: Timeouts, most: int | None = None
    ) -> tuple[int, bytes]:
        """Return the status and the body of the answer; of one of over `most` bytes, one more."""
        ends_at = clock.now() + timeouts.total
        connection = self._idle_one() or self._connect(timeouts, ends_at, one_deadline=True)
        try:
            connection.give(min(timeouts.answer, ends_at - clock.now()))
            response = connection.ask(asked)
            answer = response.status, response.read(None if most is None else most + 1)
        except BaseException:
            connection.close()
            raise
        if response.will_close or not response.isclosed():
            connection.close()
        else:
            self._keep(connection)
        return answer

    @contextmanager
    def stream(
        self, asked: Request, timeouts: Timeouts, *, one_deadline: bool = False
    ) -> Iterator[Response]:
        """Give the answer to be read part by part, over a connection of its own.

        `one_deadline`: the last part comes in as many seconds as each has otherwise.
        """
        ends_at = clock.now() + timeouts.total
        connection = self._connect(timeouts, ends_at, one_deadline=one_deadline)
        try:
            connection.give(min(timeouts.answer, ends_at - clock.now()))
            with connection.ask(asked) as response:
                yield response
        finally:
            connection.close()

    def _connect(self, timeouts: Timeouts, ends_at: float, *, one_deadline: bool) -> "_Connection":
        host, tls = self._address.hostname or "", self._address.scheme == "https"
        connection = _Connection(host, self._address.port or (443 if tls else 80))
        if one_deadline:
            connection.response_class = _PunctualResponse
        connection.sock = socket.create_connection(
            (connection.host, connection.port), min(timeouts.connect, timeouts.total)
        )
        try:
            for option in _SOCKET_OPTIONS:
                connection.sock.setsockopt(*option)
            if tls:
                connection.give(min(timeouts.connect, ends_at - clock.now()))
                connection.sock = self._trust().wrap_socket(connection.sock, server_hostname=host)
        except BaseException:
            connection.close()
            raise
        return connection

    def _trust(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self._ca_file)
        return context

    def _idle_one(self) -> "_Connection | None":
        with contextlib.suppress(queue.Empty):
            while True:
                connection = self._idle.get_nowait()
                if not connection.has_ended():
                    return connection
                connection.close()
        return None

    def _keep(self, connection: "_Connection") -> None:
        try:
            self._idle.put_nowait(connection)
        except queue.Full:
            connection.close()


def _close(idle: "queue.LifoQueue[_Connection]") -> None:
    with contextlib.suppress(queue.Empty):
        while True:
            idle.get_nowait().close()


class _Connection(http.client.HTTPConnection):
    auto_open = 0
    """It is opened here, where its time is known."""

    def give(self, seconds: float) -> None:
        """What follows may take so long, and a moment at least: 0 would mean not to wait."""
        self.sock.settimeout(max(0.001, seconds))

    def ask(self, asked: Request) -> Response:
        """Send it, and return the answer once its head has come."""
        self.request(asked.method, asked.path, asked.body, asked.headers)
        return self.getresponse()

    def has_ended(self) -> bool:
        """Tell whether the server has closed it: nothing was asked that it could answer."""
        look = select.poll()
        look.register(self.sock, select.POLLIN)
        return bool(look.poll(0))


class _PunctualResponse(Response):
    """Head and body are read by one deadline."""

    def __init__(self, sock: socket.socket, *arguments: Any, **named: Any) -> None:
        super().__init__(sock, *arguments, **named)
        self.fp.close()
        self.fp = io.BufferedReader(_UntilDeadline(sock))


class _UntilDeadline(io.RawIOBase):
    """What comes from a socket, until the time that it has for one read is over for all of them."""

    def __init__(self, source: socket.socket) -> None:
        self._socket = source
        self._raw = source.makefile("rb", 0)
        self._ends_at = clock.now() + (source.gettimeout() or 0.0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._ends_at - clock.now()
        if left <= 0:
            raise TimeoutError("the answer did not come to its end in time")
        self._socket.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()
