"""What stand-ins for the API server share; what is asked of one is each test's own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any, Final

from kubernetes import client

from tests.support import loopback

PATIENT: Final = 300.0
"""Seconds, as long as a watch is kept open."""


class RefusalError(Exception):
    """The answer is no, by this status code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class _PatientClient(client.ApiClient):
    """Gives each request minutes, whatever ours gives it: a busy machine may stand still."""

    def request(self, *words: Any, **more: Any) -> Any:
        return super().request(*words, **more | {"_request_timeout": PATIENT})


@contextmanager
def client_of(
    handler: type[BaseHTTPRequestHandler],
    *,
    validates: bool = True,
    before_close: Callable[[], None] = lambda: None,
) -> Iterator[client.ApiClient]:
    """Serve on loopback; gives a patient client of the `kubernetes` library that talks to it.

    `before_close` lets go of requests that are being answered.
    """
    with loopback.serving(handler, before_close=before_close) as server:
        configuration = client.Configuration()
        configuration.host = loopback.url(server)
        configuration.client_side_validation = validates
        with _PatientClient(configuration) as api_client:
            yield api_client
            api_client.rest_client.pool_manager.clear()
