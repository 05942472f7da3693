"""Before PostgreSQL is told to start for the first time."""

from collections.abc import Iterator
from typing import Final

from sidecar.action import (
    Action,
    Attention,
    Clone,
    Reclone,
    Rewind,
    RunInitdb,
    StartPostgres,
)
from sidecar.observation import DataState
from sidecar.situation import Situation
from sidecar.situation.patience import REJOIN_PATIENCE
from sidecar.table.steps import (
    Row,
    leave_writable,
    no_role,
    own_role,
    release,
    renew,
    renewal,
    take,
)


def _start(s: Situation) -> Iterator[Action]:
    yield from renewal(s)
    if not s.must_wait_to("start"):
        yield StartPostgres()


def _start_raised(s: Situation) -> Iterator[Action]:
    yield from renewal(s)
    if not s.must_wait_to("start"):
        yield StartPostgres(s.raised_for_a_standby)


def _start_writable(s: Situation) -> Iterator[Action]:
    yield from renewal(s)
    if not s.must_wait_to("start-writable"):
        yield StartPostgres(s.raised_for_a_primary, writable=True)


def _refuse_settings(s: Situation) -> Iterator[Action]:
    # Who took the Lease to start alone, and then heard of other data, is no leader.
    yield from (release(s) if s.recorded_as_holder else no_role(s))


def _initdb(s: Situation) -> Iterator[Action]:
    yield from renewal(s)
    yield RunInitdb()


def _clone(s: Situation) -> Iterator[Action]:
    yield from own_role(s, None)
    if not s.must_wait_to("clone"):
        yield Clone(s.set_system_identifier or "")


def _rewind(s: Situation) -> Iterator[Action]:
    yield from own_role(s, None)
    if not s.must_wait_to("rewind"):
        yield Rewind(s.set_system_identifier or "")


def _reclone(s: Situation) -> Iterator[Action]:
    yield from own_role(s, None)
    if not s.must_wait_to("reclone"):
        yield Reclone(s.set_system_identifier or "")


BOOTSTRAP: Final = (
    Row(
        "WaitingForBootstrap",
        lambda s: s.is_bootstrapping and s.seen.bootstrap.data is None,
        no_role,
        "the bootstrap container has not reported yet",
    ),
    Row(
        "DirectoryInUse",
        lambda s: s.is_bootstrapping and s.seen.bootstrap.other_writer is not None,
        no_role,
        "another pod (UID {s.seen.bootstrap.other_writer}) writes to this data directory; "
        "waiting until it is silent",
        Attention.WARNING,
    ),
    Row(
        "Bootstrapping",
        lambda s: s.is_bootstrapping and s.seen.bootstrap.busy is not None,
        renew,
        "the bootstrap container is busy: {s.seen.bootstrap.busy}",
    ),
    Row(
        "DataOfAnotherSet",
        lambda s: s.is_of_another_set,
        no_role,
        "the data directory belongs to another set: its system identifier is "
        "{s.system_identifier}, this set's is {s.set_system_identifier}; nothing was changed: "
        "give this pod an empty volume or the right one",
        Attention.WARNING,
    ),
    Row(
        "CannotBootstrap",
        lambda s: s.seen.bootstrap.refusal is not None,
        no_role,
        "{s.seen.bootstrap.refusal}",
        Attention.WARNING,
    ),
    Row(
        "OptedOutBeforeStart",
        lambda s: s.is_left_writable and s.seen.bootstrap.data is DataState.PRESENT,
        leave_writable,
        "this set was opted out before PostgreSQL here was started: the pod without pgset that "
        "comes next starts it writable",
        Attention.NORMAL,
    ),
    Row(
        "RecloneFailed",
        lambda s: s.another_holds and s.must_be_cloned_anew and s.has_failed_to("reclone"),
        no_role,
        "the new clone from {s.leader} has failed {s.times_failed}: {s.why_it_failed}; the next "
        "try is {s.retry_pause:.0f} s after that",
        Attention.WARNING,
    ),
    Row(
        "Recloning",
        lambda s: s.another_holds and s.must_be_cloned_anew,
        _reclone,
        "cloning anew from {s.leader}; the old data directory is kept aside",
        Attention.NORMAL,
    ),
    Row(
        "RewindFailed",
        lambda s: s.another_holds and s.must_be_rewound and s.has_failed_to("rewind"),
        no_role,
        "the rewind to {s.leader} has failed {s.times_failed}: {s.why_it_failed}; the next try is "
        "{s.retry_pause:.0f} s after that",
        Attention.WARNING,
    ),
    Row(
        "Rewinding",
        lambda s: s.another_holds and s.must_be_rewound,
        _rewind,
        "making this data directory follow {s.leader}, by pg_rewind where they have diverged",
        Attention.NORMAL,
    ),
    Row(
        "WaitingToRejoin",
        lambda s: s.seen.bootstrap.data is DataState.BROKEN,
        no_role,
        "this data directory can't be started as it is; waiting for a primary to copy from",
        Attention.WARNING,
    ),
    Row(
        "WaitingToRewind",
        lambda s: (
            s.nobody_holds
            and s.free_for < REJOIN_PATIENCE
            and s.seen.bootstrap.data is DataState.PRESENT
            and (s.must_be_rewound or s.must_be_cloned_anew)
        ),
        no_role,
        "nobody leads, and this data ends on an older timeline: waiting a moment for a primary to "
        "rewind it by",
    ),
    Row(
        "TakingToStart",
        lambda s: s.wants_a_writable_start and s.nobody_holds,
        take,
        "a standby's start would be refused ({s.refused_words}), and this is the only member: "
        "taking the Lease to start as the primary",
        Attention.NORMAL,
    ),
    Row(
        "StartingWritable",
        lambda s: s.may_start_writable,
        _start_writable,
        "PostgreSQL is told to start, for once not read-only, as a standby's start would be "
        "refused: {s.refused_words}",
        Attention.WARNING,
    ),
    Row(
        "WaitingToStart",
        lambda s: s.wants_a_writable_start,
        renew,
        "a standby's start would be refused ({s.refused_words}), and {s.leader} holds the Lease: "
        "waiting until this pod is on record as the only member",
    ),
    Row(
        "SettingsRefused",
        lambda s: s.cannot_start_as_a_standby and s.seen.bootstrap.data is DataState.PRESENT,
        _refuse_settings,
        "PostgreSQL is not started, and nothing was changed: a standby's start would be refused "
        "({s.refused_words}), and other pods of the set may have data: {s.remedy}",
        Attention.WARNING,
    ),
    Row(
        "StartingRaised",
        lambda s: s.settings_are_refused and s.seen.bootstrap.data is DataState.PRESENT,
        _start_raised,
        "PostgreSQL is told to start, read-only, and with more than its configuration says, since "
        "a standby's start is refused less than its data was written with: {s.raised_words}",
        Attention.WARNING,
    ),
    Row(
        "Starting",
        lambda s: s.seen.bootstrap.data is DataState.PRESENT,
        _start,
        "PostgreSQL is told to start, read-only",
    ),
    Row(
        "InitdbFailed",
        lambda s: s.holds_lease and s.initdb_is_ours and s.has_failed_to("initdb"),
        renew,
        "initdb has failed {s.times_failed}: {s.why_it_failed}; the next try is "
        "{s.retry_pause:.0f} s after that",
        Attention.WARNING,
    ),
    Row(
        "Initializing",
        lambda s: s.holds_lease and s.initdb_is_ours,
        _initdb,
        "making the first data directory of the set",
        Attention.NORMAL,
    ),
    Row(
        "TakingToInitialize",
        lambda s: s.nobody_holds and s.initdb_is_ours,
        take,
        "no pod of the set has data: taking the Lease to make some",
    ),
    Row(
        "LostData",
        lambda s: s.recorded_as_holder and s.set_has_data,
        release,
        "this pod held the Lease and lost its data: released",
        Attention.WARNING,
    ),
    Row(
        "CloneFailed",
        lambda s: s.set_has_data and s.another_holds and s.has_failed_to("clone"),
        no_role,
        "the clone from {s.leader} has failed {s.times_failed}: {s.why_it_failed}; the next try is "
        "{s.retry_pause:.0f} s after that",
        Attention.WARNING,
    ),
    Row(
        "Cloning",
        lambda s: s.set_has_data and s.another_holds,
        _clone,
        "cloning from {s.leader}",
        Attention.NORMAL,
    ),
    Row(
        "WaitingForLeader",
        lambda s: s.set_has_data,
        no_role,
        "this pod has no data and waits for a member that has some to lead",
    ),
    Row(
        "WaitingForInitialization",
        lambda _: True,
        renew,
        "no pod of the set has reported data yet; {s.first_member} makes the first",
    ),
)
