"""What the client's attempts say of the steps of an adoption. All pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from tests.chaos.record import Attempt

READ_ONLY: Final = "25006"
"""SQLSTATE read_only_sql_transaction, with which an error begins where the server has said it."""


@dataclass(frozen=True)
class Step:
    """One thing that the user does, or that happens; times as in `tests.chaos.record`."""

    name: str
    began: float
    ended: float
    """When the set was whole again, and the client had been served for a while."""


@dataclass(frozen=True)
class Numbers:
    """What one step has cost its client."""

    gap: float
    """Seconds: the longest time between two acknowledgements."""
    failed: int
    read_only: int
    """Of the failed ones, those that reached a member that takes no writes."""


def numbers(step: Step, attempts: Sequence[Attempt]) -> Numbers:
    """Return a step's numbers, by what ended in it."""
    during = [it for it in attempts if step.began <= it.ended <= step.ended]
    before = [it.ended for it in attempts if it.by is not None and it.ended < step.began]
    ends = [*before[-1:], *(it.ended for it in during if it.by is not None), step.ended]
    failed = [it for it in during if it.by is None]
    return Numbers(
        gap=max((b - a for a, b in pairwise(sorted(ends))), default=0.0),
        failed=len(failed),
        read_only=sum(it.error.startswith(READ_ONLY) for it in failed),
    )


def lost(attempts: Iterable[Attempt], present: Iterable[int]) -> list[int]:
    """Return the numbers of the acknowledged rows that are not there."""
    acknowledged = {it.number for it in attempts if it.by is not None}
    return sorted(acknowledged.difference(present))
