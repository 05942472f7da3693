"""Simulated time, chance and network: what all fakes share."""

import heapq
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

Event = TypeVar("Event")

API: Final = -1
CLIENT: Final = -2
"""Places beside the nodes, which are numbers from 0 on: the API server, and where clients are."""


class Network:
    """Who can send to whom. A cut is a pair of sets of places; messages from one to the other
    are lost. `None` stands for every other place."""

    def __init__(self) -> None:
        self._cuts: dict[int, tuple[frozenset[int] | None, frozenset[int] | None]] = {}
        self._known: dict[tuple[int, int], bool] = {}
        self._number = 0

    def cut(self, source: Iterable[int] | None, target: Iterable[int] | None) -> int:
        """Lose what `source` sends to `target`; returns what `heal` takes."""
        self._number += 1
        self._cuts[self._number] = (
            None if source is None else frozenset(source),
            None if target is None else frozenset(target),
        )
        self._known.clear()
        return self._number

    def heal(self, number: int) -> None:
        self._cuts.pop(number, None)
        self._known.clear()

    def passes(self, source: int, target: int) -> bool:
        """Whether a message from here gets there."""
        if not self._cuts or source == target:
            return True
        known = self._known.get((source, target))
        if known is None:
            known = self._known[source, target] = not any(
                (a is None or source in a) and (b is None or target in b)
                for a, b in self._cuts.values()
            )
        return known

    def both_ways(self, one: int, other: int) -> bool:
        return not self._cuts or (self.passes(one, other) and self.passes(other, one))


@dataclass(slots=True)
class World:
    """What is to come, who wants to know when it has, and what is written down of a run."""

    chance: random.Random
    now: float = 0.0
    network: Network = field(default_factory=Network)
    transcript: list[str] | None = None
    """None: nobody reads it, so nobody writes it."""
    _calls: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = field(
        default_factory=list
    )
    _number: int = 0
    _listeners: dict[type, list[Callable[[Any], None]]] = field(default_factory=dict)

    def subscribe(self, kind: type[Event], listen: Callable[[Event], None]) -> None:
        """Call this at once with each event of the kind, after those who subscribed before."""
        self._listeners.setdefault(kind, []).append(listen)

    def publish(self, event: object) -> None:
        for listen in self._listeners.get(type(event), ()):
            listen(event)

    def after(self, seconds: float, call: Callable[..., None], *arguments: Any) -> None:
        """Call this so many seconds from now; negative ones count as none."""
        self._number += 1
        at = self.now + seconds if seconds > 0 else self.now
        heapq.heappush(self._calls, (at, self._number, call, arguments))

    def run_until(self, end: float) -> None:
        calls, pop = self._calls, heapq.heappop
        while calls and calls[0][0] <= end:
            self.now, _, call, arguments = pop(calls)
            call(*arguments)
        self.now = max(self.now, end)

    def note(self, who: str, what: str) -> None:
        """One line of the transcript."""
        if self.transcript is not None:
            self.transcript.append(f"{self.now:8.3f}  {who:<10} {what}")
