"""Another member holds the Lease, and PostgreSQL here runs read-only."""

from collections.abc import Iterator
from typing import Final

from sidecar import contract
from sidecar.action import (
    Action,
    Attach,
    Attention,
    DeleteOwnPod,
    ForgetPromotion,
    ForgetReturns,
    KeepSlots,
    Role,
    SetSynchronous,
)
from sidecar.situation import Situation
from sidecar.table.steps import Row, no_role, own_role, strip_other_primaries


def _rewind(s: Situation) -> Iterator[Action]:
    yield from own_role(s, None)
    cannot = s.observation.bootstrap.can_rewind is False or s.replica.was_rewound_in_vain
    # The next bootstrap knows nothing of the comparison.
    yield DeleteOwnPod(reclone=cannot or s.data.is_new_to_set)


def _clone_again(s: Situation) -> Iterator[Action]:
    yield from own_role(s, None)
    yield DeleteOwnPod(reclone=True)


def _follow(s: Situation) -> Iterator[Action]:
    yield from own_role(s, s.settings.replica_value if s.replica.may_serve_reads else None)
    leads_at = s.set.leader_address
    astray = s.replica.follows_wrong_primary or s.replica.uses_wrong_slot
    if s.server.is_in_recovery and astray and leads_at is not None and s.replica.may_attach:
        yield Attach(leads_at)
    if s.replica.promotion_note_is_obsolete:
        yield ForgetPromotion()
    if s.observation.bootstrap.returns is not None and s.observation.postgres.streaming:
        yield ForgetReturns()
    replaced = s.replica.replaced_logical_slots
    if s.observation.postgres.slots or replaced:
        yield KeepSlots((), replaced)
    if not s.durability.setting_would_be_right:
        yield SetSynchronous(*s.durability.standbys_if_promoted)
    if s.lease.holder_must_have_stopped:
        # A second before anybody can promote, so that kube-proxy has its next sync free for that.
        yield from strip_other_primaries(s)


REPLICA: Final = (
    Row(
        "Diverged",
        lambda s: s.server.is_in_recovery and s.replica.has_diverged and not s.pod.is_leaving,
        _rewind,
        "this member has WAL that is not in {s.lease.holder_name}'s history: deleting this pod so "
        "that bootstrap can rewind it",
        Attention.WARNING,
    ),
    Row(
        "ReturningToSet",
        lambda s: (
            s.server.is_in_recovery
            and s.replica.may_return
            and not (s.pod.is_leaving or s.lease.is_paused)
        ),
        _rewind,
        "this member was promoted by hand while {s.lease.holder_name} led, and so has a timeline "
        "of its own: deleting this pod so that bootstrap can rewind it",
        Attention.WARNING,
    ),
    Row(
        "OnItsOwnTimeline",
        lambda s: s.server.is_in_recovery and s.data.has_its_own_timeline and not s.pod.is_leaving,
        _clone_again,
        "this member may have begun a timeline that is not on record: deleting this pod so that "
        "bootstrap can clone it again",
        Attention.WARNING,
    ),
    Row(
        "OtherWal",
        lambda s: s.server.is_in_recovery and s.replica.has_other_wal and not s.pod.is_leaving,
        no_role,
        "the end of this member's WAL is not {s.lease.holder_name}'s, although both come from one "
        "database: this data was written to apart from the set, and does not join it; nothing was "
        "changed. Dump what is needed of it, and then have this member cloned again: set "
        f"annotation {contract.REINIT} on this pod, or run kubectl pgset reinit "
        "{s.observation.me.name}",
        Attention.WARNING,
    ),
    Row(
        "OutrunByPrimary",
        lambda s: s.server.is_in_recovery and s.replica.was_outrun and not s.pod.is_leaving,
        _follow,
        "while this member replayed its copy, {s.lease.holder_name} wrote more than it keeps for "
        "one that does not stream yet. Another copy would mostly end likewise, and begins only an "
        "hour after this one has come up: raise max_slot_wal_keep_size or, if you have not set it, "
        "give {s.lease.holder_name}'s volume more room, and delete this pod",
        Attention.WARNING,
    ),
    Row(
        "LeftBehind",
        lambda s: s.server.is_in_recovery and s.replica.needs_removed_wal and not s.pod.is_leaving,
        _clone_again,
        "{s.lease.holder_name} no longer has the WAL that this member needs: deleting this pod so "
        "that bootstrap can clone it again; if that repeats itself, raise max_slot_wal_keep_size",
        Attention.WARNING,
    ),
    Row(
        "Following",
        lambda s: s.replica.follows_leader,
        _follow,
        "replica of {s.lease.holder_name}",
        Attention.NORMAL,
        Role.REPLICA,
    ),
    Row(
        "NotFollowing",
        lambda _: True,
        _follow,
        "{s.lease.holder_name} leads, but this member does not stream from it within max-lag",
    ),
)
