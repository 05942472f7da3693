"""What Patroni's paths answer, by what a member knows: yes or no, and what there is of the set.

Pure, and without a question to anybody: all of it is in the newest snapshot. What Patroni has and
pgset has not (a standby cluster, other tags, something scheduled) is answered as Patroni answers
no.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sidecar.action import Role
from sidecar.observation import LeaseRecord, Pod, PostgresView, ServerState
from sidecar.report.snapshot import Snapshot
from sidecar.report.status import (
    if_any,
    in_quorum,
    is_in_sync,
    is_locked,
    is_primary,
    is_replica,
    own_tags,
    replication_state,
    tags,
)
from sidecar.settings import Settings, parse_size

_UNKNOWN: Final = "unknown"
"""Patroni's word for a lag that it cannot tell; check_patroni asks for it."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a question asks for beyond its path."""

    max_lag: int | None = None
    """Bytes; None: it does not say."""
    replication_state: str | None = None
    received: bool = False
    """WAL that was received and not replayed is no lag."""
    tags: Mapping[str, str] = field(default_factory=dict)


def read_conditions(query: Mapping[str, list[str]]) -> Conditions:
    """Return them, the first of each name; InvalidSettingError for a lag that is no size."""
    return Conditions(
        max_lag=parse_size("lag", query["lag"][0]) if "lag" in query else None,
        replication_state=query.get("replication_state", [None])[0],
        received=query.get("mode", [""])[0] == "write",
        tags={
            name.removeprefix("tag_"): values[0]
            for name, values in query.items()
            if name.startswith("tag_")
        },
    )


def answers_yes(path: str, snapshot: Snapshot, settings: Settings, asked: Conditions) -> bool:
    """Tell whether the answer to one of `PATHS` is 200."""
    return PATHS[path](snapshot, settings, asked)


def _primary(snapshot: Snapshot, _: Settings, __: Conditions) -> bool:
    # Patroni looks at no tag where it looks for the leader.
    return is_primary(snapshot)


def _never(_: Snapshot, __: Settings, ___: Conditions) -> bool:
    return False


def _has_tags(snapshot: Snapshot, asked: Conditions) -> bool:
    """Whether it has them all, with these values: true is written so in a query, too."""
    mine = {name: str(value).lower() for name, value in own_tags(snapshot.observation).items()}
    return asked.tags.items() <= mine.items()


def _meets(snapshot: Snapshot, asked: Conditions) -> bool:
    postgres = snapshot.observation.postgres
    return (
        _has_tags(snapshot, asked)
        and (asked.max_lag is None or (postgres.lag or 0) <= asked.max_lag)
        and asked.replication_state in (None, replication_state(postgres))
    )


def _replica(snapshot: Snapshot, settings: Settings, asked: Conditions) -> bool:
    limit = settings.max_lag if asked.max_lag is None else asked.max_lag
    return is_replica(snapshot, limit) and _meets(snapshot, asked)


def _in_sync(snapshot: Snapshot, _: Settings, asked: Conditions) -> bool:
    return is_in_sync(snapshot) and _meets(snapshot, asked)


def _quorum(snapshot: Snapshot, settings: Settings, asked: Conditions) -> bool:
    return in_quorum(snapshot) and _in_sync(snapshot, settings, asked)


def _asynchronous(snapshot: Snapshot, settings: Settings, asked: Conditions) -> bool:
    return not is_in_sync(snapshot) and _replica(snapshot, settings, asked)


def _or_primary(of_replicas: "_Check") -> "_Check":
    def check(snapshot: Snapshot, settings: Settings, asked: Conditions) -> bool:
        leads = is_primary(snapshot) and _has_tags(snapshot, asked)
        return leads or of_replicas(snapshot, settings, asked)

    return check


def _runs(snapshot: Snapshot, _: Settings, asked: Conditions) -> bool:
    return snapshot.observation.postgres.state is not ServerState.DOWN and _has_tags(
        snapshot, asked
    )


def _ready(snapshot: Snapshot, settings: Settings, asked: Conditions) -> bool:
    """Whether it leads, or streams and is not too far behind what the primary has announced."""
    postgres = snapshot.observation.postgres
    limit = settings.max_lag if asked.max_lag is None else asked.max_lag
    lag = (postgres.lag or 0) - (postgres.to_replay or 0 if asked.received else 0)
    streams = postgres.state is ServerState.RECOVERY and postgres.streaming
    return is_primary(snapshot) or (streams and lag <= limit)


_Check = Callable[[Snapshot, Settings, Conditions], bool]

PATHS: Final[Mapping[str, _Check]] = {
    "/": _primary,
    "/primary": _primary,
    "/master": _primary,
    "/leader": _primary,
    "/read-write": _primary,
    "/standby-leader": _never,
    "/standby_leader": _never,
    "/replica": _replica,
    "/read-only": _or_primary(_replica),
    "/sync": _in_sync,
    "/synchronous": _in_sync,
    "/read-only-sync": _or_primary(_in_sync),
    "/read-only-synchronous": _or_primary(_in_sync),
    "/quorum": _quorum,
    "/read-only-quorum": _or_primary(_quorum),
    "/async": _asynchronous,
    "/asynchronous": _asynchronous,
    "/health": _runs,
    "/readiness": _ready,
    "/patroni": lambda _, __, ___: True,
}
"""Answered with the member's status, and by 200 or 503."""


def cluster(snapshot: Snapshot, settings: Settings) -> dict[str, Any]:
    """Return the set's members as this one knows them; their addresses are nobody's business."""
    observation = snapshot.observation
    record = observation.lease.record if observation.lease else None
    me = Pod(observation.me.name, observation.me.uid, None, None)
    holder = record.holder if record is not None and is_locked(snapshot, settings) else ""
    members = [
        _member(pod, holder, snapshot, record, settings) for pod in observation.pods or (me,)
    ]
    said: dict[str, Any] = {"members": members, "scope": settings.set_name}
    return said | ({"pause": True} if observation.paused else {})


def _member(
    pod: Pod, holder: str, snapshot: Snapshot, record: LeaseRecord | None, settings: Settings
) -> dict[str, Any]:
    observation = snapshot.observation
    leads = holder == f"{pod.name}_{pod.uid}"
    if pod.uid == observation.me.uid:
        state, said = _of_itself(observation.postgres, snapshot.decision.role)
    elif leads:
        serves = pod.role == settings.primary_value and not pod.deleting
        timeline = record.timeline if record else None
        state, said = "running" if serves else _UNKNOWN, {"timeline": timeline}
    else:
        state, said = _of_another(pod.name, snapshot, record if holder else None)
    known = {"name": pod.name, "state": state} | if_any(tags(pod))
    if leads:
        return known | {"role": "leader", "timeline": said["timeline"]}
    return known | {"role": _standby(pod.name, record)} | said


def _standby(name: str, record: LeaseRecord | None) -> str:
    """Return Patroni's word for a member that does not lead."""
    if record is None or name not in record.voters:
        return "replica"
    return "quorum_standby" if record.copies < len(record.voters) else "sync_standby"


def _of_itself(postgres: PostgresView, role: Role) -> tuple[str, dict[str, Any]]:
    if postgres.state is ServerState.DOWN:
        return "stopped", _behind(postgres.timeline)
    if postgres.state is ServerState.WRITABLE or role is Role.PRIMARY:
        return "running", _behind(postgres.timeline)
    to_replay, position = postgres.to_replay, postgres.position
    return replication_state(postgres) or "running", _behind(
        postgres.timeline,
        received=position,
        replayed=None if position is None or to_replay is None else position - to_replay,
        receive_lag=None if postgres.lag is None else max(0, postgres.lag - (to_replay or 0)),
        replay_lag=postgres.lag,
    )


def _of_another(
    name: str, snapshot: Snapshot, record: LeaseRecord | None
) -> tuple[str, dict[str, Any]]:
    """Return what the primary knows of one that streams from it; the others, by the Lease."""
    postgres = snapshot.observation.postgres
    followers, position, timeline = postgres.followers, postgres.position, postgres.timeline
    if not is_primary(snapshot):
        followers = record.followers if record else ()
        position, timeline = (record.position, record.timeline) if record else (None, None)
    follower = next((it for it in followers if it.name == name), None)
    if follower is None or position is None:
        return _UNKNOWN, _behind(None)
    replayed = follower.replayed
    return "streaming", _behind(
        timeline,
        received=follower.position,
        replayed=replayed,
        receive_lag=max(0, position - follower.position),
        replay_lag=None if replayed is None else max(0, position - replayed),
    )


def _behind(
    timeline: int | None,
    *,
    received: int | None = None,
    replayed: int | None = None,
    receive_lag: int | None = None,
    replay_lag: int | None = None,
) -> dict[str, Any]:
    """Return where a standby is: LSNs as PostgreSQL writes them, lags in bytes."""
    return {
        "timeline": timeline,
        "lsn": _lsn(replayed if received is None else received),
        "receive_lsn": _lsn(received),
        "replay_lsn": _lsn(replayed),
        "lag": _UNKNOWN if replay_lag is None else replay_lag,
        "receive_lag": _UNKNOWN if receive_lag is None else receive_lag,
        "replay_lag": _UNKNOWN if replay_lag is None else replay_lag,
    }


def _lsn(position: int | None) -> str:
    return _UNKNOWN if position is None else f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


def history(snapshot: Snapshot) -> list[list[Any]]:
    """Return who took over, the oldest first: the timeline that ended, where and why (which nobody
    has recorded), when, and who leads since."""
    observation = snapshot.observation
    record = observation.lease.record if observation.lease else None
    led = record.history if record else ()
    return [
        [before.timeline, None, "", after.since, after.pod]
        for before, after in itertools.pairwise(led)
    ]


def config(settings: Settings) -> dict[str, Any]:
    """Return the settings that Patroni has, too."""
    return {
        "ttl": settings.ttl,
        "loop_wait": settings.renew_interval,
        "maximum_lag_on_failover": settings.max_lag,
        "synchronous_mode": {"async": False, "quorum": "quorum"}.get(settings.durability, True),
        "synchronous_mode_strict": settings.durability == "sync-strict",
    }
