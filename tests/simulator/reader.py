"""Somebody who reads, through the Services of the primary and of the replicas."""

import random
from dataclasses import dataclass
from typing import Final

from tests.simulator.kubernetes.cluster import Cluster
from tests.simulator.postgres.directory import Branch
from tests.simulator.postgres.server import SHUTDOWN_RECORD, Server
from tests.simulator.world import CLIENT

_EVERY: Final = 0.7
"""Seconds between two looks."""


@dataclass(frozen=True, slots=True)
class RowsSeen:
    """A new session was shown all that was committed before this position."""

    server: Server
    branch: Branch
    position: int
    through_the_primarys: bool
    """Through that Service, and not that of the replicas."""


class Reader:
    """A new connection to each Service for each look."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        self._cluster = cluster
        # By a chance of its own: all else happens as it does where nobody looks.
        self._chance = random.Random(f"reader {seed}")  # noqa: S311 - a simulation
        cluster.world.after(1.0, self._look)

    def _look(self) -> None:
        cluster = self._cluster
        self._read(cluster.primary_endpoints(CLIENT), through_the_primarys=True)
        self._read(cluster.replica_endpoints, through_the_primarys=False)
        cluster.world.after(_EVERY, self._look)

    def _read(self, names: tuple[str, ...], *, through_the_primarys: bool) -> None:
        if not names:
            return
        name = names[0] if len(names) == 1 else self._chance.choice(names)
        server = self._cluster.connect(name, CLIENT)
        if server is not None and server.directory.branch is not None:
            branch, position = last_row(server.directory.branch, server.shown)
            self._cluster.world.publish(RowsSeen(server, branch, position, through_the_primarys))


def last_row(branch: Branch, position: int) -> tuple[Branch, int]:
    """Where the last row is: what a promotion writes itself, at the beginning of a branch, and a
    shutdown, at its end, shows nobody anything."""
    while True:
        if position in branch.shutdowns:
            position -= SHUTDOWN_RECORD
        elif branch.parent is not None and position <= branch.fork + SHUTDOWN_RECORD:
            branch, position = branch.parent, min(position, branch.fork)
        else:
            return branch, position
