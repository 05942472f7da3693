"""What a row of the table is, and what more than one of them does."""

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from sidecar.action import (
    Action,
    AskToStay,
    Attention,
    KeepSlots,
    Promote,
    ReleaseLease,
    RemoveStandbySignal,
    RenewLease,
    Role,
    SetRole,
    SetSynchronous,
    StopPostgres,
    TakeLease,
)
from sidecar.observation import Follower, LeaseRecord
from sidecar.situation import Situation
from sidecar.situation.timing import (
    LAST_QUESTION,
    SILENCE,
    STOP_PATIENCE,
    UNWELL_PATIENCE,
    UNWELL_STOP_PATIENCE,
)

HARDER_AND_HARDER: Final = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)
"""PostgreSQL's fast shutdown, its immediate one, and its end."""


LEFT_ALONE: Final = (
    "this database cannot become a set's, so PostgreSQL runs as if there were no pgset, and "
    "nothing was changed: {s.start.objection}; then delete this pod"
)


@dataclass(frozen=True, slots=True)
class Row:
    """A situation, when it holds, what is done in it, and what the operator is told."""

    name: str
    """CamelCase; the reason of the Event, so it never changes."""
    holds: Callable[[Situation], bool]
    actions: Callable[[Situation], Iterator[Action]]
    sentence: str
    """A format string with the situation as `s`: what is so, and what is being done about it."""
    attention: Attention = Attention.NONE
    role: Role = Role.NONE
    """What load balancers are told in it."""


@dataclass(frozen=True, slots=True)
class Part:
    """Rows about one matter, and when they are read at all."""

    about: str
    """For the diagram and the tables of the docs."""
    concerns: Callable[[Situation], bool]
    """True wherever any of the rows is to decide; they rely on it."""
    rows: tuple[Row, ...]


def _known(s: Situation, record: LeaseRecord) -> RenewLease:
    """Return what the record should say, by what is known now."""
    timeline, position = record.timeline, record.position
    voters, copies = record.voters, record.copies
    logical_slots, physical_slots = record.logical_slots, record.physical_slots
    followers: tuple[Follower, ...] = ()
    if s.server.is_writable and not s.server.is_blind:
        logical_slots = s.observation.postgres.logical_slots
        physical_slots = s.observation.postgres.physical_slots
        followers = s.set.members_that_follow
    if s.server.is_writable:
        timeline = max(record.timeline or 0, s.data.timeline or 0) or None
        position = s.observation.postgres.position
        if s.server.is_blind:
            position = max(record.position or 0, position or 0)
    if s.server.is_writable or (s.server.is_in_recovery and s.lease.is_mine):
        promise = s.durability.promise_to_record
        voters, copies = tuple(sorted(promise.voters)), promise.copies
    return RenewLease(
        system_identifier=s.lease.system_identifier or s.data.system_identifier,
        timeline=timeline,
        members=s.set.members,
        position=position,
        voters=voters,
        copies=copies,
        heir=s.handover.heir_to_record,
        switchover_to=s.handover.request_to_record,
        lives=s.set.lives_of_members,
        logical_slots=logical_slots,
        physical_slots=physical_slots,
        followers=followers,
    )


def _is_recorded(known: RenewLease, record: LeaseRecord) -> bool:
    """Return whether all of it is on record; a position alone is not news."""
    return known == RenewLease(
        system_identifier=record.system_identifier,
        timeline=record.timeline,
        members=record.members,
        position=known.position,
        voters=record.voters,
        copies=record.copies,
        heir=record.heir,
        switchover_to=record.switchover_to,
    )


def is_recorded(s: Situation, known: RenewLease) -> bool:
    """Return whether this renewal has nothing new to record."""
    return s.lease.record is not None and _is_recorded(known, s.lease.record)


def renewal(s: Situation) -> Iterator[RenewLease]:
    """Renew when it is time, or at once when there is something new to record."""
    record, view = s.lease.record, s.lease.view
    if not s.lease.names_me or record is None or view is None:
        return
    if s.lease.renews_no_more or (s.election.must_not_lead_yet and not s.server.could_write):
        return
    if s.bootstrap.is_running and s.bootstrap.start_fails:
        # It may never come up. Its Lease runs out, and who can lead need not wait for it.
        return
    failed = s.observation.renewal_failed_at is not None
    due = (
        view.renewed_at is None
        or s.observation.now - view.renewed_at >= s.settings.renew_interval
        or (s.lease.may_be_cut_off and s.lease.api_heard_ago > SILENCE)
        or failed
    )
    known = _known(s, record)
    if due or not _is_recorded(known, record):
        yield known


def question(s: Situation) -> Iterator[Action]:
    """If renewals fail, for whatever reason, ask the members whether this holder may stay."""
    view = s.lease.view
    if not s.lease.names_me or view is None or not s.lease.others_who_may_lead:
        return
    if s.lease.has_to_stop_within(LAST_QUESTION):
        return
    # What else is heard of the API server does not count: one that refuses, or whose answers come
    # too late, costs the Lease as well.
    observation = s.observation
    renewed_ago = observation.now - (view.renewed_at or float("-inf"))
    failed = observation.renewal_failed_at is not None
    unrenewed = failed and renewed_ago > s.settings.renew_interval
    cut_off = s.lease.may_be_cut_off and s.lease.api_heard_ago > SILENCE
    asked_ago = observation.now - (view.excused_at or float("-inf"))
    if asked_ago > SILENCE and (unrenewed or cut_off):
        yield AskToStay(tuple(sorted(s.lease.others_who_may_lead)))


def own_role(s: Situation, value: str | None) -> Iterator[Action]:
    """Give this pod its role, if it has another."""
    pod = s.pod.shown
    if pod is not None and pod.role != value:
        yield SetRole(pod.name, pod.uid, value)


def strip_other_primaries(s: Situation) -> Iterator[Action]:
    """Take the primary label from every other pod."""
    for pod in s.set.others_with_role(s.settings.primary_value):
        yield SetRole(pod.name, pod.uid, None)


def synchronous(s: Situation) -> Iterator[Action]:
    """Make commits wait for the standbys for which they should.

    After the renewal that records it: what fails ends the turn, and what is not even tried has to.
    """
    if not (s.lease.renews_no_more or s.durability.setting_is_right):
        yield SetSynchronous(*s.durability.standbys_to_wait_for)


def promotion(s: Situation, *, expired: bool) -> Iterator[Action]:
    """Make PostgreSQL writable. After an expiry the last primary may do anything, so its label is
    taken away first: it would swallow half of the connections."""
    if expired:
        yield from strip_other_primaries(s)
    yield Promote(s.data.timeline or 0)


def keep_slots(s: Situation) -> Iterator[Action]:
    """Let the others stream. The next primary makes their slots while it is promoted, since clients
    wait until those have its new timeline for whom commits wait."""
    if s.observation.wanted is not None and not s.set.slots_are_right:
        yield KeepSlots(s.set.wanted_slots)


def harder(step: float) -> signal.Signals:
    """Return the signal of a step: the first one for 0, the last one for all that come after."""
    return HARDER_AND_HARDER[min(len(HARDER_AND_HARDER) - 1, max(0, int(step)))]


def nothing(_: Situation) -> Iterator[Action]:
    """Wait."""
    yield from ()


def no_role(s: Situation) -> Iterator[Action]:
    """Take the role label away."""
    yield from own_role(s, None)


def renew(s: Situation) -> Iterator[Action]:
    """Stay the holder, if it is one."""
    yield from renewal(s)


def kill(s: Situation) -> Iterator[Action]:
    """Stop PostgreSQL at once. A process that a hanging volume keeps from dying runs no user's code
    any more, so the Lease may expire for another member."""
    yield StopPostgres(signal.SIGKILL)
    if not s.data.has_hung_for(s.lease.fence_after):
        yield from renewal(s)


def stop(s: Situation) -> Iterator[Action]:
    """Stop fast; harder if that hangs, since everything that counts is on a disk."""
    step = 0.0
    unwell_since = s.observation.postgres.unwell_since
    if s.server.is_silent:
        step = s.server.in_this_state_for / STOP_PATIENCE
    elif s.server.is_unwell and unwell_since is not None:
        step = (s.observation.now - unwell_since - UNWELL_PATIENCE) / UNWELL_STOP_PATIENCE
    yield StopPostgres(harder(step))
    yield from renewal(s)


def take(s: Situation) -> Iterator[Action]:
    """Become the holder, and primary in the same turn if everything is ready for it."""
    promise = s.durability.promise_to_record
    yield TakeLease(s.lease.has_expired, tuple(sorted(promise.voters)), promise.copies)
    ready = s.server.is_in_recovery and s.durability.would_keep_promise
    if s.lease.set_has_data and ready:
        yield from promotion(s, expired=s.lease.has_expired)
        if s.election.i_am_heir and not s.durability.has_to_settle(promise):
            # kube-proxy syncs at most once a second, and does so as soon as it hears that the last
            # primary's container has ended. This label has to come before that.
            yield from own_role(s, s.settings.primary_value)
        yield from keep_slots(s)


def leave_writable(s: Situation) -> Iterator[Action]:
    """Let the next start be writable: since the opt-out the record lets nobody else lead."""
    yield from renewal(s)
    yield RemoveStandbySignal()


def release(s: Situation) -> Iterator[Action]:
    """Give the Lease up, and the label with it."""
    yield from own_role(s, None)
    yield ReleaseLease()
