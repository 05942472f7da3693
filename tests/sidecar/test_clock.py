"""The clock that a right to lead is counted by goes on while the machine is suspended."""

import subprocess
import sys
from pathlib import Path

import pytest

SUSPENDED = 100_000

IN_THERE = """
import socket, sys, time
from pathlib import Path
from sidecar.clock import now
from sidecar.kube.client import READ_SECONDS, ApiClient, RetryLaterError
from tests.support.waiting import is_quick

# The machine may stand still between the two.
print(max(round(now() - time.monotonic()) for _ in range(5)))
silent = socket.create_server(("127.0.0.1", 0))
address = "http://127.0.0.1:%d" % silent.getsockname()[1]
client = ApiClient(address, Path("none"), Path(sys.argv[1]))

def ask():
    client.hurry(now() + 0.3)
    try:
        client.get("/api")
    except RetryLaterError:
        return
    raise AssertionError("it was answered")

print(is_quick(ask, READ_SECONDS))
"""


@pytest.mark.thorough
def test_it_counts_what_a_suspension_took_and_requests_end_by_it(tmp_path: Path) -> None:
    """A time namespace has a boot-time clock of its own, as if the machine had been suspended."""
    enter = ["unshare", "--user", "--time", "--boottime", str(SUSPENDED), "--fork"]
    if subprocess.run([*enter, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("time namespaces may not be made here")
    token = tmp_path / "token"
    token.write_text("token")
    command = [*enter, sys.executable, "-c", IN_THERE, str(token)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert told.split() == [str(SUSPENDED), "True"]
