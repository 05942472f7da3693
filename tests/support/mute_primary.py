"""A way to a primary on which replication begins and nothing is sent."""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

COPY_BOTH_RESPONSE = b"W"
"""The server's answer to START_REPLICATION; WAL follows it (PostgreSQL's manual, 55.7)."""


@contextlib.contextmanager
def mute_primary(port: int) -> Iterator[int]:
    """Yield the port of one that answers as `port` does, up to the first word of its WAL.

    Its clients may not encrypt: the messages' types are read on the way.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener, port), daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread: close alone does not


def _accept(listener: socket.socket, port: int) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            server = socket.create_connection(("127.0.0.1", port))
            for pass_on in (_pass_questions_on, _pass_answers_on):
                threading.Thread(target=pass_on, args=(client, server), daemon=True).start()


def _pass_questions_on(client: socket.socket, server: socket.socket) -> None:
    with server, contextlib.suppress(OSError):
        while words := client.recv(65536):
            server.sendall(words)
        server.shutdown(socket.SHUT_RDWR)


def _pass_answers_on(client: socket.socket, server: socket.socket) -> None:
    with client, contextlib.suppress(OSError), server.makefile("rb") as answers:
        began = False
        while len(head := answers.read(5)) == 5:
            kind, length = struct.unpack("!cI", head)
            message = head + answers.read(length - 4)
            if not began:
                client.sendall(message)
            began = began or kind == COPY_BOTH_RESPONSE
        client.shutdown(socket.SHUT_RDWR)
