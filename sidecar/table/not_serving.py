"""PostgreSQL is down, or the holder of the Lease is not writable yet."""

from collections.abc import Iterator
from typing import Final

from sidecar.action import (
    Action,
    Attention,
    DeleteOwnPod,
    Refuse,
    ReleaseLease,
)
from sidecar.situation import Situation
from sidecar.situation.patience import LEAVING_PATIENCE
from sidecar.table.steps import (
    Row,
    is_recorded,
    kill,
    leave_writable,
    own_role,
    promotion,
    release,
    renew,
    renewal,
    synchronous,
)


def _hand_over(s: Situation) -> Iterator[Action]:
    """Keep the label: a stopped PostgreSQL refuses at once, and the next primary takes it away."""
    yield ReleaseLease(s.successor or s.own_next_life)


def _give_up(s: Situation) -> Iterator[Action]:
    """A postmaster that only hangs could wake and write: it goes before the Lease does."""
    if s.has_stopped:
        yield from release(s)
    else:
        yield from kill(s)


def _wait_for_server(s: Situation) -> Iterator[Action]:
    yield from renewal(s)
    # A stopped primary refuses at once and keeps its label until the next one takes it away: an
    # empty Service would cost its clients more.
    was_primary = s.last_leader == s.seen.me.name
    labelled = s.my_pod is not None and s.my_pod.role == s.settings.primary_value
    if not s.recorded_as_holder and not (s.has_stopped and was_primary and labelled):
        yield from own_role(s, None)


def _come_back(s: Situation) -> Iterator[Action]:
    yield from renewal(s)
    yield DeleteOwnPod(reclone=False)


def _go_back(s: Situation) -> Iterator[Action]:
    yield from own_role(s, None)
    yield DeleteOwnPod(reclone=s.a_clone_is_next, returns=s.seen.bootstrap.returns + 1)


def _fail_switchover(s: Situation) -> Iterator[Action]:
    yield from renewal(s)
    yield Refuse(
        "SwitchoverFailed",
        f"the switchover to {s.heir} failed: it did not get all WAL, or could not be asked",
    )


def _promote(s: Situation) -> Iterator[Action]:
    # A renewal that is only due may fail and end this turn: where it can wait, clients don't.
    renewals = tuple(renewal(s))
    can_wait = s.renewed_ago < s.fence_after / 2 and all(is_recorded(s, r) for r in renewals)
    if not can_wait:
        yield from renewals
    yield from synchronous(s)
    if s.would_keep_the_promise:
        yield from promotion(s, expired=s.seen.lease is not None and s.seen.lease.taken_expired)
    if can_wait:
        yield from renewals


NOT_SERVING: Final = (
    Row(
        "OptedOut",
        lambda s: s.is_left_writable,
        leave_writable,
        "this set was opted out: PostgreSQL here has stopped, and the pod without pgset that comes "
        "next starts it writable",
        Attention.NORMAL,
    ),
    Row(
        "HandingOver",
        lambda s: (
            s.has_stopped and s.recorded_as_holder and not s.is_paused and s.successor is not None
        ),
        _hand_over,
        "PostgreSQL here has stopped, and {s.successor} has everything: the Lease is left to it",
        Attention.NORMAL,
    ),
    Row(
        "Vacating",
        lambda s: (
            s.has_stopped
            and s.is_leaving
            and s.recorded_as_holder
            and s.in_this_state_for >= LEAVING_PATIENCE
        ),
        _hand_over,
        "this pod was deleted: the Lease is left to whoever can lead",
        Attention.NORMAL,
    ),
    Row(
        "Leaving",
        lambda s: s.has_stopped and s.is_leaving,
        renew,
        "this pod was deleted and its PostgreSQL has stopped",
    ),
    Row(
        "Returning",
        lambda s: (
            s.is_not_restarted
            and s.recorded_as_holder
            and s.set_has_data
            and not (s.is_alone or s.is_leaving or s.is_paused or s.down_for_too_long)
        ),
        _come_back,
        "PostgreSQL here has what nobody else has, and is not restarted: the pod is deleted, so "
        "that it comes back sooner",
        Attention.WARNING,
    ),
    Row(
        "Recovering",
        lambda s: s.recorded_as_holder and s.down_for_too_long and s.may_go_on_recovering,
        _wait_for_server,
        "PostgreSQL recovers from a crash, and no other member is seen to have everything: it is "
        "left to finish, and leads when it has",
        Attention.WARNING,
    ),
    Row(
        "GivingUp",
        lambda s: (
            s.is_down
            and s.recorded_as_holder
            and not s.is_alone
            and not s.is_paused
            and s.down_for_too_long
        ),
        _give_up,
        "PostgreSQL here does not come up: released the Lease to another member",
        Attention.WARNING,
    ),
    Row(
        "NotComingUp",
        lambda s: (
            s.does_not_come_up
            and s.another_holds
            and s.leader_is_writable
            and s.set_has_data
            and not (s.is_leaving or s.is_paused)
        ),
        _go_back,
        "PostgreSQL here does not come up, while {s.leader} leads: the pod is deleted, so that "
        "bootstrap can {s.return_words}",
        Attention.WARNING,
    ),
    Row(
        "Down",
        lambda s: s.is_down,
        _wait_for_server,
        "PostgreSQL does not answer",
    ),
    Row(
        "SwitchoverFailed",
        lambda s: s.is_in_recovery and s.holds_lease and s.chosen_heir is not None,
        _fail_switchover,
        "the switchover to {s.heir} failed: this member goes on leading",
        Attention.WARNING,
    ),
    Row(
        "Resigning",
        lambda s: s.is_in_recovery and s.cannot_be_stopped,
        release,
        "PostgreSQL here takes no signals from the sidecar, which could not stop it: the Lease is "
        "left to a member that can; run both as the same user and under the same AppArmor profile",
        Attention.WARNING,
    ),
    Row(
        "CannotPromote",
        lambda s: s.is_in_recovery and s.cannot_be_promoted,
        release,
        "PostgreSQL here cannot be promoted now: its volume does not answer, or it does not let "
        "the sidecar set whom commits wait for; the Lease is left to another member",
        Attention.WARNING,
    ),
    Row(
        "Promoting",
        # Where the API server is silent the new timeline could not be recorded, and another member
        # could begin one of the same number, which nothing would tell from this one.
        lambda s: (
            s.is_in_recovery
            and s.holds_lease
            and not s.is_leaving
            and s.seen.renewal_failed_at is None
        ),
        _promote,
        "promoting PostgreSQL",
    ),
    Row(
        "Resuming",
        lambda _: True,
        renew,
        "the Lease names this pod: renewing it before anything else",
    ),
)
