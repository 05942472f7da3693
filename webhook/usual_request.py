"""Reviews in exactly the form in which API servers send them, read and answered in a few lines.

gunicorn's parser and response, which read and write HTTP of any form, take as long as a review's
mutation does. They get every request that differs by a byte from the form below.
"""

import io
import re
import sys
from collections.abc import Iterable
from typing import Any, Final
from wsgiref.types import WSGIApplication, WSGIEnvironment

_USUAL: Final = re.compile(
    rb"POST (/mutate/[a-z]+)(?:\?([!-~]*))? HTTP/1\.1\r\n((?:[A-Za-z-]+: [!-~][ -~]*\r\n)+)\r\n"
)
_NEEDED: Final = {"host", "content-type", "content-length"}
_GUNICORNS: Final = {"connection", "upgrade", "transfer-encoding", "expect"}
"""Fields about the connection, or about how the body is sent."""

_ENVIRONMENT: Final[WSGIEnvironment] = {
    "REQUEST_METHOD": "POST",
    "SCRIPT_NAME": "",
    "SERVER_NAME": "pgset-webhook",
    "SERVER_PORT": "443",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "wsgi.version": (1, 0),
    "wsgi.url_scheme": "https",
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": False,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
}


def environment(request: bytes) -> WSGIEnvironment | None:
    """Return PEP 3333's environment for a whole request; None if the request is unusual."""
    usual = _USUAL.match(request)
    if usual is None:
        return None
    path, query, lines = (group.decode() for group in usual.groups(b""))
    fields = [line.partition(": ") for line in lines.splitlines()]
    headers = {name.lower(): value for name, _, value in fields}
    if len(headers) < len(fields) or not headers.keys() >= _NEEDED or headers.keys() & _GUNICORNS:
        return None
    if headers["content-length"] != str(len(request) - usual.end()):
        return None
    return {
        **_ENVIRONMENT,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "HTTP_HOST": headers["host"],
        "CONTENT_TYPE": headers["content-type"],
        "CONTENT_LENGTH": headers["content-length"],
        "wsgi.input": io.BytesIO(request[usual.end() :]),
    }


def answer(application: WSGIApplication, environ: WSGIEnvironment) -> bytes:
    """Return the whole response, after which the connection is kept."""
    head: list[str] = []

    def start_response(status: str, headers: Iterable[tuple[str, str]], *_: Any) -> Any:
        head[:] = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)]

    answered = application(environ, start_response)
    try:
        body = b"".join(answered)
    finally:
        if hasattr(answered, "close"):
            answered.close()
    return "\r\n".join([*head, "\r\n"]).encode() + body
