"""Checkpoints that the sidecar asks for."""

from collections.abc import Callable
from typing import Final

from sidecar.postgres.background import Background
from sidecar.postgres.connection import Connection

_SEEN_SECONDS: Final = 1.0
"""By then a look has shown what has ended, and the loop has taken it up: it may ask all peers in
between."""


class Checkpoints:
    """One after another, beside all else: that of a large cache takes minutes."""

    ended_at: float | None = None
    """When the last one ended, on the clock."""

    def __init__(
        self,
        connect: Callable[[], Connection],
        *,
        clock: Callable[[], float],
        on_done: Callable[[], None],
    ) -> None:
        """`connect`: without a limit for an answer. `on_done`: called, by a thread, after each."""
        self._clock = clock
        self._orders = Background(connect, on_done)

    def start(self) -> None:
        """Start the thread, once."""
        self._orders.start()

    def problem(self) -> str | None:
        """Return one sentence about the last one, if it failed."""
        return self._orders.problem()

    def ask(self) -> None:
        """Ask for one, unless one has just ended.

        Who asks again may not have seen that yet, and a fast shutdown waits for whichever is under
        way, with all clients.
        """
        if self.ended_at is None or self._clock() - self.ended_at > _SEEN_SECONDS:
            self.ask_anew()

    def ask_anew(self) -> None:
        """Ask for one that begins from now on."""
        self._orders.order(("checkpoint",), self._checkpoint)

    def _checkpoint(self, connection: Connection) -> None:
        connection.execute("CHECKPOINT")
        self.ended_at = self._clock()
