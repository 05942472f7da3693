"""Answers HTTP: small requests, each on a connection of its own, by a handful of threads.

The kubelet asks two or three times a second for as long as the pod lives, and at rest nothing
costs a member more than the answers. A thread that accepts a connection here reads, answers and
closes it, so that a request wakes one thread once: 0.3 ms of CPU where five requests come in a
second. waitress takes 1.0 ms: a loop of its own, a queue, a worker, and a pipe back to the loop.

Who says nothing keeps no thread waiting: the kernel hands a connection over with its first bytes.
Who goes on slowly is left after `SECONDS`.
"""

import contextlib
import io
import logging
import socket
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_log = logging.getLogger(__name__)

SECONDS: Final = 2.0
"""For a request to arrive, and again for its answer to be taken: what a probe waits for at most."""

THREADS: Final = 8
"""An answer that looks at PostgreSQL anew takes 0.3 s; probes are not to wait for those."""

MAX_HEAD: Final = 8192
MAX_BODY: Final = 65536
"""Bytes; the longest question between members has a few hundred."""

_NO_BODY: Final = [("Content-Length", "0")]
_HEAD_END: Final = b"\r\n\r\n"
_PAUSE: Final = 0.1
"""Seconds, where no connection can be accepted: there are no more file descriptors, say."""


class _RefusedError(Exception):
    """What came is no request that is answered here; the message is the status line's."""


class HttpServer:
    """Serves a WSGI application on every address of this machine; connections are not reused."""

    def __init__(
        self, application: "WSGIApplication", port: int, *, host: str = "", threads: int = THREADS
    ) -> None:
        """Listen. `port` 0 is any free one; `host`: only this address of the machine."""
        self._application = application
        both = not host and socket.has_dualstack_ipv6()
        self._listener = socket.create_server(
            (host, port),
            family=socket.AF_INET6 if both or ":" in host else socket.AF_INET,
            dualstack_ipv6=both,
        )
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, int(SECONDS))
        self.port: int = self._listener.getsockname()[1]
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run, name=f"http-{number}", daemon=True)
            for number in range(threads)
        ]

    def start(self) -> None:
        """Begin to answer."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End, once each request that is being answered has been."""
        self._closed = True
        # On Linux this wakes those who wait for a connection; closing alone does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _run(self) -> None:
        while not self._closed:
            try:
                connection, _ = self._listener.accept()
            except OSError as error:
                if not self._closed:
                    _log.warning("no connection can be accepted: %s", error.strerror)
                    threading.Event().wait(_PAUSE)
                continue
            with connection:
                self._converse(connection)

    def _converse(self, connection: socket.socket) -> None:
        # A client that has gone, or is too slow, gets no answer.
        with contextlib.suppress(OSError):
            try:
                answer = self._answer(_read(connection))
            except _RefusedError as error:
                answer = _message(str(error), _NO_BODY, ())
            connection.settimeout(SECONDS)
            connection.sendall(answer)

    def _answer(self, environ: dict[str, Any]) -> bytes:
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], *_: object) -> Any:
            started.append((status, headers))

        try:
            body = self._application(environ, start_response)
            return _message(*started[-1], body)
        except Exception:
            # This thread has to go on: with the last of them the kubelet would have no answer.
            _log.exception("a request could not be answered")
            return _message("500 Internal Server Error", _NO_BODY, ())


def _read(connection: socket.socket) -> dict[str, Any]:
    """Return a request as WSGI has it. Raises _RefusedError, and OSError where it is cut short."""
    deadline = time.monotonic() + SECONDS
    received = b""
    while _HEAD_END not in received:
        if len(received) > MAX_HEAD:
            raise _RefusedError("431 Request Header Fields Too Large")
        received += _receive(connection, deadline)
    head, _, body = received.partition(_HEAD_END)
    environ = _parse(head.decode("latin-1"))
    length = int(environ["CONTENT_LENGTH"])
    while len(body) < length:
        body += _receive(connection, deadline)
    return environ | {"wsgi.input": io.BytesIO(body[:length])}


def _receive(connection: socket.socket, deadline: float) -> bytes:
    connection.settimeout(max(0.001, deadline - time.monotonic()))
    received = connection.recv(MAX_HEAD)
    if not received:
        raise ConnectionResetError("the client has ended in the middle of a request")
    return received


def _parse(head: str) -> dict[str, Any]:
    first, *lines = head.split("\r\n")
    words = first.split(" ")
    if len(words) != len(("method", "target", "version")) or not words[2].startswith("HTTP/1."):
        raise _RefusedError("400 Bad Request")
    path, _, query = words[1].partition("?")
    environ = {"REQUEST_METHOD": words[0], "PATH_INFO": unquote(path), "QUERY_STRING": query}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise _RefusedError("400 Bad Request")
        environ[f"HTTP_{name.upper().replace('-', '_')}"] = value.strip()
    if "HTTP_TRANSFER_ENCODING" in environ:
        raise _RefusedError("411 Length Required")
    length = environ.pop("HTTP_CONTENT_LENGTH", "0")
    if not (length.isascii() and length.isdecimal()):
        raise _RefusedError("400 Bad Request")
    if len(length) > len(str(MAX_BODY)) or int(length) > MAX_BODY:
        raise _RefusedError("413 Content Too Large")
    return environ | {"CONTENT_LENGTH": length}


def _message(status: str, headers: Iterable[tuple[str, str]], body: Iterable[bytes]) -> bytes:
    content = b"".join(body)
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, "Connection: close", "\r\n"]).encode("latin-1") + content
