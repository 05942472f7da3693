"""HTTP's messages as values: the bytes that came as a request, an answer as the bytes that go back.

RFC 9112, as far as small requests need it that come one to a connection: HTTP/1.0 and 1.1, a path,
header fields, a body whose length is told. Whoever sends something else is told what is wrong.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote

MAX_HEAD: Final = 8192
MAX_BODY: Final = 65536
"""Bytes. The kubelet's head has under 200, and the longest question between members under 1000."""

_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # noqa: S105 (RFC 9110's word, no secret)
_REQUEST_LINE: Final = re.compile(rf"({_TOKEN}) (/[!-~]*|\*) HTTP/1\.[0-9]")
_FIELD: Final = re.compile(rf"({_TOKEN}):([\t -~\x80-\xff]*)")


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked."""

    method: str
    path: str
    query: str = ""
    """The text after the question mark, as it came."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """By name in lower case."""
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status code and its body."""

    code: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    """More than those that every answer has."""

    @classmethod
    def of(cls, code: int, content: dict[str, Any]) -> "Answer":
        """Return one in JSON."""
        return cls(code, json.dumps(content).encode() + b"\n")

    def encode(self, method: str = "GET") -> bytes:
        """Return the bytes; one to HEAD tells the length of what GET would bring."""
        headers = (
            ("Content-Type", self.content_type),
            ("Content-Length", str(len(self.body))),
            ("Connection", "close"),
            *self.headers,
        )
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers)
        head = f"HTTP/1.1 {self.code} {HTTPStatus(self.code).phrase}\r\n{fields}\r\n"
        return head.encode("latin-1") + (b"" if method == "HEAD" else self.body)


class _RefusedError(Exception):
    """What came is no request that is answered here."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.answer = Answer.of(code, {"error": sentence})


def parse(received: bytes) -> Request | Answer | None:
    """Return the request, the refusal of what is none, or None where more has to come."""
    try:
        return _parse(received)
    except _RefusedError as refused:
        return refused.answer


def _parse(received: bytes) -> Request | None:
    head, end, rest = received.partition(b"\r\n\r\n")
    if len(head) > MAX_HEAD:
        raise _RefusedError(431, f"first line and header fields have at most {MAX_HEAD} bytes")
    if not end:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    asked = _REQUEST_LINE.fullmatch(first)
    if asked is None:
        raise _RefusedError(400, 'the first line is not like "GET /status HTTP/1.1"')
    headers = _headers(lines)
    length = _length(headers)
    if len(rest) < length:
        return None
    method, target = asked.groups()
    path, _, query = target.partition("?")
    return Request(method, unquote(path), query, headers, rest[:length])


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        read = _FIELD.fullmatch(line)
        if read is None:
            raise _RefusedError(400, 'a header field is not like "Name: value"')
        name, value = read[1].lower(), read[2].strip(" \t")
        # Two lengths make one that is no number, and so the request is refused.
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _length(headers: Mapping[str, str]) -> int:
    """Return the number of bytes of the body."""
    if "transfer-encoding" in headers:
        raise _RefusedError(411, "a body needs a Content-Length, and no Transfer-Encoding")
    length = headers.get("content-length", "0")
    if not length.isdecimal():
        raise _RefusedError(400, f'Content-Length: allowed: a number of bytes; not "{length}"')
    # The digits first: Python refuses to convert thousands of them.
    if len(length) > len(str(MAX_BODY)) or int(length) > MAX_BODY:
        raise _RefusedError(413, f"a body has at most {MAX_BODY} bytes")
    return int(length)
