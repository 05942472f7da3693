"""What stand-ins for the API server share; what is asked of one is each test's own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

from kubernetes import client

from tests.support import loopback


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
    with loopback.serving(handler, before_close=before_close) as server:
        configuration = client.Configuration()
        configuration.host = loopback.url(server)
        configuration.client_side_validation = validates
        with client.ApiClient(configuration) as api_client:
            yield api_client
            api_client.rest_client.pool_manager.clear()
