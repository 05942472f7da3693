"""Those whom the servers of ours are there for, and how long they wait for their answers."""

import functools
import json
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from sidecar.failsafe import PATH, SIGNATURE_HEADER, Question
from tests.support.keys import seal_of
from tests.webhook import objects

LATE: Final = 5.0
"""Seconds after which an answer counts as missing."""
ADDRESS: Final = "127.0.0.2"
"""From where they ask: a kubelet, an API server and a member each have an address of their own."""
PASSWORD: Final = "secret"
ASKED: Final = "orders-0"
"""The member that `tests.support.strain` is, of set orders in namespace shop."""
ASKING: Final = "orders-1"


@dataclass(frozen=True)
class Target:
    """A server on this machine."""

    port: int
    tls: bool
    """It is the webhook; else the sidecar."""
    probes: int
    """The port where the kubelet asks."""

    def encode(self) -> str:
        return f"{self.port}:{int(self.tls)}:{self.probes}"

    def of_probes(self) -> "Target":
        """Return where the kubelet asks."""
        return replace(self, port=self.probes, tls=False)

    @classmethod
    def decode(cls, text: str) -> "Target":
        port, tls, probes = map(int, text.split(":"))
        return cls(port, bool(tls), probes)


@functools.cache
def unverified() -> ssl.SSLContext:
    """Return what accepts any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def get(path: str, fields: Mapping[str, str] | None = None) -> bytes:
    """Return a request after whose answer the connection is closed."""
    return _head("GET", path, {"Connection": "close", **(fields or {})})


def post(body: bytes, path: str = "/mutate/pods", fields: Mapping[str, str] | None = None) -> bytes:
    """Return a request with that body, after which the connection may be kept."""
    length = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    return _head("POST", path, {**length, **(fields or {})}) + body


def _head(method: str, path: str, fields: Mapping[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode()


def liveness(target: Target) -> None:
    """Ask as the kubelet does. OSError or ValueError where the answer is another, or late."""
    path = "/livez" if target.tls else "/liveness"
    _ok(_exchange(target.of_probes(), get(path)))


def work(target: Target) -> None:
    """Ask what the server is there for: a review; a member's signed question. Errors as above."""
    if target.tls:
        body = json.dumps(objects.admission_review(objects.article_pod())).encode()
        review = json.loads(_ok(_exchange(target, post(body, fields={"Connection": "close"}))))
        if "patch" not in review["response"]:
            raise ValueError(f"the pod got no patch: {review}")
    else:
        _ask_to_stay(target)


def _ask_to_stay(target: Target) -> None:
    """Ask the failsafe question, with the challenge, and check the answer's signature."""
    seal = seal_of(PASSWORD)
    question = Question(
        set=seal.set_name,
        namespace=seal.namespace,
        holder=f"{ASKING}_uid-1",
        resource_version="7",
        to=ASKED,
        nonce=secrets.token_hex(8),
        ttl=10,
    )

    def ask(question: Question) -> tuple[bytes, bytes]:
        body = question.encode()
        fields = {SIGNATURE_HEADER: seal.sign("question", body)}
        head, _, told = _exchange(target, post(body, PATH, fields)).partition(b"\r\n\r\n")
        return head, told

    _, challenge = ask(question)
    head, told = ask(replace(question, challenge=json.loads(challenge)["challenge"]))
    signature = head.partition(f"{SIGNATURE_HEADER}: ".encode())[2].partition(b"\r\n")[0]
    if not head.startswith(b"HTTP/1.1 200") or not seal.is_mine("answer", told, signature.decode()):
        raise ValueError(f"no signed yes: {head!r}")


def seconds(ask: Callable[[Target], None], target: Target) -> float:
    """Return how long that took; inf where the answer did not come in time, or was another."""
    began = time.monotonic()
    try:
        ask(target)
    except (OSError, ValueError, KeyError):
        return float("inf")
    took = time.monotonic() - began
    return took if took < LATE else float("inf")


def _ok(answer: bytes) -> bytes:
    """Return the body. ValueError where the answer is none, or no 200."""
    if not answer.startswith(b"HTTP/1.1 200"):
        raise ValueError(f"no 200: {answer[:100]!r}")
    return answer.partition(b"\r\n\r\n")[2]


def _exchange(target: Target, request: bytes) -> bytes:
    """Return all that is answered until the server closes."""
    there, near = ("127.0.0.1", target.port), (ADDRESS, 0)
    with socket.create_connection(there, LATE, source_address=near) as plain:
        client = unverified().wrap_socket(plain) if target.tls else plain
        with client:
            client.sendall(request)
            answer = bytearray()
            while received := client.recv(65536):
                answer += received
    return bytes(answer)
