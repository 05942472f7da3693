"""What PostgreSQL is ordered to wait for counts before it does so, and after it was given up."""

import threading
import time
from dataclasses import replace

import psycopg
import pytest

from sidecar.action import Promote, RenewLease, SetSynchronous
from sidecar.decide import decide
from sidecar.memory.orders import SET_SYNCHRONOUS, Order
from sidecar.observation import Observation, PostgresView, ServerState
from sidecar.postgres.background import Background
from sidecar.postgres.credentials import Credentials
from sidecar.postgres.server import Server
from tests.sidecar.rules.observations import (
    FREE,
    LEADER,
    NOW,
    QUORUM,
    RECORD,
    STREAMING,
    SYNC,
    WRITABLE,
    followers,
    lease,
    peer,
    pods,
)
from tests.support.waiting import wait_until

BOTH = ("orders-0", "orders-1")
WEAK = ((), 0)
STRONG = (("orders-1",), 1)

ALONE_ON_RECORD = replace(RECORD, members=BOTH, voters=("orders-0",), copies=1)
STREAMS_AGAIN = replace(
    LEADER,
    wanted=2,
    lease=lease(ALONE_ON_RECORD),
    pods=pods("primary", "replica"),
    postgres=replace(
        WRITABLE,
        followers=followers(1),
        waits_for=("orders-1",),
        waits_for_number=1,
        waits_from=4000,
        slots=("pgset_orders_1",),
    ),
)
"""A standby that was lost is back, and PostgreSQL still waits for it, as if nothing had been."""


def recorded(observation: Observation) -> list[tuple[str, ...]]:
    actions = decide(observation, SYNC).actions
    return [action.voters for action in actions if isinstance(action, RenewLease)]


def test_a_promise_is_not_recorded_while_an_order_to_break_it_is_under_way() -> None:
    assert recorded(STREAMS_AGAIN) == [BOTH]
    weakened = replace(STREAMS_AGAIN, postgres=replace(STREAMS_AGAIN.postgres, ordered=WEAK))
    assert BOTH not in recorded(weakened)
    due = replace(weakened, lease=lease(ALONE_ON_RECORD, renewed_at=NOW - 5))
    assert recorded(due) == [("orders-0",)]


def test_it_is_ordered_again_what_was_there_before_the_order() -> None:
    weakened = replace(STREAMS_AGAIN, postgres=replace(STREAMS_AGAIN.postgres, ordered=WEAK))
    assert SetSynchronous(("orders-1",), 1) in decide(weakened, SYNC).actions


def test_an_order_that_was_not_seen_to_take_effect_is_given_again() -> None:
    """One that has failed when half of it was done may come into force at any reload."""
    outstanding = replace(STREAMS_AGAIN, postgres=replace(STREAMS_AGAIN.postgres, ordered=STRONG))
    assert SetSynchronous(("orders-1",), 1) in decide(outstanding, SYNC).actions
    assert BOTH not in recorded(outstanding)


def test_nobody_is_promoted_who_is_about_to_stop_waiting_for_others() -> None:
    free = replace(FREE, voters=("orders-0", "orders-1", "orders-2"), copies=2)
    standby = replace(
        STREAMING, streaming=False, waits_for=("orders-1", "orders-2"), waits_for_number=1
    )
    ready = replace(
        LEADER,
        lease=lease(free, renewed_at=None),
        postgres=replace(standby, waits_from=4000),
        peers=peer(1) | peer(2),
    )
    assert any(isinstance(action, Promote) for action in decide(ready, QUORUM).actions)
    changing = replace(ready, postgres=replace(ready.postgres, ordered=WEAK))
    assert not any(isinstance(action, Promote) for action in decide(changing, QUORUM).actions)


class Orders:
    """A Background whose orders end when they are let to."""

    def __init__(self) -> None:
        self.carried_out: list[Order] = []
        self.fail = False
        self.may_end = threading.Semaphore(0)
        self.begun: list[Order] = []
        self.background = Background(Connection, lambda: None)  # type: ignore[arg-type, return-value]
        self.background.start()

    def give(self, *key: object) -> None:
        def command(_: object) -> None:
            self.begun.append(key)
            assert self.may_end.acquire(timeout=600)
            if self.fail:
                raise psycopg.OperationalError("gone")
            self.carried_out.append(key)

        self.background.order(key, command)

    def let_end(self, number: int) -> None:
        self.may_end.release()
        wait_until(lambda: len(self.background.carried_out()) == number, "the order's end")


class Connection:
    closed = False

    def close(self) -> None:
        pass


@pytest.fixture
def orders() -> Orders:
    return Orders()


def test_an_order_is_outstanding_from_when_it_is_given_until_its_effect_was_seen(
    orders: Orders,
) -> None:
    orders.give("set", 1)
    assert orders.background.outstanding("set") == ("set", 1)
    assert orders.background.carried_out() == ()
    orders.let_end(1)
    assert orders.background.outstanding("set") == ("set", 1)
    assert orders.background.was_seen(("set", 1))
    assert orders.background.outstanding("set") is None


def test_an_order_that_failed_stays_outstanding_until_one_of_its_name_succeeds(
    orders: Orders,
) -> None:
    orders.fail = True
    orders.give("set", 1)
    orders.may_end.release()
    wait_until(lambda: orders.background.problem() is not None, "the failure")
    assert orders.background.outstanding("set") == ("set", 1)
    assert not orders.background.was_seen(("set", 1))
    orders.fail = False
    orders.give("set", 2)
    orders.let_end(1)
    assert orders.background.was_seen(("set", 2))


def test_what_was_seen_before_the_order_was_given_anew_does_not_count(orders: Orders) -> None:
    orders.give("set", 1)
    orders.let_end(1)
    orders.give("set", 1)
    assert not orders.background.was_seen(("set", 1))
    orders.let_end(1)
    assert orders.background.was_seen(("set", 1))


def test_the_last_word_counts_where_an_order_is_given_again_while_it_is_carried_out(
    orders: Orders,
) -> None:
    orders.give("set", 1)
    wait_until(lambda: orders.begun == [("set", 1)], "the first order to begin")
    orders.give("set", 2)
    orders.give("set", 1)
    orders.let_end(1)
    assert orders.carried_out == [("set", 1)]
    assert orders.background.was_seen(("set", 1))


def test_an_order_is_outstanding_until_there_is_a_view_that_shows_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The view before has the setting before: by that alone, commits would count as waiting."""
    server = Server(Credentials("postgres", ""), clock=time.monotonic, on_change=lambda: None)
    fields = {"waits_for": STRONG[0], "waits_for_number": 1, "upstream": None, "detached": False}
    fields |= {"slots": (), "followers": ()}
    monkeypatch.setattr(server, "_ask", lambda: (ServerState.WRITABLE, dict(fields)))
    server._look_and_tell()
    server._orders.order((SET_SYNCHRONOUS, *WEAK), lambda _: None)
    order = server._orders._orders.begin_next()
    assert order is not None
    server._orders._orders.end(order, well=True)
    fields |= {"waits_for": (), "waits_for_number": 0}
    meanwhile: list[PostgresView] = []

    def look_meanwhile(*_: object) -> bool:
        meanwhile.append(server.view())
        return False

    monkeypatch.setattr(server._preparation, "is_due_again", look_meanwhile)
    server._look_and_tell()
    assert [(view.waits_for, view.ordered) for view in meanwhile] == [(STRONG[0], WEAK)]
    assert (server.view().waits_for, server.view().ordered) == ((), None)


@pytest.mark.thorough
def test_nobody_who_asks_for_a_look_waits_for_a_thread_that_does_not_look() -> None:
    """It is not started while bootstrap runs, and may hang on the volume; peers ask on."""
    server = Server(Credentials("postgres", ""), clock=time.monotonic, on_change=lambda: None)
    for _ in range(70_000):
        server.refresh(0.0)
    assert server.view().state is ServerState.DOWN
