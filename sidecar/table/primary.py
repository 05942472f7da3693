"""The holder of the Lease whose PostgreSQL is writable."""

from collections.abc import Iterator
from typing import Final

from sidecar.action import (
    Action,
    Attention,
    Checkpoint,
    ForgetPromotion,
    ForgetReturns,
    PreparePrimary,
    Refuse,
    Role,
    TellSet,
)
from sidecar.situation import Situation
from sidecar.situation.timing import (
    FIRST_RETURN,
    SETTLING_PATIENCE,
)
from sidecar.table.steps import (
    Row,
    keep_slots,
    own_role,
    question,
    renewal,
    stop,
    strip_other_primaries,
    synchronous,
)

_LOST_LOGICAL_SLOTS: Final = (
    "the new primary lacks logical replication slots that the former one had: {names}. Their "
    "subscribers receive nothing any more and may have missed rows: set them up anew. The former "
    "primary may still have these slots, and holds WAL back for them: drop them there. From "
    "PostgreSQL 17 on, those made with failover are kept"
)

_LOST_PHYSICAL_SLOTS: Final = (
    "the new primary lacks physical replication slots that the former one had: {names}. What used "
    "them, such as pg_receivewal, barman or a standby outside of this set, receives nothing any "
    "more, or has no WAL kept for it: make them again here, and see whether it goes on without a "
    "gap. The former primary may still have these slots, and holds WAL back for them: drop them "
    "there"
)

_UNSAFE: Final = (
    "this primary runs with {names} off: after a crash of its node its data may be damaged, and "
    "rows that were acknowledged may be gone, without any error. Set it to on, unless the data may "
    "be lost (full_page_writes may also be off on a file system that never writes part of a page, "
    "such as ZFS)"
)

_COMMITS_MAY_HANG: Final = (
    "synchronous_standby_names was set before pgset came, and members of this set stream under "
    "their pods' names: unless it names these, every commit hangs. Reset it (ALTER SYSTEM RESET, "
    "or in the configuration's files), and set pgset.dev/durability if commits are to wait for a "
    "replica"
)


def _refuse_switchover(s: Situation) -> Iterator[Action]:
    yield from question(s)
    yield from renewal(s)
    yield Refuse(
        "SwitchoverRefused", f"switchover to {s.handover.target} refused: {s.handover.refusal}"
    )


def _accept_switchover(s: Situation) -> Iterator[Action]:
    yield from question(s)
    yield from renewal(s)
    if not s.handover.has_fresh_checkpoint:
        yield Checkpoint()


def _prepare_to_stop(s: Situation) -> Iterator[Action]:
    yield from _lead(s)
    if not s.handover.has_fresh_checkpoint:
        yield Checkpoint()


def _label(s: Situation) -> Iterator[Action]:
    """Let clients in. A primary label that is there stays, whatever has to settle."""
    if not s.durability.is_settling:
        yield from own_role(s, s.settings.primary_value)
        yield from strip_other_primaries(s)
    elif s.pod.has_role(s.settings.replica_value) and not s.server.was_just_promoted:
        # Nor is it a replica. Mostly it has settled before: each change of a label may delay the
        # next one, by up to a second.
        yield from own_role(s, None)


def _clients_wait(s: Situation) -> bool:
    """Clients wait for the label, and a renewal was sent a moment ago. At any other time nothing
    that may fail comes before it."""
    recently = s.server.in_this_state_for < 2 * SETTLING_PATIENCE
    lacks_it = recently and not s.pod.has_role(s.settings.primary_value)
    return s.server.was_just_promoted or (
        lacks_it and s.lease.renewed_ago < s.settings.renew_interval
    )


def _tell_of_beginning(s: Situation) -> Iterator[Action]:
    """What a takeover, or opting in, has brought that nobody would see otherwise."""
    if lost := s.data.lost_logical_slots:
        yield TellSet("LogicalSlotsLost", _LOST_LOGICAL_SLOTS.format(names=", ".join(lost)))
    if lost := s.data.lost_physical_slots:
        yield TellSet("PhysicalSlotsLost", _LOST_PHYSICAL_SLOTS.format(names=", ".join(lost)))
    if unsafe := s.data.unsafe_settings:
        yield TellSet("UnsafeSettings", _UNSAFE.format(names=" and ".join(unsafe)))
    if s.data.commits_may_hang:
        yield TellSet("CommitsMayHang", _COMMITS_MAY_HANG)


def _lead(s: Situation) -> Iterator[Action]:
    label_first = _clients_wait(s)
    if label_first:
        yield from _label(s)
    yield from keep_slots(s)
    yield from question(s)
    yield from renewal(s)
    if s.observation.bootstrap.promoting_from is not None and s.data.timeline_is_mine_on_record:
        yield ForgetPromotion()
    # What ends again and again comes up in between.
    returned = s.observation.bootstrap.returns is not None
    if returned and s.server.in_this_state_for > FIRST_RETURN:
        yield ForgetReturns()
    yield from synchronous(s)
    if not label_first:
        yield from _label(s)
    if not s.observation.postgres.prepared:
        yield PreparePrimary()
    yield from _tell_of_beginning(s)


PRIMARY: Final = (
    Row(
        "RefusingSwitchover",
        lambda s: s.server.is_writable and s.handover.refusal is not None,
        _refuse_switchover,
        "refusing the switchover to {s.handover.target}",
        role=Role.PRIMARY,
    ),
    Row(
        "AcceptingSwitchover",
        lambda s: s.server.is_writable and s.handover.requested is not None,
        _accept_switchover,
        "switchover to {s.handover.requested} requested: writing a checkpoint first",
        Attention.NORMAL,
        Role.PRIMARY,
    ),
    Row(
        "Stopping",
        lambda s: (
            s.handover.is_wanted and bool(s.handover.candidates) and s.handover.is_ready_to_stop
        ),
        stop,
        "stopping PostgreSQL to hand over to {s.handover.candidate_name}: {s.handover.reason}",
        Attention.NORMAL,
    ),
    Row(
        "PreparingToStop",
        lambda s: s.server.is_writable and s.handover.is_wanted and bool(s.handover.candidates),
        _prepare_to_stop,
        "primary, about to hand over to {s.handover.candidate_name}: {s.handover.reason}",
        role=Role.PRIMARY,
    ),
    Row(
        "Settling",
        lambda s: s.durability.is_settling and not s.pod.has_role(s.settings.primary_value),
        _lead,
        "PostgreSQL is writable, and the standbys that commits wait for may not have all that it "
        "has: no clients yet, since what they would read could be gone with this member",
    ),
    Row(
        "Leading",
        lambda s: s.server.is_writable,
        _lead,
        "primary",
        Attention.NORMAL,
        Role.PRIMARY,
    ),
)
