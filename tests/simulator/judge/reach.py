"""Who could not hear whom, and until when."""

import itertools

from tests.simulator.simulation import Simulation
from tests.simulator.world import API


class Reach:
    """Remembers when two places were last cut off from each other: what is decided soon after
    that, was asked while nobody answered."""

    def __init__(self, simulation: Simulation) -> None:
        self._world = simulation.world
        self._cluster = simulation.cluster
        self._apart_at: dict[frozenset[int], float] = {}

    def returns(self) -> None:
        """A cut, or the API server's outage, is about to end."""
        for one, other in itertools.combinations((API, *self._cluster.nodes), 2):
            if self._are_apart(one, other):
                self._apart_at[frozenset((one, other))] = self._world.now

    def was_cut(self, one: int, other: int, since: float) -> bool:
        """Whether these two places have been cut off from each other since then, or are now."""
        last = self._apart_at.get(frozenset((one, other)), -1e9)
        return last >= since or self._are_apart(one, other)

    def _are_apart(self, one: int, other: int) -> bool:
        outage = bool(self._cluster.api.outage) and API in (one, other)
        return outage or not self._world.network.both_ways(one, other)
