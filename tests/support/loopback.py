"""An HTTP server on loopback that stands in for another; what it answers is each test's own."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

POLL_SECONDS = 0.01
"""How soon the server notices that it is to end."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 100
    """By default 5: more that come at once wait for a second, or are turned away."""


class QuietHandler(BaseHTTPRequestHandler):
    """Logs nothing."""

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(
    handler: type[BaseHTTPRequestHandler], *, before_close: Callable[[], None] = lambda: None
) -> Iterator[ThreadingHTTPServer]:
    """Answer each request in a thread of its own until the end of the block.

    `before_close` lets go of requests that are being answered.
    """
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        before_close()
        server.server_close()
        thread.join()


def url(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_port}"
