"""PostgreSQL is down, or the holder of the Lease is not writable yet."""

from collections.abc import Iterator
from typing import Final

from sidecar import contract
from sidecar.action import Action, Attention, DeleteOwnPod, ReleaseLease
from sidecar.situation import Situation
from sidecar.situation.timing import LEAVING_PATIENCE
from sidecar.table.steps import (
    Row,
    is_recorded,
    keep_slots,
    kill,
    leave_writable,
    own_role,
    promotion,
    release,
    renew,
    renewal,
    strip_other_primaries,
    synchronous,
)


def _hand_over(s: Situation) -> Iterator[Action]:
    """Keep the label: a stopped PostgreSQL refuses at once, and the next primary takes it away."""
    if s.handover.safe_successor is not None:
        yield ReleaseLease(s.handover.safe_successor, s.set.lives_that_stay)
    else:
        yield ReleaseLease(s.handover.own_replacement)


def _give_up(s: Situation) -> Iterator[Action]:
    """A postmaster that only hangs could wake and write: it goes before the Lease does."""
    if s.server.has_stopped:
        yield from release(s)
    else:
        yield from kill(s)


def _wait_for_server(s: Situation) -> Iterator[Action]:
    yield from renewal(s)
    # A primary that has stopped, or starts as a standby, refuses at once and keeps its label until
    # the next one takes it away: an empty Service would cost its clients more.
    was_primary = s.lease.last_leader == s.observation.me.name
    labelled = s.pod.has_role(s.settings.primary_value)
    if s.lease.names_me and s.observation.postgres.progress_at is not None:
        yield from _let_nobody_read(s)
    if not s.lease.names_me and not (was_primary and labelled and not s.server.could_write):
        yield from own_role(s, None)


def _let_nobody_read(s: Situation) -> Iterator[Action]:
    """Take the label from a primary that starts again: it will show rows that may be gone yet."""
    if s.durability.shows_what_may_be_lost and s.pod.has_role(s.settings.primary_value):
        yield from own_role(s, None)


def _resume(s: Situation) -> Iterator[Action]:
    yield from renewal(s)
    if s.server.is_in_recovery:
        yield from _let_nobody_read(s)


def _leave_to_who_has_more(s: Situation) -> Iterator[Action]:
    """The heir takes it for released, and would not strip who has led first."""
    if s.lease.view is not None and s.lease.view.taken_expired:
        yield from strip_other_primaries(s)
    yield ReleaseLease(s.election.who_has_more, s.set.lives_that_stay)


def _give_way(s: Situation) -> Iterator[Action]:
    """A server that was writable before counts as one that could be again, until it was killed."""
    yield from (kill(s) if s.server.could_write else release(s))


def _come_back(s: Situation) -> Iterator[Action]:
    yield from renewal(s)
    yield DeleteOwnPod(reclone=False, returns=0)


def _come_back_unfenced(s: Situation) -> Iterator[Action]:
    yield from renewal(s)
    yield DeleteOwnPod(reclone=False)


def _go_back(s: Situation) -> Iterator[Action]:
    yield from own_role(s, None)
    yield DeleteOwnPod(
        reclone=s.bootstrap.next_return_is_for_a_clone,
        returns=(s.observation.bootstrap.returns or 0) + 1,
    )


def _promote(s: Situation) -> Iterator[Action]:
    # A renewal that is only due may fail and end this turn: if it can wait, clients need not.
    renewals = tuple(renewal(s))
    can_wait = s.lease.renewed_ago < s.lease.fence_after / 2 and all(
        is_recorded(s, renewal) for renewal in renewals
    )
    if not can_wait:
        yield from renewals
    yield from synchronous(s)
    if s.durability.would_keep_promise:
        yield from promotion(s, expired=s.lease.view is not None and s.lease.view.taken_expired)
        yield from keep_slots(s)
    if can_wait:
        yield from renewals
    yield from _let_nobody_read(s)


NOT_SERVING: Final = (
    Row(
        "OptedOut",
        lambda s: s.opt_out.next_pod_starts_writable,
        leave_writable,
        "this set was opted out: PostgreSQL has stopped, and the next pod, which has no sidecar, "
        "will start it writable",
        Attention.NORMAL,
    ),
    Row(
        "HandingOver",
        lambda s: (
            s.server.has_stopped
            and s.lease.names_me
            and not s.lease.is_paused
            and s.handover.safe_successor is not None
        ),
        _hand_over,
        "PostgreSQL has stopped and {s.handover.safe_successor} has every acknowledged commit: "
        "handing the Lease to it",
        Attention.NORMAL,
    ),
    Row(
        "Vacating",
        lambda s: (
            s.server.has_stopped
            and s.pod.is_leaving
            and s.lease.names_me
            and s.server.in_this_state_for >= LEAVING_PATIENCE
        ),
        _hand_over,
        "this pod was deleted: releasing the Lease before it goes",
        Attention.NORMAL,
    ),
    Row(
        "Leaving",
        lambda s: s.server.has_stopped and s.pod.is_leaving,
        renew,
        "this pod was deleted and its PostgreSQL has stopped",
    ),
    Row(
        "Fenced",
        # A holder that finds no safe successor gives its Lease up, as one that does not come up.
        lambda s: (
            s.server.has_stopped
            and s.pod.is_fenced
            and not (s.lease.may_be_given_up and s.server.has_been_silent_too_long)
        ),
        _wait_for_server,
        "this pod is fenced, and PostgreSQL stays stopped: to start it again, remove annotation "
        f"{contract.FENCED} from this pod",
        Attention.NORMAL,
    ),
    Row(
        "Unfenced",
        lambda s: s.server.has_stopped and s.pod.waits_since_it_was_fenced,
        _come_back_unfenced,
        "this pod is fenced no more, and the kubelet waits before it starts PostgreSQL again: "
        "deleting this pod so that it comes back sooner",
        Attention.NORMAL,
    ),
    Row(
        "Returning",
        lambda s: (
            s.server.restart_is_overdue
            and s.pod.is_back_sooner_if_deleted
            and s.lease.names_me
            and s.lease.set_has_data
            and not (
                s.lease.lists_only_me
                or s.pod.is_leaving
                or s.lease.is_paused
                or s.server.has_been_silent_too_long
            )
        ),
        _come_back,
        "PostgreSQL has stopped with WAL that no other member is known to have, and the kubelet "
        "waits before it starts it again: deleting this pod so that it comes back sooner",
        Attention.WARNING,
    ),
    Row(
        "Recovering",
        lambda s: (
            s.lease.names_me
            and s.server.has_been_silent_too_long
            and s.handover.may_go_on_recovering
        ),
        _wait_for_server,
        "PostgreSQL is recovering from a crash, and no other member is known to have everything: "
        "letting it finish, to lead again afterwards",
        Attention.WARNING,
    ),
    Row(
        "GivingUp",
        lambda s: s.lease.may_be_given_up and s.server.has_been_silent_too_long,
        _give_up,
        "PostgreSQL does not come up: killing what still runs of it, and then giving the Lease up "
        "to another member",
        Attention.WARNING,
    ),
    Row(
        "NotComingUp",
        lambda s: (
            s.server.does_not_come_up
            and s.lease.is_anothers
            and s.set.leader_is_writable
            and s.lease.set_has_data
            and not (s.pod.is_leaving or s.lease.is_paused)
        ),
        _go_back,
        "PostgreSQL does not come up, while {s.lease.holder_name} leads: deleting this pod so that "
        "bootstrap can {s.bootstrap.next_return_is_to}",
        Attention.WARNING,
    ),
    Row(
        "ReturningAsReplica",
        lambda s: (
            s.replica.waits_for_its_kubelet
            and s.lease.is_anothers
            and s.set.leader_is_writable
            and s.lease.set_has_data
            and not (s.pod.is_leaving or s.lease.is_paused)
        ),
        _come_back,
        "PostgreSQL has stopped, {s.lease.holder_name} leads, and the kubelet waits before it "
        "starts it here again: deleting this pod so that it comes back sooner",
        Attention.WARNING,
    ),
    Row(
        "DownBeforeOthersAreCreated",
        lambda s: (
            s.server.does_not_come_up
            and s.lease.is_free
            and s.lease.set_has_data
            and s.set.waits_for_me_to_create
        ),
        _wait_for_server,
        "PostgreSQL does not come up, nobody leads, and the StatefulSet creates the other pods, "
        "which may have the data, only when this one is ready: see PostgreSQL's own log; if this "
        "volume's data is spoiled, delete the StatefulSet with --cascade=orphan, and create it "
        "again with podManagementPolicy: Parallel",
        Attention.WARNING,
    ),
    Row(
        "ReturningToReport",
        lambda s: (
            s.server.does_not_come_up
            and s.lease.is_free
            and s.observation.bootstrap.returns is None
            and not (s.pod.is_leaving or s.lease.is_paused)
        ),
        _come_back,
        "PostgreSQL does not come up, and nobody leads: deleting this pod so that bootstrap looks "
        "at its data again, since the others may be waiting to hear what it has",
        Attention.WARNING,
    ),
    Row(
        "Down",
        lambda s: s.server.is_silent,
        _wait_for_server,
        "PostgreSQL does not answer",
    ),
    Row(
        "SwitchoverFailed",
        lambda s: s.server.is_in_recovery and s.lease.is_mine and s.handover.heir is not None,
        _resume,
        "the switchover to {s.lease.heir_name} failed (it did not receive all WAL, or did not "
        "answer): this member goes on leading",
        Attention.WARNING,
    ),
    Row(
        "Resigning",
        # One that was asked to be promoted may yet be writable, when another has the Lease.
        lambda s: (
            s.server.is_in_recovery and s.server.cannot_be_stopped and not s.server.could_write
        ),
        release,
        "PostgreSQL takes no signals from the sidecar, which could not stop it: giving the Lease "
        "up to a member that can; run both as the same user and under the same AppArmor profile",
        Attention.WARNING,
    ),
    Row(
        "TakenTooLate",
        # An operator who wants this member to lead gives up what others have.
        lambda s: (
            s.lease.was_taken_late
            and s.server.is_in_recovery
            and not (s.server.could_write or s.lease.is_paused)
            and s.pod.failover_was_asked is None
            and s.election.who_has_more is not None
        ),
        _leave_to_who_has_more,
        "the request by which this member took the Lease had got no answer, and was carried out "
        "late: handing it to {s.election.who_has_more}, which has more",
        Attention.WARNING,
    ),
    Row(
        "CannotPromote",
        lambda s: s.server.is_in_recovery and s.durability.cannot_be_promoted,
        _give_way,
        "PostgreSQL cannot be promoted now: its volume does not answer or takes no writes, or it "
        "does not let the sidecar set which standbys commits wait for; giving the Lease up to "
        "another member",
        Attention.WARNING,
    ),
    Row(
        "PromotionOverdue",
        lambda s: (
            s.lease.is_mine
            and s.server.promotion_is_overdue
            and not s.lease.is_paused
            and s.handover.quicker_successor is not None
        ),
        kill,
        "PostgreSQL was to be promoted and does not become writable, and "
        "{s.handover.quicker_successor} has everything, too: killing it, and then handing over",
        Attention.WARNING,
    ),
    Row(
        "Promoting",
        # While the API server is silent the new timeline could not be recorded, and another member
        # could begin one of the same number, which nothing would tell apart from this one.
        lambda s: (
            s.server.is_in_recovery
            and s.lease.is_mine
            and not s.pod.is_leaving
            and s.observation.renewal_failed_at is None
        ),
        _promote,
        "promoting PostgreSQL",
    ),
    Row(
        "Resuming",
        lambda _: True,
        _resume,
        "the Lease names this pod and PostgreSQL is read-only: renewing the Lease first",
    ),
)
