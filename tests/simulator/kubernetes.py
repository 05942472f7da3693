"""The API server, the kubelets, the StatefulSet controller and the webhook's hint."""

import signal
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

from sidecar.observation import LeaseRecord, Pod, ServerState
from sidecar.settings import Settings, watchdog
from tests.simulator.bootstrap import Bootstrap
from tests.simulator.postgres import Directory, Phase, Server
from tests.simulator.values import quickly
from tests.simulator.world import API, World

if TYPE_CHECKING:
    from tests.simulator.agent import Agent
    from tests.simulator.judge import Judge

T = TypeVar("T")
Steps = Generator[float, None, T]
"""What takes time: yields seconds to wait, and returns its result."""

GRACE_SECONDS: Final = 30.0
PRE_STOP_SECONDS: Final = 1.0
FIRST_RESTART: Final = 0.4
BACK_OFF: Final = 10.0
MAX_BACK_OFF: Final = 300.0

_LeaseRecord: Final = quickly(LeaseRecord)


class ApiError(Exception):
    """The API server did not do it, or did not say so."""


class ConflictError(ApiError):
    """The object is another by now."""


class RefusedError(ApiError):
    """It was not done: this client may not, or not now."""


class UnansweredError(ApiError):
    """It may or may not have been done."""


@dataclass(eq=False, slots=True)
class Node:
    """A machine; `place` is where it is in the network."""

    place: int
    frozen: bool = False
    """The whole machine stands still, and wakes."""
    down: bool = False
    kubelet_stopped: bool = False


class ApiServer:
    """Objects with versions, told to whoever watches."""

    def __init__(self, world: World, cluster: "Cluster") -> None:
        self.world = world
        self.cluster = cluster
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
        self.proofs: dict[int, object] = {}
        """What the writer of each version of the Lease can know its own write by."""
        self.loss = 0.0
        self.stalls = 0

    # ── requests ──────────────────────────────────────────────────────────────────────────

    def write(self, agent: "Agent", operation: Callable[[], T]) -> Steps[T]:
        """Carry out what writes the Lease, unless that is refused."""
        if self.refuses_writes and not self.outage:
            yield 0.01
            raise RefusedError("the API server refuses it")
        return (yield from self.request(agent, operation))

    def request(self, agent: "Agent", operation: Callable[[], T]) -> Steps[T]:
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
        self, agent: "Agent", operation: Callable[[], T], latency: tuple[float, float]
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
        quiet = before is not None and same_but_for_time(before, written)
        self._tell_lease(quiet)
        if not quiet:
            self.cluster.judge.lease_changed(before, written)
        return written

    def delete_lease(self) -> None:
        if self.lease is not None:
            self.version += 1
            self.lease, self.lease_version = None, self.version
            self._tell_lease(False)

    def _tell_lease(self, quiet: bool) -> None:
        self._tell(self._send_lease, self.lease_version, self.lease, quiet)

    def _send_lease(
        self, agent: "Agent", version: int, record: LeaseRecord | None, quiet: bool
    ) -> None:
        agent.hear_lease(version, record, wakes=not quiet)

    def _tell(self, send: Callable[..., None], *what: object) -> None:
        slow = False
        for agent in self.cluster.agents:
            if agent.watch_lag:
                slow = True
                self.world.after(agent.watch_lag, self._deliver, agent, send, what)
        if slow:
            agents = tuple(agent for agent in self.cluster.agents if not agent.watch_lag)
        else:
            agents = tuple(self.cluster.agents)
        self.world.after(0.01, self._deliver_all, agents, send, what)

    def _deliver_all(
        self, agents: "tuple[Agent, ...]", send: Callable[..., None], what: tuple[object, ...]
    ) -> None:
        for agent in agents:
            self._deliver(agent, send, what)

    def _deliver(self, agent: "Agent", send: Callable[..., None], what: tuple[object, ...]) -> None:
        if not agent.running:
            return
        if agent.watch_broken or agent.watch_missed or not self.reaches(agent.pod.node.place):
            agent.watch_missed = True
            return
        if agent.stands_still:
            agent.inbox.append((send, what))
            return
        send(agent, *what)

    # ── pods ──────────────────────────────────────────────────────────────────────────────

    def put_pod(self, pod: Pod) -> None:
        self.version += 1
        self.pods[pod.name] = (self.version, pod)
        self._tell_pod(pod.name, pod)
        self.cluster.endpoints_changed()

    def remove_pod(self, name: str) -> None:
        self.version += 1
        del self.pods[name]
        self._tell_pod(name, None)
        self.cluster.endpoints_changed()

    def _tell_pod(self, name: str, pod: Pod | None) -> None:
        self._tell(self._send_pod, self.version, name, pod)

    def _send_pod(self, agent: "Agent", version: int, name: str, pod: Pod | None) -> None:
        agent.hear_pod(version, name, pod)

    def set_role(self, name: str, uid: str, value: str | None) -> tuple[int, Pod]:
        found = self.pods.get(name)
        if found is None or found[1].uid != uid:
            raise ConflictError(f"pod {name} lives another life")
        if found[1].role != value:
            self.put_pod(replace(found[1], role=value))
            self.cluster.judge.role_set(name, uid, value)
        return self.pods[name]

    def delete_pod(self, name: str, uid: str) -> None:
        found = self.pods.get(name)
        if found is None or found[1].uid != uid:
            raise ConflictError(f"pod {name} lives another life")
        self.cluster.delete_pod(name)


def _with_version(record: LeaseRecord, version: str) -> LeaseRecord:
    r = record
    return _LeaseRecord(
        r.holder, r.ttl, version, r.system_identifier, r.timeline, r.members, r.history,
        r.transitions, r.position, r.voters, r.copies, r.heir, r.switchover_to,
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


class PodLife:
    """A pod in one of its lives, with the kubelet's care for it."""

    def __init__(
        self, cluster: "Cluster", ordinal: int, uid: str, node: Node, directory: Directory
    ) -> None:
        self.cluster = cluster
        self.world = cluster.world
        self.ordinal = ordinal
        self.name = f"{cluster.settings.set_name}-{ordinal}"
        self.uid = uid
        self.ip = f"10.0.0.{uid[1:]}"
        self.node = node
        self.directory = directory
        self.revision = cluster.revision
        self.agent: Agent | None = None
        self.server: Server | None = None
        self.bootstrap = Bootstrap(self)
        self.writer: int | None = None
        """WriterMemory's file: the number of the postmaster seen writable last."""
        self.restarts = 0
        self.sidecar_restarts = 0
        self.ready = False
        self.deleting = False
        self.terminating = False
        self.gone = False
        self.removed = False
        self._watchdog_ticket = 0
        self._watchdog = watchdog(cluster.settings)
        self.hang_at_stop = False
        self.slow_promotion = 0.0
        self.slow_flush = 0.0

    # ── start ─────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Pull, mount, start: first the sidecar, then bootstrap."""
        self.world.after(self.world.chance.uniform(0.5, 1.5), self._start_sidecar, True)

    def _start_sidecar(self, first: bool = False) -> None:
        if self.gone or (self.agent is not None and not first) or self.terminating:
            return
        if self._kubelet_is_away():
            self.world.after(1.0, self._start_sidecar, first)
            return
        if self.agent is None:
            self.agent = self.cluster.new_agent(self)
        self._watchdog_ticket += 1
        if first:
            self.bootstrap.start()

    def bootstrap_died(self) -> None:
        """Its container is started again, after the init containers' own back-off."""
        if not self.bootstrap.done and self.bootstrap.reported and not self.terminating:
            self.bootstrap.end()
            self.bootstrap = Bootstrap(self)
            self.bootstrap.start()

    def bootstrap_done(self) -> None:
        self.world.after(0.2, self._start_server)

    def _start_server(self) -> None:
        if self.gone or self.terminating:
            return
        if self._kubelet_is_away():
            self.world.after(1.0, self._start_server)
            return
        if self.server is not None and self.server.phase is not Phase.DEAD:
            return
        self.cluster.judge.server_starts(self)
        if self.directory.full:
            self._back_off()
            return
        self.cluster.servers += 1
        server = Server(self.world, self, self.directory, self.cluster.servers, self.server_changed)
        server.hang_at_stop = self.hang_at_stop
        server.slow_promotion = self.slow_promotion
        server.slow_flush = self.slow_flush
        self.server = server
        server.start()
        if self.agent is None or self.agent.stands_still:
            self.agent_is_silent()

    def _back_off(self) -> None:
        self.restarts += 1
        seconds = (
            FIRST_RESTART
            if self.restarts == 1
            else min(MAX_BACK_OFF, BACK_OFF * 2 ** (self.restarts - 2))
        )
        self.world.after(seconds, self._start_server)

    def _kubelet_is_away(self) -> bool:
        return self.node.kubelet_stopped or self.node.frozen or self.node.down

    # ── what happens to PostgreSQL ────────────────────────────────────────────────────────

    def server_changed(self, server: Server) -> None:
        self.cluster.judge.server_changed(server)
        world = self.world
        if world.transcript is not None:
            orphans = ", its backends live on" if server.orphans else ""
            world.note(self.name, f"PostgreSQL is {server.phase.value}{orphans}")
        agent = self.agent
        if agent is not None:
            world.after(world.chance.uniform(0.005, 0.1), agent.wake)
        self.probe_soon()
        if server.phase is Phase.DEAD and not server.orphans and server is self.server:
            server.gone()
            self.server_exited()

    def server_exited(self) -> None:
        if self.terminating:
            self._stop_sidecar()
        elif not self.gone and not self.node.down:
            self._back_off()

    def streaming_changed(self) -> None:
        if self.agent is not None:
            self.agent.wake()

    def follower_left(self) -> None:
        """The primary's sidecar reads that at its next look."""

    # ── probes ────────────────────────────────────────────────────────────────────────────

    def probe_soon(self) -> None:
        accepts = self.server is not None and self.server.accepts
        if accepts != self.ready:
            self.world.after(
                self.world.chance.uniform(0.1, 1.1) if accepts else 0.1, self._probed, accepts
            )

    def _probed(self, ready: bool) -> None:
        if self.gone or self.removed or ready == self.ready:
            return
        if self._kubelet_is_away() or not self.cluster.api.reaches(self.node.place):
            self.world.after(1.0, self._probed, ready)
            return
        accepts = self.server is not None and self.server.accepts
        if accepts == ready:
            self.ready = ready
            self.cluster.endpoints_changed()
            self.cluster.reconcile_soon()

    def agent_is_silent(self) -> None:
        """The sidecar does not answer the liveness probe: count."""
        self._watchdog_ticket += 1
        probe = self._watchdog
        seconds = self.world.chance.uniform(
            probe.period * (probe.failures - 1) + probe.timeout,
            probe.period * probe.failures + probe.timeout,
        )
        self.world.after(seconds, self._watchdog_fails, self._watchdog_ticket)

    def agent_answers(self) -> None:
        self._watchdog_ticket += 1

    def _watchdog_fails(self, ticket: int) -> None:
        if ticket != self._watchdog_ticket or self.gone or self.terminating:
            return
        if self._kubelet_is_away():
            self.world.after(1.0, self._watchdog_fails, ticket)
            return
        server = self.server
        if server is not None and server.phase is not Phase.DEAD:
            self.world.note(self.name, "the kubelet's watchdog stops PostgreSQL")
            self.world.after(PRE_STOP_SECONDS, self._signal, server, signal.SIGINT)
            self.world.after(self._watchdog.grace, self._signal, server, signal.SIGKILL)
            self.restarts = max(self.restarts, 1)

    def _signal(self, server: Server, which: signal.Signals) -> None:
        if self._kubelet_is_away():
            self.world.after(1.0, self._signal, server, which)
            return
        if self.server is server:
            server.stop(which)

    # ── the end ───────────────────────────────────────────────────────────────────────────

    def sidecar_died(self) -> None:
        """Its process ended: the kubelet starts it again."""
        agent, self.agent = self.agent, None
        if agent is not None:
            agent.end()
        self.agent_is_silent()
        if self.terminating or self.gone:
            return
        self.sidecar_restarts += 1
        again = self.sidecar_restarts
        seconds = FIRST_RESTART if again == 1 else min(MAX_BACK_OFF, BACK_OFF * 2 ** (again - 2))
        self.world.after(seconds, self._start_sidecar)

    def terminate(self) -> None:
        """The kubelet has seen that the pod was deleted."""
        if self.terminating or self.gone:
            return
        if self._kubelet_is_away() or not self.cluster.api.reaches(self.node.place):
            self.world.after(1.0, self.terminate)
            return
        self.terminating = True
        self.bootstrap.end()
        server = self.server
        self.world.after(GRACE_SECONDS, self._kill)
        if server is not None and (server.phase is not Phase.DEAD or server.orphans):
            self.world.after(PRE_STOP_SECONDS, self._signal, server, signal.SIGINT)
        else:
            self._stop_sidecar()

    def _stop_sidecar(self) -> None:
        if self.agent is None:
            self.end()
        else:
            self.agent.leave()

    def agent_has_left(self) -> None:
        self.agent = None
        if self.terminating:
            self.end()

    def _kill(self) -> None:
        if self._kubelet_is_away():
            self.world.after(1.0, self._kill)
        elif not self.gone:
            self.kill_everything()
            self.end()

    def kill_everything(self) -> None:
        """No process of the pod is left, and none was asked."""
        if self.agent is not None:
            self.agent.end()
            self.agent = None
        self.bootstrap.end()
        server, self.server = self.server, None
        if server is not None and (server.phase is not Phase.DEAD or server.orphans):
            server.stop(signal.SIGKILL)
            server.gone()
        self.ready = False
        self.writer = None

    def end(self) -> None:
        """All containers have ended: the kubelet takes the pod from the API server."""
        if self.gone:
            return
        self.gone = True
        self.ready = False
        self.world.after(0.2, self._take_from_api)

    def _take_from_api(self) -> None:
        if not self.cluster.api.reaches(self.node.place) or self._kubelet_is_away():
            self.world.after(1.0, self._take_from_api)
            return
        self.cluster.pod_ended(self)

    def reboot(self) -> None:
        """The node is back: the same pod runs from its first init container again."""
        self.bootstrap = Bootstrap(self)
        self.restarts = self.sidecar_restarts = 0
        if self.deleting or self.removed:
            self.terminating = True
            self.end()
        else:
            self.start()


class Cluster:
    """The StatefulSet, its controller and Services, and everything that belongs to it."""

    def __init__(
        self,
        world: World,
        settings: Settings,
        judge: "Judge",
        new_agent: "Callable[[PodLife], Agent]",
        *,
        members: int,
        parallel: bool,
    ) -> None:
        self.world = world
        self.settings = settings
        self.judge = judge
        self.new_agent = new_agent
        self.api = ApiServer(world, self)
        self.parallel = parallel
        self.wanted = members
        self.paused = False
        self.revision = "1"
        self.agents: list[Agent] = []
        self.lives: list[PodLife] = []
        """All pods of which any process may run."""
        self.pods: dict[str, PodLife] = {}
        """The lives that the API server knows."""
        self.directories: dict[int, Directory] = {}
        self.nodes: dict[int, Node] = {}
        self.servers = 0
        self._uids = 0
        self._reconciling = False
        self._endpoints: tuple[str, ...] = ()
        self._endpoints_at: dict[int, tuple[str, ...]] = {}
        self._endpoints_pending = False

    def node(self, ordinal: int) -> Node:
        return self.nodes.setdefault(ordinal, Node(ordinal))

    def directory(self, ordinal: int) -> Directory:
        return self.directories.setdefault(ordinal, Directory())

    # ── the StatefulSet controller ────────────────────────────────────────────────────────

    def reconcile_soon(self) -> None:
        if not self._reconciling:
            self._reconciling = True
            self.world.after(self.world.chance.uniform(0.02, 0.2), self._reconcile)

    def _reconcile(self) -> None:
        self._reconciling = False
        if self.api.outage:
            self._reconciling = True
            self.world.after(1.0, self._reconcile)
            return
        if self._create_missing() and not self._remove_surplus():
            self._roll()

    def _create_missing(self) -> bool:
        """Whether the controller may go on to what comes after."""
        ordered = not self.parallel
        for ordinal in range(self.wanted):
            life = self.pods.get(f"{self.settings.set_name}-{ordinal}")
            if life is None:
                self._create(ordinal)
            if ordered and (life is None or life.deleting or not life.ready):
                return False
        return True

    def _remove_surplus(self) -> bool:
        """Whether there are pods that should not be."""
        surplus = sorted(
            (life for life in self.pods.values() if life.ordinal >= self.wanted),
            key=lambda life: -life.ordinal,
        )
        for life in surplus:
            if not life.deleting:
                self.delete_pod(life.name)
            if not self.parallel:
                break
        return bool(surplus)

    def _roll(self) -> None:
        """Rolling update: one at a time, from the highest ordinal."""
        lives = sorted(self.pods.values(), key=lambda life: -life.ordinal)
        if any(life.deleting or not life.ready for life in lives):
            return
        for life in lives:
            if life.revision != self.revision:
                self.delete_pod(life.name)
                return

    def _create(self, ordinal: int, node: Node | None = None) -> None:
        self._uids += 1
        node = node or self.node(ordinal)
        life = PodLife(self, ordinal, f"u{self._uids}", node, self.directory(ordinal))
        self.pods[life.name] = life
        self.lives.append(life)
        # The webhook's hint.
        lowest = ordinal == self.settings.first_ordinal
        never_led = self.api.lease is None
        role = self.settings.primary_value if lowest and never_led else self.settings.replica_value
        self.api.put_pod(Pod(life.name, life.uid, life.ip, role, revision=life.revision))
        self.judge.admitted(life, role)
        self.world.note("kubernetes", f"pod {life.name} is created as {life.uid}, {role}")
        life.start()

    def delete_pod(self, name: str) -> None:
        life = self.pods.get(name)
        if life is None or life.deleting:
            return
        life.deleting = True
        self.world.note("kubernetes", f"pod {name} ({life.uid}) is being deleted")
        self.api.put_pod(replace(self.api.pods[name][1], deleting=True))
        self.world.after(self.world.chance.uniform(0.05, 0.3), life.terminate)

    def force_delete_pod(self, name: str) -> None:
        """Out of the API server at once, whatever still runs on the node."""
        life = self.pods.pop(name, None)
        if life is None:
            return
        life.deleting = life.removed = True
        self.api.remove_pod(name)
        self.world.after(0.5, life.terminate)
        place = 10 + len(self.nodes)
        self.nodes[place] = Node(place)
        self.world.after(0.3, self._create_elsewhere, life.ordinal, self.nodes[place])

    def _create_elsewhere(self, ordinal: int, node: Node) -> None:
        if f"{self.settings.set_name}-{ordinal}" not in self.pods and ordinal < self.wanted:
            self._create(ordinal, node)

    def pod_ended(self, life: PodLife) -> None:
        self.lives.remove(life)
        if not life.removed:
            del self.pods[life.name]
            self.api.remove_pod(life.name)
            self.world.note("kubernetes", f"pod {life.name} ({life.uid}) is gone")
        self.reconcile_soon()

    def take_out(self, node: Node, *, taken_out: bool) -> None:
        """Do as the node lifecycle controller does with the pods of a node that it doesn't hear."""
        for life in self.pods.values():
            if life.node is node:
                # Since when, each member tells by its own clock.
                since = 0.0 if taken_out else None
                self.api.put_pod(replace(self.api.pods[life.name][1], taken_out_since=since))

    # ── the Service of the primary ────────────────────────────────────────────────────────

    def endpoints_changed(self) -> None:
        if not self._endpoints_pending:
            self._endpoints_pending = True
            self.world.after(self.world.chance.uniform(0.1, 1.0), self._sync_endpoints)

    def _sync_endpoints(self) -> None:
        self._endpoints_pending = False
        if self.api.outage:
            self.endpoints_changed()
            return
        labelled = [
            life
            for life in self.pods.values()
            if life.ready
            and self.api.pods[life.name][1].role == self.settings.primary_value
            and self.api.pods[life.name][1].taken_out_since is None
        ]
        serving = [life for life in labelled if not life.deleting] or labelled
        self._endpoints = tuple(life.name for life in serving)
        network = self.world.network
        for place in (*self.nodes, -2):
            if network.passes(API, place):
                self._endpoints_at[place] = self._endpoints
            else:
                self.endpoints_changed()

    def primary_for(self, place: int) -> Server | None:
        """The server that a new connection to `<set>-primary` from there reaches."""
        names = self._endpoints_at.get(place, self._endpoints)
        if not names:
            return None
        name = names[0] if len(names) == 1 else self.world.chance.choice(names)
        life = self.pods.get(name)
        if life is None or life.server is None or not life.server.accepts:
            return None
        if not self.world.network.both_ways(place, life.node.place):
            return None
        return life.server

    def upstream(self, address: str | None, place: int) -> Server | None:
        """The server at this address, or behind the Service, if it can be reached."""
        if address is None:
            return self.primary_for(place)
        for life in self.lives:
            if life.ip == address and not life.gone:
                server = life.server
                reached = server is not None and server.accepts
                both_ways = self.world.network.both_ways(place, life.node.place)
                return server if reached and both_ways else None
        return None

    # ── faults ────────────────────────────────────────────────────────────────────────────

    def network_changed(self) -> None:
        for life in self.lives:
            if life.server is not None:
                life.server.network_changed()
        for agent in self.agents:
            agent.watch_may_hear()

    def set_changed(self) -> None:
        """The StatefulSet's own fields: the sidecars learn of them when they ask next."""
        for agent in self.agents:
            self.world.after(self.world.chance.uniform(0.1, 2.0), agent.hear_set)
        self.reconcile_soon()


def server_state(server: Server | None, now: float) -> ServerState:
    """The state as a sidecar sees it."""
    if server is None:
        return ServerState.DOWN
    if server.hung and now - server.hung_since > 2.0:
        return ServerState.DOWN
    if server.phase in (Phase.RECOVERY, Phase.PROMOTING):
        return ServerState.RECOVERY
    return ServerState.WRITABLE if server.phase is Phase.WRITABLE else ServerState.DOWN
