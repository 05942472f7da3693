"""The kubelet gets its answer whatever other clients do: else it would stop PostgreSQL."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import IO

import pytest

from tests.support.strain import KINDS

pytestmark = pytest.mark.busy

PROBE = b"GET /liveness HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
PROBES = 12
PROBE_SECONDS = 1.0
"""What the kubelet waits for its answer."""
FAILURES = 3
"""In a row, upon which it stops PostgreSQL."""
ROUNDS = 5
"""A busy machine stands still now and then, but not in each of them."""


@contextlib.contextmanager
def started(*arguments: str) -> Iterator[IO[str]]:
    """Run the module of that; give what it prints."""
    command = [sys.executable, "-m", "tests.support.strain", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def port() -> Iterator[int]:
    with started("serve") as said:
        yield int(said.readline())


def probe(port: int) -> float:
    """Seconds until the answer was there; inf where it was not in time, or another."""
    began = time.monotonic()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PROBE_SECONDS) as client:
            client.settimeout(PROBE_SECONDS)
            client.sendall(PROBE)
            if not client.recv(4096).startswith(b"HTTP/1.1 200 "):
                return float("inf")
    except OSError:
        return float("inf")
    took = time.monotonic() - began
    return took if took < PROBE_SECONDS else float("inf")


def late_ones(port: int) -> int:
    """How many of some probes in a row are not answered in time."""
    took = []
    for _ in range(PROBES):
        took.append(probe(port))
        time.sleep(0.1)
    sys.stdout.write(f"the slowest of {PROBES} answers took {max(took) * 1000:.0f} ms\n")
    return took.count(float("inf"))


@pytest.mark.parametrize("kind", KINDS)
def test_no_client_keeps_the_kubelet_from_its_answer(port: int, kind: str) -> None:
    with started(kind, str(port)) as said:
        assert said.readline() == "begun\n"
        time.sleep(1)
        assert any(late_ones(port) < FAILURES for _ in range(ROUNDS))
