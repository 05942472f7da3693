"""One simulated set, put together: what the sidecars in it, its clients and the judge are given."""

import random
from collections.abc import Callable
from typing import Final

from sidecar.action import RenewLease
from sidecar.memory.heartbeat import Beat
from sidecar.observation import (
    BootstrapView,
    Follower,
    Identity,
    LeaseRecord,
    LeaseView,
    Observation,
    Peer,
    Pod,
    PostgresView,
)
from tests.simulator.kubernetes.cluster import Cluster
from tests.simulator.kubernetes.pod import PodLife
from tests.simulator.member.parts import Parts
from tests.simulator.node import Node
from tests.simulator.reader import RowsSeen
from tests.simulator.schedule import Schedule
from tests.simulator.sidecar_process import SidecarProcess
from tests.simulator.values import thaw
from tests.simulator.world import World

thaw(Beat, BootstrapView, Follower, Identity, LeaseRecord, LeaseView, Observation, Peer, Pod)
thaw(PostgresView, RenewLease, RowsSeen)

SLOW_ONCE: Final = 0.01
"""Of all new sessions, how many are too slow for a probe."""

NewAgent = Callable[["Simulation", PodLife], SidecarProcess]
"""Start a sidecar in a pod."""


class Simulation:
    """A set and its world, by a schedule; its faults and clients are added by the runner."""

    def __init__(self, schedule: Schedule, parts: Parts, new_agent: NewAgent) -> None:
        self.schedule = schedule
        self.settings = schedule.settings
        self.parts = parts
        self.world = World(random.Random(schedule.seed))  # noqa: S311 - a simulation
        self._disks = random.Random(f"disks {schedule.seed}")  # noqa: S311 - a simulation
        self._probes = random.Random(f"probes {schedule.seed}")  # noqa: S311 - a simulation
        self._clocks: dict[int, tuple[float, float]] = {}
        self.cluster = Cluster(
            self.world,
            self.settings,
            lambda pod: new_agent(self, pod),
            members=schedule.members,
            parallel=schedule.parallel,
            deletes_others_histories=parts.deletes_others_histories,
        )

    def clock_of(self, node: Node) -> tuple[float, float]:
        """Offset and rate of a machine's monotonic clock."""
        chance = self.world.chance
        return self._clocks.setdefault(
            node.place, (chance.uniform(0, 1e5), 1 + chance.uniform(-1e-3, 1e-3))
        )

    def is_slow_once(self) -> bool:
        """Whether PostgreSQL has no time for one new session now; by a chance of its own."""
        return self._probes.random() < SLOW_ONCE

    def seconds_of_an_order(self) -> float:
        """By a chance of its own: all else happens as in the same schedule with other disks."""
        return self._disks.uniform(*self.schedule.orders)
