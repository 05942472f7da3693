"""What a member does, given what it observed: the rules that make a set safe, as one table.

The rules (design §3), in the order of what they protect:

1.  No PostgreSQL starts writable. Bootstrap puts `standby.signal` before every start, and a
    primary has it put back right after its promotion.
2.  Only the Lease holder promotes.
3.  A holder that cannot renew is not writable any more before anyone else can hold: it is
    stopped at ttl less a margin, by SIGINT, then SIGQUIT, then SIGKILL. A member recorded as the
    only one has nobody to fear and is left alone.
4.  The primary label is only on the pod that is writable, or on one that is about to be promoted
    and read-only. After a release the new primary labels itself and then strips the old one;
    after an expiry it strips first. A replica that does not follow carries no role.
5.  initdb happens once in a set's life: on the lowest ordinal, under the Lease, while no system
    identifier is recorded and no pod of the set has data.
6.  Who may take over: recorded as a member, of the recorded system identifier, not on an older
    timeline than the recorded one, and no member that answers is further ahead.
7.  Data is never overwritten: a directory of another set is refused.
8.  One writer a directory: nothing is done in one where another pod's heart still beats.

Pure: no clock, no I/O; the time is in the observation.
"""

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from sidecar.action import (
    Action,
    Attention,
    Clone,
    Decision,
    PreparePrimary,
    Promote,
    PutStandbySignal,
    ReleaseLease,
    RenewLease,
    RunInitdb,
    SetRole,
    StartPostgres,
    StopPostgres,
    TakeLease,
)
from sidecar.observation import DataState, LeaseRecord, Observation, Peer, ServerState
from sidecar.settings import Settings

FENCING_SHARE: Final = 0.3
"""The part of the ttl that is kept for stopping PostgreSQL: 3 s of 10, a second for each signal."""

COLD_START_PATIENCE: Final = 30.0
"""Seconds that a member of a set that was all down waits for the last primary to come back.
A pod that its node must first give up for lost takes minutes; one that is merely started, less."""

_ORDERED_SIGNALS: Final = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)


def decide(observation: Observation, settings: Settings) -> Decision:
    """Return what to do now; the first situation of the table that holds decides."""
    situation = Situation(observation, settings)
    for row in TABLE:
        if row.holds(situation):
            return Decision(
                situation=row.name,
                sentence=row.sentence.format(s=situation),
                attention=row.attention,
                actions=tuple(row.actions(situation)),
            )
    raise AssertionError("the last row of the table always holds")


def seconds_to_fence(observation: Observation, settings: Settings) -> float | None:
    """Return the seconds after which this member may have to stop PostgreSQL; None if never.

    Whoever carries a decision out has to be back by then, whatever it is waiting for.
    """
    situation = Situation(observation, settings)
    if not situation.may_write or situation.is_alone:
        return None
    return max(0.0, situation.fence_after - situation.renewed_ago)


def needs_peers(observation: Observation, settings: Settings) -> bool:
    """Tell whether `decide` would look at what the peers say of their data."""
    situation = Situation(observation, settings)
    return (
        observation.lease is not None
        and observation.bootstrap.data is not None
        and (situation.nobody_holds or (situation.holds_lease and situation.has_no_data))
    )


@dataclass(frozen=True)
class Situation:
    """An observation and the words that the table speaks of it in."""

    seen: Observation
    settings: Settings

    # ── the Lease ─────────────────────────────────────────────────────────────────────────

    @cached_property
    def record(self) -> LeaseRecord | None:
        """The Lease's content."""
        return self.seen.lease.record if self.seen.lease else None

    @cached_property
    def recorded_as_holder(self) -> bool:
        """The Lease names this life of this pod."""
        return self.record is not None and self.record.holder == str(self.seen.me)

    @cached_property
    def renewed_ago(self) -> float:
        """Seconds since the last renewal was sent, or since the sidecar could have sent one."""
        renewed_at = self.seen.lease.renewed_at if self.seen.lease else None
        if renewed_at is not None:
            return self.seen.now - renewed_at
        # A sidecar that has just been restarted does not know when it renewed last. The watchdog
        # leaves it about a second before PostgreSQL has to stop.
        return (self.seen.now - self.seen.started_at) + self.fence_after - 1.0

    @cached_property
    def fence_after(self) -> float:
        """Seconds without renewal after which a writable PostgreSQL is stopped."""
        return self.settings.ttl * (1 - FENCING_SHARE)

    @cached_property
    def is_alone(self) -> bool:
        """No other pod may take the Lease, by the holder's own record."""
        return self.record is not None and self.record.members == (self.seen.me.name,)

    @cached_property
    def holds_lease(self) -> bool:
        """This member is the holder and may act as one."""
        if not self.recorded_as_holder or self.seen.lease is None:
            return False
        if self.seen.lease.renewed_at is None:
            return False
        return self.is_alone or self.renewed_ago < self.fence_after

    @cached_property
    def lease_ran_out(self) -> bool:
        """A holder is named, but its record was not seen to change for its ttl."""
        return (
            self.record is not None
            and self.seen.lease is not None
            and bool(self.record.holder)
            and self.seen.now - self.seen.lease.changed_at > self.record.ttl
        )

    @cached_property
    def nobody_holds(self) -> bool:
        """The Lease may be taken."""
        if self.seen.lease is None:
            return False
        return self.record is None or not self.record.holder or self.lease_ran_out

    @cached_property
    def another_holds(self) -> bool:
        """Another member holds the Lease."""
        return not self.nobody_holds and not self.recorded_as_holder

    @cached_property
    def leader(self) -> str:
        """The holder's pod name, for sentences."""
        return self.record.holder_pod if self.record and self.record.holder else "nobody"

    @cached_property
    def set_system_identifier(self) -> str | None:
        """The recorded system identifier."""
        return self.record.system_identifier if self.record else None

    @cached_property
    def set_has_data(self) -> bool:
        """The set has been initialised, by its record."""
        return self.set_system_identifier is not None

    # ── this member's data and server ─────────────────────────────────────────────────────

    @cached_property
    def is_bootstrapping(self) -> bool:
        """PostgreSQL is not yet told to start."""
        return self.seen.bootstrap.running

    @cached_property
    def has_no_data(self) -> bool:
        """The data directory is empty, or holds what did not get finished."""
        return self.seen.bootstrap.data in (DataState.EMPTY, DataState.INTERRUPTED)

    @cached_property
    def system_identifier(self) -> str | None:
        """This member's."""
        return self.seen.postgres.system_identifier or self.seen.bootstrap.system_identifier

    @cached_property
    def timeline(self) -> int | None:
        """This member's."""
        return self.seen.postgres.timeline or self.seen.bootstrap.timeline

    @cached_property
    def position(self) -> int:
        """This member's newest WAL."""
        return self.seen.postgres.position or self.seen.bootstrap.position or 0

    @cached_property
    def is_of_another_set(self) -> bool:
        """The data has another system identifier than the one on record."""
        return (
            self.set_has_data
            and self.system_identifier is not None
            and self.system_identifier != self.set_system_identifier
        )

    @cached_property
    def is_writable(self) -> bool:
        """PostgreSQL accepts writes."""
        return self.seen.postgres.state is ServerState.WRITABLE

    @cached_property
    def is_in_recovery(self) -> bool:
        """PostgreSQL answers, read-only."""
        return self.seen.postgres.state is ServerState.RECOVERY

    @cached_property
    def is_down(self) -> bool:
        """PostgreSQL does not answer."""
        return self.seen.postgres.state is ServerState.DOWN

    @cached_property
    def may_write(self) -> bool:
        """PostgreSQL accepts writes, or did, and is alive and silent to us now."""
        postgres = self.seen.postgres
        return self.is_writable or (self.is_down and postgres.alive and postgres.has_written)

    @cached_property
    def has_stopped(self) -> bool:
        """There is no postmaster: nobody is served, and no WAL is sent any more."""
        return self.is_down and not self.seen.postgres.alive

    @cached_property
    def down_for_too_long(self) -> bool:
        """It had its chance to be restarted and to recover."""
        return self.seen.now - self.seen.postgres.since > self.settings.ttl

    @cached_property
    def follows(self) -> bool:
        """It streams, on the recorded timeline, within the lag limit."""
        postgres = self.seen.postgres
        recorded = self.record.timeline if self.record else None
        return (
            self.is_in_recovery
            and postgres.streaming
            and (postgres.lag or 0) <= self.settings.max_lag
            and (recorded is None or (postgres.timeline or 0) >= recorded)
        )

    # ── the others ────────────────────────────────────────────────────────────────────────

    @cached_property
    def first_member(self) -> str:
        """The pod with the lowest ordinal."""
        return f"{self.settings.set_name}-{self.settings.first_ordinal}"

    @cached_property
    def other_pods(self) -> tuple[str, ...]:
        """The set's other pods that there are."""
        return tuple(pod.name for pod in self.seen.pods or () if pod.name != self.seen.me.name)

    @cached_property
    def is_leaving(self) -> bool:
        """This pod was deleted."""
        return any(pod.deleting and pod.uid == self.seen.me.uid for pod in self.seen.pods or ())

    @cached_property
    def wanted_members(self) -> frozenset[str]:
        """The pods that the StatefulSet wants."""
        first = self.settings.first_ordinal
        return frozenset(
            f"{self.settings.set_name}-{ordinal}"
            for ordinal in range(first, first + (self.seen.wanted or 0))
        )

    @cached_property
    def peers_with_data(self) -> tuple[Peer, ...]:
        """Peers that answered and have a data directory."""
        return tuple(peer for peer in self.seen.peers.values() if peer.has_data)

    @cached_property
    def silent(self) -> frozenset[str]:
        """Members that have yet to say what data they have, before a first leader is chosen."""
        said = {name for name, peer in self.seen.peers.items() if peer.has_data is not None}
        return (self.wanted_members | set(self.other_pods)) - said - {self.seen.me.name}

    @cached_property
    def silent_words(self) -> str:
        """For sentences."""
        return ", ".join(sorted(self.silent)) or "nobody"

    @cached_property
    def initdb_is_ours(self) -> bool:
        """Rule 5. Every pod that there is has said that it has no data, and this is the first."""
        said_empty = all(
            (peer := self.seen.peers.get(name)) is not None and peer.has_data is False
            for name in self.other_pods
        )
        return (
            not self.set_has_data
            and self.has_no_data
            and self.seen.pods is not None
            and said_empty
            and self.seen.me.name == self.first_member
        )

    @cached_property
    def ahead_of_me(self) -> str | None:
        """A peer that should lead rather than this member: newer timeline, more WAL, lower name."""
        mine = (self.timeline or 0, self.position)
        candidates = [
            peer
            for peer in self.peers_with_data
            if self.set_system_identifier in (None, peer.system_identifier)
            and (not self.set_has_data or self._may_lead(peer.name))
            and (peer.running or self.seen.now - self.seen.postgres.since < COLD_START_PATIENCE)
        ]
        for peer in sorted(candidates, key=lambda peer: peer.name):
            theirs = (peer.timeline or 0, peer.position or 0)
            if theirs > mine or (theirs == mine and self._precedes(peer.name)):
                return peer.name
        return None

    def _precedes(self, name: str) -> bool:
        return _ordinal(name) < _ordinal(self.seen.me.name)

    def _may_lead(self, name: str) -> bool:
        return self.record is not None and (not self.record.members or name in self.record.members)

    @cached_property
    def is_a_member(self) -> bool:
        """Rule 6: of this set, recorded, and not on an older timeline."""
        return (
            not self.is_of_another_set
            and self._may_lead(self.seen.me.name)
            and self.record is not None
            and (self.timeline or 0) >= (self.record.timeline or 0)
        )

    @cached_property
    def awaits_last_leader(self) -> bool:
        """A set that was all down: the last primary has the most, so it is given time to come."""
        if self.seen.lease is None or self.record is None or self.seen.lease.renewal_seen:
            return False
        if self.record.last_leader in (None, self.seen.me.name):
            return False
        all_said = not self.silent and self.seen.wanted is not None
        return not all_said and self.seen.now - self.seen.started_at < COLD_START_PATIENCE

    @cached_property
    def last_leader(self) -> str:
        """For sentences."""
        return (self.record.last_leader if self.record else None) or "nobody"

    # ── what more than one row does ───────────────────────────────────────────────────────

    def renewal(self) -> Iterator[Action]:
        """Renew when it is time, or at once when there is something new to record."""
        if not self.recorded_as_holder or self.record is None or self.seen.lease is None:
            return
        known = RenewLease(self._known_identifier(), self._known_timeline(), self._members())
        recorded = RenewLease(
            self.record.system_identifier, self.record.timeline, self.record.members
        )
        renewed_at = self.seen.lease.renewed_at
        due = renewed_at is None or self.seen.now - renewed_at >= self.settings.renew_interval
        if due or known != recorded:
            yield known

    def _known_identifier(self) -> str | None:
        return self.set_system_identifier or self.system_identifier

    def _known_timeline(self) -> int | None:
        recorded = self.record.timeline if self.record else None
        return max(recorded or 0, self.timeline or 0) or None if self.is_writable else recorded

    def _members(self) -> tuple[str, ...]:
        """Who may take over: who streams, and who did and is still wanted."""
        recorded = set(self.record.members) if self.record else set()
        if self.seen.wanted is not None:
            recorded &= self.wanted_members
        members = recorded | set(self.seen.postgres.followers)
        if self.set_has_data or self.system_identifier:
            members.add(self.seen.me.name)
        return tuple(sorted(members, key=_ordinal))

    def own_role(self, value: str | None) -> Iterator[Action]:
        """Give this pod its role, where it has another."""
        for pod in self.seen.pods or ():
            if pod.name == self.seen.me.name and pod.uid == self.seen.me.uid and pod.role != value:
                yield SetRole(pod.name, pod.uid, value)

    def strip_other_primaries(self) -> Iterator[Action]:
        """Take the primary label from every other pod."""
        for pod in self.seen.pods or ():
            if pod.name != self.seen.me.name and pod.role == self.settings.primary_value:
                yield SetRole(pod.name, pod.uid, None)


def _ordinal(pod: str) -> int:
    return int(pod.rpartition("-")[2])


# ── the actions of each row ───────────────────────────────────────────────────────────────


def _nothing(_: Situation) -> Iterator[Action]:
    yield from ()


def _no_role(s: Situation) -> Iterator[Action]:
    yield from s.own_role(None)


def _fence(s: Situation) -> Iterator[Action]:
    """One signal a second, so that the last is sent before the Lease can be taken."""
    overdue = s.renewed_ago - s.fence_after
    step = s.settings.ttl * FENCING_SHARE / len(_ORDERED_SIGNALS)
    index = min(len(_ORDERED_SIGNALS) - 1, max(0, int(overdue / step)))
    yield StopPostgres(_ORDERED_SIGNALS[index])
    if s.another_holds:
        yield from s.own_role(None)
    else:
        yield from s.renewal()


def _renew(s: Situation) -> Iterator[Action]:
    yield from s.renewal()


def _start(s: Situation) -> Iterator[Action]:
    yield from s.renewal()
    yield StartPostgres()


def _take(s: Situation) -> Iterator[Action]:
    yield TakeLease(expired=s.lease_ran_out)


def _initdb(s: Situation) -> Iterator[Action]:
    yield from s.renewal()
    yield RunInitdb()


def _clone(s: Situation) -> Iterator[Action]:
    yield from s.own_role(None)
    assert s.set_system_identifier is not None  # noqa: S101 - the row's condition
    yield Clone(s.set_system_identifier)


def _release(s: Situation) -> Iterator[Action]:
    yield from s.own_role(None)
    yield ReleaseLease()


def _give_up(s: Situation) -> Iterator[Action]:
    """A postmaster that only hangs could wake and write: it goes before the Lease does."""
    if s.has_stopped:
        yield from _release(s)
    else:
        yield StopPostgres(signal.SIGKILL)
        yield from s.renewal()


def _hand_over(_: Situation) -> Iterator[Action]:
    """Keep the label: a stopped PostgreSQL refuses at once, and the next primary takes it away."""
    yield ReleaseLease()


def _promote(s: Situation) -> Iterator[Action]:
    yield from s.renewal()
    if s.seen.lease is not None and s.seen.lease.taken_expired:
        yield from s.strip_other_primaries()
    yield Promote()


def _lead(s: Situation) -> Iterator[Action]:
    if not s.seen.postgres.standby_signal:
        yield PutStandbySignal()
    yield from s.renewal()
    yield from s.own_role(s.settings.primary_value)
    yield from s.strip_other_primaries()
    if not s.seen.postgres.prepared:
        yield PreparePrimary()


def _wait_for_server(s: Situation) -> Iterator[Action]:
    yield from s.renewal()
    if not s.recorded_as_holder:
        yield from s.own_role(None)


def _follow(s: Situation) -> Iterator[Action]:
    yield from s.own_role(s.settings.replica_value if s.follows else None)


# ── the table ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Row:
    """A situation, when it holds, what is done in it, and what the operator is told."""

    name: str
    holds: Callable[[Situation], bool]
    actions: Callable[[Situation], Iterator[Action]]
    sentence: str
    attention: Attention = Attention.NONE


TABLE: Final[tuple[Row, ...]] = (
    # A PostgreSQL that may write without a valid Lease comes before everything else.
    Row(
        "Fencing",
        lambda s: s.may_write and not s.holds_lease and s.renewed_ago >= s.fence_after,
        _fence,
        "PostgreSQL is being stopped: this pod could not renew the Lease in time",
        Attention.WARNING,
    ),
    Row(
        "Superseded",
        lambda s: s.may_write and (s.another_holds or s.is_of_another_set),
        _fence,
        "PostgreSQL is being stopped: it is writable, but {s.leader} holds the Lease",
        Attention.WARNING,
    ),
    Row(
        "Reclaiming",
        lambda s: s.is_writable and s.nobody_holds and s.renewed_ago < s.fence_after,
        _take,
        "the Lease was deleted or emptied under the primary: taking it again",
        Attention.WARNING,
    ),
    Row(
        "WaitingForApi",
        lambda s: s.seen.lease is None or s.seen.pods is None,
        _nothing,
        "the API server has not answered yet",
    ),
    # Bootstrap: before PostgreSQL is told to start for the first time.
    Row(
        "WaitingForBootstrap",
        lambda s: s.is_bootstrapping and s.seen.bootstrap.data is None,
        _no_role,
        "the bootstrap container has not reported yet",
    ),
    Row(
        "DirectoryInUse",
        lambda s: s.is_bootstrapping and s.seen.bootstrap.other_writer is not None,
        _no_role,
        "another pod (UID {s.seen.bootstrap.other_writer}) writes to this data directory; "
        "waiting until it is silent",
        Attention.WARNING,
    ),
    Row(
        "Bootstrapping",
        lambda s: s.is_bootstrapping and s.seen.bootstrap.busy is not None,
        _renew,
        "the bootstrap container is busy: {s.seen.bootstrap.busy}",
    ),
    Row(
        "DataOfAnotherSet",
        lambda s: s.is_of_another_set,
        _no_role,
        "the data directory belongs to another set: its system identifier is "
        "{s.system_identifier}, this set's is {s.set_system_identifier}; nothing was changed: "
        "give this pod an empty volume or the right one",
        Attention.WARNING,
    ),
    Row(
        "CannotBootstrap",
        lambda s: s.is_bootstrapping and s.seen.bootstrap.refusal is not None,
        _no_role,
        "{s.seen.bootstrap.refusal}",
        Attention.WARNING,
    ),
    Row(
        "Starting",
        lambda s: s.is_bootstrapping and s.seen.bootstrap.data is DataState.PRESENT,
        _start,
        "PostgreSQL is told to start, read-only",
    ),
    Row(
        "Initializing",
        lambda s: s.is_bootstrapping and s.holds_lease and s.initdb_is_ours,
        _initdb,
        "making the first data directory of the set",
        Attention.NORMAL,
    ),
    Row(
        "TakingToInitialize",
        lambda s: s.is_bootstrapping and s.nobody_holds and s.initdb_is_ours,
        _take,
        "no pod of the set has data: taking the Lease to make some",
    ),
    Row(
        "LostData",
        lambda s: s.is_bootstrapping and s.recorded_as_holder and s.set_has_data,
        _release,
        "this pod held the Lease and lost its data: released",
        Attention.WARNING,
    ),
    Row(
        "Cloning",
        lambda s: s.is_bootstrapping and s.set_has_data and s.another_holds,
        _clone,
        "cloning from {s.leader}",
        Attention.NORMAL,
    ),
    Row(
        "WaitingForLeader",
        lambda s: s.is_bootstrapping and s.set_has_data,
        _no_role,
        "this pod has no data and waits for a member that has some to lead",
    ),
    Row(
        "WaitingForInitialization",
        lambda s: s.is_bootstrapping,
        _renew,
        "no pod of the set has reported data yet; {s.first_member} makes the first",
    ),
    # PostgreSQL runs, or should.
    Row(
        "Leading",
        lambda s: s.is_writable and s.holds_lease,
        _lead,
        "primary",
        Attention.NORMAL,
    ),
    Row(
        "HandingOver",
        lambda s: s.has_stopped and s.is_leaving and s.recorded_as_holder,
        _hand_over,
        "this pod was deleted and its PostgreSQL has stopped: released the Lease",
        Attention.NORMAL,
    ),
    Row(
        "Leaving",
        lambda s: s.has_stopped and s.is_leaving,
        _nothing,
        "this pod was deleted and its PostgreSQL has stopped",
    ),
    Row(
        "GivingUp",
        lambda s: s.is_down and s.recorded_as_holder and not s.is_alone and s.down_for_too_long,
        _give_up,
        "PostgreSQL here does not come up: released the Lease to another member",
        Attention.WARNING,
    ),
    Row(
        "Down",
        lambda s: s.is_down,
        _wait_for_server,
        "PostgreSQL does not answer",
    ),
    Row(
        "Promoting",
        lambda s: s.is_in_recovery and s.holds_lease,
        _promote,
        "promoting PostgreSQL",
    ),
    Row(
        "Resuming",
        lambda s: s.recorded_as_holder,
        _renew,
        "the Lease names this pod: renewing it before anything else",
    ),
    Row(
        "Following",
        lambda s: s.another_holds and s.follows,
        _follow,
        "replica of {s.leader}",
        Attention.NORMAL,
    ),
    Row(
        "NotFollowing",
        lambda s: s.another_holds,
        _follow,
        "{s.leader} leads, but this member does not stream from it within max-lag: no reads",
    ),
    # Nobody holds the Lease, and PostgreSQL here runs read-only.
    Row(
        "WaitingForReports",
        lambda s: not s.set_has_data and (s.seen.wanted is None or bool(s.silent)),
        _nothing,
        "no Lease tells who leads: waiting for the data of {s.silent_words}",
    ),
    Row(
        "NotEligible",
        lambda s: s.set_has_data and not s.is_a_member,
        _no_role,
        "nobody leads, and this member may not: it is not recorded as a member on the newest "
        "timeline",
        Attention.WARNING,
    ),
    Row(
        "WaitingForLastLeader",
        lambda s: s.awaits_last_leader,
        _nothing,
        "the set was down: waiting for its last primary, {s.last_leader}",
    ),
    Row(
        "YieldingToPeer",
        lambda s: s.ahead_of_me is not None,
        _nothing,
        "nobody leads: {s.ahead_of_me} is to lead",
    ),
    Row(
        "TakingLease",
        lambda s: s.nobody_holds,
        _take,
        "nobody leads: taking the Lease",
    ),
    Row("Waiting", lambda _: True, _nothing, "waiting"),
)
"""Read from the top: the first row that holds decides."""
