"""One deadline for all of a request: urllib3's time-outs are for each read, so that a server which
sends a byte now and then would be waited for without end."""

import http.client
import io
import socket
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from sidecar import clock


class _UntilDeadline(io.RawIOBase):
    """What comes from a socket, until the time that it has for one read is over for all of them."""

    def __init__(self, source: socket.socket) -> None:
        self._socket = source
        self._raw = source.makefile("rb", 0)
        seconds = source.gettimeout()
        self._ends_at = float("inf") if seconds is None else clock.now() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._ends_at - clock.now()
        if left <= 0:
            raise TimeoutError("the answer did not come to its end in time")
        if left < float("inf"):
            self._socket.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """Head and body are read by one deadline."""

    def __init__(self, sock: socket.socket, *arguments: Any, **named: Any) -> None:
        super().__init__(sock, *arguments, **named)
        self.fp.close()
        self.fp = io.BufferedReader(_UntilDeadline(sock))


class _Connection(HTTPConnection):
    response_class = _Response


class _TlsConnection(HTTPSConnection):
    response_class = _Response


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


def keep_deadlines(manager: urllib3.PoolManager) -> None:
    """Let no request wait for longer than the time to connect and then to read, each once."""
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
