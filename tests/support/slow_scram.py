"""Who answers in a primary's place, and asks for as many iterations of SCRAM as there can be."""

import base64
import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

ITERATIONS = 2**31 - 1
"""libpq takes more than half an hour for them."""

_REQUEST = 8
"""Bytes of a request for encryption; the message that begins a session is longer."""
_SASL, _SASL_CONTINUE = 10, 11


class SlowScram:
    """`asked`: whether a client computes by now."""

    def __init__(self, listener: socket.socket) -> None:
        self.port: int = listener.getsockname()[1]
        self.asked = threading.Event()


@contextlib.contextmanager
def slow_scram() -> Iterator[SlowScram]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = SlowScram(listener)
        threading.Thread(target=_accept, args=(listener, server), daemon=True).start()
        try:
            yield server
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread: close alone does not


def _accept(listener: socket.socket, server: SlowScram) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_answer, args=(client, server), daemon=True).start()


def _answer(client: socket.socket, server: SlowScram) -> None:
    with client, contextlib.suppress(OSError):
        while len(client.recv(4096)) == _REQUEST:
            client.sendall(b"N")
        client.sendall(_message(_SASL, b"SCRAM-SHA-256\0\0"))
        _, _, nonce = client.recv(4096).partition(b"r=")
        salt = base64.b64encode(b"0123456789abcdef")
        asked = b"r=%sxyz,s=%s,i=%d" % (nonce, salt, ITERATIONS)
        client.sendall(_message(_SASL_CONTINUE, asked))
        server.asked.set()
        client.recv(4096)


def _message(code: int, content: bytes) -> bytes:
    return b"R" + struct.pack("!ii", 8 + len(content), code) + content
