"""What the attempts of a client say of an adoption."""

import pytest

from tests.adopt.judge import Step, lost, numbers
from tests.chaos.record import Attempt


def attempts(*tries: tuple[float, str]) -> list[Attempt]:
    """Attempts of 0.1 s each: when it ended, and its error, "" where it was acknowledged."""
    return [
        Attempt("client", number, ended - 0.1, ended, None if error else "10.0.0.1", error)
        for number, (ended, error) in enumerate(tries)
    ]


READ_ONLY = "25006 ERROR:  cannot execute INSERT in a read-only transaction"
SEEN = attempts((9.0, ""), (10.5, "refused"), (12.0, READ_ONLY), (13.0, ""), (14.0, ""))


def test_the_gap_is_the_longest_time_between_two_acknowledgements() -> None:
    assert numbers(Step("killed", 10.0, 14.0), SEEN).gap == pytest.approx(4.0)


def test_a_step_whose_end_is_not_served_has_its_gap_up_to_the_end() -> None:
    assert numbers(Step("killed", 13.5, 20.0), SEEN).gap == pytest.approx(6.0)


def test_failures_of_a_read_only_member_are_told_from_others() -> None:
    seen = numbers(Step("killed", 10.0, 14.0), SEEN)
    assert (seen.failed, seen.read_only) == (2, 1)


def test_what_failed_in_another_step_is_not_counted() -> None:
    seen = numbers(Step("scaled", 12.5, 14.0), SEEN)
    assert (seen.failed, seen.read_only) == (0, 0)


def test_only_an_acknowledged_row_can_be_lost() -> None:
    assert lost(SEEN, present=[0, 1, 4]) == [3]
