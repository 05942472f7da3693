"""The pledge of this member to a holder: that it leaves the Lease alone until some moment.

In memory alone. A sidecar that was restarted has forgotten it, but sees the Lease for the first
time then, and waits for a ttl from there before it takes the Lease for expired.
"""

from collections.abc import Callable

from sidecar.observation import LeaseView


class Pledge:
    """The pledge that is in force, and whether this member is taking the Lease right now."""

    def __init__(self) -> None:
        """Nothing has been pledged."""
        self._taking = False
        self._holder = ""
        self._version = 0
        self._until = self._given_at = float("-inf")

    def until(self, now: float) -> float | None:
        """Return until when a Lease that was not released must be left alone; None if no more."""
        return self._until if now < self._until else None

    def give(
        self,
        holder: str,
        version: int,
        until: float,
        refusal: Callable[[], str | None],
        now: float,
    ) -> str | None:
        """Pledge it to the holder of this version of the Lease, or return why not.

        It is never shortened, and given to a second holder only by a newer version.
        """
        if self._taking:
            return "this member is taking the Lease right now"
        if reason := refusal():
            return reason
        if until <= now:
            return "the question came too late"
        if self._holder != holder and now < self._until and version <= self._version:
            return f"this member has pledged the same to {self._holder}"
        self._holder, self._version, self._given_at = holder, version, now
        self._until = max(until, self._until)
        return None

    def begin_to_take(self, lease: LeaseView | None, now: float) -> str | None:
        """Return why the Lease may not be taken; None: from now on nothing is pledged.

        `lease`: the one that is to be replaced. One that its holder has released since may be
        taken in spite of the pledge, which was to let it hold, and which is over with that.
        """
        if now < self._until and not self._was_released(lease):
            return f"this member has pledged to {self._holder} not to take the Lease yet"
        self._until = float("-inf")
        self._taking = True
        return None

    def _was_released(self, lease: LeaseView | None) -> bool:
        """Versions tell what came first, unless they have fallen since: then only the release by
        that very holder counts, which was seen after that."""
        if lease is None or lease.record is None or lease.record.holder:
            return False
        fell_at, by = lease.released_after_fall or (float("-inf"), "")
        fell = fell_at > self._given_at and by == self._holder
        return fell or int(lease.record.resource_version) > self._version

    def end_of_take(self) -> None:
        """The Lease was taken, or it was tried."""
        self._taking = False
