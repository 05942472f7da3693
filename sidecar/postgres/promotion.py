"""Asks a standby for its promotion, in more than one way: clients wait for it."""

import contextlib
import math
from collections.abc import Callable
from typing import Final

import psycopg

from sidecar.postgres import commands
from sidecar.postgres.background import Background
from sidecar.postgres.connection import Connection
from sidecar.postgres.signals import Signals

_SECONDS: Final = 5.0


class Promotion:
    """Over the connection that is open at once; then by an order, which also ends what holds up
    replay; where PostgreSQL gives no connection, by a file and a signal."""

    def __init__(
        self,
        orders: Background,
        signals: Signals,
        *,
        clock: Callable[[], float],
        on_ask: Callable[[], None],
    ) -> None:
        """`on_ask`: called when it is asked for; `at_once` is to be called soon, by the thread that
        owns the open connection."""
        self._orders = orders
        self._signals = signals
        self._clock = clock
        self._on_ask = on_ask
        self._until = -math.inf
        self._asked_by: float | None = None
        """Until when `at_once` may promote; None: nobody has asked it to."""
        self._wanted = False
        """Whether it was asked for, and has not come about since."""

    def is_expected(self, now: float) -> bool:
        """Return whether PostgreSQL was told to just now, so that it may be writable soon."""
        return now < self._until

    def ask(self, deadline: float) -> None:
        """Ask for it, but not once the clock has passed `deadline`."""

        def promote(connection: Connection) -> None:
            if not self._wanted:
                return
            self._until = self._clock() + _SECONDS
            if self._clock() < deadline:
                commands.promote(connection)
                commands.end_what_holds_up_replay(connection)

        def signal() -> None:
            if not self._wanted:
                return
            self._until = self._clock() + _SECONDS
            self._signals.promote(deadline, wait_seconds=_SECONDS)

        self._wanted = True
        self._orders.order(("promote",), promote, signal)
        if not self.is_expected(self._clock()):
            self._asked_by = deadline
            self._on_ask()

    def has_come_about(self) -> None:
        """The server was seen writable. What still waits for its turn must not promote it once
        more: by then another may lead, and this one have started again as a standby."""
        self._wanted = False
        self._asked_by = None

    def at_once(self, connection: Connection | None) -> None:
        """Promote over this connection, if that was asked for: a new one takes a process and a
        login. Where it does not come about, the order does it a moment later."""
        deadline, self._asked_by = self._asked_by, None
        if deadline is None or connection is None or self._clock() >= deadline:
            return
        self._until = self._clock() + _SECONDS
        with contextlib.suppress(psycopg.Error):
            commands.promote(connection)
