"""Orders to PostgreSQL: which wait, which is carried out, and which may still come into force.

An order takes the place of a waiting one of the same name; one that is being carried out with the
same arguments is not repeated. What failed is forgotten as work: it is ordered again. But it may
have failed when half of it was done, and the other half come about by itself; so the last one of
each name counts as outstanding until its success was seen.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final, cast

from sidecar.observation import PostgresView, ServerState

Order = tuple[object, ...]
"""Its name and its arguments."""

SET_SYNCHRONOUS: Final = "set-synchronous"
"""(…, members, number): let each commit wait for `number` of these members; 0: for nobody."""
FOLLOW: Final = "follow"
"""(…, whether there is somebody to follow)."""


class Orders:
    """The orders of one connection, carried out one after another."""

    def __init__(self) -> None:
        """Nothing was ordered."""
        self._waiting: dict[object, Order] = {}
        self._under_way: Order | None = None
        self._unseen: dict[object, Order] = {}
        """The last order of each name, until it was seen to have taken effect."""
        self._carried_out: set[object] = set()
        """The names of those that have ended well, with no other of their name after them."""

    def give(self, order: Order) -> None:
        """Have it carried out after what waits already."""
        name = order[0]
        self._unseen[name] = order
        self._carried_out.discard(name)
        if order != self._under_way:
            self._waiting[name] = order
        else:
            # The last word counts: one that waits would take it back.
            self._waiting.pop(name, None)

    def begin_next(self) -> Order | None:
        """Return the order that is carried out from now on; None if none waits."""
        name = next(iter(self._waiting), None)
        self._under_way = None if name is None else self._waiting.pop(name)
        return self._under_way

    def end(self, order: Order, *, well: bool) -> None:
        """It was carried out, or has failed."""
        name = order[0]
        if well and self._unseen.get(name) == order and name not in self._waiting:
            self._carried_out.add(name)
        self._under_way = None

    def outstanding(self, name: object) -> Order | None:
        """Return the last order of this name, if nobody has seen yet that it took effect."""
        return self._unseen.get(name)

    def carried_out(self) -> tuple[Order, ...]:
        """Return those that have ended well by now: from now on they may be seen."""
        return tuple(self._unseen[name] for name in self._carried_out)

    def was_seen(self, order: Order) -> bool:
        """Let an order of `carried_out` be outstanding no more; False if it was given again since.

        The look that saw it has to have begun after `carried_out` was asked.
        """
        name = order[0]
        if name not in self._carried_out or self._unseen.get(name) != order:
            return False
        self._carried_out.discard(name)
        del self._unseen[name]
        return True


def standbys(order: Order) -> tuple[tuple[str, ...], int]:
    """Return whom such an order lets commits wait for, and for how many of them."""
    _, members, number = order
    return cast(tuple[str, ...], members), cast(int, number)


def shows(
    order: Order,
    state: ServerState,
    *,
    waits_for: Iterable[str],
    waits_for_number: int,
    follows_somebody: bool,
    detached: bool,
) -> bool:
    """Tell whether a look at the server, which has these fields, shows that this took effect."""
    if order[0] == SET_SYNCHRONOUS:
        members, number = standbys(order)
        if number == 0:
            return waits_for_number == 0
        return waits_for_number == number and set(waits_for) == set(members)
    if order[0] == FOLLOW and state is ServerState.RECOVERY:
        return follows_somebody if order[1] else detached
    return order[0] == FOLLOW


Outstanding = Callable[[object], Order | None]
"""`Orders.outstanding`."""


def may_come_to_wait_for(
    filed: tuple[tuple[str, ...], int] | None, outstanding: Outstanding
) -> tuple[tuple[str, ...], int] | None:
    """Return `PostgresView.ordered`; `filed`: what the next reload would bring into force."""
    order = outstanding(SET_SYNCHRONOUS)
    return filed if order is None else standbys(order)


def stays_detached(detached: bool, outstanding: Outstanding) -> bool:
    """Return `PostgresView.detached` of a server that is so now."""
    return detached and outstanding(FOLLOW) is None


def with_what_was_ordered(view: PostgresView, outstanding: Outstanding) -> PostgresView:
    """Return it with what was ordered, also since the look, and may not be seen yet."""
    ordered = may_come_to_wait_for(view.ordered, outstanding)
    detached = stays_detached(view.detached, outstanding)
    if ordered is view.ordered and detached == view.detached:
        return view
    return replace(view, ordered=ordered, detached=detached)
