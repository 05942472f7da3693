"""Another member holds the Lease, and PostgreSQL here runs read-only."""

from collections.abc import Iterator
from typing import Final

from sidecar.action import (
    Action,
    Attach,
    Attention,
    DeleteOwnPod,
    ForgetPromotion,
    ForgetReturns,
    KeepSlots,
    SetSynchronous,
)
from sidecar.situation import Situation
from sidecar.table.steps import Row, own_role, strip_other_primaries


def _rejoin(s: Situation) -> Iterator[Action]:
    yield from own_role(s, None)
    yield DeleteOwnPod(reclone=s.seen.bootstrap.can_rewind is False or s.was_rewound_in_vain)


def _join_anew(s: Situation) -> Iterator[Action]:
    yield from own_role(s, None)
    yield DeleteOwnPod(reclone=True)


def _follow(s: Situation) -> Iterator[Action]:
    yield from own_role(s, s.settings.replica_value if s.may_serve_reads else None)
    if s.is_in_recovery and s.follows_another and s.leader_address is not None:
        yield Attach(s.leader_address)
    if s.follows_after_its_promotion:
        yield ForgetPromotion()
    if s.seen.bootstrap.returns and s.seen.postgres.streaming:
        yield ForgetReturns()
    if s.seen.postgres.slots:
        yield KeepSlots(())
    if not s.would_wait_as_it_should:
        yield SetSynchronous(*s.standbys_if_it_led)
    if s.holder_is_lost:
        # A second before anybody can promote, so that kube-proxy has its next sync free for that.
        yield from strip_other_primaries(s)


REPLICA: Final = (
    Row(
        "Diverged",
        lambda s: s.is_in_recovery and s.has_diverged and not s.is_leaving,
        _rejoin,
        "this member has WAL that {s.leader}'s history does not have: its pod is deleted, so that "
        "bootstrap can rewind it",
        Attention.WARNING,
    ),
    Row(
        "OnItsOwnTimeline",
        lambda s: s.is_in_recovery and s.has_a_timeline_of_its_own and not s.is_leaving,
        _join_anew,
        "this member may have begun a timeline that nobody knows of: its pod is deleted, so that "
        "bootstrap can clone it anew",
        Attention.WARNING,
    ),
    Row(
        "LeftBehind",
        lambda s: s.is_in_recovery and s.has_been_left_behind and not s.is_leaving,
        _join_anew,
        "{s.leader} does not have the WAL any more that this member needs: its pod is deleted, so "
        "that bootstrap can clone it anew",
        Attention.WARNING,
    ),
    Row(
        "Following",
        lambda s: s.follows,
        _follow,
        "replica of {s.leader}",
        Attention.NORMAL,
    ),
    Row(
        "NotFollowing",
        lambda _: True,
        _follow,
        "{s.leader} leads, but this member does not stream from it within max-lag",
    ),
)
