"""One life of a sidecar: its own memory (`sidecar.memory`), and what connects it to the fakes.

What is here dies with the process; what is in a file is in the pod or in the data directory.
"""

from dataclasses import dataclass
from typing import Final

from sidecar.failsafe import Seal
from sidecar.observation import Identity, Observation
from sidecar.settings import Settings
from tests.simulator.kubernetes.cluster import Cluster
from tests.simulator.kubernetes.pod import PodLife
from tests.simulator.member.parts import Parts
from tests.simulator.postgres.phase import Phase
from tests.simulator.postgres.server import Server
from tests.simulator.world import World

NAMESPACE: Final = "shop"
REQUEST_SECONDS: Final = 3.0
LEAST_SECONDS: Final = 0.2
READ_SECONDS: Final = 2.0
"""As in `sidecar.kube.client`."""


@dataclass(slots=True, eq=False)
class Deadlines:
    """What the last decision has set, on the member's own clock."""

    requests_end_at: float = float("inf")
    authority_ends_at: float = float("inf")


class Member:
    """What one sidecar knows and remembers."""

    def __init__(
        self,
        world: World,
        cluster: Cluster,
        pod: PodLife,
        parts: Parts,
        clock: tuple[float, float],
    ) -> None:
        self.world = world
        self.cluster = cluster
        self.api = cluster.api
        self.pod = pod
        self.parts = parts
        self.settings: Settings = pod.settings
        self.me = Identity(pod.name, pod.uid)
        self.identity = str(self.me)
        self.seal = Seal(self.settings.set_name, NAMESPACE, b"of the set")
        self.offset, self.rate = clock
        self.started_at = now = self.clock()
        self.running = True
        self.frozen = False
        self.hung: set[str] = set()
        """The threads that hang, while the others go on."""
        self.deadlines = Deadlines()
        self.last: Observation | None = None
        """The loop's last look."""
        self.attempts = parts.attempts()
        self.commit_wait = parts.commit_wait()
        self.comparison = parts.comparison()
        self.departure = parts.departure()
        self.following = parts.following(pod.followed)
        self.fork = parts.fork()
        self.heartbeat = parts.heartbeat(pod.uid, self.settings.ttl)
        self.lease = parts.lease(self.me, self.settings)
        self.orders = parts.orders()
        self.pledge = parts.pledge()
        self.pods = parts.pods()
        self.probe = parts.probe()
        self.reach = parts.reach()
        self.server = parts.server(now)
        self.last_timeline = parts.last_timeline()
        self.vanished = parts.vanished()
        self.checkpointed_at: float | None = None

    @property
    def stands_still(self) -> bool:
        """No thread of it runs."""
        return self.frozen or self.pod.node.frozen

    def clock(self) -> float:
        """Its own clock, which goes on while the machine stands still."""
        return self.at(self.world.now)

    def at(self, moment: float) -> float:
        """A moment of the world, on its own clock."""
        slept = self.pod.node.slept if self.parts.clock_stands_still else 0.0
        return self.offset + self.rate * (moment - slept)

    def postgres(self) -> Server | None:
        """The server, if a connection to it works."""
        server = self.answering()
        return None if server is None or server.locks_out else server

    def answering(self) -> Server | None:
        """The server, if it answers, be it with a no."""
        server = self.pod.server
        if server is None or server.frozen or server.phase is Phase.DEAD:
            return None
        return server

    def seconds_left(self) -> float:
        """For a request that is sent now."""
        return max(LEAST_SECONDS, self.deadlines.requests_end_at - self.clock())

    def time_out(self) -> float:
        """Seconds that a request which is not answered takes: to connect, to read, or both."""
        chosen = self.world.chance.choice((1.0, READ_SECONDS, REQUEST_SECONDS))
        return min(chosen, self.seconds_left())

    def patience(self) -> float:
        """Seconds that a request gets of an API server that is there, and slow."""
        return min(READ_SECONDS, self.seconds_left())
