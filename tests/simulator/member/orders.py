"""The connection on which PostgreSQL gets its orders: `sidecar.memory.orders` at work."""

from collections.abc import Callable
from typing import Final

from sidecar.memory.orders import Order
from tests.simulator.member.member import Member
from tests.simulator.postgres.server import Server

_RELOAD: Final = (0.01, 0.2)
"""Seconds until a process has taken in a reload, from and to."""

PROMOTE: Final = ("promote",)

Command = Callable[[Server], None]


class OrderConnection:
    """As `sidecar.postgres.background`."""

    def __init__(
        self, member: Member, seconds: Callable[[], float], wake: Callable[[], None]
    ) -> None:
        """`seconds`: what PostgreSQL takes for an order."""
        self._member = member
        self._seconds = seconds
        self._wake = wake
        self._commands: dict[object, Command] = {}
        self._working = False

    def give(self, order: Order, command: Command) -> None:
        self._member.orders.give(order)
        self._commands[order[0]] = command
        if not self._working:
            self._begin_next()

    def _begin_next(self) -> None:
        member = self._member
        order = member.orders.begin_next()
        self._working = order is not None
        if order is not None:
            command = self._commands[order[0]]
            member.world.after(self._seconds(), self._end, order, command, self._server(order))

    def _server(self, order: Order) -> Server | None:
        """The server, if it takes this order: a promotion also by a signal."""
        member = self._member
        by_signal = order == PROMOTE and not member.pod.takes_no_signals
        return member.answering() if by_signal else member.postgres()

    def _end(self, order: Order, command: Command, server: Server | None) -> None:
        """It lands although the sidecar may have ended, if the server is still there."""
        member = self._member
        there = server is not None and server is self._server(order)
        if there and server is not None:
            command(server)
        if not member.running:
            return
        member.orders.end(order, well=there)
        self._begin_next()
        # A promotion that was asked for shows nothing yet: the server tells when it is done.
        if order != PROMOTE or not there:
            self._wake()

    def follow_soon(self, server: Server, upstream: str, *, by_slot: bool) -> None:
        """What a reload changes shows a moment later."""
        world = self._member.world
        world.after(world.chance.uniform(*_RELOAD), server.follow, upstream, by_slot)
