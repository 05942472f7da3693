"""The StatefulSet, its controller, the Services, and the webhook's hint."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace

from sidecar.observation import LeaseRecord, Pod
from sidecar.settings import Settings
from tests.simulator.kubernetes.api_server import ApiServer, DeletionAsked, PodsChanged
from tests.simulator.kubernetes.pod import (
    BackOffChanged,
    PodEnded,
    PodLife,
    ReadinessChanged,
    Surroundings,
)
from tests.simulator.node import Node
from tests.simulator.postgres.directory import Configured, Directory
from tests.simulator.postgres.server import Server
from tests.simulator.sidecar_process import SidecarProcess
from tests.simulator.world import API, CLIENT, World


@dataclass(frozen=True, slots=True)
class PodCreated:
    """The controller has created a pod, and the webhook has given it a role."""

    life: PodLife
    role: str


class Cluster:
    """The StatefulSet, its controller and Services, and everything that belongs to it."""

    def __init__(
        self,
        world: World,
        settings: Settings,
        new_agent: Callable[[PodLife], SidecarProcess],
        *,
        members: int,
        parallel: bool,
        deletes_others_histories: bool,
    ) -> None:
        self.world = world
        self.settings = settings
        self.agents: list[SidecarProcess] = []
        self.api = ApiServer(world, self.agents)
        self.parallel = parallel
        self.wanted = members
        self.paused = False
        self.opted_out = False
        self.hidden = False
        """Nobody may read the StatefulSet."""
        self.waits_are_cancelled = False
        """Clients that have waited for too long cancel that, and take it for no answer."""
        self.revision = "1"
        self.configured = Configured()
        self.identifiers = itertools.count(1000)
        """What each initdb takes the next of."""
        self.lives: list[PodLife] = []
        """All pods of which any process may run."""
        self.pods: dict[str, PodLife] = {}
        """The lives that the API server knows."""
        self.directories: dict[int, Directory] = {}
        self.nodes: dict[int, Node] = {}
        self.lost_volumes: set[str] = set()
        """Pods whose data is lost: no fault that a set could heal by itself."""
        self._uids = 0
        self._reconciling = False
        self._endpoints: tuple[str, ...] = ()
        self._endpoints_at: dict[int, tuple[str, ...]] = {}
        self._replicas: tuple[str, ...] = ()
        """What `<set>-replica` leads clients to."""
        self._endpoints_pending = False
        self._surroundings = Surroundings(
            world, self.api, new_agent, self.upstream, self.identifiers, deletes_others_histories
        )
        world.subscribe(PodsChanged, lambda _: self.endpoints_changed())
        world.subscribe(ReadinessChanged, self._readiness_changed)
        world.subscribe(DeletionAsked, lambda event: self.delete_pod(event.name))
        world.subscribe(BackOffChanged, self._back_off_changed)
        world.subscribe(PodEnded, lambda event: self._pod_ended(event.life))

    def _back_off_changed(self, event: BackOffChanged) -> None:
        shown = self.api.pods[event.life.name][1]
        if shown.backs_off != event.backs_off:
            self.api.put_pod(replace(shown, backs_off=event.backs_off))

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
        if self.opted_out:
            # What is created now is a plain pod: it has no sidecar, and is none of the set's. Here
            # none is created before the set is opted in again.
            return True
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
                life.rolled = True
                self.delete_pod(life.name)
                return

    def _create(self, ordinal: int, node: Node | None = None) -> None:
        self._uids += 1
        node = node or self.node(ordinal)
        life = PodLife(
            self._surroundings,
            ordinal,
            f"u{self._uids}",
            node,
            self.directory(ordinal),
            revision=self.revision,
            settings=self.settings,
            configured=self.configured,
        )
        self.pods[life.name] = life
        self.lives.append(life)
        # The webhook's hint.
        lowest = ordinal == self.settings.first_ordinal
        never_led = self.api.lease is None
        role = self.settings.primary_value if lowest and never_led else self.settings.replica_value
        self.api.put_pod(Pod(life.name, life.uid, life.ip, role, revision=life.revision))
        self._show_readiness(life)
        self.world.publish(PodCreated(life, role))
        self.world.note("kubernetes", f"pod {life.name} is created as {life.uid}, {role}")
        self._schedule(life)

    def _schedule(self, life: PodLife) -> None:
        if life.gone:
            return
        if life.node.takes_no_pods:
            self.world.after(1.0, self._schedule, life)
        else:
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
        if self.opted_out:
            return
        if f"{self.settings.set_name}-{ordinal}" not in self.pods and ordinal < self.wanted:
            self._create(ordinal, node)

    def _pod_ended(self, life: PodLife) -> None:
        self.lives.remove(life)
        if not life.removed:
            del self.pods[life.name]
            self.api.remove_pod(life.name)
            self.world.note("kubernetes", f"pod {life.name} ({life.uid}) is gone")
        self.reconcile_soon()

    def change_volume(self, life: PodLife, directory: Directory) -> None:
        """The pod ends, and the next one of its name finds this on its volume."""
        life.deleting = life.terminating = True
        life.kill_everything()
        self.directories[life.ordinal] = directory
        self.lost_volumes.add(life.name)
        life.end()

    def fence(self, name: str, *, fenced: bool) -> None:
        """An operator sets the annotation on the pod, or takes it away."""
        if name in self.api.pods:
            since = 0.0 if fenced else None
            self.api.put_pod(replace(self.api.pods[name][1], fenced_since=since))

    def mark(self, name: str, *, nofailover: bool) -> None:
        """Likewise, so that others take over."""
        if name in self.api.pods:
            self.api.put_pod(replace(self.api.pods[name][1], nofailover=nofailover))

    def prefer(self, name: str, priority: int) -> None:
        """Likewise, so that it takes over rather than others with the same data."""
        if name in self.api.pods:
            self.api.put_pod(replace(self.api.pods[name][1], failover_priority=priority))

    def ask_for_a_clone(self, name: str, value: str) -> None:
        """An operator sets the annotation on the pod."""
        if name in self.api.pods:
            self.api.put_pod(replace(self.api.pods[name][1], reinit=value))

    def ask_to_lead(self, name: str) -> None:
        """An operator sets the annotation on the pod, having looked at the Lease."""
        if name in self.api.pods and self.api.lease is not None:
            value = self.api.lease.resource_version
            self.api.put_pod(replace(self.api.pods[name][1], failover=value))

    def was_asked_to_lead(self, holder: str, lease: LeaseRecord | None) -> bool:
        """Whether an operator wanted this pod (as `holderIdentity`) to take this very Lease."""
        pods = (pod for _, pod in self.api.pods.values() if f"{pod.name}_{pod.uid}" == holder)
        return lease is not None and any(pod.failover == lease.resource_version for pod in pods)

    def take_out(self, node: Node, *, taken_out: bool) -> None:
        """Do as the node lifecycle controller does with the pods of a node that it doesn't hear."""
        for life in self.pods.values():
            if life.node is node:
                # Since when, each member tells by its own clock.
                since = 0.0 if taken_out else None
                self.api.put_pod(replace(self.api.pods[life.name][1], taken_out_since=since))
                self._show_readiness(life)

    # ── the Service of the primary ────────────────────────────────────────────────────────

    def _show_readiness(self, life: PodLife) -> None:
        shown = self.api.pods[life.name][1]
        ready = life.ready and shown.taken_out_since is None
        if ready != (shown.unready_since is None):
            self.api.put_pod(replace(shown, unready_since=None if ready else 0.0))

    def _readiness_changed(self, event: ReadinessChanged) -> None:
        if self.pods.get(event.pod.name) is event.pod and event.pod.name in self.api.pods:
            self._show_readiness(event.pod)
        self.endpoints_changed()
        self.reconcile_soon()

    def endpoints_changed(self) -> None:
        if not self._endpoints_pending:
            self._endpoints_pending = True
            self.world.after(self.world.chance.uniform(0.1, 1.0), self._sync_endpoints)

    def _sync_endpoints(self) -> None:
        self._endpoints_pending = False
        if self.api.outage:
            self.endpoints_changed()
            return
        self._endpoints = self._labelled(self.settings.primary_value)
        network = self.world.network
        if network.passes(API, CLIENT):
            self._replicas = self._labelled(self.settings.replica_value)
        for place in (*self.nodes, CLIENT):
            if network.passes(API, place):
                self._endpoints_at[place] = self._endpoints
            else:
                self.endpoints_changed()

    def _labelled(self, role: str) -> tuple[str, ...]:
        """The pods that a Service with this role in its selector leads to."""
        labelled = [
            life
            for life in self.pods.values()
            if life.ready
            and self.api.pods[life.name][1].role == role
            and self.api.pods[life.name][1].taken_out_since is None
        ]
        serving = [life for life in labelled if not life.deleting] or labelled
        return tuple(life.name for life in serving)

    def primary_endpoints(self, place: int) -> tuple[str, ...]:
        """The pods that `<set>-primary` leads to from there."""
        return self._endpoints_at.get(place, self._endpoints)

    @property
    def replica_endpoints(self) -> tuple[str, ...]:
        """The pods that `<set>-replica` leads clients to."""
        return self._replicas

    def primary_for(self, place: int) -> Server | None:
        """The server that a new connection to `<set>-primary` from there reaches."""
        names = self.primary_endpoints(place)
        if not names:
            return None
        name = names[0] if len(names) == 1 else self.world.chance.choice(names)
        return self.connect(name, place)

    def connect(self, name: str, place: int) -> Server | None:
        """The server of this pod, where it answers who is at this place."""
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
            agent.watch.may_hear()

    def set_changed(self) -> None:
        """The StatefulSet's own fields: the sidecars learn of them when they ask next."""
        for agent in self.agents:
            self.world.after(self.world.chance.uniform(0.1, 2.0), agent.watch.hear_set)
        self.reconcile_soon()
