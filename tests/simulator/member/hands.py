"""Carries decisions out on the fakes, as `sidecar.act` does on the world."""

import errno
import os
import signal
from collections.abc import Callable
from dataclasses import fields
from typing import Any, Final

from sidecar.action import (
    NEED_AUTHORITY,
    Action,
    AnswerFailover,
    AskToStay,
    Attach,
    Checkpoint,
    Clone,
    DeleteOwnPod,
    Detach,
    ForgetPromotion,
    ForgetReturns,
    KeepSlots,
    LeaveAlone,
    MarkForReclone,
    NotePromotedByHand,
    PreparePrimary,
    Promote,
    PutStandbySignal,
    Reclone,
    Refuse,
    RefuseReinit,
    ReleaseLease,
    RemoveStandbySignal,
    RenewLease,
    Rewind,
    RunInitdb,
    SetRole,
    SetSynchronous,
    StartPostgres,
    StopPostgres,
    TakeLease,
    TellSet,
    is_left_undone,
)
from sidecar.deadlines import promotes_until
from sidecar.memory.orders import FOLLOW, SET_SYNCHRONOUS
from sidecar.patiently import WRITE_SECONDS
from tests.simulator.kubernetes.api_server import (
    ApiError,
    Steps,
    UnansweredError,
)
from tests.simulator.member.lease_hands import LeaseHands
from tests.simulator.member.member import Member
from tests.simulator.member.orders import PROMOTE, OrderConnection
from tests.simulator.member.peers import Peers
from tests.simulator.member.views import Views
from tests.simulator.member.watch import Watch
from tests.simulator.postgres.phase import Phase
from tests.simulator.postgres.server import Server

_CHECKPOINT: Final = (0.05, 1.5)
_MAY_BE_REFUSED: Final = (StopPostgres, PutStandbySignal)
"""The rest is done all the same, but for a release and a promotion."""


class Hands:
    """What one member does."""

    def __init__(
        self, member: Member, watch: Watch, views: Views, orders: OrderConnection, peers: Peers
    ) -> None:
        self._member = member
        self._world = member.world
        self._api = member.api
        self._pod = member.pod
        self._watch = watch
        self._views = views
        self._orders = orders
        self.lease = LeaseHands(member, watch, peers)
        self.freezes_before: Callable[[str], bool] = lambda _: False
        """Whether to stand still before an action of this name."""
        self.note: Callable[[str], None] = lambda _: None
        """One line of the transcript about what is done."""

    def carry_out(self, actions: tuple[Action, ...]) -> Steps[None]:
        """As `sidecar.act`: one after another; the first that fails ends it, but for a signal and
        a label."""
        member, recording = self._member, self._world.transcript is not None
        refused = unheard = False
        for action in actions:
            if is_left_undone(action, refused=refused, unheard=unheard):
                continue
            if self.freezes_before(type(action).__name__):
                yield 0.001
            late = member.clock() > member.deadlines.authority_ends_at
            if late and isinstance(action, NEED_AUTHORITY):
                self.note(f"too late for {type(action).__name__}")
                return
            if recording and not self._is_mere_renewal(action):
                self.note(_in_words(action))
            try:
                yield from _HANDS[type(action)](self, action)
                if isinstance(action, TakeLease):
                    self._hold_until_its_end()
            except (ApiError, OSError) as error:
                self.note(f"{type(action).__name__} failed: {error}")
                unheard = isinstance(error, UnansweredError)
                goes_on = isinstance(error, OSError) and isinstance(action, _MAY_BE_REFUSED)
                refused = refused or goes_on
                if not (goes_on or isinstance(action, SetRole)):
                    return

    def _hold_until_its_end(self) -> None:
        """What follows in the turn needs the Lease that was taken in it."""
        member, until = self._member, promotes_until(self._watch.peek(), self._member.settings.ttl)
        if until is not None:
            ends_at = min(member.deadlines.authority_ends_at, until)
            member.deadlines.authority_ends_at = ends_at

    def _change_volume(self, *, grows: bool = False) -> Steps[None]:
        """Wait for the volume, before something is changed there. Raises OSError."""
        if self._pod.volume_hangs:
            # A second call is not begun while the first one hangs.
            yield 0.001 if self._views.directory.is_silent else WRITE_SECONDS
            raise TimeoutError("the volume does not answer")
        if grows and self._pod.directory.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _is_mere_renewal(self, action: Action) -> bool:
        lease = self._watch.peek()
        record = lease.record if lease else None
        return (
            isinstance(action, RenewLease)
            and record is not None
            and (action.timeline, action.members, action.voters, action.copies, action.heir)
            == (record.timeline, record.members, record.voters, record.copies, record.heir)
        )

    # ── pods and Events ───────────────────────────────────────────────────────────────────

    def refuse(self, _: Refuse | TellSet) -> Steps[None]:
        yield from self._api.request(self._pod.agent, lambda: None)

    def refuse_reinit(self, action: RefuseReinit) -> Steps[None]:
        yield from self._api.request(self._pod.agent, lambda: None)
        self._member.pods.reinit_is_answered(self._member.me.uid, action.value)
        self._watch.look_at_pods()

    def answer_failover(self, action: AnswerFailover) -> Steps[None]:
        if action.refusal is not None:
            yield from self._api.request(self._pod.agent, lambda: None)
        self._member.pods.failover_is_answered(self._member.me.uid, action.value)
        self._watch.look_at_pods()

    def set_role(self, action: SetRole) -> Steps[None]:
        api = self._api
        version, pod = yield from api.label(
            self._pod.agent, lambda: api.set_role(action.pod, action.uid, action.value)
        )
        self._watch.hear_pod(version, pod.name, pod)

    def delete_own_pod(self, action: DeleteOwnPod) -> Steps[None]:
        directory, me, api = self._pod.directory, self._member.me, self._api
        if action.reclone and action.wish is None:
            yield from self._change_volume()
            directory.broken = True
        yield from api.request(self._pod.agent, lambda: api.delete_pod(me.name, me.uid))
        if action.wish is not None:
            yield from self.mark_as_wished(action.wish)
        if action.returns is not None:
            yield from self._change_volume(grows=True)
            directory.returns = action.returns

    def mark_as_wished(self, wish: str) -> Steps[None]:
        yield from self._change_volume()
        self._pod.directory.broken = True
        self._member.pods.reinit_is_answered(self._member.me.uid, wish)
        self._watch.look_at_pods()

    # ── bootstrap ─────────────────────────────────────────────────────────────────────────

    def order(self, verb: str, holder: str = "") -> Steps[None]:
        bootstrap = self._pod.bootstrap
        bootstrap.order(verb)
        self._member.attempts.begun(bootstrap.session, bootstrap.number, verb, holder)
        yield 0.002

    def copy(self, verb: str, system_identifier: str) -> Steps[None]:
        """Ask the primary first; it takes a moment, and a moment more where it is silent."""
        member, address = self._member, self._views.leader_address()
        holder = self._watch.holder()
        primary = self._pod.upstream(address)
        if primary is None or primary.directory.system_identifier != system_identifier:
            yield self._world.chance.choice((0.01, 0.5, 2.0))
            why = "the primary cannot be reached"
            member.attempts.refused(verb, holder, why, member.clock())
            raise ConnectionError(why)
        yield 0.01
        self._pod.bootstrap.address = address
        yield from self.order(verb, holder)

    def start_postgres(self, action: StartPostgres) -> Steps[None]:
        verb, member = "start-writable" if action.writable else "start", self._member
        try:
            yield from self._change_volume(grows=True)
        except OSError as error:
            member.attempts.refused(verb, "", str(error), member.clock())
            raise
        self._pod.directory.upstream = "" if action.detached else self._views.leader_address()
        self._pod.directory.uses_slot = True
        raised = dict(action.raised).get("max_connections")
        self._pod.directory.raised = 0 if raised is None else int(raised)
        yield from self.order(verb)

    def put_standby_signal(self, _: PutStandbySignal) -> Steps[None]:
        yield from self._change_volume()
        self._pod.directory.standby_signal, self._pod.directory.held = True, False
        yield 0.001

    def remove_standby_signal(self, _: RemoveStandbySignal) -> Steps[None]:
        yield from self._change_volume()
        self._pod.directory.standby_signal = self._pod.directory.held = False
        self._pod.directory.raised = 0
        yield 0.001

    def forget_promotion(self, _: ForgetPromotion) -> Steps[None]:
        yield from self._change_volume()
        directory = self._pod.directory
        directory.promoting_from = directory.promoted_by_hand_at = None
        directory.drop_hold()
        self._pod.bootstrap.changes += 1
        yield 0.001

    def note_promoted_by_hand(self, action: NotePromotedByHand) -> Steps[None]:
        yield from self._change_volume(grows=True)
        directory = self._pod.directory
        if action.from_timeline == action.timeline:
            directory.promoting_from, directory.promoted_by_hand_at = action.timeline - 1, None
        elif directory.promoting_from is None or directory.promoted_by_hand_at is not None:
            directory.promoting_from = action.from_timeline
            directory.promoted_by_hand_at = directory.left_at(action.from_timeline)
        self._pod.bootstrap.changes += 1
        yield 0.001

    def forget_returns(self, _: ForgetReturns) -> Steps[None]:
        yield from self._change_volume()
        self._pod.directory.returns = None
        yield 0.001

    # ── PostgreSQL ────────────────────────────────────────────────────────────────────────

    def promote(self, action: Promote) -> Steps[None]:
        member, directory = self._member, self._pod.directory
        until = promotes_until(self._watch.peek(), member.settings.ttl)
        if until is None:
            return
        holds = member.parts.holds_the_next_start and not directory.held
        yield from self._change_volume(grows=holds or directory.promoting_from is None)
        deadline = min(member.deadlines.authority_ends_at, until)
        if directory.promoting_from is None:
            directory.promoting_from = action.from_timeline
        directory.promoted_by_hand_at = None
        directory.held = directory.held or holds
        self._pod.bootstrap.changes += 1
        server = self._pod.server
        if server is not None and server.phase is not Phase.DEAD:
            self._pod.writer = server.number

        def promote(server: Server) -> None:
            if not member.stands_still and member.clock() < deadline:
                server.promote()

        member.server.asked_to_be_promoted(member.clock())
        self._orders.give(PROMOTE, promote)
        yield 0.001

    def prepare_primary(self, _: PreparePrimary) -> Steps[None]:
        since = self._member.server.since

        def prepare(server: Server) -> None:
            if server.phase is Phase.WRITABLE:
                server.directory.prepared = True
                self._member.server.was_prepared(since)

        self._orders.give(("prepare",), prepare)
        yield 0.001

    def set_synchronous(self, action: SetSynchronous) -> Steps[None]:
        members, number = action.members, min(action.number, len(action.members))

        def set_synchronous(server: Server) -> None:
            server.sender.set_synchronous(members if number else (), number)

        self._orders.give((SET_SYNCHRONOUS, members, number), set_synchronous)
        yield 0.001

    def attach(self, action: Attach) -> Steps[None]:
        # The password that it replicates by is left on the volume.
        yield from self._change_volume()
        yield from self.follow(action.address, by_slot=action.by_slot)

    def follow(self, address: str, *, by_slot: bool = True) -> Steps[None]:
        self._orders.give(
            (FOLLOW, bool(address)),
            lambda server: self._orders.follow_soon(server, address, by_slot=by_slot),
        )
        yield 0.002

    def keep_slots(self, action: KeepSlots) -> Steps[None]:
        def keep_slots(server: Server) -> None:
            used = {name for name in server.directory.slots if name in server.links}
            server.directory.slots = tuple(sorted({*action.members, *used}))

        self._orders.give(("keep-slots", *action.members), keep_slots)
        yield 0.001

    def checkpoint(self, _: Checkpoint) -> Steps[None]:
        server = self._member.postgres()
        if server is not None:
            self._world.after(self._world.chance.uniform(*_CHECKPOINT), self._checkpointed, server)
        yield 0.001

    def _checkpointed(self, server: Server) -> None:
        if self._pod.volume_hangs:
            self._world.after(1.0, self._checkpointed, server)
        elif self._member.running and server is self._member.postgres():
            server.checkpointed = self._world.now
            self._member.checkpointed_at = self._member.clock()
            if self._pod.agent is not None:
                self._pod.agent.wake()

    def stop_postgres(self, action: StopPostgres) -> Steps[None]:
        server = self._pod.server
        if server is not None and self._pod.takes_no_signals:
            raise PermissionError("PostgreSQL takes no signals from the sidecar")
        if server is not None:
            server.stop(signal.Signals(action.signal))
        yield 0.001


_HANDS: Final[dict[type, Callable[[Hands, Any], Steps[None]]]] = {
    TakeLease: lambda hands, action: hands.lease.take(action),
    RenewLease: lambda hands, action: hands.lease.renew(action),
    ReleaseLease: lambda hands, action: hands.lease.release(action.heir, action.lives),
    AskToStay: lambda hands, action: hands.lease.ask_to_stay(action),
    Refuse: Hands.refuse,
    RefuseReinit: Hands.refuse_reinit,
    TellSet: Hands.refuse,
    AnswerFailover: Hands.answer_failover,
    SetRole: Hands.set_role,
    DeleteOwnPod: Hands.delete_own_pod,
    MarkForReclone: lambda hands, action: hands.mark_as_wished(action.value),
    RunInitdb: lambda hands, _: hands.order("initdb"),
    Clone: lambda hands, action: hands.copy("clone", action.system_identifier),
    Rewind: lambda hands, action: hands.copy("rewind", action.system_identifier),
    Reclone: lambda hands, action: hands.copy("reclone", action.system_identifier),
    StartPostgres: Hands.start_postgres,
    LeaveAlone: lambda hands, _: hands.order("leave"),
    Promote: Hands.promote,
    ForgetReturns: Hands.forget_returns,
    ForgetPromotion: Hands.forget_promotion,
    NotePromotedByHand: Hands.note_promoted_by_hand,
    PreparePrimary: Hands.prepare_primary,
    SetSynchronous: Hands.set_synchronous,
    Detach: lambda hands, _: hands.follow(""),
    Attach: Hands.attach,
    KeepSlots: Hands.keep_slots,
    Checkpoint: Hands.checkpoint,
    PutStandbySignal: Hands.put_standby_signal,
    RemoveStandbySignal: Hands.remove_standby_signal,
    StopPostgres: Hands.stop_postgres,
}
"""One for each action: `tests/simulator/test_completeness.py` sees that none is forgotten."""


def _in_words(action: Action) -> str:
    """The action for the transcript, without what is as it mostly is."""
    words = []
    for field in fields(action):
        value = getattr(action, field.name)
        if field.repr and value != field.default:
            said = value.name if isinstance(value, signal.Signals) else value
            words.append(f"{field.name}={said}")
    return f"{type(action).__name__}({', '.join(words)})"
