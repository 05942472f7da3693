"""Clients that mean no good, for any server of ours.

`python -m tests.support.hostile ATTACK TARGET` prints a line once it has begun, and goes on until
it is ended.
"""

import contextlib
import json
import select
import socket
import ssl
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from tests.webhook import objects

_PAUSE: Final = 0.02


@dataclass(frozen=True)
class Target:
    """A server on this machine."""

    port: int
    tls: bool
    """It is the webhook; else the sidecar."""

    def encode(self) -> str:
        return f"{self.port}:{int(self.tls)}"

    @classmethod
    def decode(cls, text: str) -> "Target":
        port, tls = text.split(":")
        return cls(int(port), bool(int(tls)))

    def tcp(self, receive_buffer: int = 0) -> socket.socket:
        client = socket.socket()
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(5)
        client.connect(("127.0.0.1", self.port))
        return client

    def connect(self, receive_buffer: int = 0) -> socket.socket:
        """Connect, and shake hands where that is asked for."""
        client = self.tcp(receive_buffer)
        if not self.tls:
            return client
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context.wrap_socket(client)

    def dearest(self) -> bytes:
        """Return the request whose answer costs most for its size."""
        return post(_review(64 * 1024)) if self.tls else get("/metrics")


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()


def post(body: bytes, path: str = "/mutate/pods") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _review(size: int, *, key: str = "") -> bytes:
    """Return the review of a pod with a variable of that size, and a label of that key."""
    pod = objects.article_pod()
    container = pod["spec"]["containers"][0]
    container.setdefault("env", []).append({"name": "LARGE", "value": "x" * size})
    if key:
        pod["metadata"].setdefault("annotations", {})["pgset.dev/role-label"] = key
    return json.dumps(objects.admission_review(pod)).encode()


def ask(target: Target, path: str, seconds: float) -> float:
    """Return the seconds until the answer was there; inf where it was not in time, or no 200."""
    began = time.monotonic()
    try:
        with target.tcp() as plain:
            plain.settimeout(seconds)
            client = plain
            if target.tls:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                client = context.wrap_socket(plain)
            with client:
                client.sendall(get(path))
                if client.recv(12) != b"HTTP/1.1 200":
                    return float("inf")
    except OSError:
        return float("inf")
    took = time.monotonic() - began
    return took if took < seconds else float("inf")


def _hold(
    number: int, connect: Callable[[], socket.socket], act: Callable[[socket.socket], object]
) -> None:
    """Keep so many; act on each once a second; who is cut off comes again."""
    held: list[socket.socket] = []
    while True:
        ended, _, _ = select.select(held, [], [], 0) if held else ([], [], [])
        for client in ended:
            with contextlib.suppress(OSError):
                if client.recv(65536):
                    continue
            held.remove(client)
            client.close()
        began = time.monotonic()
        while len(held) < number and time.monotonic() - began < 1:
            with contextlib.suppress(OSError):
                held.append(connect())
        for client in held:
            with contextlib.suppress(OSError):
                act(client)
        _begun()
        time.sleep(max(_PAUSE, 1 - (time.monotonic() - began)))


def idle(target: Target) -> None:
    _hold(1000, target.connect, lambda _: None)


def drip(target: Target) -> None:
    head = b"POST /mutate/pods HTTP/1.1\r\nContent-Length: 5000\r\n" + b"a: b\r\n" * 50 + b"\r\n"

    def connect() -> socket.socket:
        client = target.connect()
        client.sendall(head)
        return client

    _hold(400, connect, lambda client: client.send(b"x"))


def dearest(target: Target) -> None:
    """1,200 of them, as fast as they come."""
    request = target.dearest()
    while True:
        clients = []
        for _ in range(100 if target.tls else 400):
            with contextlib.suppress(OSError):
                client = target.connect()
                client.send(request)
                clients.append(client)
        _begun()
        for client in clients:
            with contextlib.suppress(OSError):
                client.recv(65536)
            client.close()


def unread(target: Target) -> None:
    request = post(_review(2**20)) if target.tls else get("/metrics")

    def connect() -> socket.socket:
        client = target.connect(4096)
        client.sendall(request)
        return client

    _hold(100, connect, lambda _: None)


def half_handshakes(target: Target) -> None:
    _hold(400, target.tcp, lambda client: client.send(b"\x16\x03\x01\x02\x00\x01"))


def long_heads(target: Target) -> None:
    """Of 10 MB."""
    while True:
        with contextlib.suppress(OSError), target.connect() as client:
            client.sendall(b"GET /livez HTTP/1.1\r\n" + b"A: " + b"a" * 10_000_000 + b"\r\n\r\n")
        _begun()


def large_keys(target: Target) -> None:
    """Keys and values far over Kubernetes' limits, and long queries."""
    if target.tls:
        request = post(_review(1000, key="example.org/" + "k" * 2_000_000))
    else:
        request = get("/replica?" + "lag=%01&" * 900)
    while True:
        with contextlib.suppress(OSError), target.connect() as client:
            client.sendall(request)
            client.recv(65536)
        _begun()


def unsigned(target: Target) -> None:
    """Questions that should be signed, and are not."""
    request = post(b'{"set": "orders"}', "/failsafe")
    while True:
        with contextlib.suppress(OSError), target.connect() as client:
            client.sendall(request)
            client.recv(65536)
        _begun()


ATTACKS: Final[Mapping[str, Callable[[Target], None]]] = {
    it.__name__: it
    for it in (idle, drip, dearest, unread, half_handshakes, long_heads, large_keys, unsigned)
}

_said: Final[list[bool]] = []


def _begun() -> None:
    if not _said:
        _said.append(True)
        sys.stdout.write("begun\n")
        sys.stdout.flush()


if __name__ == "__main__":
    ATTACKS[sys.argv[1]](Target.decode(sys.argv[2]))
