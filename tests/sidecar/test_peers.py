"""What members tell each other under /status, and who is believed, over real HTTP."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import waitress
import waitress.wasyncore
from hypothesis import given
from hypothesis import strategies as st

from sidecar.action import Attention, Decision
from sidecar.observation import (
    BootstrapView,
    DataState,
    Identity,
    Observation,
    Peer,
    Pod,
    PostgresView,
    ServerState,
)
from sidecar.peers import Peers, describe, read_peer
from sidecar.report.http import Application
from sidecar.report.metrics import Metrics
from sidecar.report.snapshot import Reporter, Snapshot
from sidecar.settings import Settings
from tests.support.database import free_port
from tests.webhook.clock import Clock

DEADLINE = 0.8
ROOM = 0.7
"""For this shared machine: a second deadline in a row would still be noticed."""


def observation(ordinal: int, bootstrap: BootstrapView, postgres: PostgresView) -> Observation:
    return Observation(
        now=1000.0,
        started_at=0.0,
        me=Identity(f"orders-{ordinal}", f"uid-{ordinal}"),
        lease=None,
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
    status = json.loads(json.dumps(describe(observation(1, bootstrap, postgres))))
    return read_peer("orders-1", status)


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
    ],
)
def test_only_a_whole_data_directory_counts_as_data(
    data: DataState | None, has_data: bool | None
) -> None:
    assert told(BootstrapView(data), DOWN).has_data == has_data


numbers = st.none() | st.integers(1, 2**63)
identifiers = st.none() | st.from_regex(r"[1-9][0-9]{18}", fullmatch=True)


@given(identifiers, numbers, numbers, st.sampled_from(ServerState))
def test_what_a_server_says_of_itself_arrives_unchanged(
    identifier: str | None, timeline: int | None, position: int | None, state: ServerState
) -> None:
    postgres = PostgresView(
        state, 0.0, system_identifier=identifier, timeline=timeline, position=position
    )
    expected = Peer(
        "orders-1", True, identifier, timeline, position, running=state is not ServerState.DOWN
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
        decision = Decision("Following", "", Attention.NONE, ())
        seen = observation(ordinal, RUNNING, replace(STREAMING, position=5000 + ordinal))
        reporter.publish(Snapshot(seen, decision, None))
    application = Application(reporter, Metrics(reporter, "orders"), Settings(set_name="orders"))
    sockets: dict[int, Any] = {}
    server = waitress.create_server(application, listen=f"{address}:{port}", threads=1, map=sockets)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield
    finally:
        # The workers first: one that has just answered still pulls the server's trigger. Then
        # run() ends where there is no socket left.
        server.task_dispatcher.shutdown()
        server.trigger.pull_trigger(lambda: waitress.wasyncore.close_all(sockets))
        thread.join(timeout=10)


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
                ended.wait(10)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(timeout=10)


def http_answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def member(ordinal: int) -> Peer:
    return Peer(f"orders-{ordinal}", True, "111", 2, 5000 + ordinal, running=True)


@pytest.fixture
def peers(port: int) -> Peers:
    return Peers(Identity("orders-0", "uid-0"), port=port)


def test_every_other_member_is_asked(peers: Peers, port: int) -> None:
    pods = (pod(0, "127.0.0.2"), pod(1, "127.0.0.3"), pod(2, "127.0.0.4"))
    with (
        sidecar("127.0.0.2", port, 0),
        sidecar("127.0.0.3", port, 1),
        sidecar("127.0.0.4", port, 2),
    ):
        answers = peers.ask(pods)
    assert answers == {"orders-1": member(1), "orders-2": member(2)}


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


def ask_in(peers: Peers, pods: tuple[Pod, ...]) -> tuple[float, dict[str, Peer]]:
    began = time.monotonic()
    answers = peers.ask(pods)
    return time.monotonic() - began, answers


def test_ten_silent_members_cost_one_deadline_and_the_eleventh_is_heard(
    peers: Peers, port: int
) -> None:
    """They accept a connection and say no more, as a frozen sidecar does."""
    silent = tuple(pod(ordinal, f"127.0.1.{ordinal}") for ordinal in range(1, 11))
    with contextlib.ExitStack() as members:
        for frozen in silent:
            members.enter_context(socket.create_server((frozen.ip or "", port)))
        members.enter_context(sidecar("127.0.0.3", port, 11))
        seconds, answers = ask_in(peers, (*silent, pod(11, "127.0.0.3")))
    assert answers == {"orders-11": member(11)}
    assert DEADLINE / 2 < seconds < DEADLINE + ROOM


def test_who_speaks_too_slowly_is_left_out_within_the_deadline(peers: Peers, port: int) -> None:
    """Each byte comes well within urllib3's own timeout, which is for one read."""
    with (
        raw("127.0.0.2", port, http_answer(b" " * 100), drip=True),
        sidecar("127.0.0.3", port, 2),
    ):
        seconds, answers = ask_in(peers, (pod(1, "127.0.0.2"), pod(2, "127.0.0.3")))
    assert answers == {"orders-2": member(2)}
    assert seconds < DEADLINE + ROOM


def test_who_recovers_is_heard_again(peers: Peers, port: int) -> None:
    """A connection kept from before the restart must not count as silence."""
    asked = (pod(1, "127.0.0.2"),)
    with sidecar("127.0.0.2", port, 1):
        before = peers.ask(asked)
    between = peers.ask(asked)
    with sidecar("127.0.0.2", port, 1):
        after = peers.ask(asked)
    assert (before, between, after) == ({"orders-1": member(1)}, {}, {"orders-1": member(1)})
