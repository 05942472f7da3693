"""How often in a row bootstrap, or whoever is to be copied, has failed at the same thing.

In the sidecar's memory alone: one that was restarted starts afresh.
"""

from dataclasses import dataclass

from sidecar.failures import Failures


@dataclass(frozen=True, slots=True)
class _Order:
    """What bootstrap was told last."""

    session: str
    number: int
    verb: str
    holder: str


class Attempts:
    """Remembers failures until something succeeds, or something else is tried."""

    def __init__(self) -> None:
        """Nothing has been tried yet."""
        self._under_way: _Order | None = None
        self._failures: Failures | None = None
        self._numbers = {True: 0, False: 0}
        """Of refusals, which cost next to nothing, and of what was tried in earnest: many of the
        first are no reason to wait long after one of the second."""

    def begun(self, session: str, number: int, verb: str, holder: str) -> None:
        """Bootstrap gets this order; `holder`: of the Lease, from whom it is to copy, if it is."""
        self._under_way = _Order(session, number, verb, holder)

    def refused(self, verb: str, holder: str, why: str, now: float) -> None:
        """The order was not even given: who was to be copied could not be."""
        self._count(verb, holder, why, now, refused=True)

    def look(self, session: str, done: int, failure: str | None, now: float) -> Failures | None:
        """Take in what bootstrap says: its life, the last order that it is done with, and how that
        failed. Return the failures up to `now`, in seconds on the sidecar's clock."""
        order = self._under_way
        if order is None or (order.session == session and order.number > done):
            return self._failures
        self._under_way = None
        # A bootstrap container that was restarted meanwhile is the kubelet's to hold back.
        if order.session == session:
            if failure is None:
                self._failures = None
            else:
                self._count(order.verb, order.holder, failure, now, refused=False)
        return self._failures

    def _count(self, verb: str, holder: str, why: str, now: float, *, refused: bool) -> None:
        before = self._failures
        if before is None or (before.verb, before.holder) != (verb, holder):
            self._numbers = {True: 0, False: 0}
        self._numbers[refused] += 1
        # libpq's own words may be several lines.
        words = " ".join(why.split())
        number = self._numbers[refused]
        self._failures = Failures(verb, holder, number, now, words, refused=refused)
