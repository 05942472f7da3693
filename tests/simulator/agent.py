"""The sidecar: its loop, views and hands over the fakes, around the real `decide`.

Stands for observe.py, act.py, loop.py, LeaseKeeper, Pods, Peers, Promises, Bootstrap's end and
Server. What they keep in memory is here and dies with the process; `pod.writer` is a file.
"""

import contextlib
import functools
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from sidecar import contract, deadlines
from sidecar.action import (
    Action,
    AskToStay,
    Attach,
    Checkpoint,
    Clone,
    Decision,
    DeleteOwnPod,
    Detach,
    ForgetPromotion,
    ForgetReturns,
    KeepSlots,
    PreparePrimary,
    Promote,
    PutStandbySignal,
    Reclone,
    Refuse,
    ReleaseLease,
    RenewLease,
    Rewind,
    RunInitdb,
    SetRole,
    SetSynchronous,
    StartPostgres,
    StopPostgres,
    TakeLease,
)
from sidecar.attempts import Attempts
from sidecar.failsafe import should_give_way
from sidecar.observation import (
    BootstrapView,
    DataState,
    Follower,
    Fork,
    Identity,
    Leadership,
    LeaseRecord,
    LeaseView,
    Observation,
    Peer,
    Pod,
    PostgresView,
    ServerState,
)
from sidecar.situation import Situation
from sidecar.situation.timing import FENCING_SHARE, NEVER_WELL_PATIENCE, UNWELL_PATIENCE
from tests.simulator.kubernetes import (
    ApiError,
    ConflictError,
    PodLife,
    RefusedError,
    Steps,
    UnansweredError,
    same_but_for_time,
    server_state,
)
from tests.simulator.postgres import Phase, Server
from tests.simulator.values import quickly

if TYPE_CHECKING:
    from tests.simulator.runner import Run

Decide = Callable[..., Decision]

MIN_PAUSE: Final = 0.01
REQUEST_SECONDS: Final = 3.0
LEAST_SECONDS: Final = 0.2
PROBE_SECONDS: Final = 3.0
FIRST_TRY_SECONDS: Final = 0.6
READ_SECONDS: Final = 2.0
PEER_SECONDS: Final = 0.6
STAY_SECONDS: Final = 5.0
LATE: Final = 1.5
SERVICE: Final = "pg-primary"

_SET_SYNCHRONOUS: Final = "set-synchronous"
_FOLLOW: Final = "follow"

# What every look makes.
_Observation: Final = quickly(Observation)
_PostgresView: Final = quickly(PostgresView)
_LeaseView: Final = quickly(LeaseView)
_LeaseRecord: Final = quickly(LeaseRecord)
_Peer: Final = quickly(Peer)


class Agent:
    """One life of one pod's sidecar."""

    def __init__(self, run: "Run", pod: PodLife) -> None:  # noqa: PLR0915 - all of its memory
        self.run = run
        self.world = world = run.world
        self.api = run.cluster.api
        self.pod = pod
        self.settings = run.cluster.settings
        self.me = Identity(pod.name, pod.uid)
        self.identity = str(self.me)
        self.offset, self.rate = run.clock_of(pod.node)
        self.running = True
        self.frozen = False
        self.started_at = self.clock()
        # the mirrors
        self.watch_lag = 0.0
        self.watch_broken = False
        self.watch_missed = True
        self.relisting = False
        self.inbox: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self.listed = False
        self.lease_version = 0
        self.record: LeaseRecord | None = None
        self.pods_by_name: dict[str, tuple[int, Pod | None]] = {}
        self.pods: tuple[Pod, ...] | None = None
        self.wanted: int | None = None
        self.paused = False
        # LeaseKeeper
        self.changed_at = self.started_at
        self.renewal_seen = False
        self.renewed_at: float | None = None
        self.taken_expired = False
        self.heard_at = float("-inf")
        self.excused_at: float | None = None
        self.unanswered: list[tuple[str, RenewLease]] = []
        """The version that a renewal without an answer was to replace, and what it was to say."""
        self.sent: dict[object, float] = {}
        """Our writes of which nothing is known, by what proves them: when they were sent."""
        self.renewal_sent_at = float("-inf")
        self.uncertain_take: str | None = None
        """The version that a take without an answer was to replace."""
        self.seen_record: LeaseRecord | None = None
        """The record on which the next write acts."""
        self.looked_at = float("-inf")
        self.left_at: float | None = None
        self.taking = False
        self.promised_until: float | None = None
        self.members_heard_at = float("-inf")
        self.renewal_failed_at: float | None = None
        self.api_failed_at = float("-inf")
        self.question_failed_at: float | None = None
        self.leaving_since: float | None = None
        # Server and Bootstrap
        self.server_seen: tuple[int, ServerState] = (0, ServerState.DOWN)
        self.since = self.started_at
        self.waits_to_start = True
        self.prepared = False
        self.checkpointed_at: float | None = None
        self.settings_seen = 0
        self.setting_seen: tuple[object, float] = (None, 0.0)
        """synchronous_standby_names in this life of the server, and since when."""
        self.waits_from: int | None = None
        self.orders: dict[str, tuple[object, ...]] = {}
        """What waits to be carried out, by name: with its arguments."""
        self.order_under_way: tuple[object, ...] | None = None
        self.outstanding: dict[str, tuple[object, ...]] = {}
        """The last order of each name, until it was seen to have taken effect."""
        self.carried_out: set[str] = set()
        self.foreign_beat: tuple[tuple[str, int], float] | None = None
        self._bootstrap_view: tuple[object, BootstrapView] | None = None
        self.attempts = Attempts()
        # the loop
        self.deadline = float("inf")
        self.act_before = float("inf")
        self.last: Observation | None = None
        self.told: tuple[str, str] | None = None
        self.noted: set[str] = set()
        """Lines of the transcript about the present situation; what is repeated is not told."""
        self.freeze_before: tuple[str, float] | None = None
        """(name of an action or `decide`, seconds): freeze when that is about to be done."""
        self.stuck = False
        self.happened = False
        self._ticket = 0
        self._pausing_since = -1.0
        self._steps = self._loop()
        run.cluster.agents.append(self)
        self._relist_soon()
        world.after(0.01, self._step, self._ticket)

    # ── the process ───────────────────────────────────────────────────────────────────────

    def clock(self) -> float:
        """Its own monotonic clock."""
        return self.offset + self.rate * self.world.now

    @property
    def stands_still(self) -> bool:
        """No thread of it runs."""
        return self.frozen or self.pod.node.frozen

    def _step(self, ticket: int) -> None:
        if ticket != self._ticket or not self.running:
            return
        if self.frozen or self.pod.node.frozen:
            self.stuck = True
            return
        self._pausing_since = -1.0
        self._ticket += 1
        try:
            seconds = next(self._steps)
        except StopIteration:
            self._left()
            return
        self.world.after(seconds, self._step, self._ticket)

    def freeze(self, seconds: float) -> None:
        """SIGSTOP for so long."""
        if self.frozen or not self.running:
            return
        self.frozen = True
        self.world.note(self.pod.name, "the sidecar freezes")
        self.pod.agent_is_silent()
        self.world.after(seconds, self.thaw)

    def thaw(self) -> None:
        if not self.frozen or not self.running:
            return
        self.frozen = False
        self.world.note(self.pod.name, "the sidecar wakes")
        self.wakes()

    def wakes(self) -> None:
        """Go on where it stood still."""
        if self.stands_still or not self.running:
            return
        self.pod.agent_answers()
        inbox, self.inbox = self.inbox, []
        for send, what in inbox:
            send(self, *what)
        if self.stuck:
            self.stuck = False
            self.world.after(0.0, self._step, self._ticket)

    def end(self) -> None:
        """It is killed."""
        self.running = False
        if self in self.run.cluster.agents:
            self.run.cluster.agents.remove(self)

    def leave(self) -> None:
        """SIGTERM."""
        if self.left_at is None:
            self.left_at = self.clock()
        self.wake()

    def _left(self) -> None:
        self.end()
        self.pod.agent_has_left()

    def wake(self) -> None:
        """Look again soon."""
        if self._pausing_since < 0:
            self.happened = True
            return
        at = self._pausing_since + MIN_PAUSE
        self._pausing_since = -1.0
        self._ticket += 1
        self.world.after(at - self.world.now, self._step, self._ticket)

    # ── the loop ──────────────────────────────────────────────────────────────────────────

    def _loop(self) -> Steps[None]:
        while True:
            if self._lease_is_silent():
                yield from self._look_at_lease()
            observation = self.observe()
            decision = self._decide(observation)
            if decision.asks_peers:
                peers = yield from self._ask_peers()
                observation = self.observe(peers)
                decision = self._decide(observation)
            self.last = observation
            if decision.actions:
                left, right = decision.fence_in, decision.authority_for
                self.deadline = float("inf") if left is None else observation.now + left
                self.act_before = float("inf") if right is None else observation.now + right
                if self.freeze_before is not None and self._freezes("decide"):
                    yield 0.001
                yield from self._carry_out(decision.actions)
            self._tell(decision)
            if self.left_at is not None and self._may_leave(observation, self.left_at):
                break
            if self.happened:
                self.happened = False
                yield MIN_PAUSE
            else:
                self._pausing_since = self.world.now
                yield self._tick(observation, decision) / self.rate
            self.happened = False
        yield from self._hand_in()

    def _decide(self, observation: Observation) -> Decision:
        try:
            return self.run.decide(observation, self.settings)
        except Exception as error:
            self.run.judge.rules_failed(self.me.name, error)
            raise

    def _tell(self, decision: Decision) -> None:
        told = (decision.situation, decision.sentence)
        if told != self.told:
            self.told = told
            self.noted.clear()
            self.world.note(self.pod.name, f"{decision.situation}: {decision.sentence}")

    def _after_acting(self, observation: Observation) -> Observation:
        """As `sidecar.observe`, for what most often changes."""
        lease, failed_at = observation.lease, self._renewal_failed_at()
        if lease is not None and lease.renewed_at != self.renewed_at:
            renewed = replace(lease, renewed_at=self.renewed_at, record=self.record)
            observation = replace(observation, now=self.clock(), lease=renewed)
        if observation.renewal_failed_at != failed_at:
            observation = replace(observation, renewal_failed_at=failed_at)
        return observation

    def _tick(self, observation: Observation, decision: Decision) -> float:
        """As the loop; at rest it may be longer, which only makes what is not an event later."""
        learned = self._after_acting(observation)
        tick = decision.look_in
        if learned is not observation:
            tick = deadlines.seconds_to_look(Situation(learned, self.settings))
        if tick == deadlines.UNSETTLED_TICK:
            # Nearly all that it would see wakes the fake, too.
            if self.record is not None and self.record.holder == self.identity:
                return 2 * tick
            return tick if self.world.chance.random() < 0.05 else 10 * tick
        if tick < deadlines.TICK:
            return tick
        tick = self.run.schedule.tick
        record = self.record
        if record is not None:
            if record.holder == self.identity:
                if self.renewed_at is not None:
                    due = self.renewed_at + self.settings.renew_interval - self.clock()
                    tick = min(tick, max(deadlines.SHORTEST_TICK, due))
            elif record.holder:
                expiry = max(self.changed_at + record.ttl, self.promised_until or 0.0)
                tick = min(tick, max(deadlines.SHORTEST_TICK, expiry - self.clock()))
        return tick

    def _may_leave(self, observation: Observation, left_at: float) -> bool:
        lease = observation.lease
        holds = (
            lease is not None
            and lease.record is not None
            and (lease.record.holder == self.identity)
        )
        primary = self.settings.primary_value
        labelled = any(p.uid == self.me.uid and p.role == primary for p in observation.pods or ())
        has_successors = len(observation.pods or ()) > 1
        stays = has_successors and not observation.paused and (holds or labelled)
        return not stays or self.clock() - left_at > STAY_SECONDS

    def _lease_is_silent(self) -> bool:
        """A watch says nothing while nothing changes, and a broken one says nothing either."""
        record, now = self.record, self.clock()
        if not self.listed or record is None or record.holder == self.identity:
            return False
        silence = self.settings.renew_interval + 1.0
        return now - self.heard_at > silence and now - self.looked_at > 1.0

    def _look_at_lease(self) -> Steps[None]:
        self.looked_at = self.clock()
        self.deadline = float("inf")
        api = self.api
        try:
            version, record = yield from api.request(self, lambda: (api.lease_version, api.lease))
        except ApiError:
            return
        self.heard_at = self.clock()
        if record is not None:
            self.hear_lease(version, record, wakes=False)

    def _hand_in(self) -> Steps[None]:
        server = self.pod.server
        if server is not None and (server.phase is not Phase.DEAD or server.orphans):
            return
        directory = self.pod.directory
        if directory.beat[0] == self.me.uid:
            directory.beat = ("", 0)
        try:
            yield from self._release(ReleaseLease())
        except ApiError:
            return

    def time_out(self) -> float:
        """Seconds that a request which is not answered takes, by this node's clock."""
        left = max(LEAST_SECONDS, self.deadline - self.clock())
        return min(self.world.chance.choice((1.0, 2.0, REQUEST_SECONDS)), left)

    def patience(self) -> float:
        """Seconds that a request gets of an API server that is there, and slow."""
        first = self.renewal_failed_at is None
        left = max(LEAST_SECONDS, self.deadline - self.clock())
        return min(FIRST_TRY_SECONDS if first else READ_SECONDS, left)

    def _freezes(self, what: str) -> bool:
        wish = self.freeze_before
        if wish is None or wish[0] != what:
            return False
        self.freeze_before = None
        self.freeze(wish[1])
        return True

    # ── watches ───────────────────────────────────────────────────────────────────────────

    def watch_may_hear(self) -> None:
        """Something about the network or the API server has changed."""
        if self.watch_missed or not self.listed:
            self._relist_soon()

    def break_watch(self, seconds: float) -> None:
        """The watch goes silent without an end; lists follow when that is noticed."""
        self.watch_broken = True
        self.world.after(seconds, self._mend_watch)

    def _mend_watch(self) -> None:
        self.watch_broken = False
        self.watch_missed = True
        self._relist_soon()

    def _relist_soon(self) -> None:
        if not self.relisting:
            self.relisting = True
            self.world.after(self.world.chance.uniform(0.02, 0.5), self._relist)

    def _relist(self) -> None:
        self.relisting = False
        if not self.running or self.watch_broken:
            return
        if self.stands_still or not self.api.reaches(self.pod.node.place):
            if not self.api.outage or not self.listed:
                self.relisting = True
                self.world.after(self.world.chance.uniform(0.5, 5.0), self._relist)
            return
        self.watch_missed = False
        self.listed = True
        if self.pods is None:
            self.pods = ()
        self.hear_lease(self.api.lease_version, self.api.lease, wakes=True)
        for name in [name for name in self.pods_by_name if name not in self.api.pods]:
            self.hear_pod(self.api.version, name, None)
        for name, (version, pod) in self.api.pods.items():
            self.hear_pod(version, name, pod)
        self.hear_set()
        self.wake()

    def hear_lease(self, version: int, record: LeaseRecord | None, *, wakes: bool) -> None:
        """Take in the Lease from the watch or from an answer."""
        self.heard_at = self.clock()
        if version <= self.lease_version:
            return
        before = self.record
        self.lease_version, self.record = version, record
        self.changed_at = self.heard_at
        if self.uncertain_take != _version(record):
            self.uncertain_take = None
        if self.sent and record is not None and record.holder == self.identity:
            sent_at = self.sent.get(self.api.proofs.get(version))
            if sent_at is not None:
                self.renewed_at = max(self.renewed_at or sent_at, sent_at)
                self.sent.clear()
                wakes = True
        if before is not None and record is not None and before.holder == record.holder != "":
            self.renewal_seen = True
        if wakes:
            self.wake()

    def hear_pod(self, version: int, name: str, pod: Pod | None) -> None:
        known = self.pods_by_name.get(name)
        if known is not None and version <= known[0]:
            return
        if pod is not None and pod.taken_out_since is not None:
            before = known[1] if known is not None else None
            seen = before.taken_out_since if before and before.uid == pod.uid else None
            pod = replace(pod, taken_out_since=self.clock() if seen is None else seen)
        self.pods_by_name[name] = (version, pod)
        self.pods = tuple(
            found for _, (_, found) in sorted(self.pods_by_name.items()) if found is not None
        )
        if pod is not None and pod.uid == self.me.uid and pod.deleting and not self.leaving_since:
            self.leaving_since = self.clock()
        self.wake()

    def hear_set(self) -> None:
        if not self.running:
            return
        if not self.api.reaches(self.pod.node.place):
            # It asks again and again, and once it is reached, it knows.
            self.watch_missed = True
            return
        self.wanted, self.paused = self.run.cluster.wanted, self.run.cluster.paused
        self.wake()

    # ── observe ───────────────────────────────────────────────────────────────────────────

    def observe(self, peers: dict[str, Peer] | None = None) -> Observation:
        now = self.clock()
        bootstrap = self._bootstrap(now)
        postgres = self._postgres(now, bootstrap)
        lease = None
        if self.listed:
            self.seen_record = self.record
            version = _version(self.record)
            perhaps: tuple[RenewLease, ...] = ()
            if self.unanswered:
                perhaps = tuple(known for base, known in self.unanswered if base == version)
            lease = _LeaseView(
                self.record,
                self.changed_at,
                self.renewed_at,
                self.renewal_seen,
                self.taken_expired,
                self.heard_at,
                self.excused_at,
                tuple(sorted({name for known in perhaps for name in known.members})),
                tuple((known.voters, known.copies) for known in perhaps),
                self.uncertain_take == version,
            )
        server = self.pod.server
        fork = None
        if server is not None and postgres.state is ServerState.RECOVERY and not server.upstream:
            fork = self._fork(server)
        return _Observation(
            now=now,
            started_at=self.started_at,
            me=self.me,
            lease=lease,
            pods=self.pods if self.listed else None,
            wanted=self.wanted,
            bootstrap=bootstrap,
            postgres=postgres,
            peers=peers,
            complete_peers=self._complete(peers, postgres) if peers else frozenset(),
            paused=self.paused,
            leaving_since=self.leaving_since,
            promised_until=self.promised_until,
            members_heard_at=self.members_heard_at,
            renewal_failed_at=self._renewal_failed_at(),
            api_failed_at=self.api_failed_at,
            question_failed_at=self.question_failed_at,
            fork=fork,
        )

    def _renewal_failed_at(self) -> float | None:
        """As `sidecar.observe`."""
        if self.renewed_at is not None and self.renewed_at >= self.renewal_sent_at:
            self.renewal_failed_at = None
        return self.renewal_failed_at

    def _bootstrap(self, now: float) -> BootstrapView:
        bootstrap, directory = self.pod.bootstrap, self.pod.directory
        if not bootstrap.reported:
            return BootstrapView(data=None, running=True)
        other = self._other_writer(now)
        if other is None:
            directory.beat, directory.owner = (self.me.uid, directory.beat[1] + 1), self
        failures = self.attempts.look(
            bootstrap.session, bootstrap.done_with, bootstrap.failure, now
        )
        key = (
            *(bootstrap, bootstrap.changes, directory.data, directory.broken, directory.returns),
            *(other, failures),
        )
        if self._bootstrap_view is not None and self._bootstrap_view[0] == key:
            return self._bootstrap_view[1]
        present = directory.data in (DataState.PRESENT, DataState.BROKEN)
        view = BootstrapView(
            data=DataState.BROKEN if directory.broken else directory.data,
            running=not bootstrap.done,
            busy=bootstrap.busy,
            failure=bootstrap.failure,
            failures=failures,
            system_identifier=directory.system_identifier if present else None,
            timeline=directory.checkpoint[0] if present else None,
            position=directory.checkpoint[1] if present else None,
            other_writer=other,
            can_rewind=True if present else None,
            rewind_failed=bootstrap.rewind_failed or directory.broken,
            rewound=bootstrap.rewound,
            promoting_from=directory.promoting_from,
            returns=directory.returns,
            reached_data=True,
        )
        self._bootstrap_view = (key, view)
        return view

    def _other_writer(self, now: float) -> str | None:
        directory = self.pod.directory
        beat, owner = directory.beat, directory.owner
        if not beat[0] or beat[0] == self.me.uid:
            self.foreign_beat = None
            return None
        if owner is not None and owner.running and not owner.stands_still:
            # Its heart beats every two seconds, however seldom the fake looks.
            beat = directory.beat = (beat[0], beat[1] + 1)
        if self.foreign_beat is None or self.foreign_beat[0] != beat:
            self.foreign_beat = (beat, now)
        if now - self.foreign_beat[1] > self.settings.ttl:
            self.foreign_beat = None
            return None
        return beat[0]

    def _postgres(self, now: float, bootstrap: BootstrapView) -> PostgresView:
        server = self.pod.server
        if bootstrap.running != self.waits_to_start:
            self.waits_to_start = bootstrap.running
            self.since = self.since if bootstrap.running else now
        if server is None or bootstrap.running:
            return self._no_server(now, bootstrap)
        state = server_state(server, self.world.now)
        if (server.number, state) != self.server_seen:
            if state is not self.server_seen[1]:
                self.since = now
            self.prepared = False
            self.server_seen = (server.number, state)
        if state is ServerState.WRITABLE:
            self.pod.writer = server.number
        alive = server.phase is not Phase.DEAD or server.orphans
        directory = server.directory
        if state is not ServerState.DOWN:
            self._see_what_was_ordered(server)
        self._note_setting(server, now)
        if state is ServerState.DOWN:
            return _PostgresView(
                state,
                self.since,
                alive=alive,
                orphaned=server.orphans,
                has_written=alive and self.pod.writer == server.number,
                progress_at=now if _recovers(server) else None,
                problem="no connection",
                standby_signal=directory.standby_signal,
                checkpointed_at=self.checkpointed_at,
            )
        assert directory.branch is not None
        if state is ServerState.RECOVERY:
            return _PostgresView(
                state,
                self.since,
                has_written=self.pod.writer == server.number,
                system_identifier=directory.system_identifier,
                timeline=directory.branch.number,
                position=directory.position,
                streaming=server.streams,
                lag=max(0, server.lag_told - directory.position) if server.streams else None,
                slots=_slots(directory.slots),
                waits_for=directory.synchronous[0],
                waits_for_number=directory.synchronous[1],
                waits_from=self.waits_from,
                ordered=self._ordered_standbys(),
                detached=directory.upstream == ""
                and server.upstream is None
                and _FOLLOW not in self.outstanding,
                upstream=SERVICE if directory.upstream is None else directory.upstream,
                standby_signal=directory.standby_signal,
            )
        return self._primary(server)

    def _no_server(self, now: float, bootstrap: BootstrapView) -> PostgresView:
        if self.server_seen[1] is not ServerState.DOWN:
            self.server_seen, self.since = (0, ServerState.DOWN), now
        return _PostgresView(
            ServerState.DOWN,
            self.since,
            alive=False,
            standby_signal=self.pod.directory.standby_signal or bootstrap.data is None,
        )

    def _ordered_standbys(self) -> Any:
        order = self.outstanding.get(_SET_SYNCHRONOUS)
        return None if order is None else order[1:]

    def _note_setting(self, server: Server, now: float) -> None:
        """What commits wait for is in force when it has been there for a second."""
        directory = server.directory
        setting = (server.number, directory.synchronous, self.settings_seen)
        if setting != self.setting_seen[0]:
            self.setting_seen, self.waits_from = (setting, now), None
            self.world.after(1.02, self.wake)
        elif self.waits_from is None and now - self.setting_seen[1] >= 1.0:
            self.waits_from = directory.position

    def _see_what_was_ordered(self, server: Server) -> None:
        directory = server.directory
        for name in tuple(self.carried_out):
            order = self.outstanding[name]
            if name == _SET_SYNCHRONOUS:
                seen = directory.synchronous == order[1:]
                self.settings_seen += seen
            else:
                attached = directory.upstream != ""
                seen = attached if order[1] else not (attached or server.upstream)
            if seen or (name == _FOLLOW and server.phase is Phase.WRITABLE):
                self.carried_out.discard(name)
                del self.outstanding[name]

    def _primary(self, server: Server) -> PostgresView:
        directory = server.directory
        assert directory.branch is not None
        heard = None
        followers = []
        for link in server.links.values():
            followers.append(Follower(link.standby.pod.name, link.acknowledged))
            at = self.world.now
            if (
                not self.world.network.both_ways(link.standby.pod.node.place, self.pod.node.place)
                or link.standby.frozen
            ):
                at = link.heard_at
            heard = at if heard is None else max(heard, at)
        unwell = server.unwell_since
        if unwell is not None and unwell < server.writable_since + PROBE_SECONDS:
            # No probe was ever good in this leadership.
            long_enough = self.world.now - server.writable_since > NEVER_WELL_PATIENCE
            unwell = self.world.now - UNWELL_PATIENCE if long_enough else None
        return _PostgresView(
            ServerState.WRITABLE,
            self.since,
            has_written=True,
            system_identifier=directory.system_identifier,
            timeline=directory.branch.number,
            position=directory.position,
            followers=tuple(followers),
            followers_heard_at=None if heard is None else self.offset + self.rate * heard,
            waits_for=directory.synchronous[0],
            waits_for_number=directory.synchronous[1],
            waits_from=self.waits_from,
            ordered=self._ordered_standbys(),
            slots=_slots(directory.slots),
            checkpointed_at=self.checkpointed_at,
            unwell_since=None if unwell is None else self.offset + self.rate * unwell,
            oldest_wal=server.oldest_wal,
            standby_signal=directory.standby_signal,
            prepared=self.prepared,
        )

    def _fork(self, server: Server) -> Fork | None:
        """Ask the primary for its timeline history; numbers only, as PostgreSQL has them."""
        address = self._leader_address()
        if address is None:
            return None
        primary = self.run.cluster.upstream(address, self.pod.node.place)
        mine = server.directory.branch
        if primary is None or primary.phase is not Phase.WRITABLE or mine is None:
            return None
        record = self.record
        if record is None or not record.holder or (record.timeline or 0) <= mine.number:
            return None
        branch = primary.directory.branch
        assert branch is not None
        if branch.number < (record.timeline or 0):
            return None
        while branch.parent is not None:
            if branch.parent.number == mine.number:
                return Fork(mine.number, branch.fork)
            branch = branch.parent
        # Not in the primary's history at all.
        return Fork(mine.number, 0)

    def _complete(self, peers: dict[str, Peer], postgres: PostgresView) -> frozenset[str]:
        directory = self.pod.directory
        writes_none = not postgres.alive or postgres.progress_at is not None
        if postgres.state is not ServerState.DOWN or not writes_none or directory.branch is None:
            return frozenset()
        record = self.record
        if record is None or record.timeline != directory.branch.number:
            return frozenset()
        return frozenset(
            peer.name
            for peer in peers.values()
            if peer.timeline == record.timeline and (peer.position or 0) >= directory.position
        )

    # ── sidecar to sidecar ────────────────────────────────────────────────────────────────

    def _reach(self, name: str, uid: str) -> "Agent | None":
        life = self.run.cluster.pods.get(name)
        if life is None or life.uid != uid or life.agent is None:
            return None
        agent = life.agent
        if not self.world.network.both_ways(self.pod.node.place, life.node.place):
            return None
        return None if agent.stands_still or agent.last is None else agent

    def _ask_peers(self) -> Steps[dict[str, Peer]]:
        asked = [pod for pod in self.pods or () if pod.name != self.me.name]
        found = [(pod.name, self._reach(pod.name, pod.uid)) for pod in asked]
        answers = {name: agent.describe(fresh=True) for name, agent in found if agent is not None}
        yield (
            0.005 if len(answers) == len(asked) else self.world.chance.choice((0.01, PEER_SECONDS))
        )
        if answers:
            self.members_heard_at = self.clock()
        return answers

    def describe(self, *, fresh: bool) -> Peer:
        """What `GET /status` tells: of the last look, with a fresh look at PostgreSQL."""
        assert self.last is not None
        seen, now = self.last, self.clock()
        bootstrap = seen.bootstrap
        postgres = self._postgres(now, bootstrap) if fresh else seen.postgres
        data = bootstrap.data
        return _Peer(
            name=self.me.name,
            has_data=None if data is None else data in (DataState.PRESENT, DataState.BROKEN),
            system_identifier=postgres.system_identifier or bootstrap.system_identifier,
            timeline=postgres.timeline or bootstrap.timeline,
            position=postgres.position or bootstrap.position,
            running=postgres.state is not ServerState.DOWN,
            writable=postgres.state is ServerState.WRITABLE,
            reaches_api=self.listed and now - self.heard_at < self.settings.renew_interval + LATE,
            detached=postgres.detached or not postgres.alive,
            well=not self.pod.directory.full and data is not DataState.BROKEN,
            slow=self.pod.directory.slow,
            oldest_wal=postgres.oldest_wal,
        )

    def promises(self, holder: str, version: int) -> bool:
        """Answer the question whether this holder may stay: it may, for a ttl from now."""
        if self.taking or self.record_refuses(holder, version):
            return False
        self.promised_until = self.clock() + self.settings.ttl
        return True

    def record_refuses(self, holder: str, version: int) -> bool:
        """As `failsafe.refusal`."""
        name, _, uid = holder.partition("_")
        known = self.record.holder if self.record else ""
        is_news = self.record is not None and self.lease_version >= version
        return (
            any(pod.name == name and pod.uid != uid for pod in self.pods or ())
            or known == self.identity
            or (is_news and known != holder)
            or (self.uncertain_take is not None and self.uncertain_take == _version(self.record))
            or (not self.paused and self._should_lead_in_place_of(holder))
        )

    def _should_lead_in_place_of(self, holder: str) -> bool:
        lease = LeaseView(self.record, changed_at=0.0, heard_at=self.heard_at)
        pods, now = self.pods or (), self.clock()
        return bool(should_give_way(holder, self.settings.ttl, self.me, lease, pods, now=now))

    # ── act ───────────────────────────────────────────────────────────────────────────────

    def _carry_out(self, actions: tuple[Action, ...]) -> Steps[None]:
        recording = self.world.transcript is not None
        for action in actions:
            if self.freeze_before is not None and self._freezes(type(action).__name__):
                yield 0.001
            if self.clock() > self.act_before and isinstance(action, Promote | SetRole):
                self._note(f"too late for {type(action).__name__}")
                return
            if recording and not _is_mere_renewal(action, self.record):
                self._note(_words(action))
            try:
                yield from _HANDS[type(action)](self, action)
            except ApiError as error:
                self._note(f"{type(action).__name__} failed: {error}")
                return

    def _note(self, what: str) -> None:
        if what not in self.noted:
            self.noted.add(what)
            self.world.note(self.pod.name, f"    {what}")

    def _write(self, record: LeaseRecord) -> Steps[None]:
        sent_at = self.clock()
        api = self.api
        proof = object()
        self.sent[proof] = sent_at
        try:
            written = yield from api.write(self, lambda: api.put_lease(record, proof))
        except RefusedError:
            self.heard_at = self.clock()
            raise
        except ConflictError:
            self.heard_at = self.clock()
            written = None
            seen = self.seen_record
            held = seen is not None and seen.holder == record.holder == self.identity
            with contextlib.suppress(ApiError):
                version, present = yield from api.request(
                    self, lambda: (api.lease_version, api.lease)
                )
                if present is not None:
                    self.hear_lease(version, present, wakes=True)
                elif held:
                    anew = replace(record, resource_version="")
                    written = yield from api.request(self, lambda: api.put_lease(anew))
            if written is None:
                raise
        self.renewed_at = sent_at
        self.sent.clear()
        old = self.record
        news = old is None or not same_but_for_time(old, written)
        self.hear_lease(int(written.resource_version), written, wakes=news)

    def _take(self, action: TakeLease) -> Steps[None]:
        old, newest = self.seen_record, self.record
        released = newest is not None and not newest.holder
        if self.promised_until is not None and self.clock() < self.promised_until and not released:
            raise ConflictError("the holder was promised to go on")
        if old is not None and old.holder and self.clock() - self.changed_at <= old.ttl:
            raise ConflictError("the Lease is held and not expired")
        self.taking = True
        record = old or LeaseRecord("", 0, "")
        taken = replace(
            record,
            holder=self.identity,
            ttl=self.settings.ttl,
            transitions=record.transitions + 1,
            heir=None,
            voters=action.voters,
            copies=action.copies,
        )
        self.excused_at = None
        self.taken_expired = action.expired
        try:
            yield from self._write(taken)
        except UnansweredError:
            self.uncertain_take = record.resource_version
            raise
        finally:
            self.taking = False

    def _renew(self, known: RenewLease) -> Steps[None]:
        old = self.seen_record
        if old is None:
            return
        if old.holder != self.identity:
            raise ConflictError("the Lease is another's by now")
        history = old.history
        if known.timeline is not None and known.timeline != old.timeline:
            history = (*history, Leadership(known.timeline, self.me.name, ""))[-10:]
        record = _LeaseRecord(
            old.holder,
            self.settings.ttl,
            old.resource_version,
            known.system_identifier,
            known.timeline,
            known.members,
            history,
            old.transitions,
            known.position,
            known.voters,
            known.copies,
            known.heir,
            known.switchover_to,
        )
        self.renewal_sent_at = self.clock()
        try:
            yield from self._write(record)
        except ApiError as error:
            holds = self.record is not None and self.record.holder == self.identity
            is_news = isinstance(error, ConflictError) and not holds
            self.renewal_failed_at = None if is_news else self.clock()
            self.api_failed_at = self.renewal_failed_at or self.api_failed_at
            if isinstance(error, UnansweredError):
                base, said = old.resource_version, replace(known, position=None)
                still = [entry for entry in self.unanswered if entry[0] == base]
                if (base, said) not in still:
                    still.append((base, said))
                self.unanswered = still
            raise
        self.renewal_failed_at = None

    def _release(self, action: ReleaseLease) -> Steps[None]:
        record = self.record
        if record is not None and record.holder == self.identity:
            yield from self._write(replace(record, holder="", heir=action.heir))
            self.renewed_at = self.excused_at = None
            self.sent.clear()

    def _ask_to_stay(self, action: AskToStay) -> Steps[None]:
        record = self.seen_record = self.record
        if record is None:
            return
        asked_at = self.clock()
        known = {pod.name: pod.uid for pod in self.pods or ()}
        network, place = self.world.network, self.pod.node.place
        yes = heard = 0
        for name in action.members:
            life = self.run.cluster.pods.get(name)
            if life is None or life.uid != known.get(name) or life.agent is None:
                continue
            agent = life.agent
            if not network.both_ways(place, life.node.place) or agent.stands_still:
                continue
            heard += 1
            promised = agent.promises(record.holder, int(record.resource_version))
            # The answer to the second of two requests may be lost.
            yes += promised and self.world.chance.random() > self.api.loss
        yield 0.005 if heard == len(action.members) else PEER_SECONDS
        if heard:
            self.members_heard_at = self.clock()
            self.question_failed_at = None
        else:
            self.question_failed_at = self.clock()
        if yes == len(action.members):
            self.excused_at = asked_at

    def _refuse(self, _: Refuse) -> Steps[None]:
        yield from self.api.request(self, _nothing)

    def _set_role(self, action: SetRole) -> Steps[None]:
        api = self.api
        version, pod = yield from api.request(
            self, lambda: api.set_role(action.pod, action.uid, action.value)
        )
        self.hear_pod(version, pod.name, pod)

    def _delete_own_pod(self, action: DeleteOwnPod) -> Steps[None]:
        if action.reclone:
            self.pod.directory.broken = True
        api = self.api
        yield from api.request(self, lambda: api.delete_pod(self.me.name, self.me.uid))
        if action.returns is not None:
            self.pod.directory.returns = action.returns

    def _forget_returns(self, _: ForgetReturns) -> Steps[None]:
        self.pod.directory.returns = 0
        yield 0.001

    def _order(self, verb: str, holder: str = "") -> Steps[None]:
        bootstrap = self.pod.bootstrap
        bootstrap.order(verb)
        self.attempts.begun(bootstrap.session, bootstrap.number, verb, holder)
        yield 0.002

    def _copy(self, verb: str, system_identifier: str) -> Steps[None]:
        """Ask the primary first; it takes a moment, and a moment more where it is silent."""
        address = self._leader_address()
        holder = self.record.holder if self.record else ""
        primary = self.run.cluster.upstream(address, self.pod.node.place)
        if primary is None or primary.directory.system_identifier != system_identifier:
            yield self.world.chance.choice((0.01, 0.5, 2.0))
            self.attempts.refused(verb, holder, "the primary cannot be reached", self.clock())
            return
        yield 0.01
        self.pod.bootstrap.address = address
        yield from self._order(verb, holder)

    def _server(self) -> Server | None:
        """The server, if its connection works."""
        server = self.pod.server
        if server is None or server.frozen or server.phase is Phase.DEAD:
            return None
        return server

    def _promote(self, action: Promote) -> Steps[None]:
        if self.renewed_at is None:
            return
        # The Lease may have been taken in this very turn, when there was no deadline yet.
        right = self.renewed_at + self.settings.ttl * (1 - FENCING_SHARE)
        self.act_before = min(self.act_before, right)
        self.pod.directory.promoting_from = action.from_timeline
        self.pod.bootstrap.changes += 1
        server = self._server()
        if server is not None:
            self.pod.writer = server.number
        if server is not None and server.phase is Phase.RECOVERY:
            self.world.after(0.005, self._pg_promote, server)
        yield 0.005

    def _attach(self, action: Attach) -> Steps[None]:
        yield from self._follow_whom(action.address)

    def _detach(self, _: Detach) -> Steps[None]:
        yield from self._follow_whom("")

    def _leader_address(self) -> str | None:
        holder = self.record.holder if self.record else ""
        for pod in self.pods or ():
            if f"{pod.name}_{pod.uid}" == holder != self.identity:
                return pod.ip
        return None

    def _start_postgres(self, _: StartPostgres) -> Steps[None]:
        self.pod.directory.upstream = self._leader_address()
        yield from self._order("start")

    def _follow_whom(self, address: str) -> Steps[None]:
        yield 0.002
        self._give_order(_FOLLOW, address)

    def _forget_promotion(self, _: ForgetPromotion) -> Steps[None]:
        self.pod.directory.promoting_from = None
        self.pod.bootstrap.changes += 1
        yield 0.001

    def _pg_promote(self, server: Server) -> None:
        if not self.stands_still and self.clock() <= self.act_before:
            server.promote()

    def _prepare_primary(self, _: PreparePrimary) -> Steps[None]:
        yield 0.01
        server = self._server()
        if server is not None and server.phase is Phase.WRITABLE:
            server.directory.prepared = self.prepared = True

    def _set_synchronous(self, action: SetSynchronous) -> Steps[None]:
        yield 0.001
        number = min(action.number, len(action.members))
        self._give_order(_SET_SYNCHRONOUS, action.members if number else (), number)

    # ── orders to PostgreSQL, as Background ───────────────────────────────────────────────

    def _give_order(self, name: str, *what: object) -> None:
        order = (name, *what)
        self.outstanding[name] = order
        self.carried_out.discard(name)
        if order == self.order_under_way:
            self.orders.pop(name, None)
        else:
            self.orders[name] = order
        if self.order_under_way is None:
            self._begin_order()

    def _begin_order(self) -> None:
        if not self.orders:
            self.order_under_way = None
            return
        self.order_under_way = order = self.orders.pop(next(iter(self.orders)))
        seconds = self.run.seconds_of_an_order()
        self.world.after(seconds, self._carry_order_out, order, self._server())

    def _carry_order_out(self, order: Any, server: Server | None) -> None:
        """Each is a reload: what it changes may show a moment later."""
        there = server is not None and server is self._server()
        if there and server is not None:
            if order[0] == _SET_SYNCHRONOUS:
                server.set_synchronous(*order[1:])
            else:
                seconds = self.world.chance.uniform(0.01, 0.2)
                self.world.after(seconds, server.follow, order[1])
        if not self.running:
            return
        name = order[0]
        if there and self.outstanding.get(name) == order and name not in self.orders:
            self.carried_out.add(name)
        self._begin_order()
        if name == _SET_SYNCHRONOUS:
            self.wake()

    def _keep_slots(self, action: KeepSlots) -> Steps[None]:
        yield 0.01
        server = self._server()
        if server is not None:
            used = {name for name in server.directory.slots if name in server.links}
            server.directory.slots = tuple(sorted({*action.members, *used}))

    def _checkpoint(self, _: Checkpoint) -> Steps[None]:
        server = self._server()
        if server is not None:
            self.world.after(
                self.world.chance.uniform(0.05, 1.5), self._checkpointed, server, self.clock()
            )
        yield 0.001

    def _checkpointed(self, server: Server, _: float) -> None:
        if self.running and server is self._server():
            server.checkpointed = self.world.now
            self.checkpointed_at = self.clock()
            self.wake()

    def _stop_postgres(self, action: StopPostgres) -> Steps[None]:
        server = self.pod.server
        if server is not None:
            server.stop(signal.Signals(action.signal))
        yield 0.001

    def _put_standby_signal(self, _: PutStandbySignal) -> Steps[None]:
        self.pod.directory.standby_signal = True
        yield 0.001


def _recovers(server: Server) -> bool:
    return server.phase is Phase.STARTING and not server.directory.spoiled and not server.frozen


@functools.cache
def _slots(members: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(contract.slot_name(member) for member in members)


def _version(record: LeaseRecord | None) -> str:
    return record.resource_version if record else ""


def _nothing() -> None:
    """Any request that changes nothing of ours."""


_HANDS: Final[dict[type, Callable[[Agent, Any], Steps[None]]]] = {
    TakeLease: Agent._take,
    RenewLease: Agent._renew,
    ReleaseLease: Agent._release,
    AskToStay: Agent._ask_to_stay,
    Refuse: Agent._refuse,
    RunInitdb: lambda agent, _: agent._order("initdb"),
    Clone: lambda agent, action: agent._copy("clone", action.system_identifier),
    Rewind: lambda agent, action: agent._copy("rewind", action.system_identifier),
    Reclone: lambda agent, action: agent._copy("reclone", action.system_identifier),
    DeleteOwnPod: Agent._delete_own_pod,
    StartPostgres: Agent._start_postgres,
    Promote: Agent._promote,
    ForgetPromotion: Agent._forget_promotion,
    ForgetReturns: Agent._forget_returns,
    Attach: Agent._attach,
    Detach: Agent._detach,
    PutStandbySignal: Agent._put_standby_signal,
    PreparePrimary: Agent._prepare_primary,
    SetSynchronous: Agent._set_synchronous,
    KeepSlots: Agent._keep_slots,
    Checkpoint: Agent._checkpoint,
    StopPostgres: Agent._stop_postgres,
    SetRole: Agent._set_role,
}


def _is_mere_renewal(action: Action, record: LeaseRecord | None) -> bool:
    return (
        isinstance(action, RenewLease)
        and record is not None
        and (action.timeline, action.members, action.voters, action.copies, action.heir)
        == (record.timeline, record.members, record.voters, record.copies, record.heir)
    )


def _words(action: Action) -> str:
    """The action without what is empty, for the transcript."""
    fields = [
        f"{name}={value if not isinstance(value, signal.Signals) else value.name}"
        for name in action.__slots__
        if (value := getattr(action, name)) not in (None, (), 0)
    ]
    return f"{type(action).__name__}({', '.join(fields)})"
