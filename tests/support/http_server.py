"""A WSGI application on an address of this machine, as a sidecar has it on its pod's."""

import contextlib
from collections.abc import Iterator
from typing import Any

from sidecar.report.server import HttpServer


@contextlib.contextmanager
def serving(application: Any, address: str, port: int) -> Iterator[None]:
    """Answer there until the end of the block."""
    server = HttpServer(application, port, host=address.strip("[]"), threads=1)
    server.start()
    try:
        yield
    finally:
        server.close()
