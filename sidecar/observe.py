"""One look at the world: the adapters' latest views put together into one `Observation`."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from sidecar.bootstrap import Bootstrap
from sidecar.decide import needs_peers
from sidecar.kube.client import ApiClient
from sidecar.kube.lease import LeaseKeeper
from sidecar.kube.pods import Pods
from sidecar.observation import Identity, Observation, PostgresView, ServerState
from sidecar.peers import Peers
from sidecar.postgres import process
from sidecar.postgres.server import Server
from sidecar.settings import Settings


@dataclass(frozen=True, slots=True)
class Adapters:
    """What the core is connected to the world by."""

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


def observe(adapters: Adapters, started_at: float) -> Observation:
    """Return what is known now. The peers are asked only while a leader has to be chosen."""
    bootstrap = adapters.bootstrap.observe(adapters.clock())
    if not bootstrap.running:
        adapters.server.start()
    lease = adapters.lease.observe()
    observation = Observation(
        now=adapters.clock(),
        started_at=started_at,
        me=adapters.me,
        lease=lease,
        pods=adapters.pods.observe(),
        wanted=None,
        bootstrap=bootstrap,
        postgres=_postgres(adapters),
    )
    choosing = needs_peers(observation, adapters.settings)
    wanted = adapters.pods.wanted(urgent=choosing) if observation.pods is not None else None
    peers = adapters.peers.ask(observation.pods or ()) if choosing else {}
    # The questions took time, which counts for renewing and fencing.
    return replace(observation, now=adapters.clock(), wanted=wanted, peers=peers)


def _postgres(adapters: Adapters) -> PostgresView:
    """Return what the server says, and what can be seen of it without asking."""
    view = adapters.server.view()
    directory = adapters.bootstrap.data_directory()
    pid = process.postmaster_pid(directory) if directory is not None else None
    if pid is not None and view.state is ServerState.WRITABLE:
        adapters.writers.remember(pid)
    return replace(
        view,
        alive=pid is not None,
        has_written=pid is not None and pid == adapters.writers.last(),
        standby_signal=adapters.bootstrap.has_standby_signal(),
    )
