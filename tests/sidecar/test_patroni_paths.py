"""Patroni's paths: to whom each says yes, and what `/cluster`, `/history` and `/config` tell."""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from sidecar.action import Role
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
    Pod,
    PostgresView,
    ServerState,
)
from sidecar.report.http import Application
from sidecar.report.metrics import Metrics
from sidecar.report.patroni import PATHS
from sidecar.report.snapshot import Reporter, Snapshot
from sidecar.settings import Settings
from tests.support.clock import Clock

NOW = 1000.0
MB = 2**20
SETTINGS = Settings(set_name="orders", max_lag=16 * MB)
ALL = ("orders-0", "orders-1", "orders-2")

WRITABLE = PostgresView(
    ServerState.WRITABLE,
    since=900.0,
    system_identifier="111",
    timeline=3,
    position=0x1_0000_5000,
    followers=(
        Follower("orders-1", 0x1_0000_5000, replayed=0x1_0000_5000),
        Follower("orders-2", 0x1_0000_4800, replayed=0x1_0000_4000, seconds=0.25),
    ),
)
STREAMING = PostgresView(
    ServerState.RECOVERY,
    since=900.0,
    system_identifier="111",
    timeline=3,
    position=0x1_0000_5000,
    streaming=True,
    lag=MB,
    to_replay=MB,
)
DOWN = PostgresView(ServerState.DOWN, since=900.0)

RECORD = LeaseRecord(
    "orders-0_uid-0",
    10,
    "7",
    timeline=3,
    position=WRITABLE.position,
    followers=WRITABLE.followers,
    members=ALL,
    history=(
        Leadership(1, "orders-0", "2026-01-01T00:00:00Z"),
        Leadership(2, "orders-1", "2026-02-01T00:00:00Z"),
        Leadership(3, "orders-0", "2026-03-01T00:00:00Z"),
    ),
)
SYNC = replace(RECORD, voters=("orders-0", "orders-1"), copies=2)
QUORUM = replace(RECORD, voters=ALL, copies=2)


def pod(ordinal: int, role: str | None = "replica") -> Pod:
    return Pod(f"orders-{ordinal}", f"uid-{ordinal}", f"10.0.0.{ordinal}", role)


PODS = (pod(0, "primary"), pod(1), pod(2))


def member(
    ordinal: int,
    postgres: PostgresView,
    role: Role,
    record: LeaseRecord | None = RECORD,
    *,
    renewed_ago: float = 1.0,
) -> Snapshot:
    """What this member has seen and decided in its last turn."""
    observation = Observation(
        now=NOW,
        started_at=0.0,
        me=Identity(f"orders-{ordinal}", f"uid-{ordinal}"),
        lease=LeaseView(
            record, changed_at=NOW - renewed_ago, renewed_at=NOW - renewed_ago, heard_at=NOW
        ),
        pods=PODS,
        wanted=3,
        bootstrap=BootstrapView(DataState.PRESENT),
        postgres=postgres,
    )
    decision = decide(observation, SETTINGS)._replace(role=role)
    return Snapshot(observation, decision, problem=None)


LEADER = member(0, WRITABLE, Role.PRIMARY)
REPLICA = member(1, STREAMING, Role.REPLICA)
OF_SYNC = member(1, STREAMING, Role.REPLICA, SYNC)
OF_QUORUM = member(1, STREAMING, Role.REPLICA, QUORUM)
NOT_FOLLOWING = member(1, replace(STREAMING, streaming=False, lag=2**30), Role.NONE)
STOPPED = member(1, DOWN, Role.NONE)


def application(snapshot: Snapshot | None) -> Application:
    reporter = Reporter(Clock(NOW))
    if snapshot is not None:
        reporter.publish(snapshot)
    return Application(reporter, Metrics(reporter, SETTINGS.set_name), SETTINGS)


def yes(snapshot: Snapshot | None, query: str = "") -> set[str]:
    """The paths that are answered by 200; all others are by 503."""
    codes = {path: application(snapshot).answer("GET", path, query).code for path in PATHS}
    assert set(codes.values()) <= {200, 503}
    return {path for path, code in codes.items() if code == 200}


def told(snapshot: Snapshot, path: str) -> Any:
    answer = application(snapshot).answer("GET", path, "")
    assert answer.code == 200
    return json.loads(answer.body)


WRITES = {"/", "/primary", "/master", "/leader", "/read-write"}
READS = {"/read-only", "/read-only-sync", "/read-only-synchronous", "/read-only-quorum"}
RUNS = {"/health", "/readiness", "/patroni"}
FOLLOWS = {"/replica", "/read-only"}
IN_SYNC = {"/sync", "/synchronous", "/read-only-sync", "/read-only-synchronous"}


@pytest.mark.parametrize(
    ("snapshot", "expected"),
    [
        (LEADER, WRITES | READS | RUNS),
        (REPLICA, FOLLOWS | RUNS | {"/async", "/asynchronous"}),
        (OF_SYNC, FOLLOWS | RUNS | IN_SYNC),
        (OF_QUORUM, FOLLOWS | RUNS | IN_SYNC | {"/quorum", "/read-only-quorum"}),
        (NOT_FOLLOWING, {"/health", "/patroni"}),
        (STOPPED, {"/patroni"}),
        (None, set()),
    ],
    ids=["leader", "replica", "in sync", "in quorum", "not following", "stopped", "nothing seen"],
)
def test_to_whom_each_path_says_yes(snapshot: Snapshot | None, expected: Iterable[str]) -> None:
    assert yes(snapshot) == expected


@pytest.mark.parametrize("path", sorted({*PATHS, "/cluster", "/history", "/config"}))
def test_head_and_options_have_the_code_of_get(path: str) -> None:
    for snapshot in (LEADER, OF_QUORUM, STOPPED):
        codes = {
            application(snapshot).answer(method, path, "").code
            for method in ("GET", "HEAD", "OPTIONS")
        }
        assert len(codes) == 1


ASKS_ABOUT_REPLICAS = (FOLLOWS | IN_SYNC | {"/quorum", "/read-only-quorum"}) - {"/readiness"}


@pytest.mark.parametrize(
    ("query", "meets"),
    [
        ("lag=1048576", True),
        ("lag=1024kB", True),
        ("lag=1MB", True),
        ("lag=1GB", True),
        ("lag=1048575", False),
        ("lag=1023kB", False),
        ("replication_state=streaming", True),
        ("replication_state=in+archive+recovery", False),
        ("replication_state=streaming&lag=1kB", False),
        ("tag_zone=a", False),
    ],
)
def test_a_replica_is_asked_for_more(query: str, meets: bool) -> None:
    """It is 1 MB behind, and streams."""
    assert yes(OF_QUORUM, query) >= (ASKS_ABOUT_REPLICAS if meets else set())
    assert meets or not yes(OF_QUORUM, query) & ASKS_ABOUT_REPLICAS


def marked(snapshot: Snapshot) -> Snapshot:
    """The same, where this member's pod is not to take over from others."""
    seen = snapshot.observation
    pods = tuple(replace(it, nofailover=it.uid == seen.me.uid) for it in seen.pods or ())
    return replace(snapshot, observation=replace(seen, pods=pods))


@pytest.mark.parametrize(
    ("query", "meets"),
    [
        ("tag_nofailover=true", True),
        ("tag_nofailover=false", False),
        ("tag_nofailover=true&tag_zone=a", False),
    ],
)
def test_a_member_is_asked_for_its_tag(query: str, meets: bool) -> None:
    assert bool(yes(marked(OF_QUORUM), query) & ASKS_ABOUT_REPLICAS) is meets
    assert not yes(OF_QUORUM, query) & ASKS_ABOUT_REPLICAS


def test_tags_are_told_where_there_are_some() -> None:
    assert told(marked(REPLICA), "/patroni")["tags"] == {"nofailover": True}
    tags = [it.get("tags") for it in told(marked(REPLICA), "/cluster")["members"]]
    assert tags == [None, {"nofailover": True}, None]
    leads = told(marked(LEADER), "/cluster")["members"][0]
    assert (leads["role"], leads["tags"]) == ("leader", {"nofailover": True})
    assert "tags" not in told(REPLICA, "/patroni")
    seen = REPLICA.observation
    pods = tuple(replace(it, failover_priority=5) for it in seen.pods or ())
    preferred = replace(REPLICA, observation=replace(seen, pods=pods))
    assert told(preferred, "/patroni")["tags"] == {"failover_priority": 5}


@pytest.mark.parametrize("query", ["lag=0", "replication_state=streaming", "tag_zone=a"])
def test_nothing_more_is_asked_of_the_leader(query: str) -> None:
    assert yes(LEADER, query) >= WRITES


def test_a_member_that_still_has_to_replay_is_ready_for_writes_alone() -> None:
    asked = application(REPLICA)
    queries = ("lag=1kB", "lag=1kB&mode=apply", "lag=1kB&mode=write")
    codes = [asked.answer("GET", "/readiness", query).code for query in queries]
    assert codes == [503, 503, 200]


@pytest.mark.parametrize("path", sorted(PATHS))
def test_a_lag_that_is_no_size_is_refused_everywhere(path: str) -> None:
    assert application(REPLICA).answer("GET", path, "lag=much").code == 400


@pytest.mark.parametrize(
    ("snapshot", "keys"),
    [(REPLICA, set()), (OF_SYNC, {"sync_standby"}), (OF_QUORUM, {"quorum_standby"})],
)
def test_a_replica_says_in_its_body_how_commits_wait_for_it(
    snapshot: Snapshot, keys: set[str]
) -> None:
    assert {key for key in told(snapshot, "/patroni") if key.endswith("_standby")} == keys


def test_who_asks_for_the_version_reads_it_as_one_that_streams() -> None:
    """check_patroni takes "streaming" for a replica's state from 3.0.4 on."""
    version = told(LEADER, "/patroni")["patroni"]["version"]
    assert tuple(int(it) for it in version.split(".", 2)) >= (3, 0, 4)


@pytest.mark.parametrize(
    ("record", "renewed_ago", "unlocked"),
    [
        (RECORD, 1.0, False),
        (RECORD, 10.5, True),
        (replace(RECORD, holder=""), 1.0, True),
        (None, 1.0, True),
    ],
    ids=["held", "expired", "released", "no Lease"],
)
def test_a_set_whose_lease_nobody_has_is_unlocked(
    record: LeaseRecord | None, renewed_ago: float, unlocked: bool
) -> None:
    seen = member(1, STREAMING, Role.REPLICA, record, renewed_ago=renewed_ago)
    roles = {it["role"] for it in told(seen, "/cluster")["members"]}
    assert (told(seen, "/patroni").get("cluster_unlocked", False), "leader" in roles) == (
        unlocked,
        not unlocked,
    )


FIRST = {
    "name": "orders-1",
    "role": "replica",
    "state": "streaming",
    "timeline": 3,
    "lsn": "1/5000",
    "receive_lsn": "1/5000",
    "replay_lsn": "1/5000",
    "lag": 0,
    "receive_lag": 0,
    "replay_lag": 0,
}
SECOND = FIRST | {
    "name": "orders-2",
    "lsn": "1/4800",
    "receive_lsn": "1/4800",
    "replay_lsn": "1/4000",
    "lag": 0x1000,
    "receive_lag": 0x800,
    "replay_lag": 0x1000,
}
UNKNOWN = dict.fromkeys(
    ("lsn", "receive_lsn", "replay_lsn", "lag", "receive_lag", "replay_lag"), "unknown"
)


def test_the_leader_tells_of_itself_and_of_those_that_stream_from_it() -> None:
    assert told(LEADER, "/cluster") == {
        "members": [
            {"name": "orders-0", "role": "leader", "state": "running", "timeline": 3},
            FIRST,
            SECOND,
        ],
        "scope": "orders",
    }


def test_a_replica_tells_of_the_others_what_the_leader_has_recorded() -> None:
    leader, itself, other = told(REPLICA, "/cluster")["members"]
    assert (leader["role"], leader["state"], other) == ("leader", "running", SECOND)
    # The record is up to a renewal old; of itself it knows better.
    assert (itself["receive_lag"], itself["lag"], itself["lsn"]) == (0, MB, "1/5000")
    assert itself["replay_lsn"] == "0/FFF05000"


@pytest.mark.parametrize(
    "seen",
    [
        member(2, DOWN, Role.NONE, replace(RECORD, followers=())),
        member(2, DOWN, Role.NONE, RECORD, renewed_ago=11.0),
        member(2, DOWN, Role.NONE, None),
        member(0, replace(WRITABLE, followers=()), Role.PRIMARY),
    ],
    ids=["it streams no more", "nobody leads", "no Lease", "the leader sees nobody"],
)
def test_of_who_does_not_stream_nothing_is_known(seen: Snapshot) -> None:
    (found,) = [it for it in told(seen, "/cluster")["members"] if it["name"] == "orders-1"]
    nothing = FIRST | UNKNOWN | {"state": "unknown", "timeline": None}
    assert found == nothing


@pytest.mark.parametrize(
    ("record", "roles"),
    [
        (RECORD, ["leader", "replica", "replica"]),
        (SYNC, ["leader", "sync_standby", "replica"]),
        (QUORUM, ["leader", "quorum_standby", "quorum_standby"]),
        (replace(RECORD, holder="orders-0_a-life-ago"), ["replica", "replica", "replica"]),
    ],
)
def test_the_role_of_each_member(record: LeaseRecord, roles: list[str]) -> None:
    seen = member(2, STREAMING, Role.REPLICA, record)
    assert [it["role"] for it in told(seen, "/cluster")["members"]] == roles


def test_a_leader_that_does_not_serve_yet_is_not_running() -> None:
    not_yet = replace(REPLICA.observation, pods=(pod(0, "replica"), *PODS[1:]))
    seen = replace(REPLICA, observation=not_yet)
    assert told(seen, "/cluster")["members"][0]["state"] == "unknown"


def test_before_the_api_server_has_answered_it_knows_of_itself_alone() -> None:
    alone = replace(REPLICA, observation=replace(REPLICA.observation, pods=None))
    assert [it["name"] for it in told(alone, "/cluster")["members"]] == ["orders-1"]


def test_a_paused_set_says_so_as_patronis_does() -> None:
    paused = replace(LEADER, observation=replace(LEADER.observation, paused=True))
    said = [told(it, path).get("pause") for it in (LEADER, paused) for path in ("/", "/cluster")]
    assert said == [None, None, True, True]


def test_who_took_over_and_when() -> None:
    assert told(REPLICA, "/history") == [
        [1, None, "", "2026-02-01T00:00:00Z", "orders-1"],
        [2, None, "", "2026-03-01T00:00:00Z", "orders-0"],
    ]


def test_the_settings_that_patroni_has_too() -> None:
    assert told(LEADER, "/config") == {
        "ttl": 10,
        "loop_wait": 2,
        "maximum_lag_on_failover": 16 * MB,
        "synchronous_mode": False,
        "synchronous_mode_strict": False,
    }


def test_no_answer_has_an_address() -> None:
    for path in ("/patroni", "/cluster", "/history", "/config"):
        assert "10.0.0." not in json.dumps(told(LEADER, path))
