"""I3: what was acknowledged is kept."""

from dataclasses import dataclass

from tests.simulator.client import CommitAcknowledged
from tests.simulator.judge.violation import fail
from tests.simulator.kubernetes.api_server import LeaseChanged
from tests.simulator.postgres.directory import Branch
from tests.simulator.postgres.server import Server
from tests.simulator.simulation import Simulation


@dataclass(frozen=True, slots=True)
class Taking:
    """How a pod came by the Lease."""

    heir: bool
    position: int | None
    timeline: int | None


class Commits:
    """Remembers each branch's last acknowledged commit."""

    def __init__(self, simulation: Simulation, *, only_wishes: bool) -> None:
        self._world = simulation.world
        self._cluster = simulation.cluster
        self._max_lag = simulation.settings.max_lag
        self._asynchronous = simulation.schedule.durability == "async"
        self._only_wishes = only_wishes
        self.acknowledged: dict[Branch, int] = {}
        self.count = 0
        self.last_at = 0.0
        self._taken: dict[str, Taking] = {}
        self._left_by_who_led = False
        """Its last holder was primary before it released the Lease."""
        self._world.subscribe(LeaseChanged, self._lease_changed)

    def promises_nothing(self) -> None:
        """From here on a commit may be on one disk alone."""
        self._asynchronous = True

    def was_acknowledged(self, commit: CommitAcknowledged, newest: Server | None) -> None:
        """Take note; the newest primary has to have it."""
        branch, position = commit.branch, commit.position
        self.count += 1
        self.last_at = self._world.now
        if position > self.acknowledged.get(branch, 0):
            self.acknowledged[branch] = position
        if newest is None or newest is commit.server or self._asynchronous:
            return
        if not newest.directory.has(branch, position):
            fail(
                self._world,
                "I3",
                f"{commit.server.pod.name} acknowledges a commit at {branch.number}/{position} "
                f"that {newest.pod.name}, which was promoted meanwhile, does not have",
            )

    def _exists(self, branch: Branch, position: int) -> bool:
        """Whether any volume still has it: what is destroyed everywhere cannot be kept."""
        directories = self._cluster.directories.values()
        return any(each.has(branch, position) for each in directories)

    def check(self, server: Server) -> None:
        """A server that has become writable has all, or what it lacks may be lost."""
        directory = server.directory
        for branch, position in self.acknowledged.items():
            if not directory.has(branch, position) and self._exists(branch, position):
                self._check_loss(server, branch, position)
        self.acknowledged = {
            branch: position
            for branch, position in self.acknowledged.items()
            if directory.has(branch, position)
        }

    def _check_loss(self, server: Server, branch: Branch, position: int) -> None:
        directory = server.directory
        taking = self._taken.get(f"{server.pod.name}_{server.pod.uid}")
        assert directory.branch is not None
        shared, end = directory.branch.common(branch)
        kept = directory.position if end is None else min(end, directory.position)
        words = (
            f"{server.pod.name} leads with {shared.number}/{kept}, a commit at "
            f"{branch.number}/{position} was acknowledged"
        )
        if not self._asynchronous:
            fail(self._world, "I3", words)
        if taking is not None and taking.heir:
            fail(self._world, "I3", f"{words}, and it had been named as heir")
        if self._only_wishes:
            fail(self._world, "I3", f"{words}, and nothing but wishes had happened")
        told = taking.position if taking and taking.timeline == branch.number else None
        if told is not None and kept < told - self._max_lag:
            fail(self._world, "I3", f"{words}, and the Lease told of {told}")

    def _may_lose(self, pod: str) -> None:
        """An operator has decided that what this pod lacks is lost."""
        directory = self._cluster.pods[pod].directory
        kept = {
            branch: position
            for branch, position in self.acknowledged.items()
            if directory.has(branch, position)
        }
        lost = self.acknowledged.keys() - kept.keys()
        for branch in sorted(lost, key=lambda it: it.number):
            assert directory.branch is not None
            shared, end = directory.branch.common(branch)
            position = directory.position if end is None else min(end, directory.position)
            kept[shared] = max(kept.get(shared, 0), position)
        self.acknowledged = kept

    def _lease_changed(self, event: LeaseChanged) -> None:
        before, after = event.before, event.after
        if before is not None and before.holder and not after.holder:
            self._left_by_who_led = before.holder_pod == before.last_leader
        if after.holder and (before is None or before.holder != after.holder):
            if self._cluster.was_asked_to_lead(after.holder, before):
                self._may_lose(after.holder_pod)
            self._taken[after.holder] = Taking(
                heir=before is not None
                and not before.holder
                and before.heir == after.holder_pod
                and self._left_by_who_led,
                position=before.position if before else None,
                timeline=before.timeline if before else None,
            )
