"""The API server: objects with versions, changed by requests and heard of by watches."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from sidecar.observation import LeaseRecord, Pod
from tests.simulator.sidecar_process import SidecarProcess
from tests.simulator.world import API, World

T = TypeVar("T")
Steps = Generator[float, None, T]
"""What takes time: yields seconds to wait, and returns its result."""


class ApiError(Exception):
    """The API server did not do it, or did not say so."""


class ConflictError(ApiError):
    """The object is another by now."""


class RefusedError(ApiError):
    """It was not done: this client may not, or not now."""


class UnansweredError(ApiError):
    """It may or may not have been done."""


@dataclass(frozen=True, slots=True)
class LeaseChanged:
    """The Lease says something new, and not only a later time."""

    before: LeaseRecord | None
    after: LeaseRecord


@dataclass(frozen=True, slots=True)
class PodsChanged:
    """A pod is there, is another, or is there no more."""


@dataclass(frozen=True, slots=True)
class RoleChanged:
    """A pod's role label was changed by a request."""

    name: str
    uid: str
    role: str | None


@dataclass(frozen=True, slots=True)
class DeletionAsked:
    """A request to delete a pod."""

    name: str


class ApiServer:
    """Objects with versions, told to whoever watches."""

    def __init__(self, world: World, agents: list[SidecarProcess]) -> None:
        self.world = world
        self._agents = agents
        """Everybody who watches."""
        self.version = 100
        self.lease: LeaseRecord | None = None
        self.lease_version = 100
        self.pods: dict[str, tuple[int, Pod]] = {}
        self.outage = ""
        """`refuse`: connections are refused; `hang`: nothing answers; empty: it works."""
        self.lands_late = False
        """Some requests that hang are carried out seconds later."""
        self.latency: tuple[float, float] | None = None
        """Seconds that a request takes, from and to; it is carried out after part of them."""
        self.refuses_writes = False
        """401, 403 or 429 for each write of the Lease."""
        self.refuses_labels = ""
        """`refuse`: a policy refuses each change of a pod; `hang`: its webhook does not answer."""
        self.proofs: dict[int, object] = {}
        """What the writer of each version of the Lease can know its own write by."""
        self.loss = 0.0
        self.earlier: list[LeaseRecord] = []
        """The record before each change of it that is not only a later time."""
        self._restored = 0
        """How often etcd was restored: no watch goes on beyond that."""

    # ── requests ──────────────────────────────────────────────────────────────────────────

    def write(self, agent: SidecarProcess, operation: Callable[[], T]) -> Steps[T]:
        """Carry out what writes the Lease, unless that is refused."""
        if self.refuses_writes and not self.outage:
            yield 0.01
            raise RefusedError("the API server refuses it")
        return (yield from self.request(agent, operation))

    def label(self, agent: SidecarProcess, operation: Callable[[], T]) -> Steps[T]:
        """Carry out what changes a pod, unless a policy for that is in the way."""
        if self.refuses_labels and not self.outage:
            if self.refuses_labels == "hang":
                yield agent.time_out()
                raise UnansweredError("no answer in time")
            yield 0.01
            raise RefusedError("a policy refuses it")
        return (yield from self.request(agent, operation))

    def request(self, agent: SidecarProcess, operation: Callable[[], T]) -> Steps[T]:
        """Carry an operation out for an agent; takes a round trip or the agent's time-out."""
        world, network = self.world, self.world.network
        place, chance = agent.pod.node.place, world.chance
        lost = self.loss and chance.random() < self.loss
        if self.outage == "refuse" and network.both_ways(place, API):
            yield 0.01
            raise UnansweredError("connection refused")
        if self.outage or lost or not network.passes(place, API):
            reaches = network.passes(place, API)
            if self.lands_late and reaches and chance.random() < 0.5:
                world.after(chance.uniform(0.1, 8.0), self._land, operation, [])
            yield agent.time_out()
            raise UnansweredError("no answer in time")
        box: list[T | ConflictError] = []
        if self.latency is not None:
            return (yield from self._request_slowly(agent, operation, self.latency))
        half = chance.uniform(0.002, 0.01)
        world.after(half, self._land, operation, box)
        yield 2 * half
        if not box or not network.passes(API, place) or self.outage:
            yield agent.time_out()
            raise UnansweredError("no answer in time")
        if isinstance(box[0], ConflictError):
            raise box[0]
        return box[0]

    def _request_slowly(
        self, agent: SidecarProcess, operation: Callable[[], T], latency: tuple[float, float]
    ) -> Steps[T]:
        """Carry it out whether or not the agent has the patience to hear of it."""
        box: list[T | ConflictError] = []
        seconds, patience = self.world.chance.uniform(*latency), agent.patience()
        self.world.after(0.6 * seconds, self._land, operation, box)
        yield min(seconds, patience)
        heard = self.world.network.passes(API, agent.pod.node.place) and not self.outage
        if seconds > patience or not box or not heard:
            raise UnansweredError("no answer in time")
        if isinstance(box[0], ConflictError):
            raise box[0]
        return box[0]

    @staticmethod
    def _land(operation: Callable[[], T], box: "list[T | ConflictError]") -> None:
        try:
            box.append(operation())
        except ConflictError as error:
            box.append(error)

    def reaches(self, place: int) -> bool:
        """Whether a watch from there would hear anything."""
        return not self.outage and self.world.network.both_ways(place, API)

    # ── the Lease ─────────────────────────────────────────────────────────────────────────

    def put_lease(self, record: LeaseRecord, proof: object = None) -> LeaseRecord:
        """Compare-and-swap on the record's own resource version; empty: create."""
        present = self.lease.resource_version if self.lease else ""
        if present != record.resource_version:
            raise ConflictError("the Lease is another by now")
        return self.write_lease(record, proof)

    def write_lease(self, record: LeaseRecord, proof: object = None) -> LeaseRecord:
        before = self.lease
        # Who merely edits it leaves the last renewal's time as it is.
        proof = proof if proof is not None else self.proofs.get(self.lease_version)
        self.version += 1
        self.proofs[self.version] = proof
        written = _with_version(record, str(self.version))
        self.lease, self.lease_version = written, self.version
        self._tell_lease()
        if before is None or not same_but_for_time(before, written):
            if before is not None:
                self.earlier.append(before)
            self.world.publish(LeaseChanged(before, written))
        return written

    def restore_lease(self, record: LeaseRecord) -> None:
        """As if etcd were restored: the Lease is this one again, and versions count on from it.

        Pods stay as they are: kubelets and controllers would bring that about.
        """
        self._restored += 1
        before, self.lease = self.lease, record
        self.version = self.lease_version = int(record.resource_version)
        self.pods = {name: (self.version, pod) for name, (_, pod) in self.pods.items()}
        for agent in self._agents:
            agent.watch.missed = True
        self.world.publish(LeaseChanged(before, record))

    def delete_lease(self) -> None:
        if self.lease is not None:
            self.version += 1
            self.lease, self.lease_version = None, self.version
            self._tell_lease()

    def _tell_lease(self) -> None:
        self._tell(self._send_lease, self.lease_version, self.lease)

    def _send_lease(self, agent: SidecarProcess, version: int, record: LeaseRecord | None) -> None:
        agent.watch.hear_lease(version, record)

    def _tell(self, send: Callable[..., None], *what: object) -> None:
        slow, told_in = False, self._restored
        for agent in self._agents:
            if agent.watch.lag:
                slow = True
                self.world.after(agent.watch.lag, self._deliver_all, (agent,), send, what, told_in)
        if slow:
            agents = tuple(agent for agent in self._agents if not agent.watch.lag)
        else:
            agents = tuple(self._agents)
        self.world.after(0.01, self._deliver_all, agents, send, what, told_in)

    def _deliver_all(
        self,
        agents: tuple[SidecarProcess, ...],
        send: Callable[..., None],
        what: tuple[object, ...],
        told_in: int,
    ) -> None:
        if told_in != self._restored:
            return
        for agent in agents:
            self._deliver(agent, send, what)

    def _deliver(
        self, agent: SidecarProcess, send: Callable[..., None], what: tuple[object, ...]
    ) -> None:
        if not agent.running:
            return
        if agent.watch.broken or agent.watch.missed or not self.reaches(agent.pod.node.place):
            agent.watch.missed = True
            return
        if agent.stands_still:
            agent.watch.inbox.append(partial(send, agent, *what))
            return
        send(agent, *what)

    # ── pods ──────────────────────────────────────────────────────────────────────────────

    def put_pod(self, pod: Pod) -> None:
        self.version += 1
        self.pods[pod.name] = (self.version, pod)
        self._tell_pod(pod.name, pod)
        self.world.publish(PodsChanged())

    def remove_pod(self, name: str) -> None:
        self.version += 1
        del self.pods[name]
        self._tell_pod(name, None)
        self.world.publish(PodsChanged())

    def _tell_pod(self, name: str, pod: Pod | None) -> None:
        self._tell(self._send_pod, self.version, name, pod)

    def _send_pod(self, agent: SidecarProcess, version: int, name: str, pod: Pod | None) -> None:
        agent.watch.hear_pod(version, name, pod)

    def set_role(self, name: str, uid: str, value: str | None) -> tuple[int, Pod]:
        found = self.pods.get(name)
        if found is None or found[1].uid != uid:
            raise ConflictError(f"pod {name} lives another life")
        if found[1].role != value:
            self.put_pod(replace(found[1], role=value))
            self.world.publish(RoleChanged(name, uid, value))
        return self.pods[name]

    def delete_pod(self, name: str, uid: str) -> None:
        found = self.pods.get(name)
        if found is None or found[1].uid != uid:
            raise ConflictError(f"pod {name} lives another life")
        self.world.publish(DeletionAsked(name))


def _with_version(record: LeaseRecord, version: str) -> LeaseRecord:
    r = record
    return LeaseRecord(
        r.holder, r.ttl, version, r.system_identifier, r.timeline, r.members, r.history,
        r.transitions, r.position, r.voters, r.copies, r.heir, r.switchover_to, r.lives,
        r.logical_slots, r.physical_slots, r.followers,
    )  # fmt: skip


def same_but_for_time(one: LeaseRecord, other: LeaseRecord) -> bool:
    return (
        one.holder == other.holder
        and one.members == other.members
        and one.timeline == other.timeline
        and one.voters == other.voters
        and one.copies == other.copies
        and one.heir == other.heir
        and one.switchover_to == other.switchover_to
        and one.system_identifier == other.system_identifier
    )
