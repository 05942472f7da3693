"""Requests to the sidecar, made up from valid ones, read by its parser and by h11.

The claims: what comes in pieces reads as what comes whole. What both take they read alike: method,
target, fields, body, and where the next request begins, so that nothing can be smuggled past a
proxy in front. What ours alone takes is what `REASONS` names.
"""

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

import h11

from sidecar.report.message import Answer, Reading, Request

METHODS: Final = [b"GET", b"HEAD", b"OPTIONS", b"POST", b"get", b"CONNECT", b"P-T", b"G T", b""]
TARGETS: Final = [
    *(b"/liveness", b"/status?fresh=1", b"/failsafe", b"/replica?lag=16MB", b"*", b"/%2e%2E/%00"),
    *(b"/?a?b#c", b"/" + b"x" * 300, b"http://x/", b"//x", b"/a b", b"/\xe9", b"/\x7f", b""),
]
VERSIONS: Final = [b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"http/1.1", b"HTTP/1.10"]
FIELDS: Final = [
    *(b"Connection: close", b"User-Agent: kube-probe/1.33", b"Accept: */*", b"Pgset-Signature: 0"),
    *(b"Content-Length: 3", b"content-length:3", b"Content-Length:\t3 ", b"Content-Length: +3"),
    *(b"Content-Length: 03", b"Content-Length: 3, 3", b"Content-Length: 0", b"Content-Length: -1"),
    *(b"Content-Length: 3_0", b"Content-Length: 0x3", b"Content-Length:", b"Content-Length : 3"),
    *(b"Content-Length: \xb2", b"Content-Length: 3\x0b", b"Content-Length: " + b"9" * 30),
    *(b"Transfer-Encoding: chunked", b"transfer-encoding:identity", b"Transfer-Encoding : chunked"),
    *(b"Transfer\x0bEncoding: chunked", b"Host: y", b"Host:", b" folded", b"\tfolded", b"no colon"),
    *(b": nameless", b"A: \xe9", b"A: \x00", b"A: \x0b", b"A: b\rc", b"A: b\nB: c", b"\xe9: a"),
    *(b"Expect: 100-continue", b"Upgrade: h2c", b"A:", b"A: " + b"b" * 9000),
]
ENDS: Final = [b"\r\n", b"\n", b"\r", b"\n\r", b"\r\r\n", b" \r\n", b"\x85"]
AFTER: Final = [b"", b"GET /status HTTP/1.1\r\nHost: z\r\n\r\n", b"0\r\n\r\n", b"\r\n", b"x" * 100]

_HOST: Final = re.compile(rb"\r\nhost:", re.I)

REASONS: Final = {
    "a request of HTTP/1.1 has one Host; nothing here depends on it, and HAProxy sends none": (
        lambda head: len(_HOST.findall(head)) != 1
    ),
}
"""Why ours takes what h11 refuses, and how to tell by the head."""


@dataclass(frozen=True)
class Read:
    """A request as one of the two understood it."""

    method: str
    target: str
    fields: dict[str, str]
    body: bytes
    follows: bytes


def made(rng: random.Random) -> bytes:
    """Return a request of which little is wrong, so that much of it is read."""
    fields = [b"Host: x", *rng.choices(FIELDS, k=rng.randrange(5))]
    rng.shuffle(fields)
    if rng.random() < 0.1:
        fields.remove(b"Host: x")
    line = b" ".join((_mostly(rng, METHODS), _mostly(rng, TARGETS), _mostly(rng, VERSIONS)))
    lines = [line, *fields, b""]
    text = b"".join(line + _mostly(rng, ENDS, 0.03) for line in lines)
    text = bytearray(text + rng.choice([b"", b"a", b"abc"]) + rng.choice(AFTER))
    while rng.random() < 0.3:
        where = rng.randrange(len(text) + 1)
        text[where : where + rng.randrange(2)] = rng.choice(
            [b"", rng.randbytes(1), b" ", b"\r\n", b"\n", b":", b"0", b"\t"]
        )
    return bytes(text)


def check_http(rng: random.Random) -> str:
    """Return what came of it, in a word or two."""
    received = made(rng)
    ours, rest = _by_ours([received])
    pieces = list(_pieces(rng, received))
    assert _by_ours(pieces)[0] == ours, (received, pieces)
    if not isinstance(ours, Request):
        return "refused" if ours else "more has to come"
    theirs = _by_h11(pieces)
    if theirs is None:
        head = received.partition(b"\r\n\r\n")[0] + b"\r\n"
        reasons = [it for it, holds in REASONS.items() if holds(head)]
        assert reasons, ("h11 refuses, or waits for more", received)
        return "taken by ours alone"
    path, _, query = theirs.target.partition("?")
    read = Request(theirs.method, unquote(path), query, theirs.fields, theirs.body)
    assert ours == read, (received, ours, read)
    assert rest == theirs.follows, (received, rest, theirs.follows)
    return "read alike"


def _mostly(rng: random.Random, choices: list[bytes], otherwise: float = 0.15) -> bytes:
    """Return one of them, and mostly the first."""
    return rng.choice(choices) if rng.random() < otherwise else choices[0]


def _pieces(rng: random.Random, received: bytes) -> Iterable[bytes]:
    size = rng.choice([1, 2, 7, 100])
    return (received[start : start + size] for start in range(0, len(received), size))


def _by_ours(pieces: Iterable[bytes]) -> tuple[Request | Answer | None, bytes]:
    """Return what is read, and what has come after it."""
    reading, left = Reading(), iter(pieces)
    for piece in left:
        found = reading.take(piece)
        if found is not None:
            return found, bytes(reading._received[reading._length :]) + b"".join(left)
    return None, b""


def _by_h11(pieces: Iterable[bytes]) -> Read | None:
    """Return None where it is no request, or not a whole one."""
    connection = h11.Connection(h11.SERVER)
    asked, body = None, b""
    for piece in pieces:
        connection.receive_data(piece)
    try:
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Request):
                asked = event
            elif isinstance(event, h11.Data):
                body += event.data
            else:
                return None
    except h11.RemoteProtocolError:
        return None
    assert asked is not None
    fields: dict[str, str] = {}
    for name, value in ((n.decode("latin-1"), v.decode("latin-1")) for n, v in asked.headers):
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    follows = connection.trailing_data[0]
    return Read(asked.method.decode(), asked.target.decode("latin-1"), fields, body, follows)
