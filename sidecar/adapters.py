"""Everything by which one member reaches the world, put together once."""

from collections.abc import Callable
from dataclasses import dataclass, field

from sidecar.bootstrap import Bootstrap
from sidecar.clock import now
from sidecar.keys import Keys
from sidecar.kube.client import ApiClient
from sidecar.kube.lease import LeaseKeeper
from sidecar.kube.pods import Pods
from sidecar.memory.following import Following
from sidecar.memory.reach import Reach
from sidecar.memory.server import LastTimeline
from sidecar.observation import Identity
from sidecar.peers import Peers
from sidecar.pledges import Pledges
from sidecar.postgres import process
from sidecar.postgres.comparison import Comparer
from sidecar.postgres.divergence import ForkFinder
from sidecar.postgres.recovery import RecoveryWatch
from sidecar.postgres.server import Server
from sidecar.postgres.way_in import WayIn
from sidecar.settings import Settings
from sidecar.situation.set import holder_address


@dataclass(frozen=True, slots=True)
class Adapters:
    """What connects the core to the world."""

    me: Identity
    settings: Settings
    clock: Callable[[], float]
    client: ApiClient
    lease: LeaseKeeper
    pods: Pods
    bootstrap: Bootstrap
    server: Server
    writers: process.WriterMemory
    peers: Peers
    pledges: Pledges
    forks: ForkFinder
    comparer: Comparer
    keys: Keys
    way_in: WayIn
    reach: Reach = field(default_factory=Reach)
    following: Following = field(default_factory=Following)
    last_timeline: LastTimeline = field(default_factory=LastTimeline)
    recovery: RecoveryWatch = field(default_factory=lambda: RecoveryWatch(now))


def leader_address(adapters: Adapters) -> str | None:
    """Return where the holder of the Lease is, as far as it is known, and is another pod."""
    lease = adapters.lease.peek()
    record = lease.record if lease else None
    if record is None or record.holder == str(adapters.me):
        return None
    return holder_address(record, adapters.pods.observe() or ())


def wanted_password(adapters: Adapters) -> str | None:
    """Return what the replication role's password has to be; None where there can be none."""
    return adapters.keys.replication_password(adapters.pods.observe())
