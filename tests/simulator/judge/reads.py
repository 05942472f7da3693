"""I9: what readers were shown is kept."""

from dataclasses import dataclass
from typing import Final

from tests.simulator.judge.reach import Reach
from tests.simulator.judge.violation import fail
from tests.simulator.kubernetes.api_server import LeaseChanged
from tests.simulator.member.member import REQUEST_SECONDS
from tests.simulator.postgres.directory import Branch
from tests.simulator.postgres.phase import Phase
from tests.simulator.postgres.server import Server
from tests.simulator.reader import RowsSeen
from tests.simulator.simulation import Simulation
from tests.simulator.world import API

_PRIMARYS = "the Service of the primary"

_HEARD_AGAIN: Final = 2.0 + REQUEST_SECONDS
"""Seconds after a cut in which a member looks once, hears who leads and changes its label. A
request that was sent before its end has to time out first."""

_ASKED: Final = 2.0
"""Seconds before a Lease is taken in which the others were asked what they have."""


@dataclass(frozen=True, slots=True)
class _Row:
    position: int
    shown_by: Server
    at: float


class Reads:
    """Remembers the last row of each branch that was shown, by the primary's Service or by each
    replica."""

    def __init__(self, simulation: Simulation, reach: Reach) -> None:
        self._world = simulation.world
        self._cluster = simulation.cluster
        self._promised = True
        self._seen: dict[tuple[Branch, str], _Row] = {}
        self._reach = reach
        self._helpless_at: dict[Server, float] = {}
        """When its sidecar last did nothing, or could not change its label."""
        self._taken_at = 0.0
        """When somebody else took the Lease last."""
        self._world.subscribe(RowsSeen, self._rows_seen)
        self._world.subscribe(LeaseChanged, self._lease_changed)

    def promises_nothing(self) -> None:
        """From here on what is shown may be on one disk alone."""
        self._promised = False
        self._seen.clear()

    def _lease_changed(self, event: LeaseChanged) -> None:
        if event.after.holder and (
            event.before is None or event.before.holder != event.after.holder
        ):
            self._taken_at = self._world.now
            if self._cluster.was_asked_to_lead(event.after.holder, event.before):
                # An operator has decided that what it lacks is lost.
                directory = self._cluster.pods[event.after.holder_pod].directory
                self._seen = {
                    (branch, where): row
                    for (branch, where), row in self._seen.items()
                    if directory.has(branch, row.position)
                }

    def _rows_seen(self, event: RowsSeen) -> None:
        if not self._promised or event.server.by_hand or self._is_on_its_own(event.server):
            return
        if self._is_reached_by_an_old_route(event.server) or self._is_led_astray(event.server):
            return
        where = _PRIMARYS if event.through_the_primarys else event.server.pod.name
        before = self._seen.get((event.branch, where))
        if before is None or event.position > before.position:
            row = _Row(event.position, event.server, self._world.now)
            self._seen[event.branch, where] = row

    def _is_reached_by_an_old_route(self, server: Server) -> bool:
        """Its label has been taken away, and the reader's node has not heard of that."""
        present = self._cluster.api.pods.get(server.pod.name)
        return present is not None and present[1].role is None

    def _is_led_astray(self, server: Server) -> bool:
        """Its primary writes on beside another holder of the Lease. Who may do that, since nobody
        is left to stop it, I2 says: it is soon stopped, and whoever leads does not wait for it."""
        lease, upstream = self._cluster.api.lease, server.upstream
        if lease is None or not lease.holder or upstream is None:
            return False
        return any(
            life.server is upstream.primary
            and life.server.phase is Phase.WRITABLE
            and lease.holder != f"{life.name}_{life.uid}"
            for life in self._cluster.lives
        )

    def _is_on_its_own(self, server: Server) -> bool:
        """It shows what it has, commits that nobody has acknowledged as well. Its label cannot be
        taken away: the API server does not hear its sidecar, or that does nothing, and the others
        leave a primary its label until its Lease has run out; or a policy refuses each change. Who
        takes over waits for none of these."""
        if server.phase is not Phase.RECOVERY:
            return False
        now = self._world.now
        life = self._cluster.pods.get(server.pod.name)
        helpless = life is not None and (life.agent is None or life.agent.is_impaired)
        if helpless or self._cluster.api.refuses_labels:
            self._helpless_at[server] = now
        if now - self._helpless_at.get(server, -_HEARD_AGAIN) < _HEARD_AGAIN:
            return True
        return self._reach.was_cut(server.pod.node.place, API, now - _HEARD_AGAIN)

    def check(self, server: Server) -> None:
        """A server that has become writable has all that was shown."""
        directory = server.directory
        lost = [
            (branch, where, row)
            for (branch, where), row in self._seen.items()
            if not directory.has(branch, row.position)
        ]
        for branch, where, row in lost:
            del self._seen[branch, where]
            if self._has_to_be_kept(branch, where, row, server):
                shower = row.shown_by.pod.name
                fail(
                    self._world,
                    "I9",
                    f"{server.pod.name} leads without {branch.number}/{row.position}, which "
                    f"{shower} ({row.shown_by.phase.value}) showed through {where} at {row.at:.1f}",
                )

    def _has_to_be_kept(self, branch: Branch, where: str, row: _Row, server: Server) -> bool:
        """Unless it was destroyed everywhere. A standby shows what others may not have yet: that is
        lost with the standby."""
        directories = self._cluster.directories.values()
        if not any(each.has(branch, row.position) for each in directories):
            return False
        if where == _PRIMARYS:
            return True
        life = self._cluster.pods.get(where)
        return (
            life is not None
            and life.server is row.shown_by
            and row.shown_by.phase is Phase.RECOVERY
            and row.shown_by.accepts
            and life.agent is not None
            and not life.agent.is_impaired
            and not life.deleting
            and not self._reach.was_cut(
                life.node.place, server.pod.node.place, self._taken_at - _ASKED
            )
        )
