"""The sidecar's process: its loop around the real rules and memory; its freezing and its death."""

import signal
from dataclasses import replace
from typing import Final

from sidecar import deadlines
from sidecar.action import Decision
from sidecar.observation import Observation, ServerState
from sidecar.postgres.connection import CONNECT_SECONDS
from sidecar.situation import Situation
from sidecar.situation.timing import FENCING_SHARE
from tests.simulator.kubernetes.api_server import ApiError, Steps
from tests.simulator.kubernetes.pod import PodLife
from tests.simulator.member.hands import Hands
from tests.simulator.member.member import Member
from tests.simulator.member.orders import OrderConnection
from tests.simulator.member.peers import Answers, Peers
from tests.simulator.member.views import Views
from tests.simulator.member.watch import Watch
from tests.simulator.postgres.phase import Phase
from tests.simulator.sidecar_process import HTTP, LOOP, PROBE, WATCHDOG, RulesFailed
from tests.simulator.simulation import Simulation

MIN_PAUSE: Final = 0.01
PROBE_SECONDS: Final = 3.0
WATCHDOG_SECONDS: Final = 0.25


class Agent:
    """One life of one pod's sidecar."""

    def __init__(self, simulation: Simulation, pod: PodLife) -> None:
        self._simulation = simulation
        self._world = world = simulation.world
        self._cluster = simulation.cluster
        self._schedule = simulation.schedule
        self.pod = pod
        self._member = member = Member(
            world, simulation.cluster, pod, simulation.parts, simulation.clock_of(pod.node)
        )
        self.watch = Watch(member, self.wake)
        self._views = Views(member, self.watch, self.wake)
        self.answers = Answers(member, self.watch, self._views)
        self._peers = Peers(member, self.watch)
        self._orders = OrderConnection(member, simulation.seconds_of_an_order, self.wake)
        self._hands = Hands(member, self.watch, self._views, self._orders, self._peers)
        self._hands.freezes_before = self._freezes
        self._hands.lease.on_excuse = lambda: self._fail_the_probe_in(
            deadlines.seconds_to_be_excused(member.settings)
        )
        self._hands.note = self._note
        self.freeze_before: tuple[str, float] | None = None
        """(name of an action or `decide`, seconds): freeze when that is about to be done."""
        self._told: tuple[str, str] | None = None
        self._noted: set[str] = set()
        """Lines of the transcript about the present situation; what is repeated is not told."""
        self._slow_once = False
        self._stuck = False
        self._probe_fails_at = float("inf")
        self._kill_at = float("inf")
        """When the watchdog kills PostgreSQL, unless the loop says otherwise before."""
        self._happened = False
        self._ticket = 0
        self._pausing_since = -1.0
        self._steps = self._loop()
        simulation.cluster.agents.append(self)
        self.watch.relist_soon()
        world.after(0.01, self._step, self._ticket)
        world.after(PROBE_SECONDS, self._probe)

    # ── the process ───────────────────────────────────────────────────────────────────────

    @property
    def running(self) -> bool:
        return self._member.running

    @property
    def frozen(self) -> bool:
        return self._member.frozen

    @property
    def stands_still(self) -> bool:
        """No thread of it runs."""
        return self._member.stands_still

    @property
    def cannot_act(self) -> bool:
        """Nothing of it is left that stops PostgreSQL."""
        return self.stands_still or self._member.hung >= {LOOP, WATCHDOG}

    @property
    def is_impaired(self) -> bool:
        """It stands still, or a thread of it hangs."""
        return self.stands_still or bool(self._member.hung)

    @property
    def beats(self) -> bool:
        """Whether its heart beats on its volume."""
        return self.running and not self.stands_still and not self.pod.volume_hangs

    @property
    def situation(self) -> str:
        return self._told[0] if self._told is not None else ""

    def time_out(self) -> float:
        return self._member.time_out()

    def patience(self) -> float:
        return self._member.patience()

    def _step(self, ticket: int) -> None:
        if ticket != self._ticket or not self.running:
            return
        if self.stands_still or LOOP in self._member.hung:
            self._stuck = True
            return
        self._pausing_since = -1.0
        self._ticket += 1
        try:
            seconds = next(self._steps)
        except StopIteration:
            self.end()
            self.pod.agent_has_left()
            return
        self._world.after(seconds, self._step, self._ticket)

    def freeze(self, seconds: float) -> None:
        """SIGSTOP for so long."""
        if self.frozen or not self.running:
            return
        self._member.frozen = True
        self._world.note(self.pod.title, "the sidecar freezes")
        self.pod.agent_is_silent()
        self._world.after(seconds, self.thaw)

    def thaw(self) -> None:
        if not self.frozen or not self.running:
            return
        self._member.frozen = False
        self._world.note(self.pod.title, "the sidecar wakes")
        self.wakes()

    def wakes(self) -> None:
        """Go on where it stood still."""
        if self.stands_still or not self.running:
            return
        self._answer_the_probe()
        self._views.stood_still()
        self.watch.catch_up()
        if self._stuck:
            self._stuck = False
            self._world.after(0.0, self._step, self._ticket)

    def hang(self, thread: str, seconds: float) -> None:
        """Let one of its threads stand still for so long, and the others go on."""
        member = self._member
        if thread in member.hung or not self.running:
            return
        member.hung.add(thread)
        self._world.note(self.pod.title, f"the sidecar's {thread} hangs")
        if thread == HTTP:
            self.pod.agent_is_silent()
        if thread == LOOP:
            self._watch_the_loop()
        self._world.after(seconds, self._goes_on, thread)

    def _goes_on(self, thread: str) -> None:
        if not self.running:
            return
        self._member.hung.remove(thread)
        self._world.note(self.pod.title, f"the sidecar's {thread} goes on")
        self._answer_the_probe()
        if thread == LOOP and self._stuck and not self.stands_still:
            self._stuck = False
            self._world.after(0.0, self._step, self._ticket)

    def _watch_the_loop(self) -> None:
        """As `sidecar.watchdog`, for a loop that hangs: one that runs is there before it."""
        member, server = self._member, self.pod.server
        if LOOP not in member.hung or not self.running or not member.parts.watches_its_loop:
            return
        looks = not self.stands_still and WATCHDOG not in member.hung
        runs = server is not None and server.phase is not Phase.DEAD
        due = looks and runs and member.clock() >= self._kill_at
        if due and server is not None and not self.pod.takes_no_signals:
            self._world.note(self.pod.title, "the sidecar's watchdog kills PostgreSQL")
            server.stop(signal.SIGKILL)
        self._world.after(WATCHDOG_SECONDS, self._watch_the_loop)

    def end(self) -> None:
        """It is killed."""
        self._member.running = False
        if self in self._cluster.agents:
            self._cluster.agents.remove(self)

    def leave(self) -> None:
        """SIGTERM."""
        self._member.departure.order(self._member.clock())
        self.wake()

    def wake(self) -> None:
        """Look again soon."""
        if self._pausing_since < 0:
            self._happened = True
            return
        at = self._pausing_since + MIN_PAUSE
        self._pausing_since = -1.0
        self._ticket += 1
        self._world.after(at - self._world.now, self._step, self._ticket)

    def _freezes(self, what: str) -> bool:
        wish = self.freeze_before
        if wish is None or wish[0] != what:
            return False
        self.freeze_before = None
        self.freeze(wish[1])
        return True

    # ── the loop ──────────────────────────────────────────────────────────────────────────

    def _loop(self) -> Steps[None]:
        """As `sidecar.loop`."""
        member, settings = self._member, self._member.settings
        while True:
            lease = self.watch.look()
            if member.reach.should_look(lease, member.me, settings, member.clock()):
                yield from self._hands.lease.refresh()
            observation = self._views.observe()
            decision = self._decide(observation)
            if decision.asks_peers:
                observation = yield from self._with_peers(observation)
                decision = self._decide(observation)
            member.last = observation
            self._tell(decision)
            self._fail_the_probe_in(decision.probe_fails_in)
            self._trust_the_loop(observation, decision)
            if decision.actions:
                self._set_deadlines(observation, decision)
                if self._freezes("decide"):
                    yield 0.001
                yield from self._hands.carry_out(decision.actions)
            if member.departure.may_go(observation, settings, member.clock()):
                break
            if self._happened:
                self._happened = False
                yield MIN_PAUSE
            else:
                self._pausing_since = self._world.now
                yield self._pause(observation, decision) / member.rate
            self._happened = False
        yield from self._hand_in(observation)

    def _with_peers(self, observation: Observation) -> Steps[Observation]:
        member = self._member
        peers = yield from self._peers.ask()
        return replace(
            observation,
            now=member.clock(),
            peers=peers,
            members_heard_at=member.reach.members_heard_at,
            complete_peers=self._views.complete_peers(observation, peers),
        )

    def _decide(self, observation: Observation) -> Decision:
        try:
            return self._member.parts.decide(observation, self._member.settings)
        except Exception as error:
            self._world.publish(RulesFailed(self.pod.name, error))
            raise

    def _trust_the_loop(self, observation: Observation, decision: Decision) -> None:
        """As `sidecar.loop` tells its watchdog."""
        before, seconds = self._kill_at, decision.fence_in
        if seconds is None:
            self._kill_at = float("inf")
            return
        escalation = self._member.settings.ttl * FENCING_SHARE * 2 / 3
        until = observation.now + seconds + escalation
        self._kill_at = until if seconds > 0 else min(until, before)

    def _fail_the_probe_in(self, seconds: float | None) -> None:
        """As `sidecar.report.snapshot`."""
        self._probe_fails_at = float("inf")
        if seconds is not None:
            self._probe_fails_at = self._member.clock() + seconds
            self._world.after(seconds / self._member.rate, self._answer_the_probe)
        self._answer_the_probe()

    def _answer_the_probe(self) -> None:
        if not self.answers.are_given:
            return
        if self._member.clock() >= self._probe_fails_at:
            self.pod.probe_fails()
        else:
            self.pod.agent_answers()

    def _set_deadlines(self, observation: Observation, decision: Decision) -> None:
        member, now, authority = self._member, observation.now, decision.authority_for
        member.deadlines.requests_end_at = member.reach.requests_end_at(
            now, decision.fence_in, member.settings
        )
        member.deadlines.authority_ends_at = float("inf") if authority is None else now + authority

    def _pause(self, observation: Observation, decision: Decision) -> float:
        """As the loop; at rest it may be longer, which only makes what is not an event later."""
        member = self._member
        learned = member.reach.after_acting(observation, self.watch.peek(), member.clock())
        seconds = decision.look_in
        if learned is not observation:
            s = Situation(learned, member.settings)
            seconds = deadlines.seconds_to_look(s)
            self._fail_the_probe_in(deadlines.seconds_to_the_kubelet(s))
        if seconds == deadlines.UNSETTLED_TICK:
            # Nearly all that it would see wakes the fake, too.
            if self.watch.holder() == member.identity:
                return 2 * seconds
            return seconds if self._world.chance.random() < 0.05 else 10 * seconds
        if seconds < deadlines.TICK:
            return seconds
        return self._at_rest(learned)

    def _at_rest(self, learned: Observation) -> float:
        seconds, lease, now = self._schedule.tick, learned.lease, learned.now
        if lease is None or lease.record is None or not lease.record.holder:
            return seconds
        if lease.record.holder == self._member.identity:
            due = (lease.renewed_at or now) + self._member.settings.renew_interval
        else:
            due = max(lease.changed_at + lease.record.ttl, learned.pledged_until or 0.0)
        return min(seconds, max(deadlines.SHORTEST_TICK, due - now))

    def _hand_in(self, observation: Observation) -> Steps[None]:
        """As the end of `sidecar.loop`: the directory and the Lease are left to the others."""
        member, server, directory = self._member, self.pod.server, self.pod.directory
        if server is not None and (server.phase is not Phase.DEAD or server.orphans):
            return
        if self.pod.volume_hangs:
            return
        if not member.heartbeat.is_foreign:
            directory.beat = None
            directory.drop_hold()
        try:
            heir = member.departure.heir(observation, member.settings)
            yield from self._hands.lease.release(heir)
        except ApiError:
            return

    # ── the probe of new sessions ─────────────────────────────────────────────────────────

    def _probe(self) -> None:
        """As `sidecar.postgres.probe`: a thread of its own."""
        if not self.running:
            return
        if self.stands_still or PROBE in self._member.hung:
            self._world.after(1.0, self._probe)
            return
        member, server = self._member, self.pod.server
        now = member.clock()
        if server is None or self._views.look_at(server, now)[0] is not ServerState.WRITABLE:
            member.probe.leads_not()
            self._world.after(PROBE_SECONDS, self._probe)
            return
        unwell_since = server.unwell_since
        well = unwell_since is None or self._world.now < unwell_since
        if server.locks_out and server.accepts:
            # Who says no is well.
            well = True
        # A checkpoint, a snapshot, a busy node: any server may be slow once.
        self._slow_once = well and not self._slow_once and self._simulation.is_slow_once()
        well = well and not self._slow_once
        waits = server.hung or server.refuses or self.pod.volume_hangs
        took = 0.01 if well or not waits else CONNECT_SECONDS
        self._world.after(took, self._probed, well, member.clock(), took)

    def _probed(self, well: bool, began: float, took: float) -> None:
        probe, before = self._member.probe, self._member.probe.unwell_since
        probe.note(well=well, began=began, ended=self._member.clock())
        if self.running and (before is None) != (probe.unwell_since is None):
            self.wake()
        self._world.after(probe.pause(PROBE_SECONDS, took), self._probe)

    # ── the transcript ────────────────────────────────────────────────────────────────────

    def _tell(self, decision: Decision) -> None:
        told = (decision.situation, decision.sentence)
        if told != self._told:
            self._told = told
            self._noted.clear()
            self._world.note(self.pod.title, f"{decision.situation}: {decision.sentence}")

    def _note(self, line: str) -> None:
        if line not in self._noted:
            self._noted.add(line)
            self._world.note(self.pod.title, f"  {line}")
