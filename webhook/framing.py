"""Where an HTTP request ends, by the bytes that have come so far.

Only what is needed to recognise a whole request; whether it is a valid one is up to gunicorn's own
parser, which is stricter.
"""

import json
import re
from typing import Final

MAX_BODY: Final = 7 * 2**20
"""Bytes: twice the 3 MiB that the API server accepts (object and old object) and a margin, as in
controller-runtime."""

MAX_HEAD: Final = 16 * 2**10
"""Bytes of request line and headers; an API server sends about 300."""

_END_OF_HEAD: Final = b"\r\n\r\n"
_CONTENT_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,18})[ \t]*\r\n", re.I)
_TRANSFER_ENCODING: Final = re.compile(rb"\r\ntransfer-encoding[ \t]*:", re.I)
_EXPECT: Final = re.compile(rb"\r\nexpect[ \t]*:", re.I)


class RefusedError(Exception):
    """Answer with `status` and close: nobody knows where the next request would begin."""

    def __init__(self, status: str, sentence: str) -> None:
        """Take the status line's code and phrase, and a sentence for the body."""
        super().__init__(sentence)
        self.status = status

    def answer(self) -> bytes:
        """Return the whole response."""
        body = json.dumps({"error": str(self)}).encode()
        head = (
            f"HTTP/1.1 {self.status}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


class Framing:
    """Where one request ends whose bytes come in pieces.

    Each byte is looked at once, however small the pieces are.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self._seen = 0
        self._length: int | None = None

    def length(self, received: bytes | bytearray) -> int | None:
        """Return what `request_length` returns for all that has come of it so far."""
        if self._length is None:
            self._length = request_length(received, seen=self._seen)
            self._seen = len(received)
        return self._length


def request_length(received: bytes | bytearray, *, seen: int = 0) -> int | None:
    """Return the bytes of the request that `received` begins with, None while its head is open.

    In the first `seen` bytes no head has ended. Raises RefusedError for a request that is too
    large, or whose head does not give its length.
    """
    end = received.find(_END_OF_HEAD, max(0, seen + 1 - len(_END_OF_HEAD)), MAX_HEAD)
    if end < 0:
        if len(received) < MAX_HEAD:
            return None
        raise RefusedError(
            "431 Request Header Fields Too Large",
            f"the request's headers are too large; allowed: {MAX_HEAD} bytes",
        )
    head = bytes(received[: end + 2])
    if _TRANSFER_ENCODING.search(head):
        raise RefusedError(
            "411 Length Required",
            "the request has a Transfer-Encoding; allowed: a Content-Length",
        )
    if _EXPECT.search(head):
        raise RefusedError(
            "417 Expectation Failed",
            "the request has an Expect header; allowed: a request without one",
        )
    length = _CONTENT_LENGTH.search(head)
    body = int(length[1]) if length else 0
    if body > MAX_BODY:
        raise RefusedError(
            "413 Request Entity Too Large",
            f"the request's body has {body} bytes; allowed: {MAX_BODY} bytes",
        )
    return end + len(_END_OF_HEAD) + body
