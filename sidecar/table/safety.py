"""A PostgreSQL that may write without a valid Lease comes before everything else."""

import signal
from collections.abc import Iterator
from typing import Final

from sidecar.action import (
    Action,
    Attention,
    DeleteOwnPod,
    NotePromotedByHand,
    ReleaseLease,
    StopPostgres,
)
from sidecar.situation import Situation
from sidecar.situation.timing import FENCING_SHARE
from sidecar.table.steps import (
    HARDER_AND_HARDER,
    LEFT_ALONE,
    Row,
    harder,
    kill,
    nothing,
    own_role,
    renewal,
    take,
)


def _fence(s: Situation) -> Iterator[Action]:
    """One signal a second, so that the last is sent before the Lease can be taken."""
    overdue = s.lease.renewed_ago - s.lease.fence_after
    seconds_for_each = s.settings.ttl * FENCING_SHARE / len(HARDER_AND_HARDER)
    yield StopPostgres(harder(overdue / seconds_for_each))
    if s.server.was_promoted_by_hand:
        promoted_from = s.observation.postgres.promoted_from or 0
        yield NotePromotedByHand(promoted_from, s.data.timeline or 0)
    elif s.server.was_started_by_hand:
        yield NotePromotedByHand(s.data.timeline or 0, s.data.timeline or 0)
    if s.lease.is_anothers:
        yield from own_role(s, None)
    else:
        yield from renewal(s)


def _abandon(s: Situation) -> Iterator[Action]:
    """Whatever runs there is not this set's database, or will not be for long, or it is another
    pod's. Only bootstrap can bring that back, or wait for it; on a paused set somebody may be at
    work in this directory."""
    # Anything but SIGKILL would have it write once more.
    yield StopPostgres(signal.SIGKILL)
    if s.lease.is_paused:
        return
    if s.lease.names_me:
        yield ReleaseLease()
    # Where nobody has led, the next pod would find neither data nor a record, and run initdb.
    may_come_back = s.lease.set_has_data or s.data.is_taken_over
    if may_come_back and s.pod.shown is not None and not s.pod.is_leaving:
        # A mark would be in the other pod's directory.
        yield DeleteOwnPod(reclone=not s.data.is_taken_over)
    # Last: a holder whose time is over may change no label, and the rest must not wait for that.
    yield from own_role(s, None)


def _label_alone(s: Situation) -> Iterator[Action]:
    """It is all that Services of the set can lead to. Beside a leader, it is none of the set's; who
    leads is not known before the Lease was seen."""
    if s.lease.view is None:
        return
    serves = s.server.is_writable and not s.lease.set_has_data
    yield from own_role(s, s.settings.primary_value if serves else None)
    if s.start.should_join:
        yield DeleteOwnPod(reclone=False)


SAFETY: Final = (
    Row(
        "DirectoryTaken",
        lambda s: s.data.is_taken_over,
        _abandon,
        "another pod (UID {s.observation.bootstrap.other_writer}) has taken over this data "
        "directory: killing whatever runs there of this pod, so that it writes nothing more"
        "{s.pod.deletion_to_wait}",
        Attention.WARNING,
    ),
    Row(
        "DataVanished",
        lambda s: s.data.has_vanished,
        _abandon,
        "the database has disappeared from the data directory: killing whatever runs there, so "
        "that nobody writes to an empty one{s.pod.deletion_to_clone}",
        Attention.WARNING,
    ),
    Row(
        "VolumeLost",
        lambda s: s.pod.may_be_replaced and s.observation.postgres.alive,
        kill,
        "the volume does not answer, nor does the API server confirm that this pod still exists: "
        "killing PostgreSQL before another pod can take over the data directory",
        Attention.WARNING,
    ),
    Row(
        "LeftAlone",
        lambda s: s.observation.bootstrap.left_alone,
        _label_alone,
        LEFT_ALONE,
        Attention.WARNING,
    ),
    Row(
        "Orphaned",
        lambda s: s.server.has_orphans,
        kill,
        "the postmaster has died: killing the backends it left behind",
        Attention.WARNING,
    ),
    Row(
        "Isolated",
        lambda s: s.server.could_write and s.lease.names_me and s.lease.is_isolated,
        _fence,
        "stopping PostgreSQL: neither the API server nor any member answers this pod",
        Attention.WARNING,
    ),
    Row(
        "PromotedByHand",
        lambda s: s.server.was_promoted_by_hand or s.server.was_started_by_hand,
        _fence,
        "stopping PostgreSQL: this replica was made writable by hand (by pg_promote, for example, "
        "or by a start without standby.signal), and does not hold the Lease",
        Attention.WARNING,
    ),
    Row(
        "Fencing",
        lambda s: (
            s.server.could_write
            and not s.lease.is_mine
            and s.lease.renewed_ago >= s.lease.fence_after
        ),
        _fence,
        "stopping PostgreSQL: this pod could not renew the Lease in time",
        Attention.WARNING,
    ),
    Row(
        "Reclaiming",
        lambda s: (
            s.server.is_writable
            and s.lease.may_be_reclaimed
            and not (s.data.is_of_another_set or s.set.leader_is_writable)
        ),
        take,
        "the Lease was deleted, emptied or set back under the primary: taking it again",
        Attention.WARNING,
    ),
    Row(
        "Superseded",
        lambda s: s.server.could_write and (s.lease.is_anothers or s.data.is_of_another_set),
        _fence,
        "stopping PostgreSQL: it could write, but {s.data.reason_not_to_write}",
        Attention.WARNING,
    ),
    Row(
        "WaitingForApi",
        lambda s: s.lease.view is None or s.observation.pods is None,
        nothing,
        "waiting for the first answer of the API server",
    ),
    Row(
        "OutdatedLease",
        lambda s: (
            not (s.server.could_write or s.bootstrap.is_running) and s.election.must_not_lead_yet
        ),
        nothing,
        "the Lease has gone back to an older record, or names this member against its pledge: "
        "waiting for the primary to claim it, or for every member to report what data it has",
        Attention.WARNING,
    ),
)
