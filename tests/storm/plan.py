"""The faults of a storm, drawn by its seed. All pure: the same seed makes the same sequence."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

SHORTEST_PAUSE: Final = 3.0
LONGEST_PAUSE: Final = 15.0
SHORTEST_RETURN: Final = 0.5
LONGEST_RETURN: Final = 3.0

_TWO_AT_ONCE: Final = 0.2
_DURING_RETURN: Final = 0.2
_A_REPLICA: Final = 0.4
"""How likely each is."""


@dataclass(frozen=True)
class Kind:
    """A fault that may be drawn."""

    name: str
    shortest: float
    longest: float
    """How long it is in place, in seconds; both 0 where there is nothing to take away."""
    strikes_replicas: bool = False
    """Whether it may strike a replica in the primary's place."""
    strikes_primary: bool = True
    """Whether it may strike the primary at all."""
    removes_data: bool = False
    """Whether a volume is emptied. Two of them at once lose what no durability promises to keep."""


@dataclass(frozen=True)
class Blow:
    """One fault, and whom it strikes."""

    fault: str
    whom: int
    """0: who leads then; else the so-many-th member after that one."""
    lasts: float
    """Seconds until it is taken away."""


@dataclass(frozen=True)
class Turn:
    """What comes next, and when."""

    pause: float
    """Seconds from the last turn's blows; from when they are taken away, if `during_return`."""
    during_return: bool
    """Whether it strikes while the members come back from the last turn's blows."""
    blows: tuple[Blow, ...]
    """One, or two that strike at once."""


def turns(seed: int, kinds: Sequence[Kind], replicas: int) -> Iterator[Turn]:
    """Yield a storm's turns without end; every kind comes before any comes again."""
    dice = random.Random(seed)  # noqa: S311 - it has to be the same again
    deck = _Deck(dice, kinds)
    while True:
        during_return = dice.random() < _DURING_RETURN
        pause = (
            dice.uniform(SHORTEST_RETURN, LONGEST_RETURN)
            if during_return
            else dice.uniform(SHORTEST_PAUSE, LONGEST_PAUSE)
        )
        first = deck.deal()
        drawn = [first]
        if dice.random() < _TWO_AT_ONCE:
            drawn.append(deck.deal(removes_no_data=first.removes_data))
        blows = tuple(_blow(dice, kind, replicas) for kind in drawn)
        yield Turn(round(pause, 2), during_return, blows)


def _blow(dice: random.Random, kind: Kind, replicas: int) -> Blow:
    strikes_replica = dice.random() < _A_REPLICA and kind.strikes_replicas
    which = dice.randrange(1, replicas)
    lasts = dice.uniform(kind.shortest, kind.longest)
    whom = which if strikes_replica or not kind.strikes_primary else 0
    return Blow(kind.name, whom, round(lasts, 1))


class _Deck:
    """Deals the kinds in a random order, and then again in another one."""

    def __init__(self, dice: random.Random, kinds: Sequence[Kind]) -> None:
        self._dice = dice
        self._kinds = kinds
        self._left: list[Kind] = []

    def deal(self, *, removes_no_data: bool = False) -> Kind:
        """Return the next kind that may be dealt."""
        while True:
            for place, kind in enumerate(self._left):
                if not (removes_no_data and kind.removes_data):
                    return self._left.pop(place)
            # What may not be dealt now stays, for the next one.
            self._left += self._dice.sample(self._kinds, len(self._kinds))
