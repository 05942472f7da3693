"""What a reader is taken to have seen."""

from tests.simulator.postgres.directory import Branch
from tests.simulator.postgres.server import SHUTDOWN_RECORD
from tests.simulator.reader import last_row


def test_what_a_promotion_writes_itself_is_no_row() -> None:
    """Who has all rows of before lacks nothing that it showed."""
    first = Branch(1)
    second = Branch(2, first, 1000)
    third = Branch(3, second, 1000 + SHUTDOWN_RECORD)
    begun = third.fork + SHUTDOWN_RECORD
    assert last_row(third, begun) == (first, 1000)
    assert last_row(third, begun + 1) == (third, begun + 1)
    assert last_row(second, 5000) == (second, 5000)
    assert last_row(first, 900) == (first, 900)


def test_nor_is_what_a_shutdown_writes() -> None:
    """One standby may have it, and another not (seed 7002261); what follows it are rows again."""
    first = Branch(1, shutdowns={1000 + SHUTDOWN_RECORD})
    second = Branch(2, first, 1000 + SHUTDOWN_RECORD)
    assert last_row(first, 1000 + SHUTDOWN_RECORD) == (first, 1000)
    assert last_row(second, second.fork + SHUTDOWN_RECORD) == (first, 1000)
    assert last_row(first, 5000) == (first, 5000)
