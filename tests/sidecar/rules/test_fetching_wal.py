"""Nobody leads, and a member that does not take the Lease has WAL that the next primary lacks."""

from dataclasses import replace
from typing import Any

import pytest

from sidecar.action import Attach, Detach
from sidecar.memory.status import describe
from sidecar.observation import LeaseRecord, Observation, ServerState
from sidecar.settings import Settings
from tests.sidecar.rules.observations import (
    FREE,
    NOW,
    OTHERS,
    QUORUM,
    RUNNING,
    SETTINGS,
    SYNC,
    VACANT,
    followers,
    lease,
    peer,
    situation_and_actions,
)

FOLLOWED = replace(FREE, followers=followers(0, 1, 2))
FETCH = Attach("10.0.0.1", by_slot=False)


def left_to_others(record: LeaseRecord = FOLLOWED, **changes: Any) -> Observation:
    """This is orders-0; orders-1 has more, and is not to take over."""
    seen = replace(VACANT, lease=lease(record, renewed_at=None, heard_at=NOW), **changes)
    assert seen.pods is not None
    pods = tuple(replace(pod, nofailover=pod.name == "orders-1") for pod in seen.pods)
    peers = peer(1, position=9000, gives_wal=True) | peer(2) if seen.peers is None else seen.peers
    return replace(seen, pods=pods, peers=peers)


def situation(observation: Observation, settings: Settings = SETTINGS) -> str:
    return situation_and_actions(observation, settings)[0]


@pytest.mark.parametrize("settings", [SETTINGS, SYNC])
def test_it_is_received_from_there_before_this_member_leads(settings: Settings) -> None:
    seen = left_to_others()
    assert situation_and_actions(seen, settings) == ("FetchingWal", (FETCH,))
    attached = replace(seen, postgres=replace(seen.postgres, upstream="10.0.0.1"))
    assert situation_and_actions(attached, settings) == ("FetchingWal", ())
    received = replace(attached, postgres=replace(attached.postgres, position=9000))
    assert situation(received, settings) == "TakingLease"


def test_a_member_that_may_lead_and_goes_first_is_waited_for_instead() -> None:
    seen = replace(left_to_others(), pods=VACANT.pods)
    assert situation(seen) == "YieldingToPeer"


def test_of_several_that_may_lead_one_receives_it_and_the_others_wait() -> None:
    ahead = peer(1, position=9000, gives_wal=True) | peer(2, position=6000, gives_wal=True)
    assert situation(left_to_others(peers=ahead)) == "YieldingToPeer"


def test_a_member_that_the_api_server_does_not_reach_gives_it_as_well() -> None:
    alone = peer(1, position=9000, gives_wal=True, reaches_api=False)
    seen = replace(left_to_others(peers=alone), pods=VACANT.pods)
    long_heard = lease(FOLLOWED, renewed_at=None, changed_at=NOW - 3, heard_at=NOW)
    assert situation(replace(seen, lease=long_heard)) == "FetchingWal"


@pytest.mark.parametrize(
    "other",
    [
        {"gives_wal": False},
        {"running": False},
        {"timeline": 2},
        {"position": 5000},
        {"system_identifier": "222"},
    ],
    ids=lambda it: next(iter(it)),
)
def test_it_is_not_received_from_who_may_have_another(other: dict[str, Any]) -> None:
    peers = peer(1, **{"position": 9000, "gives_wal": True, **other}) | peer(2)
    assert situation(left_to_others(peers=peers)) == "TakingLease"


@pytest.mark.parametrize("ordinals", [(), (0, 2), (1, 2)])
def test_both_have_followed_the_last_primary(ordinals: tuple[int, ...]) -> None:
    """Two timelines may have one number, and then nothing else tells them apart."""
    record = replace(
        FOLLOWED,
        followers=followers(*ordinals),
        history=(replace(FREE.history[0], pod="orders-2"),),
    )
    peers = peer(1, position=9000, gives_wal=True) | peer(2, position=4000)
    assert situation(left_to_others(record, peers=peers)) == "TakingLease"


def test_or_one_of_them_was_the_last_primary() -> None:
    record = replace(
        FOLLOWED,
        followers=followers(0, 2),
        history=(replace(FREE.history[0], pod="orders-1"),),
    )
    peers = peer(1, position=9000, gives_wal=True) | peer(2, position=4000)
    assert situation(left_to_others(record, peers=peers)) == "FetchingWal"


def test_it_is_tried_for_five_seconds_at_the_most() -> None:
    seen = left_to_others()
    for ago, expected in ((4.9, "FetchingWal"), (5.1, "TakingLease")):
        free = lease(FOLLOWED, renewed_at=None, changed_at=NOW - ago, heard_at=NOW)
        assert situation(replace(seen, lease=free)) == expected


def test_who_has_just_come_up_has_that_time_as_well() -> None:
    """After an outage of all, the Lease has been free for minutes."""
    free = lease(FOLLOWED, renewed_at=None, changed_at=NOW - 600, heard_at=NOW)
    seen = replace(left_to_others(), lease=free)
    assert situation(seen) == "TakingLease"
    came_up = replace(seen, postgres=replace(seen.postgres, since=NOW - 1))
    assert situation(came_up) == "FetchingWal"


def test_who_is_too_far_behind_to_lead_without_it_tries_for_longer() -> None:
    far = 5001 + SETTINGS.max_lag
    peers = peer(1, position=far, gives_wal=True) | peer(2)
    for ago, expected in ((29.0, "FetchingWal"), (31.0, "TooFarBehind")):
        record = replace(FOLLOWED, position=far)
        free = lease(record, renewed_at=None, changed_at=NOW - ago, heard_at=NOW)
        assert situation(replace(left_to_others(record, peers=peers), lease=free)) == expected


# ── a majority ────────────────────────────────────────────────────────────────────────────


EXPIRED = replace(
    OTHERS,
    holder="orders-2_uid-2",
    voters=("orders-0", "orders-1", "orders-2"),
    copies=2,
    followers=followers(0, 1),
    history=(replace(FREE.history[0], pod="orders-2"),),
)


def expired(*, seconds: float = 1.0, **postgres: Any) -> Observation:
    """orders-2 is lost, orders-1 has more and is detached; with orders-0 it is a majority."""
    peers = peer(1, position=9000, gives_wal=True, detached=True)
    seen = left_to_others(EXPIRED, peers=peers)
    free = lease(EXPIRED, renewed_at=None, changed_at=NOW - 10 - seconds, heard_at=NOW)
    return replace(seen, lease=free, postgres=replace(seen.postgres, **postgres))


def test_a_voter_fetches_what_it_may_not_lead_without() -> None:
    """It is detached before and afterwards; meanwhile no commit counts on it either."""
    attached = {"upstream": "10.0.0.1"}
    told = [
        situation_and_actions(seen, QUORUM)
        for seen in (
            expired(upstream="10.0.0.2"),
            expired(upstream="", detached=True),
            expired(upstream=""),
            expired(**attached),
            expired(position=9000, **attached),
        )
    ]
    detaching, fetching = ("Detaching", (Detach(),)), ("FetchingWal", (FETCH,))
    assert told == [detaching, fetching, fetching, ("FetchingWal", ()), detaching]
    received = expired(position=9000, upstream="", detached=True)
    assert situation(received, QUORUM) == "TakingLease"


def test_nobody_fetches_from_a_voter_that_may_still_get_more() -> None:
    seen = expired(upstream="", detached=True)
    following = replace(seen, peers=peer(1, position=9000, gives_wal=True))
    assert situation(following, QUORUM) == "MissingCommits"


def test_where_it_may_not_lead_without_it_tries_for_longer() -> None:
    for seconds, expected in ((29.0, "FetchingWal"), (31.0, "MissingCommits")):
        seen = expired(seconds=seconds, upstream="", detached=True)
        assert situation(seen, QUORUM) == expected


# ── who says that it can be received from it ──────────────────────────────────────────────


def gives(**changes: Any) -> object:
    return describe(replace(VACANT, **changes), SETTINGS)["gives_wal"]


def test_a_standby_of_the_set_says_so() -> None:
    assert gives() is True
    assert gives(postgres=replace(VACANT.postgres, state=ServerState.WRITABLE)) is False
    assert gives(postgres=replace(VACANT.postgres, state=ServerState.DOWN)) is False


def test_who_has_more_than_is_known_or_other_wal_than_the_sets_does_not() -> None:
    blind = replace(VACANT.postgres, blind=True)
    assert gives(postgres=blind) is False
    new = lease(replace(FREE, members=("orders-1",), history=()), renewed_at=None)
    assert gives(lease=new) is False
    by_hand = replace(RUNNING, promoting_from=1, promoted_by_hand_at=4000)
    promoted = replace(VACANT.postgres, timeline=2)
    assert gives(bootstrap=by_hand, postgres=promoted) is False
    newer = lease(replace(FREE, timeline=2, history=()), renewed_at=None)
    own = replace(RUNNING, promoting_from=1)
    assert gives(lease=newer, bootstrap=own, postgres=promoted) is False
