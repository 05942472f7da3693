"""What there is in many namespaces, by lists of the whole cluster: few answers instead of many.

To look at each of a thousand namespaces takes six requests each, and half a minute of a core in
every minute; these lists take one request for 250 objects. What is kept of them is the facts, for
the namespaces with sets, until each was looked at.

Of a kind of which the others in the cluster have more than fits, such as their Services, each
namespace is asked for its own.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final, Self

from webhook.caretaker.footprint import MAX_OF_NAMESPACE, MAX_OF_ONE, footprint
from webhook.caretaker.listing import PAGE, pages
from webhook.json_patch import Json

MANY: Final = 10
"""Namespaces from which on this is done."""

FRESH: Final = 15.0
"""Seconds for which the facts are good enough to decide by."""

PATIENCE: Final = 10.0
"""Seconds for all lists: those of thousands of sets take a few. Where somebody has filled one
namespace of the cluster with megabytes, each is asked for its own, and that one the last."""

MAX_OF_ALL: Final = 2 * MAX_OF_NAMESPACE
"""Bytes; what is known of 4,000 sets with three members each takes as much."""


class Kind(Enum):
    """What is looked at."""

    MEMBERS = auto()
    SERVICES = auto()
    ACCOUNTS = auto()
    POLICIES = auto()
    BUDGETS = auto()
    BINDINGS = auto()


@dataclass(frozen=True)
class Lists:
    """How one kind is listed and read."""

    read: Callable[[Json], Any]
    in_namespace: Callable[..., Any]
    everywhere: Callable[..., Any]
    selector: Mapping[str, str] = field(default_factory=dict)


class Everywhere:
    """The facts, by namespace; each is given out once."""

    def __init__(
        self,
        facts: Mapping[Kind, dict[str, list[Any]]],
        unread: Collection[str],
        at: float,
        clock: Callable[[], float],
    ) -> None:
        self._facts = facts
        self._unread = unread
        self._at = at
        self._clock = clock

    @classmethod
    def read(
        cls,
        kinds: Mapping[Kind, Lists],
        names: Collection[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> Self:
        """List all kinds; the facts are of these namespaces. Raises as `listing.pages` does."""
        unread: set[str] = set()
        facts: dict[Kind, dict[str, list[Any]]] = {}
        left, until = MAX_OF_ALL, clock() + PATIENCE
        for kind, lists in kinds.items():
            found, taken = _facts(lists, names, unread, left, lambda: clock() > until)
            if found is not None:
                facts[kind] = found
                left -= taken
        return cls(facts, unread, clock() if clock() <= until else float("-inf"), clock)

    @property
    def took_too_long(self) -> bool:
        """Whether it is not worth while to try it again in the same round."""
        return self._at == float("-inf")

    @property
    def fresh(self) -> bool:
        """Whether what is not given out yet may be decided by."""
        return self._clock() - self._at <= FRESH

    def take(self, name: str, kind: Kind) -> list[Any] | None:
        """Return the facts of a kind in a namespace; None if it has to be asked for them."""
        if name in self._unread or kind not in self._facts or not self.fresh:
            return None
        return self._facts[kind].pop(name, [])


def _facts(
    lists: Lists,
    names: Collection[str],
    unread: set[str],
    most: int,
    it_takes_too_long: Callable[[], bool],
) -> tuple[dict[str, list[Any]] | None, int]:
    """Return the facts by namespace, None if there is too much of all, and what they take.

    Adds to `unread` the namespaces in which something is too large or cannot be read: that is for
    them to bear, when each is looked at alone.
    """
    found: dict[str, list[Any]] = defaultdict(list)
    taken = 0
    for page in pages(lists.everywhere, **lists.selector):
        others = (page["metadata"].get("remainingItemCount") or 0) > PAGE * len(names)
        if others or it_takes_too_long():
            return None, 0
        for it in page["items"]:
            namespace = it["metadata"]["namespace"]
            if namespace not in names or namespace in unread:
                continue
            fact = _read(lists, it)
            if fact is None:
                unread.add(namespace)
                continue
            taken += footprint(fact)
            if taken > most:
                return None, 0
            found[namespace].append(fact)
    return found, taken


def _read(lists: Lists, found: Json) -> Any | None:
    try:
        fact = lists.read(found)
    except Exception:  # whatever it is: it is told of when its namespace is looked at
        return None
    return fact if footprint(fact) <= MAX_OF_ONE else None
