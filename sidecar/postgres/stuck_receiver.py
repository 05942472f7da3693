"""A walreceiver that does not end when it has to, since it computes.

Who answers at the address of a former primary may ask for a proof of the password by two thousand
million iterations (RFC 5802 has no limit). libpq takes the better part of an hour for it, and hears
of nothing meanwhile but SIGKILL. For so long the standby would neither be promoted nor follow
another primary.
"""

import os
import signal
from collections.abc import Callable
from functools import partial
from typing import Final

from sidecar.postgres import commands
from sidecar.postgres.background import Background
from sidecar.postgres.connection import Connection

SECONDS: Final = 3.0
"""A walreceiver ends in milliseconds; one that waits for its volume shows that, and is left."""


class StuckReceiver:
    """Ends it: PostgreSQL then starts all of its processes anew."""

    def __init__(
        self, orders: Background, clock: Callable[[], float], promotes: Callable[[float], bool]
    ) -> None:
        """`promotes`: whether the server has just been asked to be promoted, at this time."""
        self._orders = orders
        self._clock = clock
        self._promotes = promotes
        self._pid: int | None = None
        self._since = 0.0

    def look(self, pid: int | None) -> None:
        """Take in a look; `pid`: of a walreceiver that is waited for and computes."""
        now = self._clock()
        if pid is None or pid != self._pid:
            self._pid, self._since = pid, now
        elif now - self._since >= SECONDS:
            self._since = now
            order = ("end-receiver", pid)
            self._orders.order(order, partial(_end, pid=pid, promotes=self._promotes(now)))


def _end(connection: Connection, *, pid: int, promotes: bool) -> None:
    if promotes:
        # Or the next one would be caught before the server is promoted.
        commands.follow(connection, "")
    still = connection.execute(
        "SELECT FROM pg_stat_activity WHERE pid = %s::integer AND backend_type = 'walreceiver'",
        [pid],
    ).fetchone()
    if still is not None:
        os.kill(pid, signal.SIGKILL)
