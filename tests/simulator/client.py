"""Somebody who writes, through the Service of the primary, and remembers what was acknowledged."""

from dataclasses import dataclass
from typing import Final

from tests.simulator.kubernetes.cluster import Cluster
from tests.simulator.postgres.directory import Branch
from tests.simulator.postgres.phase import Phase
from tests.simulator.postgres.server import Server

_TIME_OUT: Final = 3.0


@dataclass(frozen=True, slots=True)
class CommitAcknowledged:
    """A client was told that its commit is safe."""

    server: Server
    branch: Branch
    position: int


class Client:
    """One connection at a time, one commit at a time; keeps a connection as long as it works."""

    def __init__(self, cluster: Cluster, place: int, every: float, size: int) -> None:
        self._cluster = cluster
        self._world = cluster.world
        self._place = place
        self._every = every
        self._size = size
        self._server: Server | None = None
        self._branch: Branch | None = None
        self._asked_at: float | None = None
        self._world.after(1.0, self._write)

    def _write(self) -> None:
        world = self._world
        if self._asked_at is not None:
            if world.now - self._asked_at < _TIME_OUT:
                world.after(self._every, self._write)
                return
            if self._cluster.waits_are_cancelled and self._server is not None:
                self._server.sender.cancel(self._done)
            self._asked_at = self._server = None
        server = self._server
        if server is None:
            server = self._cluster.primary_for(self._place)
            if server is None or server.phase is not Phase.WRITABLE:
                world.after(0.5, self._write)
                return
            self._server = server
        if server.frozen or not world.network.passes(self._place, server.pod.node.place):
            self._asked_at = world.now
        else:
            self._branch = server.directory.branch
            self._asked_at = world.now
            if not server.commit(self._size, self._done):
                self._asked_at = self._server = None
        world.after(self._every, self._write)

    def _done(self, position: int) -> None:
        server, self._asked_at = self._server, None
        if server is None or self._branch is None:
            return
        if self._world.network.passes(server.pod.node.place, self._place):
            self._world.publish(CommitAcknowledged(server, self._branch, position))
