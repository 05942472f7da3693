"""HTTP messages as values: parsing a request, writing an answer.

RFC 9112, as far as small requests need it, one on each connection: HTTP/1.0 and 1.1, a path, header
fields, a body with a Content-Length. Anything else is refused, and the refusal says what is wrong.
"""

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote

MAX_HEAD: Final = 8192
MAX_BODY: Final = 8192
"""Bytes. The kubelet's head has under 200, and the longest request between members under 1000. Both
are held for as many connections as there may be."""
MAX_TARGET: Final = 256
"""Bytes of path and query. A load balancer's have under 40, and each escape takes time."""
MAX_FIELDS: Final = 64
"""The kubelet sends four, HAProxy and Prometheus under ten. Each takes time to parse."""

_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}

_END_OF_HEAD: Final = b"\r\n\r\n"

_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # noqa: S105 (RFC 9110's word, no secret)
_REQUEST_LINE: Final = re.compile(rf"({_TOKEN}) (/[!-~]*|\*) HTTP/1\.[0-9]")
_FIELD: Final = re.compile(rf"({_TOKEN}):([\t -~\x80-\xff]*)")


@dataclass(frozen=True, slots=True)
class Request:
    """One request."""

    method: str
    path: str
    query: str = ""
    """The text after the question mark, as it came."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """By name in lower case."""
    body: bytes = b""


Content = dict[str, Any] | list[Any]
"""What JSON is made of."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status code and its body."""

    code: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    """In addition to those that every answer has."""

    @classmethod
    def of(cls, code: int, content: Content) -> "Answer":
        """Return one with a JSON body."""
        return cls(code, json.dumps(content).encode() + b"\n")

    def encode(self, method: str = "GET") -> bytes:
        """Return the bytes; for HEAD, with the length of what GET would return."""
        headers = (
            ("Content-Type", self.content_type),
            ("Content-Length", str(len(self.body))),
            ("Connection", "close"),
            *self.headers,
        )
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers)
        head = f"HTTP/1.1 {self.code} {_PHRASES[self.code]}\r\n{fields}\r\n"
        return head.encode("latin-1") + (b"" if method == "HEAD" else self.body)


class _RefusedError(Exception):
    """What came is not a request that can be answered."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.answer = Answer.of(code, {"error": sentence})


def parse(received: bytes) -> Request | Answer | None:
    """Return the request, or the refusal of what is not one, or None while more has to come."""
    return Reading().take(received)


class Reading:
    """One request that comes in pieces.

    Each byte is looked at once, however small the pieces are: a client that sends a body byte by
    byte must not cost more than one that sends it whole.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self._received = bytearray()
        """The head until it is whole, then the body."""
        self._head: Request | None = None
        self._length = 0

    def take(self, piece: bytes) -> Request | Answer | None:
        """Return what `parse` returns for all pieces so far; there are no more after an answer."""
        try:
            return self._take(piece)
        except _RefusedError as refused:
            return refused.answer

    def _take(self, piece: bytes) -> Request | None:
        seen = len(self._received)
        self._received += piece
        if self._head is None and not self._read_head(seen):
            return None
        if self._head is None or len(self._received) < self._length:
            return None
        if self._length == 0:
            return self._head
        return replace(self._head, body=bytes(self._received[: self._length]))

    def _read_head(self, seen: int) -> bool:
        """Parse the head if it is whole, and say so; its end may begin in what was `seen`."""
        end = self._received.find(_END_OF_HEAD, max(0, seen + 1 - len(_END_OF_HEAD)))
        shortest = end if end >= 0 else len(self._received) + 1 - len(_END_OF_HEAD)
        if shortest > MAX_HEAD:
            raise _RefusedError(431, f"the head is too long; allowed: at most {MAX_HEAD} bytes")
        if end < 0:
            return False
        read = _read_often if end <= _OFTEN else _read
        self._head, self._length = read(bytes(self._received[:end]))
        del self._received[: end + len(_END_OF_HEAD)]
        return True


def _read(head: bytes) -> tuple[Request, int]:
    """Return the request without its body, and the length of that in bytes."""
    first, *lines = head.decode("latin-1").split("\r\n")
    asked = _REQUEST_LINE.fullmatch(first)
    if asked is None:
        raise _RefusedError(400, 'the first line is not like "GET /status HTTP/1.1"')
    method, target = asked.groups()
    if len(target) > MAX_TARGET:
        raise _RefusedError(
            414, f"path and query are too long; allowed: at most {MAX_TARGET} bytes"
        )
    if len(lines) > MAX_FIELDS:
        raise _RefusedError(
            431, f"the request has too many header fields; allowed: at most {MAX_FIELDS}"
        )
    headers = _headers(lines)
    path, _, query = target.partition("?")
    return Request(method, unquote(path), query, headers), _length(headers)


_read_often: Final = functools.lru_cache(64)(_read)
"""A kubelet's head is the same each time, and so are those of whoever asks without end."""
_OFTEN: Final = 1024
"""Bytes of a head that is kept."""


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        read = _FIELD.fullmatch(line)
        if read is None:
            raise _RefusedError(400, 'a header field is not like "Name: value"')
        name, value = read[1].lower(), read[2].strip(" \t")
        # Two lengths are joined into one that is not a number, so the request is refused.
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _length(headers: Mapping[str, str]) -> int:
    """Return the number of bytes of the body."""
    if "transfer-encoding" in headers:
        raise _RefusedError(411, "the request has a Transfer-Encoding; allowed: a Content-Length")
    length = headers.get("content-length", "0")
    if not length.isdecimal():
        raise _RefusedError(400, f'Content-Length "{length}" is not a number of bytes')
    # The digits first: Python refuses to convert thousands of them.
    if len(length) > len(str(MAX_BODY)) or int(length) > MAX_BODY:
        raise _RefusedError(413, f"the body is too long; allowed: at most {MAX_BODY} bytes")
    return int(length)
