"""What the webhook remembers about the cluster's Leases, so that no review has to ask.

One thread writes (`lease_watch`), the request threads read; each step is a single
operation on a set, which Python's threads see whole.
"""

import math
from collections.abc import Callable, Iterable
from typing import Final

from sidecar import contract
from webhook.initial_role import LeaseState

STALE_AFTER: Final = 60.0
"""Seconds without news from the API server after which the cache no longer answers."""

LeaseKey = tuple[str, str]
"""A Lease's namespace and name."""


class LeaseCache:
    """The Leases of all sets, and when the API server last confirmed them."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Start knowing nothing; `clock` is monotonic, in seconds."""
        self._clock = clock
        self._leases: set[LeaseKey] = set()
        self._confirmed_at: float | None = None

    def replace(self, leases: Iterable[LeaseKey]) -> None:
        """Take a complete list as the truth."""
        self._leases = set(leases)
        self.confirm()

    def add(self, lease: LeaseKey) -> None:
        """Take in a Lease that was seen."""
        self._leases.add(lease)
        self.confirm()

    def discard(self, lease: LeaseKey) -> None:
        """Forget a Lease that was deleted."""
        self._leases.discard(lease)
        self.confirm()

    def confirm(self) -> None:
        """Note that the API server has just answered, and that nothing else has changed."""
        self._confirmed_at = self._clock()

    @property
    def age(self) -> float:
        """Seconds since the API server last confirmed the cache; infinite before it did."""
        confirmed_at = self._confirmed_at
        return math.inf if confirmed_at is None else self._clock() - confirmed_at

    @property
    def known(self) -> bool:
        """Whether the cache is recent enough to answer."""
        return self.age <= STALE_AFTER

    def state(self, namespace: str, set_name: str) -> LeaseState:
        """Return what is known of a set's Lease."""
        if not self.known:
            return LeaseState.UNKNOWN
        if (namespace, contract.lease_name(set_name)) in self._leases:
            return LeaseState.HAS_LED
        return LeaseState.NEVER_LED
