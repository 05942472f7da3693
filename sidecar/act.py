"""Carries a decision out, action by action, in its order; the first that fails ends it, but for a
signal and a label: where those are refused, the rest is all that is left to be done."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from sidecar.action import (
    NEED_AUTHORITY,
    Action,
    AnswerFailover,
    AskToStay,
    Attach,
    Attention,
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
from sidecar.adapters import Adapters, leader_address, wanted_password
from sidecar.contract import slot_name
from sidecar.deadlines import promotes_until
from sidecar.kube.client import ApiError, ConflictError
from sidecar.kube.events import Events
from sidecar.pledges import PledgedError
from sidecar.postgres import process
from sidecar.postgres.configuration import (
    conninfo,
    password_file_line,
    primary_conninfo,
    primary_parameters,
    standby_settings,
)
from sidecar.postgres.control_data import read_major_version
from sidecar.postgres.primary_queries import UpstreamError, identify
from sidecar.postgres.replication_role import WITHOUT_REPLICAS

_IN_WORDS: Final[dict[type, str]] = {
    TakeLease: "taking the Lease",
    RenewLease: "renewing the Lease",
    ReleaseLease: "releasing the Lease",
    SetRole: "setting a pod's role label",
    DeleteOwnPod: "deleting this pod",
}
"""For operators, who read it in the status and in the log."""

_TELLS_AGAIN: Final = 10.0
"""Seconds after which an Event is tried again that the API server did not take."""


class Actor:
    """Carries out decisions for one member."""

    def __init__(
        self,
        adapters: Adapters,
        events: Events,
        *,
        on_excuse: Callable[[float], None] = lambda _: None,
    ) -> None:
        """Act through these adapters.

        `on_excuse` is told at once when all members let this holder stay, and when they were asked:
        what comes after it in a turn may take seconds.
        """
        self._adapters = adapters
        self._on_excuse = on_excuse
        self._events = events
        self._untold: dict[str, TellSet] = {}
        """By reason: what the API server has not taken yet. What it says may be seen only once."""
        self._tells_again_at = float("-inf")

    def carry_out(self, actions: tuple[Action, ...], deadline: float) -> str | None:
        """Return None, or one sentence about the action that failed. An action that fails ends the
        turn, and is decided again at the next look. The exceptions:

        * After a signal that was refused, or a standby.signal that could not be put, the rest is
          done: a renewal keeps the Lease from whoever would write beside this server, and the pod's
          deletion lets the kubelet stop it. But the Lease is kept, and nothing is promoted.
        * After a label that was refused, by a policy of the cluster's, say, the rest is done: a
          label is for clients, and gives no right.
        * After a label to which nobody has answered, only that is done which needs no answer: a
          webhook that judges pods may be gone with the node that the takeover is about.

        After `deadline` (on the adapters' clock) the right to lead may be another's: this process
        may have been frozen since it looked. What the API server does not check itself isn't done
        then.
        """
        again = self._adapters.clock() >= self._tells_again_at
        untold = tuple(self._untold.values()) if again else ()
        self._untold |= {it.reason: it for it in actions if isinstance(it, TellSet)}
        # Whatever was not told is tried again as the last of a turn.
        new = tuple(it for it in untold if self._untold[it.reason] is it)
        refused: str | None = None
        unlabelled: str | None = None
        unheard = False
        for action in (*actions, *new):
            if is_left_undone(action, refused=refused is not None, unheard=unheard):
                continue
            if self._adapters.clock() > deadline and isinstance(action, NEED_AUTHORITY):
                return f"too late for {type(action).__name__}: looking again first"
            try:
                self._carry_out(action, deadline)
                deadline = self._deadline_after(action, deadline)
            except ApiError as error:
                doing = _IN_WORDS.get(type(action), type(action).__name__)
                failure = f"{doing} failed: the API server refused it, or did not answer: {error}"
                if isinstance(action, SetRole):
                    unlabelled, unheard = unlabelled or failure, not error.answered
                    continue
                return failure if refused is None else f"{refused}; {failure}"
            except (UpstreamError, PledgedError) as error:
                copying = isinstance(error, UpstreamError)
                return f"the primary cannot be copied: {error}" if copying else str(error)
            except Exception as error:
                # Whatever it is, it must not end the loop, which would not renew, nor fence.
                said = error if isinstance(error, OSError) else repr(error)
                failure = f"{type(action).__name__} did not succeed: {said}"
                # Neither may keep a signal, or the renewal, from being sent.
                if not isinstance(action, StopPostgres | PutStandbySignal):
                    return failure
                refused = failure
        return refused or unlabelled

    def _carry_out(self, action: Action, deadline: float) -> None:  # noqa: C901, PLR0912, PLR0915 - flat
        adapters = self._adapters
        match action:
            case TakeLease():
                self._take(action)
            case RenewLease():
                self._renew(action)
            case ReleaseLease():
                adapters.lease.release(action.heir, action.lives)
            case AskToStay():
                self._ask_to_stay(action)
            case Refuse():
                self._events.record(action.reason, action.sentence, Attention.WARNING)
            case RefuseReinit():
                self._events.record("ReinitRefused", action.sentence, Attention.WARNING)
                adapters.pods.reinit_is_answered(adapters.me, action.value)
            case AnswerFailover():
                if action.refusal is not None:
                    self._events.record("FailoverRefused", action.refusal, Attention.WARNING)
                adapters.pods.failover_is_answered(adapters.me, action.value)
            case TellSet():
                self._tell_set(action)
            case SetRole():
                adapters.pods.set_role(action)
            case DeleteOwnPod():
                self._delete_own_pod(action)
            case MarkForReclone():
                self._mark_as_wished(action.value)
            case RunInitdb():
                adapters.bootstrap.order("initdb")
            case Clone():
                self._copy("clone", action.system_identifier)
            case Rewind():
                self._copy("rewind", action.system_identifier)
            case Reclone():
                self._copy("reclone", action.system_identifier)
            case LeaveAlone():
                adapters.bootstrap.order("leave")
            case StartPostgres():
                self._start(action)
            case Promote():
                self._promote(action, deadline)
            case ForgetReturns():
                adapters.bootstrap.forget_returns()
            case ForgetPromotion():
                adapters.bootstrap.forget_promotion()
            case NotePromotedByHand():
                adapters.bootstrap.note_promotion_by_hand(action.from_timeline, action.timeline)
            case PreparePrimary():
                adapters.server.prepare(wanted_password(adapters))
            case SetSynchronous():
                adapters.server.set_synchronous(action.members, action.number)
            case Detach():
                adapters.server.follow("")
            case Attach():
                settings, me = adapters.settings, adapters.me.name
                adapters.way_in.leave(adapters.pods.observe())
                version = self._major_version()
                adapters.server.follow(
                    primary_conninfo(settings, me, action.address, major_version=version),
                    slot_name(me) if action.by_slot else "",
                )
            case KeepSlots():
                physical = [slot_name(member) for member in action.members]
                adapters.server.keep_slots(physical, action.replaced)
            case Checkpoint():
                adapters.server.checkpoint()
            case PutStandbySignal():
                adapters.bootstrap.put_standby_signal()
            case RemoveStandbySignal():
                adapters.bootstrap.remove_standby_signal()
            case StopPostgres():
                process.send(self._data_directory(), action.signal)

    def _tell_set(self, action: TellSet) -> None:
        self._tells_again_at = self._adapters.clock() + _TELLS_AGAIN
        about = self._adapters.pods.statefulset()
        self._events.record(action.reason, action.sentence, Attention.WARNING, about=about)
        self._untold.pop(action.reason, None)

    def _deadline_after(self, action: Action, deadline: float) -> float:
        """A turn that takes the Lease begins without a deadline: this member holds nothing yet."""
        if not isinstance(action, TakeLease):
            return deadline
        until = promotes_until(self._adapters.lease.peek(), self._adapters.settings.ttl)
        return deadline if until is None else min(deadline, until)

    def _promote(self, action: Promote, deadline: float) -> None:
        adapters = self._adapters
        until = promotes_until(adapters.lease.peek(), adapters.settings.ttl)
        if until is None:
            return
        restores = adapters.server.restores
        adapters.bootstrap.note_promotion(action.from_timeline, restores=restores)
        # A promotion may take its time: from now on this server counts as one that may write.
        pid = process.postmaster_pid(self._data_directory())
        if pid is not None:
            adapters.writers.remember(pid)
        adapters.server.promote(deadline=min(deadline, until))

    def _take(self, action: TakeLease) -> None:
        with self._adapters.pledges.taking(self._adapters.lease.peek()):
            self._adapters.lease.take(action)

    def _renew(self, action: RenewLease) -> None:
        adapters, reach = self._adapters, self._adapters.reach
        reach.renewal_is_sent(adapters.clock())
        try:
            adapters.lease.renew(action)
        except Exception as error:
            conflict = isinstance(error, ConflictError)
            lease, now = adapters.lease.peek(), adapters.clock()
            reach.renewal_failed(lease, adapters.me, now, conflict=conflict)
            raise
        reach.renewal_succeeded()

    def _ask_to_stay(self, action: AskToStay) -> None:
        adapters = self._adapters
        view = adapters.lease.peek()
        if view is None or view.record is None:
            return
        asked_at = adapters.clock()
        pods = adapters.pods.observe() or ()
        if adapters.peers.ask_to_stay(pods, action.members, view.record):
            adapters.lease.excuse(asked_at)
            self._on_excuse(asked_at)
        answered = adapters.peers.heard_at >= asked_at
        adapters.reach.question_was_asked(adapters.clock(), answered=answered)

    def _delete_own_pod(self, action: DeleteOwnPod) -> None:
        if action.reclone and action.wish is None:
            self._adapters.bootstrap.mark_for_reclone()
        self._adapters.pods.delete(self._adapters.me)
        if action.wish is not None:
            self._mark_as_wished(action.wish)
        if action.returns is not None:
            # Not before: what was refused is no return, and would be decided again right away.
            self._adapters.bootstrap.note_returns(action.returns)

    def _mark_as_wished(self, wish: str) -> None:
        self._adapters.bootstrap.mark_for_reclone()
        self._adapters.pods.reinit_is_answered(self._adapters.me, wish)

    def _copy(self, verb: str, system_identifier: str) -> None:
        """Order bootstrap to copy the primary, once it is known to be this set's."""
        adapters = self._adapters
        lease = adapters.lease.peek()
        holder = lease.record.holder if lease is not None and lease.record is not None else ""
        target = primary_parameters(adapters.settings, adapters.me.name, leader_address(adapters))
        try:
            pods = adapters.pods.observe()
            if adapters.keys.replication_password(pods) is None:
                raise UpstreamError(WITHOUT_REPLICAS)
            found, password = adapters.way_in.ask(pods, lambda password: identify(target, password))
            if found != system_identifier:
                raise UpstreamError(
                    f"{target['host']} leads to a database with system identifier {found}, "
                    f"this set's is {system_identifier}"
                )
        except UpstreamError as error:
            adapters.bootstrap.note_refusal(verb, holder, str(error), adapters.clock())
            raise
        adapters.bootstrap.write_password_file(password_file_line(password))
        slot = slot_name(adapters.me.name)
        adapters.bootstrap.order(verb, conninfo(target), holder, slot)

    def _start(self, action: StartPostgres) -> None:
        bootstrap = self._adapters.bootstrap
        verb = "start-writable" if action.writable else "start"
        try:
            self._prepare_to_start(action)
        except OSError as error:
            # A full volume, for one: a holder that cannot even be started keeps no Lease for it.
            bootstrap.note_refusal(verb, "", str(error), self._adapters.clock())
            raise
        bootstrap.order(verb)

    def _prepare_to_start(self, action: StartPostgres) -> None:
        settings, me = self._adapters.settings, self._adapters.me
        can_rewind = self._adapters.bootstrap.observe(self._adapters.clock()).can_rewind
        self._adapters.bootstrap.write_settings(
            standby_settings(
                settings,
                me.name,
                log_hints=can_rewind is False,
                detached=action.detached,
                address=leader_address(self._adapters),
                major_version=self._major_version(),
            ),
            dict(action.raised),
            alone=self._is_alone(),
        )
        self._adapters.way_in.leave(self._adapters.pods.observe())
        keys = self._adapters.keys
        keys.learn(self._adapters.bootstrap.keep_secrets(keys.lines_to_keep))

    def _is_alone(self) -> bool:
        """Whether no other member is wanted or on record."""
        lease, wanted = self._adapters.lease.peek(), self._adapters.pods.wanted()
        if lease is None or wanted is None or wanted > 1:
            return False
        members = lease.record.members if lease.record is not None else ()
        return not {*members} - {self._adapters.me.name}

    def _major_version(self) -> int | None:
        bootstrap = self._adapters.bootstrap
        directory = bootstrap.data_directory()
        if directory is None:
            return None
        return bootstrap.patiently.run(lambda: read_major_version(directory))

    def _data_directory(self) -> Path:
        directory = self._adapters.bootstrap.data_directory()
        if directory is None:
            raise FileNotFoundError("bootstrap has not told the data directory")
        return directory
