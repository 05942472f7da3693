"""What an acknowledged commit survives: who has a copy of it, and how that may change safely.

The Lease promises that every acknowledged commit is on at least `copies` of its `voters`; the
primary's synchronous_standby_names keeps the promise. Whoever is to lead has to have all that may
have been acknowledged under the promise that is on record, so the two change in an order in which
the record is true at every moment: a weaker promise is recorded before PostgreSQL stops keeping
the stronger one, a stronger one only after PostgreSQL has kept it for all WAL that there is.

With `sync` each voter has every commit (copies = voters): one voter alone may lead, and voters
that fall behind are taken out of the record. With `quorum` a majority has it, voters change only
with the set's members, and as many have to answer as share a voter with every majority.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

WalPosition = tuple[int, int]
"""Timeline and WAL position: where a member's data ends. The greater has more."""

EVERYWHERE: Final[WalPosition] = (2**63, 0)
"""For a member that has not said: it may have more than anybody."""


@dataclass(frozen=True, slots=True)
class Promise:
    """Every acknowledged commit is on at least `copies` of `voters`, the primary among them."""

    voters: frozenset[str]
    copies: int

    def implies(self, other: "Promise", leader: str) -> bool:
        """Tell whether all that keeps this promise keeps the other one; `leader` has everything."""
        if not other.voters:
            return True
        outside = len(self.voters - other.voters)
        sure = max(self.copies - outside, 1 if leader in other.voters else 0)
        return sure >= other.copies

    def names(self, leader: str) -> tuple[str, ...]:
        """Return the standbys that the leader's commits wait for."""
        return tuple(sorted(self.voters - {leader}))


NONE: Final = Promise(frozenset(), 0)


def promised(voters: Iterable[str], durability: str) -> Promise:
    """Return the promise that `durability` gives with these voters."""
    named = frozenset(voters)
    if durability == "async":
        return NONE
    return Promise(named, len(named) // 2 + 1 if durability == "quorum" else len(named))


def next_promise(
    recorded: Promise, wanted: Promise, durability: str, may_lead: Collection[str]
) -> Promise:
    """Return the first step from one promise to another, such that an order for it exists.

    `sync`: first out, then in. `quorum`: one member at a time, since between majorities of sets
    that differ by one there is always an order (by the parity of the number of voters). But where
    several go at once, who stays may be no majority of who was there. If none of those who go
    `may_lead` by the record any more, then all who stay have to have everything, and whoever of
    them comes to lead by the old record or the new has it.
    """
    if not recorded.voters or len(wanted.voters) <= 1:
        return wanted
    leaving = sorted(recorded.voters - wanted.voters)
    coming = sorted(wanted.voters - recorded.voters)
    if durability == "quorum":
        if len(leaving) > 1 and not set(leaving) & set(may_lead):
            staying = recorded.voters & wanted.voters
            return Promise(staying, len(staying))
        if leaving:
            return promised(recorded.voters - {leaving[0]}, durability)
        return promised(recorded.voters | set(coming[:1]), durability)
    if leaving:
        return promised(recorded.voters & wanted.voters, durability)
    return wanted


def can_have_acknowledged(promise: Promise, positions: Mapping[str, WalPosition]) -> WalPosition:
    """Return the furthest position up to which commits may have been acknowledged.

    That is where `copies` voters may have been; one that has not said may have been anywhere.
    """
    if not promise.voters:
        return (0, 0)
    said = sorted((positions.get(name, EVERYWHERE) for name in promise.voters), reverse=True)
    return said[promise.copies - 1] if 0 < promise.copies <= len(said) else EVERYWHERE
