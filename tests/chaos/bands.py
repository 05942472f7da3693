"""A record as bands over time, for the picture. All pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from tests.chaos.record import Record


@dataclass(frozen=True)
class Band:
    """Something that was so from `start` to `end`, in seconds after the fault."""

    start: float
    end: float
    what: str


@dataclass(frozen=True)
class Bar:
    """A writer's tries that ended within one bin; `start` in seconds after the fault."""

    start: float
    acknowledged: int
    failed: int


def states(record: Record, member: str) -> list[Band]:
    """Return what a member answered: writable, read-only or silent."""
    return _bands(record, ((it.answered, it.state) for it in record.looks if it.member == member))


def labels(record: Record, member: str) -> list[Band]:
    """Return a member's role label; "" where it has none."""
    return _bands(record, ((it.at, it.role) for it in record.pods if it.name == member))


def lease(record: Record) -> list[Band]:
    """Return who held the Lease; "" where nobody did."""
    return _bands(record, ((it.at, it.holder) for it in record.leases))


def service(record: Record) -> list[Band]:
    """Return the members that the primary's Service led to, joined by " and "."""
    names = {it.address: it.name for it in record.pods if it.address}
    return _bands(
        record,
        (
            (it.at, " and ".join(names.get(address, address) for address in it.addresses))
            for it in record.endpoints
        ),
    )


def commits(record: Record, client: str, width: float) -> list[Bar]:
    """Return a writer's tries, counted by bins of so many seconds; none for empty bins."""
    fault = record.moments.fault
    counts: dict[int, list[int]] = {}
    for it in record.attempts:
        if it.client == client:
            count = counts.setdefault(int((it.ended - fault) // width), [0, 0])
            count[0 if it.by is not None else 1] += 1
    return [Bar(number * width, *counts[number]) for number in sorted(counts)]


def _bands(record: Record, changes: Iterable[tuple[float, str]]) -> list[Band]:
    """Join what was seen into bands; each lasts until something else is seen."""
    fault, end = record.moments.fault, record.moments.ended
    kept: list[tuple[float, str]] = []
    for at, what in changes:
        if not kept or kept[-1][1] != what:
            kept.append((at, what))
    kept.append((end, ""))
    return [Band(a - fault, b - fault, what) for (a, what), (b, _) in pairwise(kept) if a < b]
