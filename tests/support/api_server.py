"""What stand-ins for the API server on loopback share; what is asked of one is each test's own."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from kubernetes import client

POLL_SECONDS = 0.01
"""How soon the server notices that it is to end."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 100
    """By default 5: more that come at once wait for a second, or are turned away."""


class RefusalError(Exception):
    """The answer is no, by this status code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@contextmanager
def client_of(
    handler: type[BaseHTTPRequestHandler],
    *,
    validates: bool = True,
    before_close: Callable[[], None] = lambda: None,
) -> Iterator[client.ApiClient]:
    """Serve on loopback; gives a client of the `kubernetes` library that talks to it.

    `before_close` lets go of requests that are being answered.
    """
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,))
    thread.start()
    configuration = client.Configuration()
    configuration.host = f"http://127.0.0.1:{server.server_port}"
    configuration.client_side_validation = validates
    try:
        with client.ApiClient(configuration) as api_client:
            yield api_client
            api_client.rest_client.pool_manager.clear()
    finally:
        server.shutdown()
        before_close()
        server.server_close()
        thread.join()
