"""A promotion is asked for in more than one way: none of them may act when it has come about."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sidecar.memory.orders import Order
from sidecar.postgres.promotion import Promotion
from sidecar.postgres.signals import Signals


class Database:
    """A connection to one, and the thread that carries orders out when it comes to it."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.waiting: list[Callable[[Any], None]] = []

    def execute(self, statement: str, *_: Any) -> None:
        self.told.append(statement)

    def order(self, _: Order, command: Callable[[Any], None], *_otherwise: Any) -> None:
        self.waiting.append(command)

    @property
    def promotions(self) -> int:
        return sum("pg_promote" in statement for statement in self.told)


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def promotion(database: Database) -> Promotion:
    def clock() -> float:
        return 100.0

    signals = Signals(lambda: Path("/nowhere"), lambda: False, clock)
    return Promotion(database, signals, clock=clock, on_ask=lambda: None)  # type: ignore[arg-type]


def test_an_order_that_has_waited_promotes_no_server_that_started_again(
    database: Database, promotion: Promotion
) -> None:
    """Meanwhile this one has led, handed over, and come back as a standby of the next primary."""
    promotion.ask(108.0)
    promotion.at_once(database)  # type: ignore[arg-type]
    assert database.promotions == 1
    promotion.has_come_about()
    database.waiting.pop()(database)
    assert database.promotions == 1
    promotion.ask(108.0)
    database.waiting.pop()(database)
    assert database.promotions == 2


def test_nothing_is_asked_once_its_time_is_over(database: Database, promotion: Promotion) -> None:
    promotion.ask(100.0)
    promotion.at_once(database)  # type: ignore[arg-type]
    database.waiting.pop()(database)
    assert database.promotions == 0


def test_it_is_asked_for_at_once_no_more_than_once(
    database: Database, promotion: Promotion
) -> None:
    promotion.ask(108.0)
    promotion.at_once(database)  # type: ignore[arg-type]
    promotion.at_once(database)  # type: ignore[arg-type]
    assert database.promotions == 1
