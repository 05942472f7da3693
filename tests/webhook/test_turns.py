"""Whose turn it is where many are ready at once, with real sockets and gunicorn's poller."""

import selectors
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from webhook import patient_worker
from webhook.patient_worker import TURN, PatientWorker, _Client


def work(seconds: float) -> None:
    """Take so much CPU."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


class Ready:
    """A worker, and some that are ready: each notes its name, in the order of the turns."""

    seconds = 0.0
    """For which one has its turn."""

    def __init__(self) -> None:
        self.worker: Any = PatientWorker.__new__(PatientWorker)
        self.worker.poller = selectors.DefaultSelector()
        self.turns: list[str] = []
        self._sockets: list[socket.socket] = []

    def client(
        self,
        name: str,
        *,
        last_turn: float,
        large: bool = False,
        new: bool = False,
        address: str = "10.0.0.1",
    ) -> None:
        client = _Client(address)
        client.turn = client.deadline = last_turn
        client.large = large
        conn = SimpleNamespace(pgset_client=client, initialized=not new)

        def go_on(_conn: object, _socket: object) -> None:
            work(self.seconds)
            self.turns.append(name)

        self._register(partial(go_on, conn))

    def newcomers(self, seconds: float) -> None:
        """Let so many wait at the listener that it takes so long to accept them."""

        def accept(_: object) -> None:
            work(seconds)
            self.turns.append("newcomers")

        self._register(accept)

    def _register(self, callback: Callable[..., object]) -> None:
        here, there = socket.socketpair()
        there.send(b"x")
        self._sockets += here, there
        self.worker.poller.register(here, selectors.EVENT_READ, callback)

    def close(self) -> None:
        self.worker.poller.close()
        for it in self._sockets:
            it.close()


@pytest.fixture
def ready() -> Iterator[Ready]:
    found = Ready()
    yield found
    found.close()


def test_no_number_of_newcomers_keeps_those_from_their_turn_who_are_there(ready: Ready) -> None:
    ready.newcomers(TURN * 1.5)
    ready.client("there", last_turn=1.0)
    ready.worker.wait_for_and_dispatch_events(1.0)
    assert ready.turns == ["newcomers", "there"]


def test_who_sends_much_waits_for_who_sends_little_and_has_a_turn_too(ready: Ready) -> None:
    ready.seconds = TURN * 1.5
    ready.client("large", last_turn=10.0, large=True)
    ready.client("probe", last_turn=11.0)
    ready.client("another", last_turn=12.0)
    ready.worker.wait_for_and_dispatch_events(1.0)
    assert ready.turns == ["probe", "large"]


def test_who_has_not_shaken_hands_keeps_nobody_waiting_who_has(ready: Ready) -> None:
    ready.seconds = TURN * 1.5
    for number in range(3):
        ready.client(f"new {number}", last_turn=number, new=True)
    ready.client("api server", last_turn=10.0)
    ready.worker.wait_for_and_dispatch_events(1.0)
    assert ready.turns == ["new 0", "api server"]


@pytest.mark.parametrize("kind", [{}, {"new": True}, {"large": True}])
def test_a_crowd_from_one_address_goes_before_no_other_but_once(
    ready: Ready, kind: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Enough for both: what a busy host takes from this machine may count as CPU time.
    monkeypatch.setattr(patient_worker, "TURN", 60.0)
    for number in range(10):
        ready.client(f"crowd {number}", last_turn=number, address="10.0.0.9", **kind)
    ready.client("api server", last_turn=11.0, **kind)
    ready.worker.wait_for_and_dispatch_events(1.0)
    assert ready.turns[:2] == ["crowd 0", "api server"]


def test_what_one_has_waited_for_its_turn_is_no_patience_lost() -> None:
    client = _Client("10.0.0.1")
    before = client.deadline
    client.is_ready(client.since - 3.0)
    client.begins_turn()
    assert client.deadline >= before + 3.0
