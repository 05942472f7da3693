"""I7: clients are served again soon, while what is left of the set is well."""

from typing import Final

from sidecar.observation import LeaseRecord
from tests.simulator.judge.commits import Commits
from tests.simulator.judge.violation import fail
from tests.simulator.kubernetes.api_server import LeaseChanged
from tests.simulator.kubernetes.pod import PodLife
from tests.simulator.postgres.phase import Phase
from tests.simulator.simulation import Simulation
from tests.simulator.world import CLIENT

ELECTION_SECONDS: Final = 30.0
"""After the ttl: an heir's patience, a promotion on a slow disk, labels, and endpoints."""


class Service:
    """Counts for how long the primary's Service has led nowhere although it could."""

    def __init__(self, simulation: Simulation, commits: Commits) -> None:
        self._world = simulation.world
        self._cluster = simulation.cluster
        self._commits = commits
        # A sidecar at rest looks again after so many seconds more.
        self._bound = simulation.settings.ttl + ELECTION_SECONDS + simulation.schedule.tick
        self._since: float | None = None
        self._restored: LeaseRecord | None = None
        """The record that etcd was restored to last."""
        self._world.subscribe(LeaseChanged, self._lease_changed)

    def _lease_changed(self, event: LeaseChanged) -> None:
        before, after = event.before, event.after
        if before is not None and int(after.resource_version) < int(before.resource_version):
            self._restored = after

    def look(self) -> None:
        """Look at the Service and, where it leads nowhere, at the members."""
        now = self._world.now
        if self._serves() or not self._could_serve():
            self._since = None
        elif self._since is None:
            self._since = now
        elif now - self._since > self._bound:
            seconds = now - self._since
            fail(
                self._world,
                "I7",
                f"for {seconds:.0f} s nobody is writable through the Service, though most members "
                "are well and one of them may lead",
            )

    def _serves(self) -> bool:
        pods = self._cluster.pods
        # Where no label can be changed, a primary is still to be had by its own address.
        by_label = not self._cluster.api.refuses_labels
        names = self._cluster.primary_endpoints(CLIENT) if by_label else list(pods)
        lives = [pods.get(name) for name in names]
        servers = [life.server for life in lives if life is not None]
        return any(s is not None and s.phase is Phase.WRITABLE and s.accepts for s in servers)

    def _could_serve(self) -> bool:
        """Whether most members are well, and one of them may lead by the record and has everything
        that others were told of."""
        cluster = self._cluster
        lease, api = cluster.api.lease, cluster.api
        if api.outage or api.loss or api.latency or api.refuses_writes or api.lands_late:
            return False
        if cluster.paused or cluster.opted_out or lease is None or lease.system_identifier is None:
            return False
        well = [life for life in cluster.pods.values() if self._is_well(life)]
        if len(well) <= cluster.wanted // 2 or not self._reach_each_other(well):
            return False
        if lease is self._restored and len(well) < cluster.wanted:
            return False  # by an older record nobody leads before its primary or all have reported
        # Nobody gets from a member what it alone has if that one is not to take over.
        may = [life for life in well if not api.pods[life.name][1].nofailover]
        missing = set(lease.voters) - {life.name for life in may}
        if lease.copies and len(missing) >= lease.copies:
            return False  # one of those may have a commit that nobody else has
        return any(
            life.name in lease.members
            and (not lease.voters or life.name in lease.voters)
            # Another life of the pod may let that holder go on where nobody hears of it.
            and (not lease.lives or f"{life.name}_{life.uid}" in lease.lives)
            and self._has_everything(life, lease.timeline)
            for life in may
        )

    def _has_everything(self, life: PodLife, timeline: int | None) -> bool:
        directory = life.directory
        return (
            directory.branch is not None
            and directory.branch.number == timeline
            and all(directory.has(*commit) for commit in self._commits.acknowledged.items())
        )

    def _is_well(self, life: PodLife) -> bool:
        """Whether nothing is wrong with the pod, its node, its sidecar and its server."""
        agent, node, server = life.agent, life.node, life.server
        if agent is None or server is None or life.deleting or life.gone:
            return False
        shown = self._cluster.api.pods[life.name][1]
        if shown.taken_out_since is not None or shown.fenced_since is not None:
            return False
        return not (
            agent.is_impaired
            or not agent.watch.listed
            or agent.watch.missed
            or agent.watch.broken
            or agent.watch.lag
            or node.down
            or node.frozen
            or node.kubelet_stopped
            or life.volume_hangs
            or life.takes_no_signals
            or life.slow_promotion
            or life.slow_flush
            or life.locks_out
            or server.unwell_since is not None
            or not server.accepts
        )

    def _reach_each_other(self, lives: list[PodLife]) -> bool:
        network, api = self._world.network, self._cluster.api
        places = [life.node.place for life in lives]
        return all(
            api.reaches(place)
            and network.both_ways(place, CLIENT)
            and all(network.both_ways(place, other) for other in places)
            for place in places
        )
