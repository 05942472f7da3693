"""Rules for who leads where nobody does."""

from dataclasses import replace
from typing import Any

import pytest

from sidecar.action import Attention, Promote, SetRole, TakeLease, TellSet
from sidecar.decide import decide
from sidecar.observation import Identity, Leadership, LeaseRecord, Observation, Peer, PostgresView
from tests.sidecar.rules.observations import (
    ADOPTED,
    FREE,
    LEADER,
    LEADER_PODS,
    ME,
    NOW,
    OTHERS,
    QUORUM,
    REPLICA,
    RUNNING,
    SETTINGS,
    SLOTS,
    STREAMING,
    UNRECORDED,
    VACANT,
    lease,
    peer,
    pods,
    situation_and_actions,
)


def test_a_single_database_that_opted_in_leads() -> None:
    assert situation_and_actions(ADOPTED) == ("TakingLease", (TakeLease(expired=False),))


def test_without_a_lease_nobody_leads_before_every_wanted_member_has_reported() -> None:
    three = replace(ADOPTED, wanted=3, peers=peer(1))
    decision = decide(three, SETTINGS)
    assert (decision.situation, decision.actions) == ("WaitingForReports", ())
    assert decision.sentence.endswith("waiting for orders-2 to report what data they have")


def test_data_that_can_only_be_cloned_again_is_not_waited_for() -> None:
    """Its member waits itself for who is to lead, and what a rewind has left may say anything."""
    broken = peer(1, running=False, broken=True, position=9000, system_identifier="112")
    assert decide(replace(ADOPTED, wanted=2, peers=broken), SETTINGS).situation == "TakingLease"


def test_no_set_is_of_the_database_of_data_that_can_only_be_cloned_again() -> None:
    lowest, other = Identity("orders-0", "uid-0"), Identity("orders-1", "uid-1")
    broken = peer(0, running=False, broken=True, position=9000, system_identifier="112")
    seen = replace(ADOPTED, me=other, wanted=2, peers=broken)
    assert ADOPTED.me == lowest
    assert decide(seen, SETTINGS).situation == "TakingLease"


def test_without_a_lease_and_without_the_statefulset_nobody_leads() -> None:
    decision = decide(replace(ADOPTED, wanted=None), SETTINGS)
    assert decision.situation == "WaitingForReports"
    assert decision.sentence.endswith("waiting until the StatefulSet can be read")


def test_without_a_lease_the_one_furthest_ahead_leads() -> None:
    three = replace(ADOPTED, wanted=3, peers=peer(1, position=6000) | peer(2, has_data=False))
    assert decide(three, SETTINGS).situation == "YieldingToPeer"


def adopted(ordinal: int, *databases: tuple[str, int] | None) -> Observation:
    """Member `ordinal` of pods with these databases, by system identifier and position, that have
    never led; None: a pod without data."""
    peers = {
        name: it
        for n, found in enumerate(databases)
        if n != ordinal
        for name, it in (
            peer(n, has_data=False)
            if found is None
            else peer(n, system_identifier=found[0], position=found[1])
        ).items()
    }
    mine = databases[ordinal]
    assert mine is not None
    return replace(
        ADOPTED,
        me=Identity(f"orders-{ordinal}", f"uid-{ordinal}"),
        pods=pods("primary", *["replica"] * (len(databases) - 1)),
        wanted=len(databases),
        peers=peers,
        bootstrap=replace(RUNNING, system_identifier=mine[0]),
        postgres=replace(ADOPTED.postgres, system_identifier=mine[0], position=mine[1]),
    )


def test_of_unrelated_databases_the_one_of_the_lowest_ordinal_is_the_sets() -> None:
    """Nothing is said by the amount of WAL in databases that have none in common."""
    unrelated = [("110", 5000), ("111", 5100), ("112", 5200)]
    first, *others = (decide(adopted(n, *unrelated), SETTINGS) for n in range(3))
    assert (first.situation, first.attention) == ("ChoosingDatabase", Attention.WARNING)
    take, tell = first.actions
    assert take == TakeLease(expired=False)
    assert isinstance(tell, TellSet)
    for sentence in (first.sentence, tell.sentence, *(it.sentence for it in others)):
        assert "orders-0 has 110, orders-1 has 111, orders-2 has 112" in sentence
        assert "it is that of the lowest ordinal, orders-0" in sentence
    for decision in others:
        assert (decision.situation, decision.attention) == ("UnrelatedDatabase", Attention.WARNING)
        assert decision.actions == ()


def test_unrelated_databases_are_not_told_apart_before_all_have_reported() -> None:
    unrelated = adopted(0, ("110", 5000), ("111", 5100), ("112", 5200))
    assert decide(replace(unrelated, wanted=4), SETTINGS).situation == "WaitingForReports"


def test_copies_of_the_database_that_counts_are_compared_as_ever() -> None:
    mixed = [None, ("111", 5000), ("112", 9000), ("111", 5100)]
    assert [decide(adopted(n, *mixed), SETTINGS).situation for n in (1, 2, 3)] == [
        "YieldingToPeer",
        "UnrelatedDatabase",
        "ChoosingDatabase",
    ]


def test_whoever_is_writable_is_waited_for_whatever_its_database() -> None:
    unrelated = adopted(0, ("110", 5000), ("111", 5100))
    writable = replace(
        unrelated, peers=peer(1, system_identifier="111", position=5100, writable=True)
    )
    assert decide(writable, SETTINGS).situation == "YieldingToPeer"


def test_where_the_lease_says_which_database_counts_the_lowest_ordinal_does_not() -> None:
    known = replace(
        adopted(1, ("110", 9000), ("111", 5000)),
        lease=lease(replace(FREE, members=()), renewed_at=None),
    )
    assert decide(known, SETTINGS).situation == "TakingLease"


def test_a_position_in_another_database_says_nothing_of_commits() -> None:
    """The voter's own volume, with the commits, may only be away."""
    promising_two = replace(FREE, voters=("orders-0", "orders-1", "orders-2"), copies=2)
    quorum = replace(VACANT, lease=lease(promising_two, renewed_at=None))
    behind = peer(1, position=4000) | peer(2, has_data=None)
    assert decide(replace(quorum, peers=behind), QUORUM).situation == "TakingLease"
    replaced = replace(quorum, peers=peer(1, system_identifier="999", position=4000))
    assert decide(replaced, QUORUM).situation == "MissingCommits"


def test_a_released_lease_is_taken() -> None:
    alone = replace(VACANT, peers=peer(2, position=4000))
    assert situation_and_actions(alone) == (
        "TakingLease",
        (TakeLease(expired=False), Promote(1), SLOTS),
    )


def test_a_lease_that_ran_out_is_taken_as_expired() -> None:
    ran_out = replace(REPLICA, lease=lease(OTHERS, renewed_at=None, changed_at=NOW - 10.1))
    assert situation_and_actions(ran_out) == (
        "TakingLease",
        (TakeLease(expired=True), SetRole("orders-1", "uid-1", None), Promote(1), SLOTS),
    )


def test_a_lease_is_not_taken_a_moment_too_early() -> None:
    nearly = replace(REPLICA, lease=lease(OTHERS, renewed_at=None, changed_at=NOW - 10))
    assert decide(nearly, SETTINGS).situation == "Following"


@pytest.mark.parametrize("better", [{"position": 5001}, {"timeline": 2, "position": 10}])
def test_who_is_behind_yields(better: dict[str, int]) -> None:
    behind = replace(VACANT, peers=peer(2, **better))
    assert situation_and_actions(behind) == ("YieldingToPeer", ())


def test_of_two_with_the_same_wal_the_one_leads_that_has_replayed_it() -> None:
    late = replace(VACANT, postgres=replace(STREAMING, streaming=False, to_replay=2**30))
    assert decide(replace(late, peers=peer(1, to_replay=100)), SETTINGS).situation == (
        "YieldingToPeer"
    )
    assert decide(replace(late, peers=peer(1, to_replay=2**30)), SETTINGS).situation == (
        "TakingLease"
    )
    assert decide(replace(late, peers=peer(1, position=4000)), SETTINGS).situation == "TakingLease"
    first = replace(VACANT, me=Identity("orders-1", "uid-1"), peers=peer(0, to_replay=2**30))
    assert decide(first, SETTINGS).situation == "TakingLease"


def test_of_two_equals_the_lower_ordinal_leads() -> None:
    second = replace(VACANT, me=Identity("orders-1", "uid-1"), peers=peer(0))
    assert decide(second, SETTINGS).situation == "YieldingToPeer"


def test_nobody_yields_for_ever_to_a_peer_that_does_not_run() -> None:
    ahead = peer(2, position=6000, running=False)
    assert decide(replace(VACANT, peers=ahead), SETTINGS).situation == "TakingLease"
    just_started = replace(VACANT, postgres=replace(STREAMING, since=NOW - 5), peers=ahead)
    assert decide(just_started, SETTINGS).situation == "YieldingToPeer"


@pytest.mark.parametrize(
    ("record", "postgres"),
    [
        (replace(FREE, members=("orders-1",)), STREAMING),
        (replace(FREE, timeline=2), STREAMING),
    ],
    ids=["not recorded", "older timeline"],
)
def test_who_may_not_lead_does_not(record: LeaseRecord, postgres: PostgresView) -> None:
    vacant = replace(VACANT, lease=lease(record, renewed_at=None), postgres=postgres)
    assert decide(vacant, SETTINGS).situation == "NotEligible"


COLD = replace(
    VACANT,
    me=Identity("orders-1", "uid-1"),
    started_at=NOW - 10,
    lease=lease(FREE, renewed_at=None, renewal_seen=False),
    postgres=replace(STREAMING, streaming=False, since=NOW - 5),
)


def test_after_a_cold_start_the_last_primary_is_waited_for() -> None:
    assert situation_and_actions(COLD) == ("WaitingForLastLeader", ())


def test_after_a_cold_start_the_last_primary_is_not_waited_for_for_ever() -> None:
    assert decide(replace(COLD, started_at=NOW - 31), SETTINGS).situation == "TakingLease"


def test_after_a_cold_start_the_last_primary_leads_at_once() -> None:
    first = replace(COLD, me=ME)
    assert situation_and_actions(first) == (
        "TakingLease",
        (TakeLease(expired=False), Promote(1), SLOTS),
    )


def test_after_a_cold_start_with_every_member_heard_the_one_furthest_ahead_leads() -> None:
    heard = replace(COLD, peers=peer(0, position=100) | peer(2, position=100))
    assert decide(heard, SETTINGS).situation == "TakingLease"


def test_the_heir_takes_the_lease_without_asking_anybody() -> None:
    left = replace(FREE, heir="orders-0")
    heir = replace(REPLICA, lease=lease(left, renewed_at=None), pods=LEADER_PODS)
    situation, actions = situation_and_actions(heir)
    assert (situation, actions[:2]) == ("Succeeding", (TakeLease(expired=False), Promote(1)))
    assert not decide(heir, SETTINGS).asks_peers


def test_the_heir_has_its_label_while_it_is_promoted() -> None:
    """Before kube-proxy syncs for the end of the last primary's container."""
    heir = replace(
        REPLICA,
        lease=lease(replace(FREE, heir="orders-0"), renewed_at=None),
        pods=pods("replica", "primary"),
    )
    assert situation_and_actions(heir) == (
        "Succeeding",
        (TakeLease(expired=False), Promote(1), SetRole("orders-0", "uid-0", "primary"), SLOTS),
    )


@pytest.mark.parametrize(("life", "is_labelled"), [("uid-1", True), ("former", False)])
def test_an_heir_is_labelled_later_if_others_may_lead_without_what_it_will_show(
    life: str, *, is_labelled: bool
) -> None:
    """Of a handover, the last primary's disk has all, as long as its pod is there."""
    members = ("orders-0", "orders-1", "orders-2")
    record = replace(FREE, heir="orders-0", members=members, voters=members, copies=2)
    record = replace(record, history=(Leadership(1, "orders-1", ""),))
    heir = replace(
        REPLICA,
        lease=lease(record, renewed_at=None, handed_over_by=f"orders-1_{life}"),
        pods=pods("replica", None, None),
        postgres=replace(STREAMING, waits_for=members[1:], waits_for_number=1, waits_from=4000),
    )
    decision = decide(heir, QUORUM)
    assert (decision.situation, decision.actions[1]) == ("Succeeding", Promote(1))
    label = SetRole("orders-0", "uid-0", "primary")
    assert (label in decision.actions) is is_labelled


def test_nobody_else_has_it_so_soon() -> None:
    """A Lease that was deleted, or is free for long, says less of the last primary."""
    free = replace(VACANT, pods=pods("replica", "primary", "replica"))
    assert situation_and_actions(free) == (
        "TakingLease",
        (TakeLease(expired=False), Promote(1), SLOTS),
    )


@pytest.mark.parametrize(
    ("ago", "situation"), [(1, "WaitingForHeir"), (3.5, "YieldingToPeer"), (9, "TakingLease")]
)
def test_another_than_the_heir_waits_a_while(ago: float, situation: str) -> None:
    left = replace(FREE, heir="orders-2")
    other = replace(
        REPLICA,
        lease=lease(left, renewed_at=None, changed_at=NOW - ago),
        peers=peer(2, position=5100),
    )
    assert decide(other, SETTINGS).situation == situation


@pytest.mark.parametrize(
    ("ahead", "situation"),
    [
        ({"position": 5100}, "TakingLease"),
        ({"position": 5001 + SETTINGS.max_lag}, "YieldingToPeer"),
        ({"timeline": 2, "position": 5100}, "YieldingToPeer"),
        ({"timeline": 2, "position": 10}, "YieldingToPeer"),
    ],
    ids=["a little", "much", "on a newer timeline", "on a newer one with a lower position"],
)
def test_who_is_ahead_and_does_not_lead_is_passed_by_only_within_max_lag_on_the_same_timeline(
    ahead: dict[str, int], situation: str
) -> None:
    """What was acknowledged on a timeline that is not recorded yet may be any number of rows."""
    long_free = lease(FREE, renewed_at=None, changed_at=NOW - 9)
    assert decide(replace(VACANT, lease=long_free, peers=peer(2, **ahead)), SETTINGS).situation == (
        situation
    )


@pytest.mark.parametrize(
    ("promise", "situation"),
    [({}, "YieldingToPeer"), ({"voters": ("orders-0",), "copies": 1}, "TakingLease")],
    ids=["async", "this member has each promised commit"],
)
def test_who_is_ahead_and_cannot_be_looked_into_is_passed_by_where_a_promise_says_what_counts(
    promise: dict[str, Any], situation: str
) -> None:
    long_free = lease(replace(FREE, **promise), renewed_at=None, changed_at=NOW - 9)
    locked_out = peer(2, timeline=2, position=None)
    seen = replace(VACANT, lease=long_free, peers=locked_out)
    assert decide(seen, SETTINGS).situation == situation


def test_who_has_promised_does_not_take_the_lease() -> None:
    expired = replace(REPLICA, lease=lease(OTHERS, renewed_at=None, changed_at=NOW - 60))
    assert decide(expired, SETTINGS).situation == "TakingLease"
    promised = replace(expired, pledged_until=NOW + 1)
    assert decide(promised, SETTINGS).situation == "Following"


def test_a_member_that_cannot_reach_the_api_server_is_not_yielded_to() -> None:
    free = replace(REPLICA, lease=lease(FREE, renewed_at=None))
    ahead = replace(free, peers=peer(1, position=5100, reaches_api=False))
    assert decide(ahead, SETTINGS).situation == "TakingLease"


AHEAD = peer(1, position=5100, reaches_api=False)


@pytest.mark.parametrize(
    ("heard", "peers", "situation"),
    [
        ({"heard_at": NOW - 20}, AHEAD, "YieldingToPeer"),
        ({"heard_again_at": NOW - 4}, AHEAD, "YieldingToPeer"),
        ({"heard_again_at": NOW - 6}, AHEAD, "TakingLease"),
        ({"heard_again_at": NOW - 4}, peer(1, reaches_api=False), "TakingLease"),
        ({"heard_again_at": NOW - 4}, peer(2, position=5100), "YieldingToPeer"),
        ({"heard_again_at": NOW - 6}, peer(2, position=5100), "TakingLease"),
    ],
    ids=[
        "silent for this member, too",
        "heard again a moment ago",
        "heard again for longer",
        "who has no more is not waited for",
        "who reaches it gets its time from then on",
        "and no longer",
    ],
)
def test_while_the_api_server_is_silent_and_for_a_moment_more_who_has_more_is_waited_for(
    heard: dict[str, float], peers: dict[str, Peer], situation: str
) -> None:
    """Nobody could take the Lease meanwhile, and some hear the API server again before others."""
    free = lease(FREE, renewed_at=None, changed_at=NOW - 60, **heard)
    assert decide(replace(VACANT, lease=free, peers=peers), SETTINGS).situation == situation


def test_a_lease_that_was_deleted_counts_as_held_for_a_ttl_but_for_who_held_it() -> None:
    vanished = replace(REPLICA, lease=lease(None, renewed_at=None), peers=peer(1) | peer(2))
    assert decide(vanished, SETTINGS).actions == ()
    later = replace(vanished, lease=lease(None, renewed_at=None, changed_at=NOW - 11), wanted=3)
    assert decide(later, SETTINGS).situation == "TakingLease"
    assert decide(replace(LEADER, lease=lease(None)), SETTINGS).situation == "Reclaiming"


def test_nobody_leads_while_a_member_says_that_it_is_writable() -> None:
    free = replace(REPLICA, lease=lease(FREE, renewed_at=None))
    writable = replace(free, peers=peer(1, position=1, writable=True, reaches_api=False))
    assert decide(writable, SETTINGS).situation == "YieldingToPeer"


def test_a_deleted_primary_that_has_more_than_anybody_is_waited_for() -> None:
    left = replace(FREE, heir="orders-1", history=(Leadership(1, "orders-1", ""),))
    waiting_for = replace(REPLICA, lease=lease(left, renewed_at=None, changed_at=NOW - 20))
    assert decide(waiting_for, SETTINGS).situation == "WaitingForHeir"
    assert decide(replace(waiting_for, now=NOW + 11), SETTINGS).situation == "TakingLease"


def test_who_may_have_begun_a_timeline_that_nobody_else_has_begun_may_lead() -> None:
    free = replace(
        REPLICA,
        lease=lease(FREE, renewed_at=None),
        postgres=replace(STREAMING, timeline=2),
        bootstrap=UNRECORDED,
    )
    assert decide(free, SETTINGS).situation == "TakingLease"


def test_who_waits_for_reports_of_pods_that_cannot_be_created_says_so() -> None:
    """OrderedReady: pod 1 is empty and never ready, so that pod 2 is not created."""
    empty = peer(1, has_data=False, running=False)
    seen = replace(ADOPTED, ordered=True, pods=pods(None, None), wanted=3, peers=empty)
    decision = decide(seen, SETTINGS)
    assert (decision.situation, decision.actions) == ("PodsCannotBeCreated", ())
    assert decision.attention is Attention.WARNING
    assert "orders-2" in decision.sentence
    broken = replace(seen, peers=peer(1, running=False, broken=True))
    assert decide(broken, SETTINGS).situation == "PodsCannotBeCreated"
    for other in (
        replace(seen, ordered=False),
        replace(seen, peers={}),
        replace(seen, peers=peer(1, running=False)),
    ):
        assert decide(other, SETTINGS).situation == "WaitingForReports"
    assert decide(replace(seen, wanted=2), SETTINGS).situation == "TakingLease"
