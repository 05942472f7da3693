"""A WSGI application on an address of this machine, as a sidecar has it on its pod's."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import waitress
import waitress.wasyncore


@contextlib.contextmanager
def serving(application: Any, address: str, port: int) -> Iterator[None]:
    """Answer there until the end of the block."""
    sockets: dict[int, Any] = {}
    server = waitress.create_server(application, listen=f"{address}:{port}", threads=1, map=sockets)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield
    finally:
        # The workers first: one that has just answered still pulls the server's trigger. Then
        # run() ends where there is no socket left.
        server.task_dispatcher.shutdown()
        server.trigger.pull_trigger(lambda: waitress.wasyncore.close_all(sockets))
        thread.join(timeout=10)
