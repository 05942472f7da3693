"""I5: once faults have stopped, the set becomes whole."""

from typing import Final

from sidecar.situation.timing import FIRST_RETURN
from tests.simulator.judge.commits import Commits
from tests.simulator.judge.violation import ViolationError
from tests.simulator.kubernetes.pod import PodLife
from tests.simulator.simulation import Simulation

SETTLING_STEP: Final = 5.0


class Settling:
    """Lets time pass until all is well; a violation where that takes too long."""

    def __init__(self, simulation: Simulation, commits: Commits) -> None:
        self._world = simulation.world
        self._cluster = simulation.cluster
        self._settings = simulation.settings
        self._commits = commits
        faults = simulation.schedule.faults
        spoiled = sum(fault.kind == "spoil_data" for fault in faults)
        # Pods that are made in order come back one after the other, and so do their servers.
        self._returns = (
            3 * FIRST_RETURN * (min(1, spoiled) if simulation.schedule.parallel else spoiled)
        )
        self._faults_end = max((fault.at + fault.seconds for fault in faults), default=0.0)

    def wait(self) -> None:
        """Some time may be left before it has to be well."""
        world = self._world
        why = self._unsettled()
        while why is not None and world.now < self._settled_by():
            world.run_until(world.now + SETTLING_STEP)
            why = self._unsettled()
        if why is not None:
            seconds = world.now - self._faults_end
            world.note("VIOLATION", f"I5: {why}")
            raise ViolationError("I5", f"{why}, {seconds:.0f} s after the last fault")

    def _settled_by(self) -> float:
        """When the set has to be well again.

        The kubelet's last back-off at the most, then one failover (ttl, and a cold start's
        patience), then one after the other a rewind that fails and a clone, for each member. Where
        no server comes up, the pod goes back through bootstrap after a minute, and after two more.
        """
        back_off = max(
            (min(300.0, 10.0 * 2 ** max(0, life.restarts - 1)) for life in self._cluster.lives),
            default=0.0,
        )
        return (
            self._faults_end + back_off + 2 * self._settings.ttl + 60.0 + 30.0 * 5 + self._returns
        )

    def _unsettled(self) -> str | None:
        """I5: what is not yet as it should be; None: the set is well, or blocked by right."""
        if self._is_gone_for_good() or self._waits_for_an_order():
            return None
        return self._what_is_unsettled()

    def _waits_for_an_order(self) -> bool:
        """OrderedReady: a pod that needs a primary to copy from keeps that one from being made, and
        the operator is told."""
        cluster = self._cluster
        if cluster.parallel or len(cluster.pods) == cluster.wanted:
            return False
        told = (
            "KeepsOthersFromBeingCreated",
            "PodsCannotBeCreated",
            "DownBeforeOthersAreCreated",
        )
        return any(life.agent and life.agent.situation in told for life in cluster.lives)

    def _is_gone_for_good(self) -> bool:
        """By the record a commit may have been only on volumes that are lost, or were scaled
        away with their members, and nobody who is left can know."""
        cluster = self._cluster
        lease = cluster.api.lease
        directories = [
            directory
            if (directory := cluster.directories.get(n)) and not directory.spoiled
            else None
            for n in range(cluster.wanted)
        ]
        if not any(each is not None and each.branch is not None for each in directories):
            return True
        if lease is None or any(life.server and life.server.could_write for life in cluster.lives):
            return False
        branches = [
            each.branch.number
            for n, each in enumerate(directories)
            if each and each.branch and (not lease.voters or self._name(n) in lease.voters)
        ]
        if lease.timeline is not None and max(branches, default=0) < lease.timeline:
            # Nobody is left who may lead and was ever on the timeline that the last primary led on.
            return True
        left = max((each.position for each in directories if each and each.branch), default=0)
        too_far = lease.position is not None and left < lease.position - self._settings.max_lag
        if too_far and cluster.lost_volumes:
            # Whoever is left may not lead: what the last primary told of is with a lost volume.
            return True
        set_name = self._settings.set_name
        with_data = {
            f"{set_name}-{n}" for n, each in enumerate(directories) if each and each.branch
        }
        if lease.members and not with_data & set(lease.members):
            return True
        wanted = {f"{set_name}-{n}" for n in range(cluster.wanted)}
        there = wanted - cluster.lost_volumes
        return 0 < lease.copies <= len(set(lease.voters) - there)

    def _name(self, ordinal: int) -> str:
        return f"{self._settings.set_name}-{ordinal}"

    def _what_is_unsettled(self) -> str | None:
        cluster = self._cluster
        writers = [
            life for life in cluster.lives if life.server is not None and life.server.could_write
        ]
        if len(writers) != 1:
            return f"{len(writers)} members are writable"
        primary = writers[0]
        lease = cluster.api.lease
        if lease is None or lease.holder != f"{primary.name}_{primary.uid}":
            return f"{primary.name} is writable without the Lease"
        for ordinal in range(cluster.wanted):
            why = self._unsettled_member(f"{self._settings.set_name}-{ordinal}", primary)
            if why is not None:
                return why
        if self._world.now - self._commits.last_at > 8.0:
            return "no commit has been acknowledged for 8 s"
        return None

    def _waits_for_a_person(self, life: PodLife) -> bool:
        """Bootstrap has found another set's database, or one that the image's entrypoint has made
        where this set's had vanished: nothing is changed in such a directory."""
        lease, found = self._cluster.api.lease, life.bootstrap.found.system_identifier
        return lease is not None and found not in (None, lease.system_identifier)

    def _was_outrun(self, life: PodLife, primary: PodLife) -> bool:
        """The primary removed WAL that its copy still needs: the next copy is made an hour later,
        unless somebody wants it sooner, and the operator is told."""
        told = life.agent is not None and life.agent.situation == "OutrunByPrimary"
        assert primary.server is not None
        return told and life.directory.position < primary.server.oldest_wal

    def _unsettled_member(self, name: str, primary: PodLife) -> str | None:
        cluster, settings = self._cluster, self._settings
        life = cluster.pods.get(name)
        if life is None or life.deleting:
            return f"{name} is not there"
        role = cluster.api.pods[name][1].role
        if life is primary:
            return None if role == settings.primary_value else f"the primary {name} has role {role}"
        if self._waits_for_a_person(life) or self._was_outrun(life, primary):
            return None
        server = life.server
        faults = {
            "does not stream": server is None or server.upstream is None,
            "streams from another than the primary": server is not None
            and server.upstream is not None
            and server.upstream.primary is not primary.server,
            f"is a replica with the role {role}": role != settings.replica_value,
            "is of the old revision": life.revision != cluster.revision,
        }
        return next((f"{name} {why}" for why, holds in faults.items() if holds), None)
