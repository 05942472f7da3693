"""Whose turn it is where many are ready at once, with real sockets and gunicorn's poller."""

import selectors
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from webhook.patient_worker import TURN, PatientWorker, _Client


class Ready:
    """A worker, and some that are ready: each notes its name, in the order of the turns."""

    seconds = 0.0
    """For which one has its turn."""

    def __init__(self) -> None:
        self.worker: Any = PatientWorker.__new__(PatientWorker)
        self.worker.poller = selectors.DefaultSelector()
        self.turns: list[str] = []
        self._sockets: list[socket.socket] = []

    def client(self, name: str, *, last_turn: float, large: bool = False) -> None:
        client = _Client()
        client.turn = client.deadline = last_turn
        client.large = large
        conn = SimpleNamespace(pgset_client=client)

        def go_on(_conn: object, _socket: object) -> None:
            time.sleep(self.seconds)
            self.turns.append(name)

        self._register(partial(go_on, conn))

    def newcomers(self, seconds: float) -> None:
        """Let so many wait at the listener that it takes so long to accept them."""

        def accept(_: object) -> None:
            time.sleep(seconds)
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
