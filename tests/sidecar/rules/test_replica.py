"""Rules for a member that follows, or should."""

from dataclasses import replace

import pytest

from sidecar.action import Attach, Attention, DeleteOwnPod, ForgetPromotion, Reclone, SetRole
from sidecar.decide import decide
from sidecar.observation import Fork, PostgresView
from tests.sidecar.rules.observations import (
    DOWN,
    NEWER,
    NOW,
    OTHERS,
    REPLICA,
    RETURNED,
    RUNNING,
    SETTINGS,
    STREAMING,
    UNRECORDED,
    lease,
    peer,
    pods,
    situation_and_actions,
)


def test_a_replica_that_streams_keeps_its_label() -> None:
    assert situation_and_actions(REPLICA) == ("Following", ())


@pytest.mark.parametrize(
    "postgres",
    [
        replace(STREAMING, streaming=False),
        replace(STREAMING, lag=SETTINGS.max_lag + 1),
        replace(STREAMING, timeline=0),
    ],
    ids=["not streaming", "behind", "older timeline"],
)
def test_a_replica_that_does_not_follow_takes_no_reads(postgres: PostgresView) -> None:
    lagging = replace(REPLICA, postgres=postgres)
    assert situation_and_actions(lagging) == (
        "NotFollowing",
        (SetRole("orders-0", "uid-0", None),),
    )


def test_a_replica_follows_the_holder_of_the_lease_and_nobody_else() -> None:
    """A Service may lead to the primary of before, which streams as a standby, too."""
    elsewhere = replace(REPLICA, postgres=replace(STREAMING, upstream="10.0.0.2"))
    situation, actions = situation_and_actions(elsewhere)
    assert (situation, actions) == (
        "NotFollowing",
        (SetRole("orders-0", "uid-0", None), Attach("10.0.0.1")),
    )
    right = replace(REPLICA, postgres=replace(STREAMING, upstream="10.0.0.1"))
    assert situation_and_actions(right) == ("Following", ())


def test_a_replica_uses_the_slot_in_which_its_primary_keeps_wal_for_it() -> None:
    for name in ("", "somebody_elses"):
        changed = replace(REPLICA, postgres=replace(STREAMING, primary_slot_name=name))
        assert situation_and_actions(changed) == ("Following", (Attach("10.0.0.1"),))
    own = replace(REPLICA, postgres=replace(STREAMING, primary_slot_name="pgset_orders_0"))
    assert situation_and_actions(own) == ("Following", ())


def test_between_two_primaries_a_replica_keeps_its_label_for_a_moment() -> None:
    """Each label that changes costs kube-proxy one of its syncs, which the primary's needs."""
    lost = replace(STREAMING, streaming=False, lag=None, streamed_at=NOW - 4)
    replica = replace(REPLICA, postgres=lost)
    assert situation_and_actions(replica) == ("NotFollowing", ())
    long_ago = replace(replica, postgres=replace(lost, streamed_at=NOW - 6))
    assert decide(long_ago, SETTINGS).actions == (SetRole("orders-0", "uid-0", None),)


def test_a_label_that_was_lost_comes_back_by_following_alone() -> None:
    """It lagged, or has diverged: readers would see the past, or what never was."""
    lost = replace(STREAMING, streaming=False, lag=None, streamed_at=NOW - 1)
    unlabelled = replace(REPLICA, postgres=lost, pods=pods(None, "primary", "replica"))
    assert situation_and_actions(unlabelled) == ("NotFollowing", ())


def test_a_lost_primary_loses_its_label_a_second_before_anybody_can_promote() -> None:
    late = replace(REPLICA, lease=lease(OTHERS, renewed_at=None, changed_at=NOW - 9.1))
    assert decide(late, SETTINGS).actions == (SetRole("orders-1", "uid-1", None),)
    promised = replace(late, pledged_until=NOW + 1)
    assert decide(promised, SETTINGS).actions == ()


DIVERGED = replace(
    REPLICA,
    lease=lease(NEWER, renewed_at=None),
    postgres=replace(STREAMING, streaming=False),
    fork=Fork(1, 4990),
)


def test_a_diverged_member_deletes_its_pod_to_get_to_bootstrap() -> None:
    situation, actions = situation_and_actions(DIVERGED)
    assert (situation, actions[-1]) == ("Diverged", DeleteOwnPod(reclone=False))
    cannot = replace(DIVERGED, bootstrap=replace(RUNNING, can_rewind=False))
    assert decide(cannot, SETTINGS).actions[-1] == DeleteOwnPod(reclone=True)


def test_a_member_that_is_merely_behind_does_not_delete_its_pod() -> None:
    behind = replace(DIVERGED, fork=Fork(1, 5000))
    assert decide(behind, SETTINGS).situation == "NotFollowing"


def test_a_member_whose_wal_is_gone_from_the_primary_is_cloned_anew() -> None:
    left_behind = replace(
        DIVERGED, fork=None, peers=peer(1, timeline=2, writable=True, oldest_wal=6000)
    )
    decision = decide(left_behind, SETTINGS)
    assert (decision.situation, decision.attention) == ("LeftBehind", Attention.WARNING)
    assert decision.actions[-1] == DeleteOwnPod(reclone=True)
    # Else it may be cloned without end, and nobody knows of what.
    assert "raise max_slot_wal_keep_size" in decision.sentence


def test_a_member_that_was_outrun_while_it_replayed_its_copy_waits_before_the_next_one() -> None:
    """Or it is copied without end, and each copy costs the primary as much as all of its data."""
    outrun = replace(
        REPLICA,
        postgres=replace(STREAMING, streaming=False, streamed_at=None, since=NOW - 3599),
        bootstrap=replace(RUNNING, copied=True),
        peers=peer(1, writable=True, oldest_wal=6000),
    )
    decision = decide(outrun, SETTINGS)
    assert (decision.situation, decision.attention) == ("OutrunByPrimary", Attention.WARNING)
    assert not any(isinstance(action, DeleteOwnPod) for action in decision.actions)
    assert "raise max_slot_wal_keep_size" in decision.sentence
    for again in (
        replace(outrun, postgres=replace(outrun.postgres, since=NOW - 3601)),
        replace(outrun, postgres=replace(outrun.postgres, streamed_at=NOW - 20)),
        replace(outrun, bootstrap=RUNNING),
        # Another primary has led since: it did not know what this member needs.
        replace(outrun, lease=lease(NEWER, renewed_at=None)),
    ):
        assert decide(again, SETTINGS).situation == "LeftBehind"


def test_a_promotion_that_did_not_happen_is_forgotten_by_who_streams_on_the_old_timeline() -> None:
    replica = replace(REPLICA, bootstrap=UNRECORDED)
    assert decide(replica, SETTINGS).actions == (ForgetPromotion(),)


def test_who_may_have_begun_a_timeline_that_another_has_begun_too_is_cloned_anew() -> None:
    """Two timelines of one number: neither PostgreSQL nor pg_rewind tells them apart."""
    replica = replace(
        REPLICA,
        lease=lease(NEWER, renewed_at=None),
        postgres=replace(STREAMING, timeline=2),
        bootstrap=UNRECORDED,
    )
    situation, actions = situation_and_actions(replica)
    assert (situation, actions[-1]) == ("OnItsOwnTimeline", DeleteOwnPod(reclone=True))
    returned = replace(replica, bootstrap=replace(RETURNED, promoting_from=1), postgres=DOWN)
    assert Reclone("111") in decide(returned, SETTINGS).actions
    free = replace(replica, lease=lease(replace(NEWER, holder=""), renewed_at=None))
    assert decide(free, SETTINGS).situation == "NotEligible"
