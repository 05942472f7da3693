"""How a standby looks for the password that its primary takes, at one that is not there."""

import socket
import threading
import time

import pytest

from sidecar.observation import Pod, PostgresView, ServerState
from sidecar.postgres.primary_queries import PasswordRefusedError
from sidecar.postgres.way_in import WayIn, with_any
from tests.support.keys import keys_of

PASSWORDS = ("likeliest", "former")
POD = Pod("orders-0", "uid-0", None, None)
STANDBY = PostgresView(ServerState.RECOVERY, since=0.0)
ADDRESS = "127.0.0.1"


def test_who_looks_starts_no_thread() -> None:
    """Where memory is short, such a start may never end: it would be the loop's end."""
    with socket.create_server((ADDRESS, 0)) as silent:
        port = str(silent.getsockname()[1])
        keys = keys_of("secret")
        way_in = WayIn({"port": port}, keys, keep=lambda _: None, clock=time.monotonic)
        way_in.start()
        before = set(threading.enumerate())
        way_in.look(STANDBY, (POD,), ADDRESS)
        with silent.accept()[0]:
            assert set(threading.enumerate()) == before


def test_what_is_told_is_why_the_likeliest_password_did_not_let_it_in() -> None:
    """It may be right, and the role have been refused for something else."""

    def ask(password: str) -> None:
        raise PasswordRefusedError(f"the answer to the {password} one")

    with pytest.raises(PasswordRefusedError, match="the answer to the likeliest one"):
        with_any(PASSWORDS, ask)
