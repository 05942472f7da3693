"""How a standby looks for the password that its primary takes, at one that is not there."""

import socket
import threading
import time

from sidecar.observation import Pod, PostgresView, ServerState
from sidecar.postgres.way_in import WayIn
from tests.support.keys import keys_of

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
