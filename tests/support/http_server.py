"""The sidecar's HTTP server on an address of this machine, as a sidecar has it on its pod's."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Final

from sidecar.report.message import Answer, Request
from sidecar.report.server import HttpServer, Waiting, listen

PATIENT: Final = 600.0
"""Seconds for a request to arrive: a busy machine may not run its client for longer than a sidecar
waits."""


@contextlib.contextmanager
def serving(answer: Callable[[Request], Answer], address: str, port: int) -> Iterator[HttpServer]:
    """Answer there until the end of the block; each request in a thread of its own."""
    listener = listen(port, address.strip("[]"))
    server = HttpServer(answer, listener, waits=lambda _: Waiting.MEMBER, seconds=PATIENT)
    server.start()
    try:
        yield server
    finally:
        server.stop()
