"""Rules for what commits wait for, and what the Lease promises of them."""

from dataclasses import replace

import pytest

from sidecar.action import Attach, Detach, KeepSlots, Promote, RenewLease, SetSynchronous
from sidecar.decide import decide
from sidecar.observation import Identity, Leadership, Observation, Peer, PostgresView
from sidecar.situation import Situation
from sidecar.synchronous import Promise, promised
from tests.sidecar.rules.observations import (
    FREE,
    LEADER,
    NOW,
    QUORUM,
    REPLICA,
    SETTINGS,
    SLOTS,
    STREAMING,
    SYNC,
    WRITABLE,
    followers,
    lease,
    peer,
    pods,
    promising,
    situation_and_actions,
    waiting,
)


def test_sync_begins_with_the_primary_alone() -> None:
    actions = decide(LEADER, SYNC).actions
    assert isinstance(actions[0], RenewLease)
    assert (actions[0].voters, actions[0].copies) == (("orders-0",), 1)


def test_sync_lets_commits_wait_for_who_streams_before_that_is_on_record() -> None:
    alone = replace(LEADER, lease=lease(promising(0, copies=1)))
    assert decide(alone, SYNC).actions == (SetSynchronous(("orders-1", "orders-2"), 2),)
    early = replace(alone, postgres=waiting(1, 2, since=None))
    assert decide(early, SYNC).actions == ()
    behind = replace(alone, postgres=waiting(1, 2, since=6000))
    assert decide(behind, SYNC).actions == ()
    settled = replace(alone, postgres=waiting(1, 2))
    actions = decide(settled, SYNC).actions
    assert isinstance(actions[0], RenewLease)
    assert (actions[0].voters, actions[0].copies) == (("orders-0", "orders-1", "orders-2"), 3)


def test_a_standby_that_is_lost_is_off_the_record_before_commits_stop_waiting_for_it() -> None:
    lost = replace(
        LEADER,
        lease=lease(promising(0, 1, 2, copies=3)),
        postgres=replace(waiting(1, 2), followers=followers(1)),
    )
    renewal, setting = decide(lost, SYNC).actions[:2]
    assert isinstance(renewal, RenewLease)
    assert (renewal.voters, renewal.copies) == (("orders-0", "orders-1"), 2)
    assert setting == SetSynchronous(("orders-1",), 1)


SILENT = replace(waiting(1, 2), followers=followers(1))
"""Standby 2 has stopped streaming."""


@pytest.mark.parametrize(
    ("postgres", "promises"),
    [
        (SILENT, ("012", "01", "01", "01", "012")),
        (SILENT, ("01", "01", "01", "01", "012")),
        (replace(waiting(1), followers=followers(1)), ("01", "01", "01", "01", "01")),
        (waiting(1), ("01", "012", "01", "012", "01")),
        (waiting(1, 2, since=6000), ("01", "012", "01", "012", "012")),
        (waiting(1, 2), ("01", "012", "012", "012", "012")),
    ],
)
def test_a_standby_goes_and_comes_back_as_the_table_of_the_promises_says(
    postgres: PostgresView, promises: tuple[str, ...]
) -> None:
    """The table at the head of sidecar/situation/durability.py."""
    recorded = promising(*map(int, promises[0]), copies=len(promises[0]))
    s = Situation(replace(LEADER, lease=lease(recorded), postgres=postgres), SYNC).durability
    waits_for, number = s.standbys_to_wait_for
    to_keep = Promise(frozenset({"orders-0", *waits_for}), 1 + number)
    told = (s.recorded, s.next_promise, s.promise_to_record, to_keep, s.promise_in_force)
    assert told == tuple(promised((f"orders-{n}" for n in it), "sync") for it in promises)


def test_sync_strict_keeps_waiting_for_the_last_one() -> None:
    lost = replace(
        LEADER,
        lease=lease(promising(0, 1, copies=2)),
        postgres=replace(waiting(1), followers=()),
    )
    strict = replace(SETTINGS, durability="sync-strict")
    assert decide(lost, strict).actions == ()
    renewal, setting = decide(lost, SYNC).actions[:2]
    assert isinstance(renewal, RenewLease)
    assert renewal.voters == ("orders-0",)
    assert setting == SetSynchronous((), 0)


def test_sync_strict_waits_for_anybody_from_the_beginning() -> None:
    strict = replace(SETTINGS, durability="sync-strict")
    alone = replace(
        LEADER, lease=lease(promising(0, copies=1)), postgres=replace(WRITABLE, followers=())
    )
    assert SetSynchronous(("orders-1", "orders-2"), 1) in decide(alone, strict).actions


STRICT_ALONE = replace(
    LEADER,
    lease=lease(replace(promising(0, copies=1), members=("orders-0",))),
    wanted=None,
    postgres=replace(WRITABLE, followers=(), followers_heard_at=None, slots=()),
)
"""The StatefulSet is gone, and so are the others."""


@pytest.mark.parametrize(
    ("observation", "order"),
    [
        (STRICT_ALONE, SetSynchronous(("orders-1",), 1)),
        (replace(STRICT_ALONE, me=Identity("orders-1", "uid-1")), None),
        (replace(STRICT_ALONE, postgres=replace(waiting(2), followers=())), None),
        (
            replace(STRICT_ALONE, lease=lease(promising(0, copies=1))),
            SetSynchronous(("orders-1", "orders-2"), 1),
        ),
        (replace(STRICT_ALONE, wanted=1), None),
    ],
    ids=["nobody is known", "nor does this one lead", "as it waits now", "on record", "only one"],
)
def test_sync_strict_waits_for_somebody_also_where_nobody_says_who_is_wanted(
    observation: Observation, order: SetSynchronous | None
) -> None:
    strict = replace(SETTINGS, durability="sync-strict")
    orders = [it for it in decide(observation, strict).actions if isinstance(it, SetSynchronous)]
    assert orders == ([] if order is None else [order])


def test_a_replica_that_would_be_alone_is_set_to_wait_for_somebody_too() -> None:
    record = replace(promising(0, 1, copies=2), holder="orders-1_uid-1")
    replica = replace(REPLICA, wanted=None, lease=lease(record, renewed_at=None))
    strict = replace(SETTINGS, durability="sync-strict")
    (order,) = decide(replica, strict).actions
    assert order == SetSynchronous(("orders-1", "orders-2"), 1)


def test_quorum_waits_for_most_of_the_members_whether_they_are_there_or_not() -> None:
    set_up = replace(
        LEADER,
        lease=lease(promising(0, 1, 2, copies=2)),
        postgres=replace(waiting(1, 2, number=1), followers=followers(2)),
    )
    assert decide(set_up, QUORUM).actions == ()


def test_who_is_not_in_sync_does_not_lead() -> None:
    record = replace(promising(1, 2, copies=2), holder="")
    free = replace(REPLICA, lease=lease(record, renewed_at=None))
    assert decide(free, SYNC).situation == "NotEligible"


@pytest.mark.parametrize(
    ("peers", "situation"),
    [
        ({}, "MissingCommits"),
        (peer(2, position=4000), "TakingLease"),
        (peer(2, position=6000), "YieldingToPeer"),
        (peer(2, position=6000, reaches_api=False), "MissingCommits"),
        # One of three may be ahead by what was never acknowledged.
        (peer(1, position=9000, reaches_api=False) | peer(2, position=4000), "TakingLease"),
    ],
)
def test_with_quorum_as_many_must_have_answered_as_share_a_member_with_every_commit(
    peers: dict[str, Peer], situation: str
) -> None:
    record = replace(promising(0, 1, 2, copies=2), holder="")
    free = replace(REPLICA, lease=lease(record, renewed_at=None), peers=peers)
    assert decide(free, QUORUM).situation == situation


def test_before_a_majority_is_counted_its_members_stop_receiving_from_the_lost_primary() -> None:
    """It may be frozen, and go on acknowledging with them when it wakes."""
    ran_out = lease(
        replace(promising(0, 1, 2, copies=2), holder="orders-1_uid-1"),
        renewed_at=None,
        changed_at=NOW - 11,
    )
    expired = replace(REPLICA, lease=ran_out, peers=peer(2, position=4000))
    assert decide(expired, QUORUM).actions == (Detach(),)
    detached = replace(expired, postgres=replace(STREAMING, streaming=False, detached=True))
    assert decide(detached, QUORUM).situation == "MissingCommits"
    both = replace(detached, peers=peer(2, position=4000, detached=True))
    assert decide(both, QUORUM).situation == "TakingLease"
    led = replace(
        detached, lease=lease(replace(promising(0, 1, 2, copies=2), holder="orders-1_uid-1"))
    )
    assert Attach("10.0.0.1") in decide(led, QUORUM).actions


def test_a_paused_set_detaches_too_so_that_its_last_primary_can_count_the_others() -> None:
    record = replace(promising(0, 1, 2, copies=2), holder="orders-1_former")
    record = replace(record, history=(Leadership(1, "orders-1", ""),))
    expired = replace(
        REPLICA, paused=True, lease=lease(record, renewed_at=None, changed_at=NOW - 11)
    )
    assert situation_and_actions(expired, QUORUM) == ("Detaching", (Detach(),))
    detached = replace(expired, postgres=replace(STREAMING, detached=True))
    assert situation_and_actions(detached, QUORUM) == ("Paused", ())


def test_with_async_nobody_leads_who_is_further_behind_than_the_lag_limit() -> None:
    record = replace(FREE, position=2**30)
    free = replace(REPLICA, lease=lease(record, renewed_at=None))
    decision = decide(free, SETTINGS)
    assert decision.situation == "TooFarBehind"
    assert "kubectl pgset failover orders --to orders-0" in decision.sentence


def test_nothing_is_promoted_that_would_not_keep_the_promise() -> None:
    record = replace(promising(0, 1, 2, copies=3), history=(Leadership(1, "orders-2", ""),))
    taken = replace(LEADER, lease=lease(record), pods=pods(*["replica"] * 3), postgres=STREAMING)
    renewal, setting = decide(taken, SYNC).actions
    assert isinstance(renewal, RenewLease)
    assert renewal.voters == ("orders-0", "orders-1")
    assert setting == SetSynchronous(("orders-1",), 1)
    kept = replace(STREAMING, waits_for=("orders-1",), waits_for_number=1)
    recorded = replace(record, voters=("orders-0", "orders-1"), copies=2)
    early = replace(taken, lease=lease(recorded), postgres=kept)
    assert situation_and_actions(early, SYNC) == ("Promoting", ())
    ready = replace(early, postgres=replace(kept, waits_from=4000))
    assert situation_and_actions(ready, SYNC) == ("Promoting", (Promote(1), SLOTS))


def test_who_takes_over_as_the_set_is_scaled_down_keeps_the_old_promise_until_it_is_primary() -> (
    None
):
    """All who stay are to have everything, but nobody streams to say so before the promotion."""
    record = replace(promising(0, 1, 2, 3, copies=3), members=("orders-0", "orders-1"))
    taken = replace(
        LEADER, lease=lease(record), pods=pods("replica", "replica"), wanted=2, postgres=STREAMING
    )
    keeping = SetSynchronous(("orders-1", "orders-2", "orders-3"), 2)
    assert situation_and_actions(taken, QUORUM) == ("Promoting", (keeping,))
    kept = replace(STREAMING, waits_for=keeping.members, waits_for_number=2, waits_from=4000)
    assert situation_and_actions(replace(taken, postgres=kept), QUORUM) == (
        "Promoting",
        (Promote(1), KeepSlots(("orders-1",))),
    )
    primary = replace(waiting(1, 2, 3, number=2), followers=followers(1), slots=("pgset_orders_1",))
    assert (
        SetSynchronous(("orders-1",), 1) in decide(replace(taken, postgres=primary), QUORUM).actions
    )


@pytest.mark.parametrize(
    ("durability", "copies", "names", "number"),
    [
        ("sync", 3, ("orders-2",), 1),
        ("sync-strict", 3, ("orders-2",), 1),
        ("quorum", 2, ("orders-1", "orders-2"), 1),
    ],
)
def test_a_replica_is_set_to_wait_long_before_it_leads(
    durability: str, copies: int, names: tuple[str, ...], number: int
) -> None:
    record = replace(promising(0, 1, 2, copies=copies), holder="orders-1_uid-1")
    replica = replace(REPLICA, lease=lease(record, renewed_at=None))
    settings = replace(SETTINGS, durability=durability)
    assert decide(replica, settings).actions == (SetSynchronous(names, number),)


def test_an_heir_has_nothing_before_the_holder_has_released() -> None:
    record = replace(promising(0, 1, 2, copies=2), holder="orders-1_uid-1", heir="orders-0")
    expired = lease(record, renewed_at=None, changed_at=NOW - 11)
    alone = replace(
        REPLICA, lease=expired, postgres=replace(STREAMING, streaming=False, detached=True)
    )
    assert decide(alone, QUORUM).situation == "MissingCommits"


def test_a_set_that_is_scaled_to_nothing_keeps_its_members_its_voters_and_its_slots() -> None:
    record = promising(0, 1, 2, copies=2)
    quiet = replace(waiting(1, 2, number=1), followers=())
    going = replace(LEADER, wanted=0, lease=lease(record), postgres=quiet)
    assert decide(going, QUORUM).actions == ()
    smaller = decide(replace(going, wanted=1), QUORUM).actions
    assert any(isinstance(it, RenewLease) and it.members == ("orders-0",) for it in smaller)
