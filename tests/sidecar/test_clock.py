"""The clock that a right to lead is counted by goes on while the machine is suspended."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sidecar import agent, clock, contract
from sidecar.report.server import listen
from sidecar.settings import Settings
from tests.support.idle_threads import ENVIRONMENT

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


class _BuiltError(Exception):
    """Carries what a sidecar is made of."""


def test_the_holders_right_to_lead_is_counted_by_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def build(**parts: Any) -> None:
        raise _BuiltError(parts)

    monkeypatch.setattr(agent, "Adapters", build)
    monkeypatch.setattr(contract, "HANDSHAKE_DIRECTORY", str(tmp_path))
    for name, value in (ENVIRONMENT | Settings(set_name="orders").to_environment()).items():
        monkeypatch.setenv(name, value)
    with listen(0, "127.0.0.1") as listener, pytest.raises(_BuiltError) as built:
        agent.run(listener)
    (parts,) = built.value.args
    # When a renewal was sent, and what time it is at the next look.
    assert (parts["lease"]._clock, parts["clock"]) == (clock.now, clock.now)
