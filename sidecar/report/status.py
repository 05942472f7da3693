"""What a snapshot says to those who ask: yes or no to a load balancer, all of it to a person."""

from typing import Any

from sidecar.action import Role
from sidecar.contract import VERSION
from sidecar.memory.status import describe
from sidecar.observation import ServerState
from sidecar.report.snapshot import Snapshot
from sidecar.settings import Settings


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


def status(snapshot: Snapshot, settings: Settings, *, turns: bool = True) -> dict[str, Any]:
    """Return Patroni's keys where it has the same, and under "pgset" what is ours.

    `turns`: the loop that made the snapshot goes on.
    """
    postgres = snapshot.observation.postgres
    running = postgres.state is not ServerState.DOWN
    return {
        "state": "running" if running else "stopped",
        "role": "primary" if postgres.state is ServerState.WRITABLE else "replica",
        "timeline": postgres.timeline,
        "xlog": {"location": postgres.position, "lag": postgres.lag},
        "replication_state": "streaming" if postgres.streaming else None,
        "replication": [
            {"application_name": follower.name, "state": "streaming"}
            for follower in postgres.followers
        ],
        "database_system_identifier": postgres.system_identifier,
        "pgset": describe(snapshot.observation, settings, turns=turns)
        | {
            "version": VERSION,
            "situation": snapshot.decision.situation,
            "sentence": snapshot.decision.sentence,
            "problem": snapshot.problem,
            "paused": snapshot.observation.paused,
        },
    }
