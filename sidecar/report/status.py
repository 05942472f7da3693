"""What a snapshot says to those who ask: yes or no to a load balancer, all of it to a person."""

from typing import Any, Final

from sidecar.action import Role
from sidecar.contract import VERSION
from sidecar.memory.status import describe
from sidecar.observation import Observation, Pod, PostgresView, ServerState
from sidecar.report.snapshot import Snapshot
from sidecar.settings import Settings
from sidecar.situation import Situation

PATRONI: Final = "4.1.0"
"""The version of Patroni whose answers these are like. Who asks reads them by it: before 3.0.4 a
replica's state was never "streaming"."""


def is_alive(age: float, settings: Settings) -> bool:
    """Tell whether the loop still turns: a turn may wait out an API request of 3 s, not more."""
    return age < max(4.0, settings.ttl / 2)


def is_primary(snapshot: Snapshot) -> bool:
    """Tell whether this member is writable by right."""
    return snapshot.decision.role is Role.PRIMARY


def is_replica(snapshot: Snapshot, max_lag: int) -> bool:
    """Tell whether this member follows, no further behind than `max_lag` bytes."""
    return (
        snapshot.decision.role is Role.REPLICA
        and (snapshot.observation.postgres.lag or 0) <= max_lag
    )


def is_in_sync(snapshot: Snapshot) -> bool:
    """Tell whether this member is a standby that commits wait for, by the Lease, and runs."""
    observation = snapshot.observation
    record = observation.lease.record if observation.lease else None
    return (
        record is not None
        and observation.me.name in record.voters
        and record.holder_pod != observation.me.name
        and observation.postgres.state is ServerState.RECOVERY
    )


def in_quorum(snapshot: Snapshot) -> bool:
    """Tell whether commits wait for some of several standbys, by the Lease, and not for each."""
    lease = snapshot.observation.lease
    record = lease.record if lease else None
    return record is not None and 0 < record.copies < len(record.voters)


def is_locked(snapshot: Snapshot, settings: Settings) -> bool:
    """Tell whether somebody has the Lease."""
    lease = Situation(snapshot.observation, settings).lease
    held = lease.record is not None and bool(lease.record.holder)
    return held and (is_primary(snapshot) or not lease.has_expired)


def replication_state(postgres: PostgresView) -> str | None:
    """Return Patroni's word for how WAL comes to a standby; None: not as a stream."""
    return "streaming" if postgres.streaming else None


def tags(pod: Pod) -> dict[str, Any]:
    """Return Patroni's tags for what an operator has set on a pod."""
    priority = pod.failover_priority
    return ({"nofailover": True} if pod.nofailover else {}) | (
        {"failover_priority": priority} if priority != 1 else {}
    )


def own_tags(observation: Observation) -> dict[str, Any]:
    """Return this member's."""
    shown = (tags(it) for it in observation.pods or () if it.uid == observation.me.uid)
    return next(shown, {})


def if_any(found: dict[str, Any]) -> dict[str, Any]:
    """Return what Patroni has in its answers where there are tags, and only there."""
    return {"tags": found} if found else {}


def status(snapshot: Snapshot, settings: Settings, *, turns: bool = True) -> dict[str, Any]:
    """Return Patroni's keys where it has the same, and under "pgset" what is ours.

    `turns`: the loop that made the snapshot goes on.
    """
    observation, postgres = snapshot.observation, snapshot.observation.postgres
    running = postgres.state is not ServerState.DOWN
    quorum = in_quorum(snapshot)
    # As in Patroni's answers, these are there only where they are true.
    flags = {
        "sync_standby": is_in_sync(snapshot) and not quorum,
        "quorum_standby": is_in_sync(snapshot) and quorum,
        "cluster_unlocked": not is_locked(snapshot, settings),
        "pause": observation.paused,
    }
    return {
        "state": "running" if running else "stopped",
        "role": "primary" if postgres.state is ServerState.WRITABLE else "replica",
        "timeline": postgres.timeline,
        "xlog": {"location": postgres.position, "lag": postgres.lag},
        "replication_state": replication_state(postgres),
        "replication": [
            {"application_name": follower.name, "state": "streaming"}
            for follower in postgres.followers
        ],
        "database_system_identifier": postgres.system_identifier,
        **{name: True for name, is_so in flags.items() if is_so},
        **if_any(own_tags(observation)),
        "patroni": {
            "version": PATRONI,
            "scope": settings.set_name,
            "name": observation.me.name,
        },
        "pgset": describe(observation, settings, turns=turns)
        | {
            "version": VERSION,
            "situation": snapshot.decision.situation,
            "sentence": snapshot.decision.sentence,
            "problem": snapshot.problem,
            "paused": observation.paused,
        },
    }
