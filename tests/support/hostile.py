"""Clients that mean no good, for any server of ours.

`python -m tests.support.hostile ATTACK TARGET` prints a line once it has begun, and goes on until
it is ended. One thread keeps all clients: each does what can be done without waiting, as a server
does, so that 1,200 of them are there at once.
"""

import contextlib
import itertools
import json
import resource
import select
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sidecar.failsafe import MAX_BODY, NONCE_HEADER, PATH, SIGNATURE_HEADER
from tests.support.honest import Target, get, post, unverified
from tests.webhook import objects

_TURN: Final = 0.02
_CHUNK: Final = 65536
_COMES_AGAIN: Final = 10.0
"""Seconds after which a client gives up and another takes its place: not all are told their end."""
_BEGUN_WITHIN: Final = 3.0
_ENDED: Final = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_FILES: Final = 4096


@dataclass(frozen=True)
class Manner:
    """How a client behaves once it has connected."""

    requests: Iterator[bytes]
    """What one sends first."""
    reads: bool = True
    drips: bool = False
    """A byte a second, after the request."""
    shakes: bool = True
    """It goes on with TLS where the server does."""


class _Client:
    """One of them."""

    def __init__(self, target: Target, manner: Manner) -> None:
        self.target, self.manner = target, manner
        self.began = time.monotonic()
        self.request = next(manner.requests)
        self.unsent = memoryview(self.request)
        self.sent_all = False
        self.sock = socket.socket()
        self.descriptor = self.sock.fileno()
        if not manner.reads:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.setblocking(False)
        self.shaken = not (target.tls and manner.shakes)
        with contextlib.suppress(BlockingIOError):
            self.sock.connect(("127.0.0.1", target.port))

    def step(self, seen: int = 0) -> int:
        """Go on; return the events of epoll to wait for. OSError where it has ended."""
        if seen & _ENDED and not self.manner.reads:
            raise ConnectionResetError
        try:
            if not self.shaken:
                self._shake_hands()
            if self.unsent:
                self.unsent = self.unsent[self.sock.send(self.unsent[:_CHUNK]) :]
            if self.unsent:
                return select.EPOLLIN | select.EPOLLOUT
            self.sent_all = True
            if self.manner.reads:
                self._read()
        except ssl.SSLWantWriteError:
            return select.EPOLLOUT
        except ssl.SSLWantReadError:
            return select.EPOLLIN
        except BlockingIOError:
            return select.EPOLLIN | (select.EPOLLOUT if self.unsent else 0)
        return select.EPOLLIN if self.manner.reads else _ENDED

    def _shake_hands(self) -> None:
        if not isinstance(self.sock, ssl.SSLSocket):
            if self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise ConnectionRefusedError
            try:
                self.sock.getpeername()
            except OSError:  # it is not connected yet
                raise ssl.SSLWantWriteError from None
            self.sock = unverified().wrap_socket(self.sock, do_handshake_on_connect=False)
        self.sock.do_handshake()
        self.shaken = True

    def _read(self) -> None:
        if not self.sock.recv(_CHUNK):
            raise ConnectionResetError
        if self.target.tls and not self.manner.drips:
            # The connection is kept for another: so all that this costs us is what it costs them.
            self.unsent = memoryview(self.request)

    def drip(self) -> None:
        if self.sent_all:
            with contextlib.suppress(OSError):
                self.sock.send(b"x")


class _Crowd:
    """So many of them, for ever: who is cut off comes again."""

    def __init__(self, target: Target, number: int, manner: Manner) -> None:
        self.target, self.number, self.manner = target, number, manner
        self.poll = select.epoll()
        self.held: dict[int, _Client] = {}
        self.come = 0
        self.dripped = time.monotonic()

    def turn(self) -> None:
        """Do for each what can be done now."""
        began = time.monotonic()
        while len(self.held) < self.number and time.monotonic() - began < _TURN:
            self.add()
        for descriptor, seen in self.poll.poll(_TURN):
            if descriptor in self.held:
                self.step(self.held[descriptor], seen)
        now = time.monotonic()
        for client in [it for it in self.held.values() if now - it.began > _COMES_AGAIN]:
            self.end(client)
        if self.manner.drips and now - self.dripped > 1:
            self.dripped = now
            for client in self.held.values():
                client.drip()

    def add(self) -> None:
        client = _Client(self.target, self.manner)
        self.held[client.descriptor] = client
        self.come += 1
        self.poll.register(client.descriptor, 0)
        self.step(client, 0)

    def step(self, client: _Client, seen: int) -> None:
        try:
            self.poll.modify(client.descriptor, client.step(seen))
        except OSError:
            self.end(client)

    def end(self, client: _Client) -> None:
        del self.held[client.descriptor]
        client.sock.close()


def _keep(target: Target, number: int, manner: Manner) -> None:
    began, crowd = time.monotonic(), _Crowd(target, number, manner)
    while True:
        crowd.turn()
        if crowd.come >= number or time.monotonic() - began > _BEGUN_WITHIN:
            _begun()


def nobody(_target: Target) -> None:
    """For comparison: what the machine itself does to the answers."""
    _begun()
    time.sleep(3600)


def idle(target: Target) -> None:
    _keep(target, 1000, _manner([b""]))


def drip(target: Target) -> None:
    """Half of them in the head, half in the body."""
    head = b"POST /mutate/pods HTTP/1.1\r\nContent-Length: 5000\r\n" + b"a: b\r\n" * 50
    _keep(target, 400, _manner([head + b"a: ", head + b"\r\n"], drips=True))


def dearest(target: Target) -> None:
    """1,200 at once that ask for the dearest answer."""
    if target.tls:
        requests = [_review(_large_variable), _review(_many_volumes)]
    else:
        requests = [get("/metrics"), get("/status?fresh=1")]
    _keep(target, 1200, _manner(requests))


def readiness(target: Target) -> None:
    """1,200 at once that ask what the webhook's kubelet asks."""
    _keep(target, 1200, _manner([get("/readyz")]))


def unread(target: Target) -> None:
    """100 that ask for the longest answer and leave it there."""
    _keep(
        target,
        100,
        _manner([_review(_large_variable) if target.tls else get("/metrics")], reads=False),
    )


def half_handshakes(target: Target) -> None:
    """Half of them in the middle of their first message, half after the server's answer to it."""
    outgoing = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        unverified().wrap_bio(ssl.MemoryBIO(), outgoing).do_handshake()
    hello = outgoing.read()
    _keep(target, 400, _manner([hello, hello[: len(hello) // 2]], reads=False, shakes=False))


def long_heads(target: Target) -> None:
    """20 at once, of 10 MB each."""
    line = b"GET /livez HTTP/1.1\r\n"
    _keep(
        target,
        20,
        _manner([line + b"A: " + b"a" * 10_000_000, line + b"a: b\r\n" * 1_700_000]),
    )


def large_keys(target: Target) -> None:
    """20 at once, of keys and values far over Kubernetes' limits."""
    changes = (_large_annotation, _large_label, _large_name, _large_image)
    _keep(target, 20, _manner([_review(it) for it in changes]))


def unsigned(target: Target) -> None:
    """400 at once that ask as a member does, by no signature, or by one of nobody of the set."""
    fields = {NONCE_HEADER: "1" * 32, SIGNATURE_HEADER: " ".join(["0" * 64] * 4)}
    body = b"x" * MAX_BODY
    requests = [
        post(b'{"set": "orders"}', PATH),
        post(body, PATH, fields),
        get("/status?fresh=1", fields),
    ]
    _keep(target, 400, _manner(requests))


def _manner(requests: Iterable[bytes], **more: bool) -> Manner:
    return Manner(itertools.cycle(requests), **more)


def _review(change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return the review of a pod that was changed so."""
    pod = objects.article_pod()
    pod["metadata"].setdefault("annotations", {})
    change(pod)
    return post(json.dumps(objects.admission_review(pod)).encode())


def _large_variable(pod: dict[str, Any]) -> None:
    pod["spec"]["containers"][0].setdefault("env", []).append(
        {"name": "LARGE", "value": "x" * 2**20}
    )


def _many_volumes(pod: dict[str, Any]) -> None:
    pod["spec"]["volumes"] += [{"name": f"v{it}"} for it in range(20_000)]


def _large_annotation(pod: dict[str, Any]) -> None:
    pod["metadata"]["annotations"]["pgset.dev/role-label"] = "example.org/" + "k" * 2_000_000


def _large_label(pod: dict[str, Any]) -> None:
    pod["metadata"]["labels"]["k" * 2_000_000] = "v" * 1_000_000


def _large_name(pod: dict[str, Any]) -> None:
    pod["metadata"]["name"] = "n" * 2_000_000


def _large_image(pod: dict[str, Any]) -> None:
    pod["spec"]["containers"][0]["image"] = "a/" * 1_000_000 + "postgres:16"


SIDECARS: Final = (nobody, idle, drip, dearest, unread, long_heads, unsigned)
WEBHOOKS: Final = (nobody, idle, drip, dearest, unread, half_handshakes, long_heads, large_keys)
PROBES: Final = (idle, drip, readiness, long_heads)

ATTACKS: Final[Mapping[str, tuple[str, ...]]] = {
    "sidecar": tuple(it.__name__ for it in SIDECARS),
    "webhook": tuple(it.__name__ for it in WEBHOOKS),
    "probes": tuple(it.__name__ for it in PROBES),
}
"""By server, or by port. The sidecar has no TLS; what it is asked signed, the webhook is not."""

_said: Final[list[bool]] = []


def _begun() -> None:
    if not _said:
        _said.append(True)
        sys.stdout.write("begun\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(_FILES, _hard), _hard))
    _BY_NAME = {it.__name__: it for it in (*SIDECARS, *WEBHOOKS, *PROBES)}
    _BY_NAME[sys.argv[1]](Target.decode(sys.argv[2]))
