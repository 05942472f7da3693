"""What a row of the table is, and what more than one of them does."""

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from sidecar.action import (
    Action,
    AskToStay,
    Attention,
    Promote,
    ReleaseLease,
    RemoveStandbySignal,
    RenewLease,
    SetRole,
    SetSynchronous,
    StopPostgres,
    TakeLease,
)
from sidecar.observation import LeaseRecord
from sidecar.situation import Situation
from sidecar.situation.patience import LAST_QUESTION, LAST_RENEWAL, SILENCE

HARDER_AND_HARDER: Final = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)
"""PostgreSQL's fast shutdown, its immediate one, and its end."""


@dataclass(frozen=True, slots=True)
class Row:
    """A situation, when it holds, what is done in it, and what the operator is told."""

    name: str
    holds: Callable[[Situation], bool]
    actions: Callable[[Situation], Iterator[Action]]
    sentence: str
    attention: Attention = Attention.NONE


@dataclass(frozen=True, slots=True)
class Part:
    """Rows about one matter, and when they are read at all."""

    about: str
    concerns: Callable[[Situation], bool]
    """True wherever any of the rows is to decide; they take it for granted."""
    rows: tuple[Row, ...]


def _known(s: Situation, record: LeaseRecord) -> RenewLease:
    """Return what the record should say, by what is known now."""
    timeline, position = record.timeline, record.position
    voters, copies = record.voters, record.copies
    if s.is_writable:
        timeline = max(record.timeline or 0, s.timeline or 0) or None
        position = s.seen.postgres.position
        if s.is_blind:
            position = max(record.position or 0, position or 0)
    if s.is_writable or (s.is_in_recovery and s.holds_lease):
        promise = s.promise_to_record
        voters, copies = tuple(sorted(promise.voters)), promise.copies
    return RenewLease(
        system_identifier=s.set_system_identifier or s.system_identifier,
        timeline=timeline,
        members=s.members,
        position=position,
        voters=voters,
        copies=copies,
        heir=s.heir_to_record,
        switchover_to=s.wish_to_record,
    )


def _is_recorded(known: RenewLease, record: LeaseRecord) -> bool:
    """Tell whether all of it is on record; a position alone is no news."""
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
    """Tell whether this renewal tells nothing that is not on record."""
    return s.record is not None and _is_recorded(known, s.record)


def renewal(s: Situation) -> Iterator[RenewLease]:
    """Renew when it is time, or at once when there is something new to record."""
    record, lease = s.record, s.seen.lease
    if not s.recorded_as_holder or record is None or lease is None:
        return
    if s.seen.renewal_failed_at is not None and s.has_to_stop_within(LAST_RENEWAL):
        return
    due = (
        lease.renewed_at is None
        or s.seen.now - lease.renewed_at >= s.settings.renew_interval
        or (s.may_be_cut_off and s.api_heard_ago > SILENCE)
        or s.seen.renewal_failed_at is not None
    )
    known = _known(s, record)
    if due or not _is_recorded(known, record):
        yield known


def question(s: Situation) -> Iterator[Action]:
    """Where renewals fail, for whatever reason: may this holder stay? And is anybody there?"""
    lease = s.seen.lease
    if not s.recorded_as_holder or lease is None or not s.others_who_may_lead:
        return
    if s.has_to_stop_within(LAST_QUESTION):
        return
    # What else is heard of the API server does not count: one that refuses, or whose answers come
    # too late, costs the Lease as well.
    renewed_ago = s.seen.now - (lease.renewed_at or float("-inf"))
    unrenewed = s.seen.renewal_failed_at is not None and renewed_ago > s.settings.renew_interval
    asked_ago = s.seen.now - (lease.excused_at or float("-inf"))
    if asked_ago > SILENCE and (unrenewed or (s.may_be_cut_off and s.api_heard_ago > SILENCE)):
        yield AskToStay(tuple(sorted(s.others_who_may_lead)))


def own_role(s: Situation, value: str | None) -> Iterator[Action]:
    """Give this pod its role, where it has another."""
    pod = s.my_pod
    if pod is not None and pod.role != value:
        yield SetRole(pod.name, pod.uid, value)


def strip_other_primaries(s: Situation) -> Iterator[Action]:
    """Take the primary label from every other pod."""
    for pod in s.pods_with_role(s.settings.primary_value):
        yield SetRole(pod.name, pod.uid, None)


def synchronous(s: Situation) -> Iterator[Action]:
    """Let commits wait for whom they should."""
    if not s.waits_as_it_should:
        yield SetSynchronous(*s.standbys_to_wait_for)


def promotion(s: Situation, *, expired: bool) -> Iterator[Action]:
    """Make PostgreSQL writable. Where nobody knows what the last primary does, its label goes
    before: it would swallow half of the connections."""
    if expired:
        yield from strip_other_primaries(s)
    yield Promote(s.timeline or 0)


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
    """Stop PostgreSQL at once. What a volume that hangs keeps from dying runs no code of a user's
    any more: the Lease may run out for another member."""
    yield StopPostgres(signal.SIGKILL)
    if not s.has_hung_for(s.fence_after):
        yield from renewal(s)


def take(s: Situation) -> Iterator[Action]:
    """Become the holder, and primary in the same turn where everything is ready for it."""
    promise = s.promise_to_record
    yield TakeLease(s.lease_ran_out, tuple(sorted(promise.voters)), promise.copies)
    if s.set_has_data and s.is_in_recovery and s.would_keep_the_promise:
        yield from promotion(s, expired=s.lease_ran_out)


def leave_writable(s: Situation) -> Iterator[Action]:
    """Nobody else may lead by now: the record says so since the set was opted out."""
    yield from renewal(s)
    yield RemoveStandbySignal()


def release(s: Situation) -> Iterator[Action]:
    """Give the Lease up, and the label with it."""
    yield from own_role(s, None)
    yield ReleaseLease()
