"""A Lease that goes back to an older record (etcd restored) counts no more than a lost one."""

from dataclasses import replace

import pytest

from sidecar.action import Promote, RenewLease, StopPostgres, TakeLease
from sidecar.decide import decide
from sidecar.observation import Leadership, Observation
from tests.sidecar.rules.observations import (
    DOWN,
    FREE,
    LEADER,
    NOW,
    OTHERS,
    QUORUM,
    RECORD,
    REPLICA,
    RETURNED,
    SETTINGS,
    STREAMING,
    SYNC,
    UNRECORDED,
    WRITABLE,
    lease,
    peer,
    promising,
    situation_and_actions,
)

STANDBY = replace(STREAMING, timeline=2)
"""It follows a primary that was promoted after the record."""

NAMED = replace(
    LEADER, lease=lease(RECORD, renewed_at=None), postgres=STANDBY, peers=peer(1) | peer(2)
)
"""The Lease names this member again; its sidecar has been restarted since, and knows no newer."""

SEEN = replace(NAMED, lease=lease(RECORD, renewed_at=None, went_back=True))
"""Its sidecar has seen a newer one."""

DEPOSED = replace(
    LEADER,
    lease=lease(OTHERS, went_back=True),
    postgres=replace(WRITABLE, timeline=2),
    peers=peer(1) | peer(2),
)
"""The primary, whose Lease names another again."""

REPORTED = peer(1, timeline=2) | peer(2, timeline=2)


@pytest.mark.parametrize(
    "observation",
    [
        replace(NAMED, peers=peer(1, timeline=2)),
        replace(NAMED, postgres=STREAMING, peers=peer(1, timeline=2)),
        replace(NAMED, postgres=DOWN, peers=peer(1, timeline=2)),
        replace(NAMED, postgres=replace(DOWN, last_timeline=2), peers=peer(1)),
        replace(SEEN, peers=peer(1, timeline=2)),
        replace(SEEN, peers=peer(1, writable=True, timeline=2) | peer(2)),
        replace(SEEN, peers=peer(1, timeline=2, position=6000) | peer(2)),
        replace(SEEN, wanted=None, peers=REPORTED),
        replace(SEEN, lease=lease(OTHERS, went_back=True), peers=peer(1)),
        replace(SEEN, lease=lease(replace(FREE, heir="orders-0"), went_back=True), peers=peer(1)),
        replace(SEEN, lease=lease(FREE, went_back=True), peers=peer(1)),
        replace(LEADER, postgres=STREAMING, pledged_until=NOW + 3),
    ],
    ids=[
        "a member has not reported",
        "another has a newer timeline",
        "nor while this one is down",
        "its own server was on a newer one before it went down",
        "nor to one that has seen a newer record",
        "another is writable",
        "another is ahead",
        "nobody knows who should report",
        "a replica",
        "an heir",
        "nobody holds it",
        "against its own pledge",
    ],
)
def test_nobody_leads_or_renews_by_an_outdated_record(observation: Observation) -> None:
    assert situation_and_actions(observation) == ("OutdatedLease", ())


LED = replace(promising(0, copies=1), holder="")
"""This member led when etcd was saved, and no other was in sync."""

COLD = replace(
    NAMED,
    lease=lease(LED, renewed_at=None, renewal_seen=False),
    postgres=replace(STANDBY, streaming=False),
    peers=peer(2, timeline=2),
)
"""The whole set was down when etcd was restored: its pods are other ones, which know no newer
record, and the member that led last has not come back."""

BEHIND = replace(COLD, postgres=replace(STREAMING, streaming=False))
"""Likewise; this member has not even followed that one."""


def test_after_a_full_outage_the_data_tells_that_the_record_is_outdated() -> None:
    assert situation_and_actions(COLD, SYNC) == ("OutdatedLease", ())
    assert situation_and_actions(BEHIND, SYNC) == ("OutdatedLease", ())
    expired = lease(
        replace(LED, holder="orders-0_uid-9"),
        renewed_at=None,
        renewal_seen=False,
        changed_at=NOW - 11,
    )
    assert situation_and_actions(replace(COLD, lease=expired), SYNC) == ("OutdatedLease", ())
    back = peer(1, timeline=2, position=6000) | peer(2, timeline=2)
    for seen in (COLD, BEHIND):
        assert situation_and_actions(replace(seen, peers=back), SYNC)[0] == "YieldingToPeer"


def test_after_a_full_outage_the_one_furthest_ahead_leads_though_it_is_no_recorded_voter() -> None:
    of_another = lease(replace(LED, voters=("orders-1",)), renewed_at=None, renewal_seen=False)
    reported = replace(COLD, lease=of_another, peers=peer(1) | peer(2, timeline=2))
    assert situation_and_actions(reported, SYNC)[0] == "TakingLease"


@pytest.mark.parametrize(
    "observation",
    [
        replace(COLD, lease=lease(LED, renewed_at=None)),
        replace(COLD, bootstrap=UNRECORDED),
        replace(BEHIND, peers=peer(2)),
    ],
    ids=["it has seen others renew", "it was promoted itself", "nobody knows of a newer timeline"],
)
def test_a_record_is_not_outdated_where_an_unrecorded_promotion_tells_as_much(
    observation: Observation,
) -> None:
    assert situation_and_actions(observation, SYNC)[0] == "TakingLease"


def test_a_record_is_not_outdated_where_only_its_last_primary_is_on_a_newer_timeline() -> None:
    theirs = replace(FREE, history=(Leadership(1, "orders-1", "2026-01-01T00:00:00Z"),))
    cold = lease(theirs, renewed_at=None, renewal_seen=False)
    ahead = peer(1, timeline=2, running=False) | peer(2)
    seen = replace(BEHIND, lease=cold, peers=ahead, postgres=replace(BEHIND.postgres, since=NOW))
    assert situation_and_actions(seen)[0] in ("WaitingForLastLeader", "YieldingToPeer")


def test_what_the_others_have_is_asked_for() -> None:
    for observation in (NAMED, SEEN, DEPOSED):
        assert decide(replace(observation, peers=None), SETTINGS).asks_peers


def test_once_all_have_reported_the_one_that_is_furthest_ahead_leads() -> None:
    situation, actions = situation_and_actions(replace(SEEN, peers=REPORTED))
    assert (situation, [type(action) for action in actions]) == ("Resuming", [RenewLease])
    renewed = replace(SEEN, lease=lease(RECORD, went_back=True), peers=REPORTED)
    situation, actions = situation_and_actions(renewed)
    assert situation == "Promoting"
    assert Promote(2) in actions


def test_nobody_that_is_ahead_is_passed_over_as_long_as_its_position_counts() -> None:
    """That one cannot take the Lease now, but what it has may have been acknowledged."""
    ahead = peer(1, timeline=2, position=5100, reaches_api=False) | peer(2, timeline=2)
    free = replace(SEEN, lease=lease(FREE, went_back=True, changed_at=NOW - 60), peers=ahead)
    assert situation_and_actions(free)[0] == "YieldingToPeer"


def test_a_holder_that_is_writable_is_followed() -> None:
    leader = peer(1, timeline=2, writable=True) | peer(2)
    replica = replace(SEEN, lease=lease(OTHERS, went_back=True), peers=leader)
    assert situation_and_actions(replica)[0] == "Following"


def test_a_member_that_comes_back_does_not_renew_an_outdated_lease_on_its_way() -> None:
    starting = replace(NAMED, bootstrap=RETURNED, postgres=DOWN, peers=peer(1, timeline=2))
    assert not [it for it in decide(starting, SETTINGS).actions if isinstance(it, RenewLease)]


def test_a_member_that_was_promoted_itself_goes_on() -> None:
    assert situation_and_actions(replace(NAMED, bootstrap=UNRECORDED))[0] == "Resuming"


def test_a_member_that_took_the_lease_before_the_timeline_was_recorded_goes_on() -> None:
    assert situation_and_actions(replace(NAMED, lease=lease(RECORD)))[0] == "Promoting"


def test_an_outdated_promise_binds_nobody() -> None:
    """By the record this member is no voter and that one is; but the record is not of today."""
    old = replace(promising(1, 2, copies=2), holder="")
    free = replace(SEEN, lease=lease(old, went_back=True), peers=REPORTED)
    assert situation_and_actions(free, QUORUM)[0] == "TakingLease"


def test_a_primary_whose_lease_goes_back_claims_it_again() -> None:
    situation, actions = situation_and_actions(DEPOSED)
    assert (situation, actions) == ("Reclaiming", (TakeLease(expired=False),))
    same = replace(DEPOSED, lease=lease(RECORD, went_back=True))
    assert situation_and_actions(same)[0] == "Reclaiming"


@pytest.mark.parametrize(
    ("observation", "situation"),
    [
        (replace(DEPOSED, peers=peer(1, writable=True, timeline=2) | peer(2)), "Superseded"),
        (
            replace(DEPOSED, lease=lease(OTHERS, went_back=True, renewed_at=NOW - 7.1)),
            "Fencing",
        ),
    ],
    ids=["where its holder is writable", "after its time"],
)
def test_a_primary_whose_lease_goes_back_is_stopped(
    observation: Observation, situation: str
) -> None:
    found, actions = situation_and_actions(observation)
    assert found == situation
    assert any(isinstance(action, StopPostgres) for action in actions)


def test_an_outdated_record_of_an_only_member_makes_nobody_sure_that_it_is() -> None:
    alone = lease(replace(RECORD, members=("orders-0",)), went_back=True, renewed_at=NOW - 7.1)
    found = decide(replace(LEADER, lease=alone, peers={}), SETTINGS)
    assert (found.situation, found.fence_in) == ("Fencing", 0.0)


def test_a_replica_whose_lease_did_not_go_back_follows() -> None:
    assert situation_and_actions(replace(REPLICA, postgres=STREAMING))[0] == "Following"


def test_who_renews_after_its_time_was_over_asks_the_others_before_it_is_promoted() -> None:
    """It was cut off from all; another may have led meanwhile, by a record that is lost again."""
    late = replace(LEADER, lease=lease(RECORD, lapsed=True), postgres=STREAMING)
    assert decide(late, SETTINGS).asks_peers
    assert not decide(replace(late, lease=lease(RECORD)), SETTINGS).asks_peers
    other = replace(late, peers=peer(1, timeline=2))
    assert situation_and_actions(other) == ("OutdatedLease", ())
    same = replace(late, peers=peer(1))
    assert situation_and_actions(same)[0] == "Promoting"
