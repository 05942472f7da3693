"""One run: a schedule is carried out, the judge looks on."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from sidecar import decide as rules
from sidecar.action import Decision
from sidecar.observation import DataState, LeaseRecord, Observation
from sidecar.settings import Settings
from tests.simulator.agent import Agent
from tests.simulator.client import Client
from tests.simulator.judge import Judge, ViolationError
from tests.simulator.kubernetes import Cluster, Node, PodLife
from tests.simulator.postgres import Phase, Server
from tests.simulator.schedule import Fault, Schedule
from tests.simulator.world import API, CLIENT, World

Decide = Callable[[Observation, Settings], Decision]

SETTLING_STEP: Final = 5.0


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run."""

    violation: ViolationError | None
    transcript: tuple[str, ...]
    commits: int
    promotions: int
    leader: str | None
    """Who holds the Lease at the end."""


class Run:
    """All the parts, put together."""

    def __init__(self, schedule: Schedule, decide: Decide, *, recording: bool) -> None:
        self.schedule = schedule
        self.settings = schedule.settings
        self.durability = schedule.durability
        self.decide = decide
        chance = random.Random(schedule.seed)  # noqa: S311 - a simulation
        self.world = World(chance)
        self._disks = random.Random(f"disks {schedule.seed}")  # noqa: S311 - a simulation
        if recording:
            self.world.transcript = []
        self.judge = Judge(self)
        self.lost_volumes: set[str] = set()
        self._asleep: list[Agent] = []
        """Who is to wake when another has been promoted."""
        self.woke_at: dict[int, float] = {}
        self.helpless: dict[str, float] = {}
        self._clocks: dict[int, tuple[float, float]] = {}
        self.cluster = Cluster(
            self.world,
            self.settings,
            self.judge,
            lambda pod: Agent(self, pod),
            members=schedule.members,
            parallel=schedule.parallel,
        )
        self.faults_end = max((fault.at + fault.seconds for fault in schedule.faults), default=0.0)

    def clock_of(self, node: Node) -> tuple[float, float]:
        """Offset and rate of a machine's monotonic clock."""
        chance = self.world.chance
        return self._clocks.setdefault(
            node.place, (chance.uniform(0, 1e5), 1 + chance.uniform(-1e-3, 1e-3))
        )

    def seconds_of_an_order(self) -> float:
        """By a chance of its own: all else happens as in the same schedule with other disks."""
        return self._disks.uniform(*self.schedule.orders)

    def run(self) -> Result:
        violation = None
        try:
            self._run()
        except ViolationError as error:
            violation = error
        world = self.world
        return Result(
            violation,
            tuple(world.transcript or ()),
            self.judge.commits,
            self.judge.promotions,
            lease.holder_pod if (lease := self.cluster.api.lease) else None,
        )

    def _run(self) -> None:
        world, schedule = self.world, self.schedule
        self.cluster.reconcile_soon()
        Client(self, CLIENT, schedule.commit_every, schedule.commit_size)
        if schedule.second_writer is not None:
            Client(self, schedule.second_writer, 2.1 * schedule.commit_every, schedule.commit_size)
        for fault in schedule.faults:
            world.after(fault.at, self._begin, fault)
        world.after(2.0, self._look)
        world.run_until(schedule.length)
        self._settle()

    def _look(self) -> None:
        self.judge.look_at_labels()
        self.world.after(2.0, self._look)

    def _settle(self) -> None:
        """I5: some time may be left before it has to be well."""
        world = self.world
        why = self.judge.unsettled()
        while why is not None and world.now < self.settled_by():
            world.run_until(world.now + SETTLING_STEP)
            why = self.judge.unsettled()
        if why is not None:
            seconds = world.now - self.faults_end
            world.note("VIOLATION", f"I5: {why}")
            raise ViolationError("I5", f"{why}, {seconds:.0f} s after the last fault")

    def settled_by(self) -> float:
        """When the set has to be well again.

        The kubelet's last back-off at the most, then one failover (ttl, and a cold start's
        patience), then one after the other a rewind that fails and a clone, for each member.
        """
        back_off = max(
            (min(300.0, 10.0 * 2 ** max(0, life.restarts - 1)) for life in self.cluster.lives),
            default=0.0,
        )
        return self.faults_end + back_off + 2 * self.settings.ttl + 60.0 + 30.0 * 5

    def promoted(self, server: Server) -> None:
        """Now it would be worst to go on where one stopped."""
        asleep = [agent for agent in self._asleep if agent.frozen and agent.pod is not server.pod]
        for agent in asleep:
            self._asleep.remove(agent)
            self.world.after(self.world.chance.uniform(0.0, 0.3), agent.thaw)

    def lease_changed(self, before: LeaseRecord | None, after: LeaseRecord) -> None:
        old = before.holder if before else ""
        if old != after.holder:
            heir = f", heir {after.heir}" if after.heir and not after.holder else ""
            self.world.note("Lease", f"is held by {after.holder or 'nobody'}{heir}")

    # ── faults ────────────────────────────────────────────────────────────────────────────

    def _begin(self, fault: Fault) -> None:
        self.world.note("FAULT", str(fault))
        getattr(self, f"_{fault.kind}")(fault)

    def _end(self, fault: Fault, end: Callable[[], None]) -> None:
        def ends() -> None:
            self.world.note("FAULT", f"ends: {fault}")
            end()

        self.world.after(fault.seconds, ends)

    def _life(self, target: int) -> PodLife | None:
        """The pod with this ordinal; -1 means who leads."""
        if target < 0:
            newest = self.judge.newest
            return self.cluster.pods.get(newest.pod.name) if newest is not None else None
        return self.cluster.pods.get(f"{self.settings.set_name}-{target}")

    def _excuse(self, name: str | None, seconds: float) -> None:
        """What happens to this pod (None: to any) explains things until it has worn off."""
        until = self.world.now + seconds + 3 * self.settings.ttl + 20.0
        judge = self.judge
        judge.fault_until = max(judge.fault_until, until)
        names = [f"{self.settings.set_name}-{n}" for n in range(6)] if name is None else [name]
        for each in names:
            judge.excused_until[each] = max(judge.excused_until.get(each, -1.0), until)

    def _hit(self, fault: Fault) -> PodLife | None:
        life = self._life(fault.target)
        if life is not None:
            self._excuse(life.name, fault.seconds)
        return life

    def _server_of(self, fault: Fault) -> Server | None:
        life = self._hit(fault)
        if life is None or life.server is None or life.server.phase is Phase.DEAD:
            return None
        return life.server

    # PostgreSQL

    def _kill_postmaster(self, fault: Fault) -> None:
        server = self._server_of(fault)
        if server is not None:
            server.crash(fault.seconds)

    def _hang_postgres(self, fault: Fault) -> None:
        server = self._server_of(fault)
        if server is None:
            return
        server.hung, server.hung_since = True, self.world.now
        server.unwell_since = self.world.now
        server.pod.probe_soon()
        if server.pod.agent is not None:
            self.world.after(2.1, server.pod.agent.wake)

        def end() -> None:
            server.hung = False
            server.unwell_since = None
            server.pod.probe_soon()
            self.judge.check_writers()
            if server.pod.agent is not None:
                server.pod.agent.wake()

        self._end(fault, end)

    def _hang_postmaster(self, fault: Fault) -> None:
        server = self._server_of(fault)
        if server is None:
            return
        server.refuses = True
        server.unwell_since = self.world.now + 1.0
        server.pod.probe_soon()

        def end() -> None:
            server.refuses = False
            server.unwell_since = None
            server.pod.probe_soon()

        self._end(fault, end)

    def _disk_full(self, fault: Fault) -> None:
        life = self._hit(fault)
        if life is None:
            return
        directory = life.directory
        directory.full = True
        if life.server is not None:
            life.server.unwell_since = self.world.now + 1.0

        def end() -> None:
            directory.full = False
            if directory.running is not None:
                directory.running.unwell_since = None

        self._end(fault, end)

    def _stall_storage(self, fault: Fault) -> None:
        """No new session can write in time, whichever member leads."""
        world, until = self.world, self.world.now + fault.seconds
        self._excuse(None, fault.seconds)

        def look() -> None:
            stalls = world.now < until
            for life in self.cluster.lives:
                life.directory.slow = stalls
                server = life.server
                if server is not None and not stalls:
                    server.unwell_since = None
                elif server is not None and server.unwell_since is None:
                    server.unwell_since = world.now if server.phase is Phase.WRITABLE else None
            if stalls:
                world.after(0.5, look)

        look()
        self._end(fault, look)

    def _hang_at_stop(self, fault: Fault) -> None:
        self._pod_flag(fault, "hang_at_stop", True, False)

    def _slow_promotion(self, fault: Fault) -> None:
        self._pod_flag(fault, "slow_promotion", max(1.0, fault.seconds / 3), 0.0)

    def _slow_disk(self, fault: Fault) -> None:
        self._pod_flag(fault, "slow_flush", float(fault.detail), 0.0)

    def _pod_flag(self, fault: Fault, name: str, value: object, after: object) -> None:
        life = self._hit(fault)
        if life is None:
            return

        def put(to: object) -> None:
            setattr(life, name, to)
            if life.server is not None:
                setattr(life.server, name, to)

        put(value)
        self._end(fault, lambda: put(after))

    def _remove_wal(self, _: Fault) -> None:
        newest = self.judge.newest
        if newest is not None and newest.phase is Phase.WRITABLE:
            newest.remove_old_wal()

    def _lose_volume(self, fault: Fault) -> None:
        """The volume is gone, and its pod with it; the next one finds an empty one."""
        life = self._hit(fault)
        if life is None or life.deleting or not self.cluster.parallel:
            # With OrderedReady the first pod would wait for those that wait for it.
            return
        self._excuse(life.name, 30.0)
        life.deleting = life.terminating = True
        life.kill_everything()
        del self.cluster.directories[life.ordinal]
        self.lost_volumes.add(life.name)
        life.end()

    def _spoil_data(self, fault: Fault) -> None:
        """A standby crashes, and no server comes up on what it has left: only a copy helps."""
        life = self._hit(fault)
        if life is None or life.server is None or not life.server.streams:
            return
        if not any(it.server and it.server.phase is Phase.WRITABLE for it in self.cluster.lives):
            # There would be nobody left to copy.
            return
        self._excuse(life.name, 250.0)
        self.lost_volumes.add(life.name)
        life.directory.spoiled = True
        life.server.crash(0.0)

    def _slow_recovery(self, fault: Fault) -> None:
        """A server crashes, with much to replay; what is interrupted begins from the start."""
        server = self._server_of(fault)
        if server is not None:
            server.directory.slow_recovery = fault.seconds
            server.crash(0.0)

    def _kill_bootstrap(self, fault: Fault) -> None:
        life = self._hit(fault)
        if life is not None:
            life.bootstrap_died()

    # sidecar, machine

    def _kill_sidecar(self, fault: Fault) -> None:
        life = self._life(fault.target)
        if life is not None and life.agent is not None:
            if life.sidecar_restarts:
                # The kubelet's back-off is longer than the watchdog waits.
                self._hit(fault)
            # It has forgotten the Lease, and can ask nobody while the API server is away, too.
            until = self.world.now + 3 * self.settings.ttl
            self.judge.fault_until = max(self.judge.fault_until, until)
            life.sidecar_died()

    def _freeze_sidecar(self, fault: Fault) -> None:
        life = self._hit(fault)
        if life is None or life.agent is None:
            return
        if fault.detail:
            self._excuse(life.name, 100.0)
            before, _, until = fault.detail.partition(", until ")
            life.agent.freeze_before = (before, 100.0 if until else fault.seconds)
            if until:
                self._asleep.append(life.agent)
        else:
            life.agent.freeze(fault.seconds)

    def _freeze_node(self, fault: Fault) -> None:
        life = self._hit(fault)
        if life is None or life.node.frozen:
            return
        node = life.node
        node.frozen = True
        self.cluster.network_changed()

        def end() -> None:
            node.frozen = False
            self.woke_at[node.place] = self.world.now
            for other in self.cluster.lives:
                if other.node is node and other.agent is not None:
                    other.agent.wakes()
            self.cluster.network_changed()
            self.world.after(3.0, self.judge.check_writers)

        self._end(fault, end)

    def _stop_kubelet(self, fault: Fault) -> None:
        life = self._hit(fault)
        if life is not None:
            node = life.node
            node.kubelet_stopped = True

            def end() -> None:
                node.kubelet_stopped = False
                for other in self.cluster.lives:
                    if other.node is node and (other.agent is None or other.agent.stands_still):
                        # Only now can anybody stop what a dead or frozen sidecar has left running.
                        self.helpless[other.name] = self.world.now

            self._end(fault, end)

    def _take_out(self, fault: Fault) -> None:
        """Kubernetes takes a node's pods out of their Services, or those of all nodes at once."""
        life = self._hit(fault)
        if life is None:
            return
        nodes = tuple(self.cluster.nodes.values()) if fault.detail else (life.node,)
        for node in nodes:
            self.cluster.take_out(node, taken_out=True)

        def end() -> None:
            for node in nodes:
                self.cluster.take_out(node, taken_out=False)

        self._end(fault, end)

    def _reboot_node(self, fault: Fault) -> None:
        life = self._hit(fault)
        if life is None or life.node.down:
            return
        node = life.node
        node.down = True
        lives = [other for other in self.cluster.lives if other.node is node and not other.gone]
        for other in lives:
            other.kill_everything()

        def end() -> None:
            node.down = False
            for other in lives:
                if other in self.cluster.lives and not other.gone:
                    other.reboot()

        self._end(fault, end)

    # network

    def _cut(self, fault: Fault, inside: list[int], outside: list[int] | None) -> None:
        network = self.world.network
        cuts = []
        if fault.detail != "hears nothing":
            cuts.append(network.cut(inside, outside))
        if fault.detail != "sends nothing":
            cuts.append(network.cut(outside, inside))
        self.cluster.network_changed()

        def end() -> None:
            for cut in cuts:
                network.heal(cut)
            self.cluster.network_changed()

        self._end(fault, end)

    def _cut_node(self, fault: Fault) -> None:
        life = self._hit(fault)
        if life is not None:
            self._cut(fault, [life.node.place], None)

    def _cut_from_api(self, fault: Fault) -> None:
        life = self._life(fault.target)
        if life is not None:
            self.judge.api_fault_until = max(
                self.judge.api_fault_until,
                self.world.now + fault.seconds + 3 * self.settings.ttl + 20,
            )
            self._cut(fault, [life.node.place], [API])

    def _cut_from_peers(self, fault: Fault) -> None:
        life = self._life(fault.target)
        if life is not None:
            others = [place for place in self.cluster.nodes if place != life.node.place]
            self.judge.fault_until = max(
                self.judge.fault_until, self.world.now + fault.seconds + 60
            )
            self._cut(fault, [life.node.place], others)

    def _split(self, fault: Fault) -> None:
        self._excuse(None, fault.seconds)
        names = fault.detail.split(",")
        inside = [int(name) for name in names if name.isdecimal()]
        inside += [API] if "api" in names else []
        inside += [CLIENT] if "client" in names else []
        everywhere = [*self.cluster.nodes, API, CLIENT]
        outside = [place for place in everywhere if place not in inside]
        self._cut(replace(fault, detail=""), inside, outside)

    def _lossy(self, fault: Fault) -> None:
        self._excuse(None, fault.seconds)
        self.cluster.api.loss = 0.3
        self._end(fault, lambda: setattr(self.cluster.api, "loss", 0.0))

    # Kubernetes

    def _api_outage(self, fault: Fault) -> None:
        api = self.cluster.api
        self.judge.api_fault_until = max(
            self.judge.api_fault_until,
            self.world.now + fault.seconds + 3 * self.settings.ttl + 20,
        )
        api.outage = fault.detail.split(",")[0]
        api.lands_late = "late" in fault.detail
        for agent in self.cluster.agents:
            agent.watch_missed = True

        def end() -> None:
            api.outage = ""
            self.world.after(10.0, lambda: setattr(api, "lands_late", False))
            self.cluster.network_changed()

        self._end(fault, end)

    def _slow_api(self, fault: Fault) -> None:
        """Not on the whole an excuse: with all members there, a primary stays."""
        api = self.cluster.api
        low, high = map(float, fault.detail.split("-"))
        self._excuse_by_the_api(fault)
        api.latency = (low, high)
        self._end(fault, lambda: setattr(api, "latency", None))

    def _refuse_writes(self, fault: Fault) -> None:
        api = self.cluster.api
        self._excuse_by_the_api(fault)
        api.refuses_writes = True
        self._end(fault, lambda: setattr(api, "refuses_writes", False))

    def _excuse_by_the_api(self, fault: Fault) -> None:
        until = self.world.now + fault.seconds + 3 * self.settings.ttl + 20
        self.judge.api_fault_until = max(self.judge.api_fault_until, until)

    def _break_watch(self, fault: Fault) -> None:
        life = self._life(fault.target)
        if life is not None and life.agent is not None:
            # To a sidecar that starts meanwhile it is as if the API server were away.
            until = self.world.now + fault.seconds + self.settings.ttl
            self.judge.api_fault_until = max(self.judge.api_fault_until, until)
            life.agent.break_watch(min(fault.seconds, 75.0))

    def _slow_watch(self, fault: Fault) -> None:
        life = self._life(fault.target)
        if life is not None and life.agent is not None:
            agent = life.agent
            agent.watch_lag = float(fault.detail)
            self._end(fault, lambda: setattr(agent, "watch_lag", 0.0))

    def _delete_lease(self, _: Fault) -> None:
        self.judge.fault_until = max(self.judge.fault_until, self.world.now + 60)
        self.cluster.api.delete_lease()

    def _edit_lease(self, _: Fault) -> None:
        api = self.cluster.api
        if api.lease is not None:
            api.write_lease(api.lease)

    def _switchover(self, fault: Fault) -> None:
        api = self.cluster.api
        self._excuse(None, 0.0)
        if api.lease is not None and not api.outage:
            wish = f"{self.settings.set_name}-{fault.target}"
            api.write_lease(replace(api.lease, switchover_to=wish))

    def _pause(self, fault: Fault) -> None:
        self.cluster.paused = True
        self.cluster.set_changed()

        def end() -> None:
            self.cluster.paused = False
            self.cluster.set_changed()

        self._end(fault, end)

    def _scale(self, fault: Fault) -> None:
        self._excuse(None, 60.0)
        self.cluster.wanted = fault.target
        self.cluster.set_changed()

    def _roll(self, fault: Fault) -> None:
        self._excuse(None, 150.0)
        self.cluster.revision = f"{fault.at}"
        self.cluster.reconcile_soon()

    def _delete_pod(self, fault: Fault) -> None:
        life = self._hit(fault)
        if life is not None:
            self.cluster.delete_pod(life.name)

    def _force_delete_pod(self, fault: Fault) -> None:
        life = self._hit(fault)
        if life is None:
            return
        self._excuse(life.name, 30.0)
        cut_off = not self.world.network.passes(API, life.node.place) and not life.node.frozen
        if life.node.down or cut_off:
            self.cluster.force_delete_pod(life.name)
        else:
            # Kubernetes' documentation says when it may be done: where the kubelet is away.
            self.cluster.delete_pod(life.name)

    def _delete_all_pods(self, _: Fault) -> None:
        self._excuse(None, 60.0)
        for name in list(self.cluster.pods):
            self.cluster.delete_pod(name)


def run(schedule: Schedule, decide: Decide = rules.decide, *, recording: bool = False) -> Result:
    """Carry a schedule out against these rules."""
    return Run(schedule, decide, recording=recording).run()


__all__ = ["DataState", "Decide", "Result", "Run", "run"]
