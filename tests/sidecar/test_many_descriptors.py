"""A crowd of clients holds over a thousand of the sidecar's descriptors: it still waits for
PostgreSQL as it always does."""

import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from sidecar.postgres import libpq
from sidecar.postgres.primary_queries import UpstreamError, identify
from tests.support.many_descriptors import MOST_OF_SELECT, many_descriptors

LETS_IN = b"R" + struct.pack("!ii", 8, 0) + b"Z" + struct.pack("!i", 5) + b"I"
"""AuthenticationOk and ReadyForQuery."""


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def parameters(listener: socket.socket) -> dict[str, str]:
    port = str(listener.getsockname()[1])
    return {"host": "127.0.0.1", "port": port, "user": "somebody", "sslmode": "disable"}


def test_a_connection_that_nobody_answers_is_given_up(listener: socket.socket) -> None:
    conninfo = " ".join(f"{name}={it}" for name, it in parameters(listener).items()).encode()
    with many_descriptors(), pytest.raises(libpq.NoAnswerError):
        libpq.connect(conninfo, 0.2)


def test_a_question_that_the_primary_does_not_answer_is_given_up(listener: socket.socket) -> None:
    let_in: list[socket.socket] = []

    def serve() -> None:
        client, _ = listener.accept()
        client.recv(4096)
        client.sendall(LETS_IN)
        let_in.append(client)

    thread = threading.Thread(target=serve)
    thread.start()
    with many_descriptors(), pytest.raises(UpstreamError, match="has not answered"):
        identify(parameters(listener), "password", seconds=0.2)
    thread.join()
    let_in[0].close()


def test_what_can_be_read_is_told() -> None:
    with many_descriptors():
        one, other = socket.socketpair()
        with one, other:
            assert one.fileno() >= MOST_OF_SELECT
            assert libpq.ready([one.fileno()], 0.0) == []
            other.send(b".")
            assert libpq.ready([one.fileno()], 60.0) == [one.fileno()]
            assert libpq.ready([one.fileno()], 60.0, write=True) == [one.fileno()]
