"""What the kubelet asks, on a port of its own: a crowd at the one for reviews is not in its way.

In plain HTTP, as there is nothing to read but whether this process is well; by the server that
answers the kubelet for the sidecar, and that is made for clients that mean no good.
"""

import socket
import time
from collections.abc import Callable
from typing import Final

from sidecar.report.message import Answer, Request
from sidecar.report.server import HttpServer
from webhook.tls import NoCertificateError

STALLED: Final = 10.0
"""Seconds since the loop that answers reviews has turned; at rest, it does each second."""


class Probes:
    """Answers /livez and /readyz, from any thread."""

    def __init__(
        self, turned: Callable[[], float], check_certificate: Callable[[], object]
    ) -> None:
        """`turned`: when the loop did so last, by time.monotonic.

        `check_certificate` raises NoCertificateError while there is none to serve with.
        """
        self._turned = turned
        self._check_certificate = check_certificate

    def __call__(self, request: Request) -> Answer:
        """Answer one request."""
        if request.method not in ("GET", "HEAD"):
            return Answer.of(405, {"error": f"{request.method} is not allowed; allowed: GET, HEAD"})
        if request.path not in ("/livez", "/readyz"):
            return Answer.of(404, {"error": "the path is unknown; allowed: /livez, /readyz"})
        if time.monotonic() - self._turned() > STALLED:
            return Answer.of(
                503, {"error": f"the loop that answers reviews has stood still for {STALLED:g} s"}
            )
        if request.path == "/readyz":
            try:
                self._check_certificate()
            except NoCertificateError as error:
                return Answer.of(503, {"error": str(error)})
        return Answer.of(200, {"status": "ok"})


def serve(listener: socket.socket, probes: Probes) -> None:
    """Answer on it, from a thread, until the process ends."""
    HttpServer(probes, listener, waits=lambda _: None, threads={}).start()
