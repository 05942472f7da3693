"""Which of several caretakers acts: the holder of a Lease.

The client library's `leaderelection` (35.0) is for ConfigMaps only, judges by the wall clock, and
its requests may hang for ever. Two caretakers at once would do no harm, since each write is bound
to the version that was read, so this is as simple as it can be: a record expires when it has been
seen unchanged for a TTL, by a monotonic clock.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

TTL: Final = 15.0
"""Seconds without a change after which another caretaker takes the Lease; client-go's default."""

LEADS_FOR: Final = 10.0
"""Seconds from when a renewal was sent; a write begun in that time may take the rest of the TTL."""

RENEW: Final = 4.0
"""Seconds between tries."""

NOBODY: Final = ""


@dataclass(frozen=True, slots=True)
class Record:
    """The Lease as it was read."""

    holder: str
    version: str
    """Changes with every write."""


class LeaseStore(Protocol):
    """Where the Lease is."""

    def read(self) -> Record | None:
        """Return the record, None if there is no Lease yet."""

    def write(self, holder: str, over: Record | None) -> None:
        """Create the Lease, or overwrite what was read. Raises LookAgainError on a conflict."""


class Election:
    """One candidate. `attempt` is called every `RENEW` seconds."""

    def __init__(self, lease: LeaseStore, me: str, clock: Callable[[], float]) -> None:
        """Take the Lease, a name that no other candidate has, and a monotonic clock in seconds."""
        self._lease = lease
        self._me = me
        self._clock = clock
        self._until = clock()
        self._seen: tuple[str, float] = ("", clock())
        self._resigned = False

    @property
    def leads(self) -> bool:
        """Whether this candidate may act now."""
        return self._clock() < self._until

    def attempt(self) -> None:
        """Renew the Lease, or take it if it is free. Raises what the store raises."""
        if self._resigned:
            return
        asked = self._clock()
        record = self._lease.read()
        if record is None or record.holder in (NOBODY, self._me) or self._expired(record):
            self._lease.write(self._me, record)
            self._until = asked + LEADS_FOR

    def resign(self) -> None:
        """Give the Lease up for good. Raises what the store raises."""
        self._resigned = True
        record = self._lease.read()
        self._until = self._clock()
        if record is not None and record.holder == self._me:
            self._lease.write(NOBODY, record)

    def _expired(self, record: Record) -> bool:
        version, since = self._seen
        if record.version != version:
            self._seen = (record.version, self._clock())
            return False
        return self._clock() - since >= TTL
