"""The sidecar's HTTP server on an address of this machine, as a sidecar has it on its pod's."""

import contextlib
from collections.abc import Callable, Iterator

from sidecar.report.message import Answer, Request
from sidecar.report.server import HttpServer, Waiting, listen


@contextlib.contextmanager
def serving(answer: Callable[[Request], Answer], address: str, port: int) -> Iterator[HttpServer]:
    """Answer there until the end of the block; each request in a thread of its own."""
    server = HttpServer(answer, listen(port, address.strip("[]")), waits=lambda _: Waiting.MEMBER)
    server.start()
    try:
        yield server
    finally:
        server.stop()
