"""A sidecar that gets no more memory, as with vm.overcommit_memory=2, answers the kubelet."""

import socket
import subprocess
import sys
from collections import Counter

import pytest

pytestmark = pytest.mark.thorough


def code(port: int, path: str) -> int:
    with socket.create_connection(("127.0.0.1", port), timeout=180) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\n\r\n".encode())
        return int(client.recv(4096).split()[1])


def test_the_probe_is_answered_beside_a_thousand_questions_that_wait() -> None:
    command = [sys.executable, "-m", "tests.support.short_of_memory"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        codes = Counter[int]()
        for number in range(1000):
            codes[code(port, "/status")] += 1
            if number % 10 == 0:
                assert code(port, "/liveness") == 200
        process.kill()
    # Where it has no room for the answer it says so, but not that it may have no thread.
    assert codes[200] > 900
