"""Whose turn it is where many are ready at once, with real sockets and gunicorn's poller."""

import selectors
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from webhook.patient_worker import LARGE, TURN, PatientWorker, _Client


class Ready:
    """A worker, and some that are ready: each notes its name, in the order of the turns."""

    def __init__(self) -> None:
        self.worker: Any = PatientWorker.__new__(PatientWorker)
        self.worker.poller = selectors.DefaultSelector()
        self.turns: list[str] = []
        self._sockets: list[socket.socket] = []

    def client(self, name: str, *, last_turn: float, received: int = 0) -> None:
        client = _Client()
        client.turn = last_turn
        client.received += b"x" * received
        conn = SimpleNamespace(pgset_client=client)
        self._register(partial(lambda _conn, _socket: self.turns.append(name), conn))

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


def test_who_sends_much_waits_for_who_sends_little_but_not_for_ever(ready: Ready) -> None:
    ready.client("large", last_turn=10.0, received=LARGE)
    ready.client("probe", last_turn=11.0)
    ready.client("late", last_turn=15.0)
    ready.worker.wait_for_and_dispatch_events(1.0)
    assert ready.turns == ["probe", "large", "late"]
