"""What a sidecar hears from the API server: the fake of the mirrors, in front of their memory."""

from collections.abc import Callable
from dataclasses import replace

from sidecar.observation import LeaseRecord, LeaseView, Pod
from tests.simulator.kubernetes.api_server import Steps
from tests.simulator.member.member import Member


class Watch:
    """The Lease, the pods and the StatefulSet, as far as they were heard of."""

    def __init__(self, member: Member, wake: Callable[[], None]) -> None:
        self._member = member
        self._world = member.world
        self._wake = wake
        self.lag = 0.0
        """Seconds by which all that is delivered is late."""
        self.broken = False
        """It is silent, and nobody has noticed."""
        self.missed = True
        """Something was lost: only a list helps."""
        self.inbox: list[Callable[[], None]] = []
        """What came while the process stood still."""
        self.listed = False
        self.heard_at = float("-inf")
        self.pods: tuple[Pod, ...] | None = None
        self.wanted: int | None = None
        self.paused = False
        self.opted_out = self.ordered = False
        self._relisting = False
        self._lease_version = 0
        self._pods_by_name: dict[str, tuple[int, Pod | None]] = {}

    def look(self) -> LeaseView | None:
        return self._member.lease.look(self.heard_at)

    def peek(self) -> LeaseView | None:
        return self._member.lease.peek(self.heard_at)

    def holder(self) -> str:
        lease = self.peek()
        return lease.record.holder if lease is not None and lease.record is not None else ""

    # ── the connection ────────────────────────────────────────────────────────────────────

    def may_hear(self) -> None:
        """Something about the network or the API server has changed."""
        if self.missed or not self.listed:
            self.relist_soon()

    def break_for(self, seconds: float) -> None:
        """Go silent without an end; lists follow when that is noticed."""
        self.broken = True
        self._world.after(seconds, self._mend)

    def _mend(self) -> None:
        self.broken = False
        self.missed = True
        self.relist_soon()

    def relist_soon(self) -> None:
        if not self._relisting:
            self._relisting = True
            self._world.after(self._world.chance.uniform(0.02, 0.5), self._relist)

    def _relist(self) -> None:
        self._relisting = False
        if not self._member.running or self.broken:
            return
        api = self._member.api
        if self._member.stands_still or not api.reaches(self._member.pod.node.place):
            if not api.outage or not self.listed:
                self._relisting = True
                self._world.after(self._world.chance.uniform(0.5, 5.0), self._relist)
            return
        self.missed = False
        self.listed = True
        if self.pods is None:
            self.pods = ()
        # A list is the newest truth, at whatever version it is.
        self._lease_version = 0
        self._pods_by_name = {name: (0, pod) for name, (_, pod) in self._pods_by_name.items()}
        self.hear_lease(api.lease_version, api.lease)
        for name in [name for name in self._pods_by_name if name not in api.pods]:
            self.hear_pod(api.version, name, None)
        for name, (version, pod) in api.pods.items():
            self.hear_pod(version, name, pod)
        self.hear_set()
        self._wake()

    def catch_up(self) -> None:
        """Take in what came while the process stood still."""
        inbox, self.inbox = self.inbox, []
        for hear in inbox:
            hear()

    def ask_for_lease(self) -> Steps[LeaseRecord | None]:
        """As `sidecar.kube.mirror.Mirror.ask`; None where there is no Lease. Raises ApiError."""
        api, before = self._member.api, self._lease_version
        version, record = yield from api.request(
            self._member.pod.agent, lambda: (api.lease_version, api.lease)
        )
        if record is not None:
            if self._lease_version == before and version < before:
                self._lease_version = 0
            self.hear_lease(version, record)
        return record

    # ── what is heard ─────────────────────────────────────────────────────────────────────

    def hear_lease(self, version: int, record: LeaseRecord | None) -> None:
        """Take in the Lease from the watch or from an answer."""
        member = self._member
        self.heard_at = now = member.clock()
        if version <= self._lease_version:
            return
        self._lease_version = version
        if member.lease.hear(record, member.api.proofs.get(version), now):
            self._wake()

    def hear_pod(self, version: int, name: str, pod: Pod | None) -> None:
        known = self._pods_by_name.get(name)
        if known is not None and version <= known[0]:
            return
        self._pods_by_name[name] = (version, pod)
        self.look_at_pods()

    def look_at_pods(self) -> None:
        """Take in what they are by now, and what is remembered of them."""
        memory = self._member.pods
        found = [pod for _, (_, pod) in sorted(self._pods_by_name.items()) if pod is not None]
        memory.see(
            leaving=[pod.uid for pod in found if pod.deleting],
            taken_out=[pod.uid for pod in found if pod.taken_out_since is not None],
            unready=[pod.uid for pod in found if pod.unready_since is not None],
            fenced=[pod.uid for pod in found if pod.fenced_since is not None],
            reinit={pod.uid: pod.reinit for pod in found},
            failover={pod.uid: pod.failover for pod in found},
            now=self._member.clock(),
        )
        # Since when, each member tells by its own clock.
        self.pods = tuple(
            pod
            if pod.unready_since is pod.fenced_since is pod.reinit is pod.failover is None
            else replace(
                pod,
                taken_out_since=memory.taken_out_since(pod.uid),
                unready_since=memory.unready_since(pod.uid),
                fenced_since=memory.fenced_since(pod.uid),
                reinit=memory.reinit(pod.uid),
                failover=memory.failover(pod.uid),
            )
            for pod in found
        )
        self._wake()

    def hear_set(self) -> None:
        if not self._member.running:
            return
        if not self._member.api.reaches(self._member.pod.node.place):
            # It asks again and again, and once it is reached, it knows.
            self.missed = True
            return
        cluster = self._member.cluster
        if cluster.hidden:
            return
        self.wanted, self.paused = cluster.wanted, cluster.paused
        self.opted_out, self.ordered = cluster.opted_out, not cluster.parallel
        self._wake()
