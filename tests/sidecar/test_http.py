"""What the sidecar answers over HTTP: Patroni's codes, from the newest turn of the loop."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sidecar.contract import VERSION
from sidecar.decide import decide
from sidecar.memory.status import with_fresh
from sidecar.observation import (
    BootstrapView,
    DataState,
    Follower,
    Identity,
    LeaseRecord,
    LeaseView,
    Observation,
    PostgresView,
    ServerState,
)
from sidecar.pledges import Respondent
from sidecar.report.http import Application
from sidecar.report.message import Request
from sidecar.report.metrics import Metrics
from sidecar.report.server import Waiting
from sidecar.report.snapshot import Reporter, Snapshot
from sidecar.settings import Settings
from sidecar.table import TABLE
from tests.support.clock import Clock

SETTINGS = Settings(set_name="orders", max_lag=2**20, ttl=10)
NOW = 1000.0

WRITABLE = PostgresView(
    ServerState.WRITABLE,
    since=900.0,
    system_identifier="111",
    timeline=3,
    position=5000,
    followers=(Follower("orders-1", 5000), Follower("orders-2", 4900)),
    oldest_wal=100,
)
STREAMING = PostgresView(
    ServerState.RECOVERY,
    since=900.0,
    system_identifier="111",
    timeline=3,
    position=5000,
    streaming=True,
    lag=0,
)
DOWN = PostgresView(ServerState.DOWN, since=900.0)
ROLES = {row.name: row.role for part in TABLE for row in part.rows}


def turn(situation: str, postgres: PostgresView) -> Snapshot:
    """One turn of the loop, in which this was decided on this look at PostgreSQL."""
    observation = Observation(
        now=NOW,
        started_at=0.0,
        me=Identity("orders-0", "uid-0"),
        lease=LeaseView(
            LeaseRecord("", 10, "7"), changed_at=NOW, renewed_at=NOW - 1.5, heard_at=NOW - 0.5
        ),
        pods=(),
        wanted=3,
        bootstrap=BootstrapView(DataState.PRESENT),
        postgres=postgres,
    )
    decision = decide(observation, SETTINGS)._replace(
        situation=situation, sentence=f"this is {situation}", role=ROLES[situation]
    )
    return Snapshot(observation, decision, problem=None)


LEADING = turn("Leading", WRITABLE)
FOLLOWING = turn("Following", STREAMING)
FAR_BEHIND = turn("NotFollowing", replace(STREAMING, lag=2**30))
FENCING = turn("Fencing", WRITABLE)
STOPPED = turn("Down", DOWN)


def lagging(lag: int) -> Snapshot:
    return turn("Following", replace(STREAMING, lag=lag))


def application(
    snapshot: Snapshot | None,
    clock: Callable[[], float] | None = None,
    *,
    refresh: Callable[[], PostgresView] | None = None,
    respondent: Respondent | None = None,
) -> Application:
    reporter = Reporter(clock or Clock(NOW))
    if snapshot is not None:
        reporter.publish(snapshot)
    metrics = Metrics(reporter, SETTINGS.set_name)
    return Application(reporter, metrics, SETTINGS, refresh=refresh, respondent=respondent)


def code(snapshot: Snapshot | None, path: str, query: str = "") -> int:
    return application(snapshot).answer("GET", path, query).code


@pytest.mark.parametrize(
    ("snapshot", "codes"),
    [
        #           /primary /replica /readyz /healthz
        (LEADING, (200, 503, 200, 200)),
        (FOLLOWING, (503, 200, 200, 200)),
        (FAR_BEHIND, (503, 503, 200, 200)),
        (FENCING, (503, 503, 200, 200)),
        (STOPPED, (503, 503, 503, 200)),
        (None, (503, 503, 503, 200)),
    ],
    ids=["leading", "following", "far behind", "fencing", "stopped", "not observed yet"],
)
def test_codes(snapshot: Snapshot | None, codes: tuple[int, ...]) -> None:
    paths = ("/primary", "/replica", "/readyz", "/healthz")
    assert tuple(code(snapshot, path) for path in paths) == codes


@pytest.mark.parametrize("path", ["/primary", "/replica"])
def test_yes_and_no_both_come_with_the_status(path: str) -> None:
    snapshots = (LEADING, STOPPED)
    answers = [application(snapshot).answer("GET", path, "") for snapshot in snapshots]
    situations = [json.loads(answer.body)["pgset"]["situation"] for answer in answers]
    assert situations == ["Leading", "Down"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("lag=1MB", 200),
        ("lag=1048576", 200),
        ("lag=1%20MB", 200),
        ("lag=1023kB", 503),
        ("", 200),
        ("lag=2MB&lag=1kB", 200),
        ("delay=1kB", 200),
    ],
)
def test_a_replica_may_be_as_far_behind_as_is_asked_and_no_byte_more(
    query: str, expected: int
) -> None:
    """It is 1 MB behind, which is also the set's own max-lag; the first of two lags counts."""
    assert code(lagging(2**20), "/replica", query) == expected


def test_a_replica_beyond_the_sets_own_limit_can_still_be_asked_for() -> None:
    behind = lagging(2**20 + 1)
    assert [code(behind, "/replica"), code(behind, "/replica", "lag=2MB")] == [503, 200]


@pytest.mark.parametrize("lag", ["1mb", "much", "-1", "1.5MB", "1e3"])
def test_a_lag_that_is_no_size_is_answered_with_one_sentence(lag: str) -> None:
    answer = application(FOLLOWING).answer("GET", "/replica", f"lag={lag}")
    sentence = (
        f'parameter lag: "{lag}" is not allowed; '
        'allowed: a size with B, kB, MB, GB or TB, such as "16MB"'
    )
    assert (answer.code, json.loads(answer.body)) == (400, {"error": sentence})


def test_an_unknown_path_is_answered_with_the_known_ones() -> None:
    answer = application(LEADING).answer("GET", "/nothing", "")
    said, _, allowed = json.loads(answer.body)["error"].partition("; allowed: ")
    paths = allowed.split(", ")
    assert (answer.code, said) == (404, "path /nothing is unknown")
    assert {application(LEADING).answer("GET", path, "").code for path in paths} == {200, 503}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_can_be_changed_over_http(method: str) -> None:
    assert application(LEADING).answer(method, "/primary", "").code == 405


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS"])
def test_haproxys_methods_have_the_codes_of_get(method: str) -> None:
    answers = [application(s).answer(method, "/primary", "").code for s in (LEADING, FOLLOWING)]
    assert answers == [200, 503]


def test_liveness_ends_when_the_loop_has_not_turned_for_half_a_ttl() -> None:
    clock = Clock(NOW)
    alive = application(FOLLOWING, clock)
    clock.advance(4.9)
    in_time = alive.answer("GET", "/liveness", "").code
    clock.advance(0.1)
    assert (in_time, alive.answer("GET", "/liveness", "").code) == (200, 503)


def test_liveness_returns_with_the_next_turn() -> None:
    clock = Clock(NOW)
    reporter = Reporter(clock)
    alive = Application(reporter, Metrics(reporter, "orders"), SETTINGS)
    clock.advance(100)
    before = alive.answer("GET", "/liveness", "").code
    reporter.publish(STOPPED)
    assert (before, alive.answer("GET", "/liveness", "").code) == (503, 200)


def test_a_loop_that_never_turned_is_alive_only_as_long_as_one_that_stopped() -> None:
    clock = Clock(NOW)
    alive = application(None, clock)
    first = alive.answer("GET", "/liveness", "").code
    clock.advance(5)
    assert (first, alive.answer("GET", "/liveness", "").code) == (200, 503)


def test_the_status_of_a_primary() -> None:
    answer = application(LEADING).answer("GET", "/status", "")
    assert (answer.code, json.loads(answer.body)) == (
        200,
        {
            "state": "running",
            "role": "primary",
            "timeline": 3,
            "xlog": {"location": 5000, "lag": None},
            "replication_state": None,
            "replication": [
                {"application_name": "orders-1", "state": "streaming"},
                {"application_name": "orders-2", "state": "streaming"},
            ],
            "database_system_identifier": "111",
            "cluster_unlocked": True,
            "patroni": {"version": "4.1.0", "scope": "orders", "name": "orders-0"},
            "pgset": {
                "uid": "uid-0",
                "data": "present",
                "running": True,
                "writable": True,
                "system_identifier": "111",
                "timeline": 3,
                "position": 5000,
                "to_replay": None,
                "detached": False,
                "oldest_wal": 100,
                "gives_wal": False,
                "reaches_api": True,
                "well": True,
                "slow_ago": None,
                "version": VERSION,
                "situation": "Leading",
                "sentence": "this is Leading",
                "problem": None,
                "paused": False,
            },
        },
    )


def test_the_status_of_a_replica_and_of_a_stopped_server() -> None:
    told = [
        json.loads(application(snapshot).answer("GET", "/status", "").body)
        for snapshot in (lagging(7), STOPPED)
    ]
    short = [
        (s["state"], s["role"], s["replication_state"], s["xlog"]["lag"], s["replication"])
        for s in told
    ]
    assert short == [
        ("running", "replica", "streaming", 7, []),
        ("stopped", "replica", None, None, []),
    ]


def test_the_status_tells_what_went_wrong() -> None:
    failed = replace(LEADING, problem="the API server did not take RenewLease")
    body = json.loads(application(failed).answer("GET", "/status", "").body)
    assert body["pgset"]["problem"] == "the API server did not take RenewLease"


def by_the_lease(snapshot: Snapshot, record: LeaseRecord | None) -> Snapshot:
    seen = LeaseView(record, changed_at=NOW)
    return replace(snapshot, observation=replace(snapshot.observation, lease=seen))


SYNCHRONOUS = LeaseRecord("orders-1_uid-1", 10, "7", voters=("orders-0", "orders-1"), copies=2)


@pytest.mark.parametrize(
    ("snapshot", "record", "expected"),
    [
        (FOLLOWING, SYNCHRONOUS, 200),
        (FOLLOWING, replace(SYNCHRONOUS, voters=("orders-1", "orders-2")), 503),
        (FOLLOWING, LeaseRecord("orders-1_uid-1", 10, "7"), 503),
        (FOLLOWING, None, 503),
        (STOPPED, SYNCHRONOUS, 503),
        (LEADING, replace(SYNCHRONOUS, holder="orders-0_uid-0"), 503),
    ],
    ids=["in sync", "another is", "async", "no Lease", "stopped", "the leader"],
)
def test_in_sync_is_who_commits_wait_for(
    snapshot: Snapshot, record: LeaseRecord | None, expected: int
) -> None:
    asked = by_the_lease(snapshot, record)
    assert (code(asked, "/sync"), metrics(asked)["pgset_in_sync"]) == (
        expected,
        1.0 if expected == 200 else 0.0,
    )


def test_a_paused_set_says_so() -> None:
    paused = replace(LEADING, observation=replace(LEADING.observation, paused=True))
    told = json.loads(application(paused).answer("GET", "/status", "").body)
    assert (told["pgset"]["paused"], metrics(paused)["pgset_paused"]) == (True, 1.0)


def refreshing(snapshot: Snapshot, view: PostgresView) -> Application:
    reporter = Reporter(Clock(NOW))
    reporter.publish(snapshot)
    metrics = Metrics(reporter, SETTINGS.set_name)
    return Application(reporter, metrics, SETTINGS, refresh=lambda: view)


@pytest.mark.parametrize(
    ("query", "position"), [("fresh=1", 6000), ("", 5000), ("fresh=0", 5000), ("fresh", 5000)]
)
def test_who_asks_for_it_gets_what_postgresql_says_now(query: str, position: int) -> None:
    asked = refreshing(FOLLOWING, replace(STREAMING, position=6000))
    told = json.loads(asked.answer("GET", "/status", query).body)
    assert (told["pgset"]["position"], told["xlog"]["location"]) == (position, position)


def test_what_is_seen_without_asking_postgresql_is_kept_when_it_is_asked_anew() -> None:
    """The server's own view knows no processes and no files; its defaults would be a lie."""
    known = replace(WRITABLE, alive=False, orphaned=True, has_written=True, standby_signal=False)
    last = turn("Leading", known).observation
    fresh = with_fresh(last, replace(WRITABLE, position=6000))
    assert fresh.postgres == replace(known, position=6000)


@pytest.mark.parametrize("query", ["fresh=1", ""])
def test_freshness_is_no_reason_to_say_anything_before_the_first_turn(query: str) -> None:
    reporter = Reporter(Clock(NOW))
    metrics = Metrics(reporter, SETTINGS.set_name)
    asked = Application(reporter, metrics, SETTINGS, refresh=lambda: WRITABLE)
    assert asked.answer("GET", "/status", query).code == 503


def test_a_loop_that_hangs_can_not_take_the_lease() -> None:
    clock = Clock(NOW)
    asked = application(FOLLOWING, clock)
    told = [json.loads(asked.answer("GET", "/status", "").body)["pgset"]["reaches_api"]]
    clock.advance(5)
    told.append(json.loads(asked.answer("GET", "/status", "").body)["pgset"]["reaches_api"])
    assert told == [True, False]


def metrics(snapshot: Snapshot | None, age: float = 0.0) -> dict[str, float]:
    """The values by name; the labels are told by another test."""
    clock = Clock(NOW)
    asked = application(snapshot, clock)
    clock.advance(age)
    text = asked.answer("GET", "/metrics", "").body.decode()
    families = text_string_to_metric_families(text)
    return {sample.name: sample.value for family in families for sample in family.samples}


def test_the_metrics_of_a_primary() -> None:
    assert metrics(LEADING, age=2.5) == {
        "pgset_info": 1.0,
        "pgset_loop_age_seconds": 2.5,
        "pgset_situation": 1.0,
        "pgset_postgres_up": 1.0,
        "pgset_postgres_writable": 1.0,
        "pgset_postgres_streaming": 0.0,
        "pgset_paused": 0.0,
        "pgset_in_sync": 0.0,
        "pgset_postgres_timeline": 3.0,
        "pgset_postgres_wal_position_bytes": 5000.0,
        "pgset_lease_renewed_age_seconds": 1.5,
    }


def test_the_metrics_of_a_replica_tell_its_lag() -> None:
    told = metrics(lagging(7))
    names = ("pgset_postgres_writable", "pgset_postgres_streaming")
    values = [told[name] for name in (*names, "pgset_postgres_replay_lag_bytes")]
    assert values == [0.0, 1.0, 7.0]


def test_what_is_not_known_is_no_metric() -> None:
    """A timeline or a lag of 0 would be a lie that an alert believes."""
    unknown = {"timeline", "position", "lag"}
    told = metrics(STOPPED)
    assert told["pgset_postgres_up"] == 0.0
    assert [name for name in told if any(word in name for word in unknown)] == []


def test_metrics_can_be_scraped_before_the_first_turn() -> None:
    assert metrics(None) == {"pgset_info": 1.0, "pgset_loop_age_seconds": 0.0}


def test_the_requests_to_the_api_server_are_told_by_verb() -> None:
    sent = {"update": 29, "watch": 0}
    metrics = Metrics(Reporter(Clock(NOW)), "orders", requests=lambda: sent)
    sent["update"] += 1
    exposition = metrics.render().decode()
    families = {it.name: it for it in text_string_to_metric_families(exposition)}
    counted = families["pgset_api_requests"]
    values = [(it.name, it.labels, it.value) for it in counted.samples]
    assert (counted.type, values) == (
        "counter",
        [
            ("pgset_api_requests_total", {"set": "orders", "verb": "update"}, 30.0),
            ("pgset_api_requests_total", {"set": "orders", "verb": "watch"}, 0.0),
        ],
    )


def test_each_metric_names_the_set() -> None:
    text = application(LEADING).answer("GET", "/metrics", "").body.decode()
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
    assert {sample.labels["set"] for sample in samples} == {"orders"}


def answered(method: str) -> tuple[bytes, bytes]:
    """Head and body of the bytes that answer this method, for a leader asked whether it leads."""
    told = application(LEADING)(Request(method, "/primary")).encode(method)
    head, _, body = told.partition(b"\r\n\r\n")
    return head, body


def test_head_announces_the_body_that_get_brings() -> None:
    head, body = answered("GET")
    assert f"Content-Length: {len(body)}".encode() in head
    assert answered("HEAD") == (head, b"")


def test_options_has_no_body_and_announces_none() -> None:
    """HAProxy's own choice for httpchk: a client must not wait for bytes that never come."""
    head, body = answered("OPTIONS")
    assert (b"Content-Length: 0" in head.split(b"\r\n"), body) == (True, b"")


def test_what_is_wrong_with_a_request_can_be_read_whatever_its_method() -> None:
    head, body = answered("POST")
    assert head.startswith(b"HTTP/1.1 405 ")
    assert "method POST is not allowed" in json.loads(body)["error"]


def test_no_probe_is_among_what_may_wait() -> None:
    asked = application(LEADING)
    probes = ("/liveness", "/readyz", "/healthz", "/health", "/readiness")
    paths = (*probes, "/primary", "/replica", "/sync", "/patroni", "/cluster", "/metrics")
    assert [path for path in paths if asked.waits(Request("GET", path))] == []
    assert asked.waits(Request("GET", "/status", "fresh=1")) is Waiting.STRANGER


def test_the_metrics_are_made_once_a_second_however_many_ask() -> None:
    clock, made = Clock(NOW), list[float]()

    def requests() -> dict[str, int]:
        made.append(clock())
        return {}

    metrics = Metrics(Reporter(clock), "orders", requests=requests, clock=clock)
    for _ in range(1000):
        metrics.render()
    clock.advance(1)
    metrics.render()
    assert made == [NOW, NOW + 1]
