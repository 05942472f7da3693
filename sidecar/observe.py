"""One look at the world: the adapters' latest views put together into one `Observation`."""

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

from sidecar.bootstrap import Bootstrap
from sidecar.decide import decide
from sidecar.kube.client import ApiClient
from sidecar.kube.lease import LeaseKeeper
from sidecar.kube.pods import Pods
from sidecar.observation import Identity, LeaseView, Observation, Peer, PostgresView, ServerState
from sidecar.patiently import WRITE_SECONDS
from sidecar.peers import Peers
from sidecar.postgres import process
from sidecar.postgres.divergence import ForkFinder
from sidecar.postgres.recovery import RecoveryWatch
from sidecar.postgres.server import Server
from sidecar.postgres.wal import has_wal_beyond
from sidecar.promises import Promises
from sidecar.settings import Settings
from sidecar.situation.set import holder_address

UNSTOPPABLE: Final = (
    "PostgreSQL takes no signals from the sidecar, which could not stop it where another member "
    "is to lead: run both as the same user (annotation pgset.dev/uid), and under the same AppArmor "
    "profile"
)


@dataclass(slots=True)
class Reach:
    """What the last attempts to reach others have come to."""

    renewal_failed_at: float | None = None
    api_failed_at: float = float("-inf")
    renewal_sent_at: float = float("-inf")
    """Just before the last renewal was sent."""
    question_failed_at: float | None = None
    looked_at: float = float("-inf")
    members_heard_at: float = float("-inf")
    streamed_at: float | None = None


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
    promises: Promises
    forks: ForkFinder
    reach: Reach = field(default_factory=Reach)
    recovery: RecoveryWatch = field(default_factory=lambda: RecoveryWatch(time.monotonic))


def observe(adapters: Adapters, started_at: float) -> Observation:
    """Return what is known now. The peers are asked only while a leader has to be chosen."""
    bootstrap = adapters.bootstrap.observe(adapters.clock())
    if not bootstrap.running:
        adapters.server.start()
    lease = _lease(adapters)
    postgres = _postgres(adapters, started_writable=bootstrap.started_writable)
    reach = adapters.reach
    reach.members_heard_at = max(
        reach.members_heard_at, adapters.peers.heard_at, postgres.followers_heard_at or 0.0
    )
    observation = Observation(
        now=adapters.clock(),
        started_at=started_at,
        me=adapters.me,
        lease=lease,
        pods=adapters.pods.observe(),
        wanted=adapters.pods.wanted(),
        paused=adapters.pods.paused(),
        opted_out=adapters.pods.opted_out(),
        leaving_since=adapters.pods.leaving_since(adapters.me),
        bootstrap=bootstrap,
        postgres=postgres,
        promised_until=adapters.promises.until(),
        members_heard_at=reach.members_heard_at,
        renewal_failed_at=_renewal_failed_at(reach, lease),
        api_failed_at=reach.api_failed_at,
        question_failed_at=reach.question_failed_at,
        fork=adapters.forks.find(
            postgres, lease.record if lease else None, leader_address(adapters)
        ),
    )
    if not decide(observation, adapters.settings).asks_peers:
        return observation
    peers = adapters.peers.ask(observation.pods or (), fresh=True)
    return replace(
        observation,
        # The questions took time, which counts for renewing and fencing.
        now=adapters.clock(),
        peers=peers,
        members_heard_at=max(reach.members_heard_at, adapters.peers.heard_at),
        complete_peers=_complete_peers(adapters, observation, peers),
    )


def after_acting(adapters: Adapters, observation: Observation) -> Observation:
    """Return it with what acting on it has come to: when to look again depends on that."""
    lease, reach = adapters.lease.newest(), adapters.reach
    return replace(
        observation,
        now=adapters.clock(),
        lease=lease,
        renewal_failed_at=_renewal_failed_at(reach, lease),
        question_failed_at=reach.question_failed_at,
    )


def _renewal_failed_at(reach: Reach, lease: LeaseView | None) -> float | None:
    """Return when the last renewal failed, unless it was seen to have landed since."""
    renewed_at = lease.renewed_at if lease else None
    if renewed_at is not None and renewed_at >= reach.renewal_sent_at:
        reach.renewal_failed_at = None
    return reach.renewal_failed_at


def leader_address(adapters: Adapters) -> str | None:
    """Return where the holder of the Lease is, as far as it is known, and is another pod."""
    lease = adapters.lease.newest()
    record = lease.record if lease else None
    if record is None or record.holder == str(adapters.me):
        return None
    return holder_address(record, adapters.pods.observe() or ())


def _lease(adapters: Adapters) -> LeaseView | None:
    """Return the Lease as watched; where its holder has gone silent, look oneself.

    A watch says nothing while nothing changes, and one that is broken says nothing either.
    """
    lease, reach, now = adapters.lease.observe(), adapters.reach, adapters.clock()
    if lease is None or lease.record is None or lease.record.holder == str(adapters.me):
        return lease
    silence = adapters.settings.renew_interval + 1.0
    if now - lease.heard_at > silence and now - reach.looked_at > 1.0:
        reach.looked_at = now
        adapters.lease.look()
    return adapters.lease.observe()


def _postgres(adapters: Adapters, *, started_writable: bool) -> PostgresView:
    """Return what the server says, and what can be seen of it without asking."""
    view = adapters.server.view()
    directory = adapters.bootstrap.data_directory()
    pid, orphaned = (None, False) if directory is None else _seen(adapters, directory)
    if pid is not None and view.state is ServerState.WRITABLE:
        adapters.writers.remember(pid)
    standby_signal = adapters.bootstrap.has_standby_signal()
    # A server that is told to start without it may be writable before it answers.
    starts_writable = started_writable and not standby_signal
    if view.streaming:
        adapters.reach.streamed_at = adapters.clock()
    may_signal = pid is None or process.may_signal(pid)
    return replace(
        view,
        problem=view.problem if may_signal else UNSTOPPABLE,
        may_signal=may_signal,
        streamed_at=adapters.reach.streamed_at,
        alive=pid is not None or orphaned,
        orphaned=orphaned,
        progress_at=adapters.recovery.look(view, pid),
        has_written=pid is not None and (pid == adapters.writers.last() or starts_writable),
        standby_signal=standby_signal,
    )


def _seen(adapters: Adapters, directory: Path) -> tuple[int | None, bool]:
    """Return the postmaster's pid, and whether what it has left runs without one.

    The volume is looked at only where no postmaster is known, and not waited for.
    """
    pid = process.remembered_pid(directory)
    if pid is not None:
        return pid, False

    def look() -> tuple[int | None, bool]:
        pid = process.postmaster_pid(directory)
        return pid, pid is None and bool(process.orphans(directory))

    try:
        return adapters.bootstrap.patiently.run(look)
    except TimeoutError:
        left = process.named_processes(directory)
        # One that is no child is a new postmaster, whose pid stands where nobody can read it.
        new = next((pid for pid in left if not process.is_child(pid)), None)
        return new, new is None and bool(left)


def _complete_peers(
    adapters: Adapters, observation: Observation, peers: Mapping[str, Peer]
) -> frozenset[str]:
    """Return the peers that have all WAL of the server that has stopped here, or that replays it.

    In its recovery a server answers nobody and writes no WAL; none is there to receive any from.
    """
    directory = adapters.bootstrap.data_directory()
    record = observation.lease.record if observation.lease else None
    writes_none = not observation.postgres.alive or observation.postgres.progress_at is not None
    if not writes_none or directory is None or record is None:
        return frozenset()
    if observation.postgres.state is not ServerState.DOWN or record.timeline is None:
        return frozenset()
    complete, timeline = set(), record.timeline
    for peer in peers.values():
        if peer.timeline == timeline and peer.position is not None:
            look = partial(has_wal_beyond, directory, timeline, peer.position)
            with contextlib.suppress(OSError):
                if not adapters.bootstrap.patiently.run(look, WRITE_SECONDS):
                    complete.add(peer.name)
    return frozenset(complete)
