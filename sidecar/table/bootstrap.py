"""Before PostgreSQL is started for the first time."""

from collections.abc import Iterator
from typing import Final

from sidecar import contract
from sidecar.action import (
    Action,
    Attention,
    Clone,
    LeaveAlone,
    Reclone,
    Rewind,
    RunInitdb,
    StartPostgres,
    TellSet,
)
from sidecar.situation import Situation
from sidecar.situation.timing import COLD_START_PATIENCE, REJOIN_PATIENCE
from sidecar.table.steps import (
    LEFT_ALONE,
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
    if not s.bootstrap.must_wait_to("start"):
        yield StartPostgres(detached=s.data.is_new_to_set)
    yield from _take_no_traffic(s)


def _take_no_traffic(s: Situation) -> Iterator[Action]:
    """A label of the admission counts until the server answers. If the API server does not take
    this away in time, that is no reason not to start, or not to copy."""
    if not s.lease.names_me:
        yield from own_role(s, None)


def _start_raised(s: Situation) -> Iterator[Action]:
    yield from renewal(s)
    if not s.bootstrap.must_wait_to("start"):
        yield StartPostgres(s.start.raised_for_standby, detached=s.data.is_new_to_set)
    yield from _take_no_traffic(s)


def _start_writable(s: Situation) -> Iterator[Action]:
    yield from renewal(s)
    if not s.bootstrap.must_wait_to("start-writable"):
        yield StartPostgres(s.start.raised_for_primary, writable=True)


def _do_not_start(s: Situation) -> Iterator[Action]:
    # A member that took the Lease to start alone, and then heard of other data, must not lead.
    yield from (release(s) if s.lease.names_me else no_role(s))


def _leave_alone(s: Situation) -> Iterator[Action]:
    yield LeaveAlone()
    yield TellSet("LeftAlone", LEFT_ALONE.format(s=s))


def _initdb(s: Situation) -> Iterator[Action]:
    yield from renewal(s)
    yield RunInitdb()


def _clone(s: Situation) -> Iterator[Action]:
    if not s.bootstrap.must_wait_to("clone"):
        yield Clone(s.lease.system_identifier or "")
    yield from _take_no_traffic(s)


def _rewind(s: Situation) -> Iterator[Action]:
    if not s.bootstrap.must_wait_to("rewind"):
        yield Rewind(s.lease.system_identifier or "")
    yield from _take_no_traffic(s)


def _reclone(s: Situation) -> Iterator[Action]:
    if not s.bootstrap.must_wait_to("reclone"):
        yield Reclone(s.lease.system_identifier or "")
    yield from _take_no_traffic(s)


BOOTSTRAP: Final = (
    Row(
        "WaitingForBootstrap",
        lambda s: s.bootstrap.is_running and s.observation.bootstrap.data is None,
        no_role,
        "waiting for the bootstrap container to report",
    ),
    Row(
        "DirectoryInUse",
        lambda s: s.bootstrap.is_running and s.observation.bootstrap.other_writer is not None,
        no_role,
        "another pod (UID {s.observation.bootstrap.other_writer}) is writing to this data "
        "directory: waiting until it stops",
        Attention.WARNING,
    ),
    Row(
        "Bootstrapping",
        lambda s: s.bootstrap.is_running and s.observation.bootstrap.busy is not None,
        renew,
        "the bootstrap container is busy: {s.observation.bootstrap.busy}",
    ),
    Row(
        "DataOfAnotherSet",
        # What is marked to be cloned again is kept, whatever came into the directory since.
        lambda s: s.data.is_of_another_set and not s.data.is_broken,
        no_role,
        "the data directory belongs to another set: its system identifier is "
        "{s.data.system_identifier}, this set's is {s.lease.system_identifier}; nothing was "
        "changed: give this pod an empty volume or the right one",
        Attention.WARNING,
    ),
    Row(
        "LeavingAlone",
        lambda s: s.start.must_be_left_alone,
        _leave_alone,
        LEFT_ALONE,
        Attention.WARNING,
    ),
    Row(
        "CannotBootstrap",
        lambda s: s.observation.bootstrap.refusal is not None,
        no_role,
        "{s.observation.bootstrap.refusal}",
        Attention.WARNING,
    ),
    Row(
        "OptedOutBeforeStart",
        lambda s: s.opt_out.next_pod_starts_writable and s.data.is_present,
        leave_writable,
        "this set was opted out before PostgreSQL was started: the next pod, which has no sidecar, "
        "will start it writable",
        Attention.NORMAL,
    ),
    Row(
        "FencedBeforeStart",
        lambda s: s.pod.is_fenced,
        _do_not_start,
        "this pod is fenced, and PostgreSQL is not started: to start it, remove annotation "
        f"{contract.FENCED} from this pod",
        Attention.NORMAL,
    ),
    Row(
        "RecloneFailed",
        lambda s: (
            s.lease.is_anothers
            and s.data.must_be_cloned_again
            and s.bootstrap.has_failed_to("reclone")
        ),
        no_role,
        "the new clone from {s.lease.holder_name} has failed {s.bootstrap.times_failed}: "
        "{s.bootstrap.why_it_failed}; the next try is {s.bootstrap.retry_pause:.0f} s after that",
        Attention.WARNING,
    ),
    Row(
        "Recloning",
        lambda s: s.lease.is_anothers and s.data.must_be_cloned_again,
        _reclone,
        "cloning again from {s.lease.holder_name}; the old data directory is kept",
        Attention.NORMAL,
    ),
    Row(
        "RewindFailed",
        lambda s: (
            s.lease.is_anothers and s.data.must_be_rewound and s.bootstrap.has_failed_to("rewind")
        ),
        no_role,
        "the rewind to {s.lease.holder_name} has failed {s.bootstrap.times_failed}: "
        "{s.bootstrap.why_it_failed}; the next try is {s.bootstrap.retry_pause:.0f} s after that",
        Attention.WARNING,
    ),
    Row(
        "Rewinding",
        lambda s: s.lease.is_anothers and s.data.must_be_rewound,
        _rewind,
        "turning this data directory into a standby of {s.lease.holder_name}, with pg_rewind if "
        "they have diverged",
        Attention.NORMAL,
    ),
    Row(
        "KeepsOthersFromBeingCreated",
        lambda s: (
            s.lease.set_has_data
            and s.lease.is_free
            # Who has data and may lead does so within this time.
            and (not s.set.peers_with_data or s.lease.free_for >= COLD_START_PATIENCE)
            and (s.data.is_broken or s.data.is_missing)
            and s.set.waits_for_me_to_create
        ),
        no_role,
        "this pod waits for a primary to copy, and the StatefulSet creates the other pods, which "
        "may have the data, only when this one is ready: delete the StatefulSet with "
        "--cascade=orphan, and create it again with podManagementPolicy: Parallel; if no volume "
        "has the data that Lease {s.lease.name} remembers, and it is to be gone, delete that Lease",
        Attention.WARNING,
    ),
    Row(
        "WaitingToRejoin",
        lambda s: s.data.is_broken,
        no_role,
        "this data directory cannot be started as it is: waiting for a primary to copy from",
        Attention.WARNING,
    ),
    Row(
        "WaitingToRewind",
        lambda s: (
            s.lease.is_free
            and s.lease.free_for < REJOIN_PATIENCE
            and s.data.is_present
            and (s.data.must_be_rewound or s.data.must_be_cloned_again)
        ),
        no_role,
        "nobody leads, and this data directory ends on an older timeline: waiting a moment for a "
        "primary to rewind it to",
    ),
    Row(
        "TakingToStart",
        lambda s: s.start.should_be_writable and s.lease.is_free,
        take,
        "PostgreSQL would not start as a standby ({s.start.refused_settings}), and this is the "
        "only member: taking the Lease to start it as the primary",
        Attention.NORMAL,
    ),
    Row(
        "StartingWritable",
        lambda s: s.start.may_be_writable,
        _start_writable,
        "starting PostgreSQL, this once not read-only, since it would not start as a standby: "
        "{s.start.refused_settings}",
        Attention.WARNING,
    ),
    Row(
        "WaitingToStart",
        lambda s: s.start.should_be_writable,
        renew,
        "PostgreSQL would not start as a standby ({s.start.refused_settings}), and "
        "{s.lease.holder_name} holds the Lease: waiting until this pod is on record as the only "
        "member",
    ),
    Row(
        "SettingsRefused",
        lambda s: s.start.cannot_be_standby and s.data.is_present,
        _do_not_start,
        "not starting PostgreSQL, and nothing was changed: it would not start as a standby "
        "({s.start.refused_settings}), and other pods of the set may have data: {s.start.remedy}",
        Attention.WARNING,
    ),
    Row(
        "StartFailed",
        lambda s: (
            s.data.is_present
            and (s.bootstrap.has_failed_to("start") or s.bootstrap.has_failed_to("start-writable"))
        ),
        no_role,
        "the start of PostgreSQL has failed {s.bootstrap.times_failed}: "
        "{s.bootstrap.why_it_failed}; the next try is {s.bootstrap.retry_pause:.0f} s after that"
        "{s.bootstrap.lease_runs_out}",
        Attention.WARNING,
    ),
    Row(
        "StartingRaised",
        lambda s: s.start.is_refused and s.data.is_present,
        _start_raised,
        "starting PostgreSQL, read-only, with settings raised above its configuration, since as a "
        "standby it must have what its data was written with: {s.start.raised_settings}",
        Attention.WARNING,
    ),
    Row(
        "Starting",
        lambda s: s.data.is_present,
        _start,
        "starting PostgreSQL, read-only",
    ),
    Row(
        "InitdbFailed",
        lambda s: s.lease.is_mine and s.set.initdb_is_mine and s.bootstrap.has_failed_to("initdb"),
        renew,
        "initdb has failed {s.bootstrap.times_failed}: {s.bootstrap.why_it_failed}; the next try "
        "is {s.bootstrap.retry_pause:.0f} s after that",
        Attention.WARNING,
    ),
    Row(
        "Initializing",
        lambda s: s.lease.is_mine and s.set.initdb_is_mine,
        _initdb,
        "running initdb: the first data directory of this set",
        Attention.NORMAL,
    ),
    Row(
        "TakingToInitialize",
        lambda s: s.lease.is_free and s.set.initdb_is_mine,
        take,
        "no member has data: taking the Lease to run initdb",
    ),
    Row(
        "LostData",
        lambda s: s.lease.names_me and s.lease.set_has_data,
        release,
        "this pod held the Lease but has lost its data: releasing the Lease",
        Attention.WARNING,
    ),
    Row(
        "CloneFailed",
        lambda s: (
            s.lease.set_has_data and s.lease.is_anothers and s.bootstrap.has_failed_to("clone")
        ),
        no_role,
        "the clone from {s.lease.holder_name} has failed {s.bootstrap.times_failed}: "
        "{s.bootstrap.why_it_failed}; the next try is {s.bootstrap.retry_pause:.0f} s after that",
        Attention.WARNING,
    ),
    Row(
        "Cloning",
        lambda s: s.lease.set_has_data and s.lease.is_anothers,
        _clone,
        "cloning from {s.lease.holder_name}",
        Attention.NORMAL,
    ),
    Row(
        "NobodyHasData",
        lambda s: s.lease.set_has_data and s.lease.is_free and s.set.nobody_has_data,
        no_role,
        "Lease {s.lease.name} remembers a database of this set (system identifier "
        "{s.lease.system_identifier}), and no member has its data: give the pods its volumes back; "
        "or, if it is meant to be gone, delete Lease {s.lease.name}, and a new one is made",
        Attention.WARNING,
    ),
    Row(
        "WaitingForLeader",
        lambda s: s.lease.set_has_data,
        no_role,
        "this pod has no data yet: waiting until a member with data leads",
    ),
    Row(
        "WaitingForInitialization",
        lambda _: True,
        renew,
        "no member has reported any data yet; {s.set.first_member} will run initdb",
    ),
)
