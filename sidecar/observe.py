"""One look at the world: the adapters' latest views put together into one `Observation`."""

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from sidecar.adapters import Adapters, leader_address, wanted_password
from sidecar.memory.server import has_written
from sidecar.memory.status import comparable_positions
from sidecar.observation import (
    BootstrapView,
    LeaseView,
    Observation,
    Peer,
    PostgresView,
    ServerState,
)
from sidecar.patiently import WRITE_SECONDS
from sidecar.postgres import process
from sidecar.postgres.wal import has_wal_beyond

UNSTOPPABLE: Final = (
    "PostgreSQL takes no signals from the sidecar, which could not stop it where another member "
    "is to lead: run both as the same user (annotation pgset.dev/uid), and under the same AppArmor "
    "profile"
)


def observe(adapters: Adapters, started_at: float) -> Observation:
    """Return what is known without asking the peers."""
    bootstrap = adapters.bootstrap.observe(adapters.clock())
    if not bootstrap.running:
        adapters.server.start()
    lease = _lease(adapters)
    postgres = _postgres(adapters, lease, bootstrap)
    reach = adapters.reach
    reach.hear_members(adapters.peers.heard_at)
    leader = leader_address(adapters)
    record = lease.record if lease else None
    _learn_secrets(adapters)
    adapters.way_in.look(postgres, adapters.pods.observe(), leader)
    return Observation(
        now=adapters.clock(),
        started_at=started_at,
        me=adapters.me,
        lease=lease,
        pods=adapters.pods.observe(),
        wanted=adapters.pods.wanted(),
        ordered=adapters.pods.ordered(),
        paused=adapters.pods.paused(),
        opted_out=adapters.pods.opted_out(),
        leaving_since=adapters.pods.leaving_since(adapters.me),
        unfenced_at=adapters.pods.unfenced_at(adapters.me),
        bootstrap=bootstrap,
        postgres=postgres,
        pledged_until=adapters.pledges.until(),
        members_heard_at=reach.members_heard_at,
        renewal_failed_at=reach.renewal_failed_at(lease),
        api_failed_at=reach.api_failed_at,
        question_failed_at=reach.question_failed_at,
        fork=adapters.forks.find(postgres, record, leader),
        wal_matches=adapters.comparer.find(postgres, record, bootstrap, leader),
    )


def _learn_secrets(adapters: Adapters) -> None:
    """Find out once by which secrets others may know this member."""
    if not adapters.keys.has_learned:
        with contextlib.suppress(OSError):
            kept = adapters.bootstrap.kept_secrets()
            if kept is not None:
                adapters.keys.learn(kept)


def ask_peers(adapters: Adapters, observation: Observation) -> Observation:
    """Return it with what the other members say of their data."""
    peers = adapters.peers.ask(observation.pods or (), fresh=True)
    reach = adapters.reach
    reach.hear_members(adapters.peers.heard_at)
    return replace(
        observation,
        # The questions took time, which counts for renewing and fencing.
        now=adapters.clock(),
        peers=peers,
        members_heard_at=reach.members_heard_at,
        complete_peers=_complete_peers(adapters, observation, peers),
    )


def _lease(adapters: Adapters) -> LeaseView | None:
    """Return the Lease as watched; where its holder has gone silent, look oneself."""
    lease, now = adapters.lease.look(), adapters.clock()
    if adapters.reach.should_look(lease, adapters.me, adapters.settings, now):
        adapters.lease.refresh()
        return adapters.lease.look()
    return lease


def _postgres(
    adapters: Adapters, lease: LeaseView | None, bootstrap: BootstrapView
) -> PostgresView:
    """Return what the server says, and what can be seen of it without asking."""
    view = adapters.server.view()
    directory = adapters.bootstrap.data_directory()
    pid, orphaned = (None, False) if directory is None else _seen(adapters, directory)
    if pid is not None and view.state is ServerState.WRITABLE:
        # A full memory must not end the loop, which would neither renew nor fence.
        with contextlib.suppress(OSError):
            adapters.writers.remember(pid)
    standby_signal = adapters.bootstrap.has_standby_signal()
    # A server that is told to start without it may be writable before it answers.
    starts_writable = bootstrap.started_writable and not standby_signal
    adapters.reach.see_server(
        streams=view.streaming,
        followers_heard_at=view.followers_heard_at,
        now=adapters.clock(),
    )
    may_signal = pid is None or process.may_signal(pid)
    return replace(
        view,
        problem=view.problem if may_signal else UNSTOPPABLE,
        # The last pod of an older version has gone, or one has come.
        prepared=view.prepared and adapters.server.prepared_with == wanted_password(adapters),
        may_signal=may_signal,
        streamed_at=adapters.reach.streamed_at,
        alive=pid is not None or orphaned,
        orphaned=orphaned,
        progress_at=adapters.recovery.look(view, pid),
        last_timeline=adapters.last_timeline.look(view.timeline, bootstrap),
        promoted_from=adapters.following.promoted_from(view, lease, adapters.me),
        has_written=has_written(pid, adapters.writers.last(), starts_writable=starts_writable),
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
    """Return the peers that have all WAL of the server here, which has stopped or replays it."""
    directory = adapters.bootstrap.data_directory()
    record = observation.lease.record if observation.lease else None
    if directory is None or record is None or record.timeline is None:
        return frozenset()
    complete = set()
    for name, position in comparable_positions(observation, peers).items():
        look = partial(has_wal_beyond, directory, record.timeline, position)
        with contextlib.suppress(OSError):
            if not adapters.bootstrap.patiently.run(look, WRITE_SECONDS):
                complete.add(name)
    return frozenset(complete)
