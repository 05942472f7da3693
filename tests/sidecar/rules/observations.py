"""Members of the set `orders` as they are observed: what the tests of the rules begin from."""

from dataclasses import replace
from typing import Any

from sidecar.action import Action, KeepSlots
from sidecar.decide import decide
from sidecar.observation import (
    BootstrapView,
    DataState,
    Follower,
    Identity,
    Leadership,
    LeaseRecord,
    LeaseView,
    Observation,
    Peer,
    Pod,
    PostgresView,
    ServerState,
)
from sidecar.settings import Settings

SETTINGS = Settings(set_name="orders")


ME = Identity("orders-0", "uid-0")


NOW = 1000.0


RECORD = LeaseRecord(
    holder=str(ME),
    ttl=10,
    resource_version="7",
    system_identifier="111",
    timeline=1,
    members=("orders-0", "orders-1", "orders-2"),
    history=(Leadership(1, "orders-0", "2026-01-01T00:00:00Z"),),
)


OTHERS = replace(RECORD, holder="orders-1_uid-1")


FREE = replace(RECORD, holder="")


SLOTS = KeepSlots(("orders-1", "orders-2"))
"""For all others, as whoever becomes primary makes them."""


def followers(*ordinals: int, position: int = 5000) -> tuple[Follower, ...]:
    return tuple(Follower(f"orders-{n}", position) for n in ordinals)


RUNNING = BootstrapView(data=DataState.PRESENT, running=False, system_identifier="111")


EMPTY = BootstrapView(data=DataState.EMPTY, running=True)


WRITABLE = PostgresView(
    ServerState.WRITABLE,
    since=900.0,
    system_identifier="111",
    timeline=1,
    position=5000,
    followers=followers(1, 2),
    followers_heard_at=NOW - 0.5,
    slots=("pgset_orders_1", "pgset_orders_2"),
    prepared=True,
)


STREAMING = PostgresView(
    ServerState.RECOVERY,
    since=900.0,
    system_identifier="111",
    timeline=1,
    position=5000,
    streaming=True,
    lag=0,
)


DOWN = PostgresView(ServerState.DOWN, since=999.0, alive=False)


def pods(*roles: str | None) -> tuple[Pod, ...]:
    return tuple(
        Pod(f"orders-{n}", f"uid-{n}", f"10.0.0.{n}", role) for n, role in enumerate(roles)
    )


def lease(record: LeaseRecord | None, **changes: Any) -> LeaseView:
    return replace(
        LeaseView(
            record,
            changed_at=NOW - 1,
            renewed_at=NOW - 1,
            renewal_seen=True,
            heard_at=changes.get("renewed_at") or NOW - 1,
        ),
        **changes,
    )


LEADER_PODS = pods("primary", "replica", "replica")


LEADER = Observation(
    now=NOW,
    started_at=0.0,
    me=ME,
    lease=lease(RECORD),
    pods=LEADER_PODS,
    wanted=3,
    bootstrap=RUNNING,
    postgres=WRITABLE,
)


REPLICA = replace(
    LEADER,
    lease=lease(OTHERS, renewed_at=None),
    pods=pods("replica", "primary", "replica"),
    postgres=STREAMING,
)


FIRST_POD = replace(
    LEADER,
    lease=lease(None, renewed_at=None, renewal_seen=False),
    pods=pods(None),
    bootstrap=EMPTY,
    postgres=DOWN,
)


def peer(ordinal: int, **changes: Any) -> dict[str, Peer]:
    name = f"orders-{ordinal}"
    told = Peer(name, True, "111", 1, 5000, running=True)
    return {name: replace(told, **changes)}


def situation_and_actions(
    observation: Observation, settings: Settings = SETTINGS
) -> tuple[str, tuple[Action, ...]]:
    decision = decide(observation, settings)
    return decision.situation, decision.actions


ADOPTED = replace(
    REPLICA,
    lease=lease(None, renewed_at=None, renewal_seen=False),
    pods=pods("replica"),
    wanted=1,
    postgres=replace(STREAMING, streaming=False),
)


VACANT = replace(REPLICA, lease=lease(FREE, renewed_at=None))


LEAVING = replace(
    LEADER, pods=(replace(LEADER_PODS[0], deleting=True), *LEADER_PODS[1:]), postgres=DOWN
)


DELETED = replace(LEAVING, postgres=WRITABLE, leaving_since=NOW - 0.2, peers=peer(1) | peer(2))


def wished(name: str, observation: Observation = LEADER, **changes: Any) -> Observation:
    return replace(observation, lease=lease(replace(RECORD, switchover_to=name)), **changes)


UNANSWERED = replace(
    LEADER,
    lease=lease(RECORD, renewed_at=NOW - 3, changed_at=NOW - 3),
    renewal_failed_at=NOW - 0.1,
)


CUT_OFF = replace(
    LEADER,
    lease=lease(RECORD, renewed_at=NOW - 2.5, changed_at=NOW - 2.5),
    postgres=replace(WRITABLE, followers_heard_at=NOW - 2.1),
    renewal_failed_at=NOW - 0.1,
    question_failed_at=NOW - 0.1,
)


SYNC = replace(SETTINGS, durability="sync")


QUORUM = replace(SETTINGS, durability="quorum")


def promising(*ordinals: int, copies: int) -> LeaseRecord:
    return replace(RECORD, voters=tuple(f"orders-{n}" for n in ordinals), copies=copies)


def waiting(*ordinals: int, number: int | None = None, since: int | None = 4000) -> PostgresView:
    names = tuple(f"orders-{n}" for n in ordinals)
    count = len(names) if number is None else number
    return replace(WRITABLE, waits_for=names, waits_for_number=count, waits_from=since)


NEWER = replace(OTHERS, timeline=2)


RETURNED = BootstrapView(
    data=DataState.PRESENT,
    running=True,
    system_identifier="111",
    timeline=1,
    position=5000,
    can_rewind=True,
)


UNRECORDED = replace(RUNNING, promoting_from=1)
