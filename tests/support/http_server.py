"""The sidecar's HTTP server on an address of this machine, as a sidecar has it on its pod's."""

import contextlib
import threading
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


class HoldsUp:
    """Answers at once, but for what is sent again."""

    def __init__(self) -> None:
        self.at_work, self.go_on = threading.Semaphore(0), threading.Event()

    def __call__(self, request: Request) -> Answer:
        if request.query == "replayed":
            self.at_work.release()
            self.go_on.wait(600)
        return Answer(200, b"")
