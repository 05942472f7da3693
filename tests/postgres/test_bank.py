"""The statements of `make storm`, whose answers say whether a transfer was lost or torn."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.storm import bank
from tests.support.database import Database
from tests.support.standby import session

pytestmark = pytest.mark.postgres

Connection = psycopg.Connection[Any]


@pytest.fixture
def opened(database: Database) -> Iterator[Connection]:
    database.start()
    with session(database) as connection:
        for statement in bank.TABLES:
            connection.execute(statement)
        yield connection


def ask(connection: Connection, statement: str) -> tuple[str, ...]:
    row = connection.execute(statement).fetchone()
    return tuple(map(str, row or ()))


def test_a_transfer_leaves_the_sum_and_one_row(opened: Connection) -> None:
    opened.execute(bank.transfer("writer-0", 7, source=9, target=3, amount=5))
    balances = opened.execute("select balance from accounts where id in (3, 9) order by id")
    assert balances.fetchall() == [(bank.OPENING + 5,), (bank.OPENING - 5,)]
    assert ask(opened, bank.READ)[1] == str(bank.TOTAL)
    assert opened.execute(bank.ROWS).fetchall() == [("writer-0", 7)]
    assert ask(opened, bank.CHECK) == (str(bank.TOTAL), "1", "0")


def test_a_transfer_that_was_done_is_not_done_again(opened: Connection) -> None:
    again = bank.transfer("writer-0", 7, source=9, target=3, amount=5)
    opened.execute(again)
    with pytest.raises(psycopg.errors.UniqueViolation):
        opened.execute(again)
    opened.execute("rollback")
    assert ask(opened, bank.CHECK) == (str(bank.TOTAL), "1", "0")


def test_half_a_transfer_is_seen(opened: Connection) -> None:
    opened.execute("update accounts set balance = balance - 1 where id = 1")
    assert ask(opened, bank.READ)[1] == str(bank.TOTAL - 1)
    assert ask(opened, bank.CHECK) == (str(bank.TOTAL - 1), "0", "1")


def test_a_balance_that_is_not_the_ledgers_is_seen_where_the_sum_is_right(
    opened: Connection,
) -> None:
    opened.execute(bank.transfer("writer-0", 7, source=9, target=3, amount=5))
    opened.execute("delete from ledger")
    assert ask(opened, bank.CHECK) == (str(bank.TOTAL), "0", "2")
