"""What members tell each other under /status, and who is believed, over real HTTP."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar import peers as peers_module
from sidecar.decide import decide
from sidecar.memory.status import describe, hears_the_api, read_peer
from sidecar.observation import (
    BootstrapView,
    DataState,
    Identity,
    LeaseRecord,
    LeaseView,
    Observation,
    Peer,
    Pod,
    PostgresView,
    ServerState,
)
from sidecar.peers import Peers
from sidecar.report.http import Application
from sidecar.report.metrics import Metrics
from sidecar.report.snapshot import Reporter, Snapshot
from sidecar.settings import Settings
from tests.support.clock import Clock
from tests.support.database import free_port
from tests.support.http_server import serving
from tests.support.patient_peers import patient_peers
from tests.support.waiting import wait_until

DRIPS = 1000
"""Bytes of an answer that comes in 200 s."""

SETTINGS = Settings(set_name="orders")
HEARD = LeaseView(LeaseRecord("orders-2_uid-2", 10, "7"), changed_at=999.0, heard_at=999.0)


def observation(
    ordinal: int,
    bootstrap: BootstrapView,
    postgres: PostgresView,
    lease: LeaseView | None = HEARD,
) -> Observation:
    return Observation(
        now=1000.0,
        started_at=0.0,
        me=Identity(f"orders-{ordinal}", f"uid-{ordinal}"),
        lease=lease,
        pods=None,
        wanted=None,
        bootstrap=bootstrap,
        postgres=postgres,
    )


RUNNING = BootstrapView(DataState.PRESENT, system_identifier="111", timeline=1, position=10)
STREAMING = PostgresView(
    ServerState.RECOVERY, since=0.0, system_identifier="111", timeline=2, position=5000
)
DOWN = PostgresView(ServerState.DOWN, since=0.0)


def told(bootstrap: BootstrapView, postgres: PostgresView) -> Peer:
    """What arrives at a peer, JSON and back."""
    seen = observation(1, bootstrap, postgres)
    return read_peer("orders-1", json.loads(json.dumps(describe(seen, SETTINGS))))


def test_a_running_member_tells_what_its_server_says() -> None:
    """What bootstrap found before the start is older."""
    expected = Peer("orders-1", True, "111", 2, 5000, running=True)
    assert told(RUNNING, STREAMING) == expected


def test_a_stopped_member_tells_what_bootstrap_found() -> None:
    expected = Peer("orders-1", True, "111", 1, 10, running=False)
    assert told(RUNNING, DOWN) == expected


@pytest.mark.parametrize(
    ("data", "has_data"),
    [
        (None, None),
        (DataState.EMPTY, False),
        (DataState.INTERRUPTED, False),
        (DataState.NOT_OURS, False),
        (DataState.PRESENT, True),
        (DataState.BROKEN, True),
    ],
)
def test_what_was_a_data_directory_counts_as_data(
    data: DataState | None, has_data: bool | None
) -> None:
    assert told(BootstrapView(data), DOWN).has_data == has_data


@pytest.mark.parametrize(
    ("data", "has_data"),
    [(DataState.EMPTY, None), (DataState.PRESENT, True)],
)
def test_a_directory_that_bootstrap_may_not_look_into_does_not_pass_for_empty(
    data: DataState, has_data: bool | None
) -> None:
    """initdb would run elsewhere, beside the data that is in it."""
    refused = BootstrapView(data, refusal="the data directory belongs to another user")
    assert told(refused, DOWN).has_data == has_data


def test_what_a_rewind_left_half_done_is_data_that_nobody_can_lead_with() -> None:
    """A set with nothing else must not be made anew; and nobody must wait for it to lead."""
    peer = told(BootstrapView(DataState.BROKEN), DOWN)
    assert (peer.has_data, peer.well) == (True, False)


def test_a_volume_that_takes_no_writes_is_told() -> None:
    assert told(RUNNING, STREAMING).well
    assert not told(replace(RUNNING, write_failure="/data takes no writes"), STREAMING).well


def test_a_primary_tells_that_it_is_one_and_where_its_wal_begins() -> None:
    peer = told(RUNNING, replace(STREAMING, state=ServerState.WRITABLE, oldest_wal=2**40))
    assert (peer.writable, peer.oldest_wal) == (True, 2**40)
    assert (told(RUNNING, STREAMING).writable, told(RUNNING, STREAMING).oldest_wal) == (False, None)


@pytest.mark.parametrize(
    ("lease", "hears"),
    [
        (HEARD, True),
        (replace(HEARD, heard_at=996.6), True),
        (replace(HEARD, heard_at=996.5), False),
        (replace(HEARD, record=None), True),
        (None, False),
    ],
    ids=["a second ago", "one late renewal ago", "silent", "there is no Lease", "never reached"],
)
def test_the_api_server_is_heard_while_no_renewal_can_have_been_missed(
    lease: LeaseView | None, hears: bool
) -> None:
    """It is 1000 s now, and a leader renews every 2 s."""
    assert hears_the_api(lease, 1000.0, SETTINGS) is hears
    seen = observation(1, RUNNING, STREAMING, lease)
    assert describe(seen, SETTINGS)["reaches_api"] is hears


def test_a_slower_renewal_leaves_more_time() -> None:
    slow = Settings(set_name="orders", ttl=60, renew_interval=15)
    assert hears_the_api(replace(HEARD, heard_at=984.0), 1000.0, slow)


def test_what_has_vanished_is_told_as_data_that_can_only_be_cloned_again() -> None:
    """The others wait for no more of it; and nobody makes a new database because of it."""
    gone = told(replace(RUNNING, vanished=True), replace(DOWN, alive=False))
    assert (gone.has_data, gone.broken) == (True, True)
    lives = told(replace(RUNNING, vanished=True), STREAMING)
    assert (lives.has_data, lives.broken) == (True, False)


def test_an_older_sidecar_that_tells_less_is_believed() -> None:
    """During a rolling update of pgset itself both versions talk to each other."""
    words = describe(observation(1, RUNNING, STREAMING), SETTINGS)
    for word in ("writable", "reaches_api", "well", "slow_ago", "oldest_wal"):
        del words[word]
    assert read_peer("orders-1", words) == Peer("orders-1", True, "111", 2, 5000, running=True)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        *(("system_identifier", it) for it in (["111"], {}, 111, True)),
        *(
            (word, it)
            for word in ("timeline", "position", "to_replay", "oldest_wal")
            for it in ("7", -1, 2**64, 10**400, 7.0, float("inf"), float("nan"), True, [7])
        ),
        ("slow_ago", "7"),
        ("slow_ago", [7]),
    ],
)
def test_an_account_with_a_value_of_another_kind_is_none(word: str, value: object) -> None:
    """Without a superuser's password anybody at a member's address is believed; what he says must
    not end the turns of the loop, by which a primary renews."""
    told = describe(observation(1, RUNNING, STREAMING), SETTINGS) | {word: value}
    with pytest.raises((TypeError, ValueError)):
        read_peer("orders-1", told)


@pytest.mark.parametrize("value", [-1, 10**400, float("inf"), float("nan")])
def test_of_any_number_of_seconds_a_time_is_made(value: float) -> None:
    told = describe(observation(1, RUNNING, STREAMING), SETTINGS) | {"slow_ago": value}
    assert read_peer("orders-1", told).slow_ago == 1e9


numbers = st.none() | st.integers(1, 2**63)
identifiers = st.none() | st.from_regex(r"[1-9][0-9]{18}", fullmatch=True)


@given(identifiers, numbers, numbers, numbers, st.sampled_from(ServerState))
def test_what_a_server_says_of_itself_arrives_unchanged(
    identifier: str | None,
    timeline: int | None,
    position: int | None,
    oldest: int | None,
    state: ServerState,
) -> None:
    postgres = PostgresView(
        state,
        0.0,
        system_identifier=identifier,
        timeline=timeline,
        position=position,
        oldest_wal=oldest,
    )
    expected = Peer(
        "orders-1",
        True,
        identifier,
        timeline,
        position,
        running=state is not ServerState.DOWN,
        writable=state is ServerState.WRITABLE,
        oldest_wal=oldest,
    )
    assert told(BootstrapView(DataState.PRESENT), postgres) == expected


# ── over HTTP ─────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def port() -> int:
    """One for all members, as in a cluster; each has an address of its own."""
    return free_port()


def pod(ordinal: int, address: str | None) -> Pod:
    return Pod(f"orders-{ordinal}", f"uid-{ordinal}", address, role=None)


@contextlib.contextmanager
def sidecar(address: str, port: int, ordinal: int, *, observed: bool = True) -> Iterator[None]:
    """The HTTP part of a member's sidecar, listening there."""
    reporter = Reporter(Clock())
    if observed:
        seen = observation(ordinal, RUNNING, replace(STREAMING, position=5000 + ordinal))
        decision = decide(seen, SETTINGS)
        reporter.publish(Snapshot(seen, decision, None))
    fresh = replace(STREAMING, position=6000 + ordinal)
    application = Application(
        reporter, Metrics(reporter, "orders"), SETTINGS, refresh=lambda: fresh
    )
    with serving(application, address, port):
        yield


@contextlib.contextmanager
def raw(address: str, port: int, answer: bytes, *, drip: bool = False) -> Iterator[None]:
    """A server that says these bytes to whoever connects, at once or one every 0.2 s for long."""
    ended = threading.Event()
    with socket.create_server((address, port)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                if not drip:
                    connection.sendall(answer)
                    connection.shutdown(socket.SHUT_WR)
                for index in range(len(answer) if drip else 0):
                    connection.sendall(answer[index : index + 1])
                    if ended.wait(0.2):
                        return
                ended.wait(600)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(timeout=60)


def http_answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def member(ordinal: int) -> Peer:
    """By HEARD, orders-2 is known to have the set's data."""
    known = ordinal == 2
    name, position = f"orders-{ordinal}", 5000 + ordinal
    return Peer(name, True, "111", 2, position, running=True, gives_wal=known)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def peers(port: int, clock: Clock) -> Peers:
    return patient_peers(Identity("orders-0", "uid-0"), clock=clock, port=port)


def test_every_other_member_is_asked(peers: Peers, port: int) -> None:
    pods = (pod(0, "127.0.0.2"), pod(1, "127.0.0.3"), pod(2, "127.0.0.4"))
    with (
        sidecar("127.0.0.2", port, 0),
        sidecar("127.0.0.3", port, 1),
        sidecar("127.0.0.4", port, 2),
    ):
        answers = peers.ask(pods)
    assert answers == {"orders-1": member(1), "orders-2": member(2)}


def test_who_is_asked_for_it_looks_anew(peers: Peers, port: int) -> None:
    with sidecar("127.0.0.2", port, 1):
        asked = peers.ask((pod(1, "127.0.0.2"),), fresh=True)
    assert asked == {"orders-1": replace(member(1), position=6001)}


def test_when_somebody_was_heard_is_remembered(peers: Peers, port: int, clock: Clock) -> None:
    assert peers.heard_at == float("-inf")
    with sidecar("127.0.0.2", port, 1):
        peers.ask((pod(1, "127.0.0.2"),))
    heard_at = clock()
    clock.advance(5)
    peers.ask((pod(1, "127.0.0.2"),))
    assert peers.heard_at == heard_at


def test_a_stranger_at_a_members_address_is_not_heard(peers: Peers, port: int) -> None:
    with sidecar("127.0.0.2", port, 2):
        peers.ask((pod(1, "127.0.0.2"),))
    with raw("127.0.0.3", port, http_answer(b'{"pgset": {"uid": "another"}}')):
        peers.ask((pod(1, "127.0.0.3"),))
    assert peers.heard_at == float("-inf")


@pytest.mark.parametrize(("padding", "heard"), [(1000, True), (300_000, False)])
def test_an_answer_that_is_larger_than_any_sidecars_is_not_read_whole(
    peers: Peers, port: int, padding: int, heard: bool
) -> None:
    told = describe(observation(1, RUNNING, STREAMING), SETTINGS)
    body = json.dumps({"pgset": told, "padding": "x" * padding}).encode()
    with raw("127.0.9.1", port, http_answer(body)):
        assert bool(peers.ask([pod(1, "127.0.9.1")])) is heard


def test_a_member_is_asked_by_ipv6_too(peers: Peers, port: int) -> None:
    with sidecar("[::1]", port, 1):
        assert peers.ask((pod(1, "::1"),)) == {"orders-1": member(1)}


def test_an_address_that_has_passed_to_another_pod_does_not_answer_for_the_old(
    peers: Peers, port: int
) -> None:
    with sidecar("127.0.0.2", port, 2):
        assert peers.ask((pod(1, "127.0.0.2"), pod(2, "127.0.0.2"))) == {"orders-2": member(2)}


def test_a_re_created_pod_is_not_answered_for_by_its_former_life(peers: Peers, port: int) -> None:
    born_again = replace(pod(1, "127.0.0.2"), uid="uid-1-again")
    with sidecar("127.0.0.2", port, 1):
        assert peers.ask((born_again,)) == {}


def test_a_sidecar_that_has_observed_nothing_yet_says_nothing(peers: Peers, port: int) -> None:
    with sidecar("127.0.0.2", port, 1, observed=False):
        assert peers.ask((pod(1, "127.0.0.2"),)) == {}


def test_a_pod_without_an_address_is_not_asked(peers: Peers) -> None:
    assert peers.ask((pod(1, None),)) == {}


@pytest.mark.parametrize(
    "answer",
    [
        http_answer(b'{"pgset": {"uid": "uid-1", "data"'),
        http_answer(b'{"pgset": {"uid": "uid-1", "data": "present"}}'),
        http_answer(b'{"pgset": null}'),
        http_answer(b"[]"),
        http_answer(b"[" * 50000),
        http_answer(b"\xff\xfe"),
        http_answer(b""),
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
        b"PostgreSQL speaks something else\r\n",
        b"",
    ],
    ids=[
        "cut JSON",
        "half a member",
        "nothing of ours",
        "a list",
        "many lists",
        "no text",
        "no body",
        "cut body",
        "no HTTP",
        "hang-up",
    ],
)
def test_who_talks_nonsense_is_left_out_and_the_others_are_heard(
    peers: Peers, port: int, answer: bytes
) -> None:
    with raw("127.0.0.2", port, answer), sidecar("127.0.0.3", port, 2):
        answers = peers.ask((pod(1, "127.0.0.2"), pod(2, "127.0.0.3")))
    assert answers == {"orders-2": member(2)}


def test_nobody_listening_is_left_out(peers: Peers) -> None:
    assert peers.ask((pod(1, "127.0.0.2"),)) == {}


def heard_in(peers: Peers, pods: tuple[Pod, ...], answers: dict[str, Peer]) -> float:
    """Return the seconds that a question took which got these answers.

    Who answers is asked again if the machine was too busy, and was too late.
    """
    took = 0.0

    def heard() -> bool:
        nonlocal took
        began = time.monotonic()
        heard = peers.ask(pods)
        took = time.monotonic() - began
        assert heard in (answers, {})
        return bool(heard)

    wait_until(heard, "an answer")
    return took


@pytest.mark.thorough
def test_ten_silent_members_cost_one_deadline_and_the_eleventh_is_heard(
    clock: Clock, port: int
) -> None:
    """They accept a connection and say no more, as a frozen sidecar does."""
    peers = Peers(Identity("orders-0", "uid-0"), clock=clock, port=port, seconds=2.0)
    silent = tuple(pod(ordinal, f"127.0.1.{ordinal}") for ordinal in range(1, 11))
    with contextlib.ExitStack() as members:
        for frozen in silent:
            members.enter_context(socket.create_server((frozen.ip or "", port)))
        members.enter_context(sidecar("127.0.0.3", port, 11))
        asked = (*silent, pod(11, "127.0.0.3"))

        def costs_one_deadline() -> bool:
            """Ten of them one after the other would take 20 s, each time."""
            return 1.0 < heard_in(peers, asked, {"orders-11": member(11)}) < 15.0

        wait_until(costs_one_deadline, "an answer after one deadline")


def test_who_speaks_too_slowly_is_left_out_within_the_deadline(clock: Clock, port: int) -> None:
    """Each byte comes well within urllib3's own timeout, which is for one read."""
    peers = Peers(Identity("orders-0", "uid-0"), clock=clock, port=port)
    with (
        raw("127.0.0.2", port, http_answer(b" " * DRIPS), drip=True),
        sidecar("127.0.0.3", port, 2),
    ):
        asked = (pod(1, "127.0.0.2"), pod(2, "127.0.0.3"))
        seconds = heard_in(peers, asked, {"orders-2": member(2)})
    assert seconds < 60.0


def test_who_speaks_too_slowly_holds_no_thread(
    monkeypatch: pytest.MonkeyPatch, port: int, clock: Clock
) -> None:
    monkeypatch.setattr(peers_module, "_AT_ONCE", 1)
    peers = Peers(Identity("orders-0", "uid-0"), clock=clock, port=port)
    with (
        raw("127.0.0.2", port, http_answer(b" " * DRIPS), drip=True),
        sidecar("127.0.0.3", port, 2),
    ):
        peers.ask((pod(1, "127.0.0.2"),))
        other = pod(2, "127.0.0.3")
        wait_until(lambda: peers.ask((other,)) == {"orders-2": member(2)}, "the thread")


def test_who_recovers_is_heard_again(peers: Peers, port: int) -> None:
    """A connection kept from before the restart must not count as silence."""
    asked = (pod(1, "127.0.0.2"),)
    with sidecar("127.0.0.2", port, 1):
        before = peers.ask(asked)
    between = peers.ask(asked)
    with sidecar("127.0.0.2", port, 1):
        after = peers.ask(asked)
    assert (before, between, after) == ({"orders-1": member(1)}, {}, {"orders-1": member(1)})
