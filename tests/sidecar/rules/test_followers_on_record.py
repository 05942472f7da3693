"""What a primary knows of those that stream from it is on record with each renewal, for people."""

from dataclasses import replace

import pytest

from sidecar import contract
from sidecar.action import RenewLease
from sidecar.decide import decide
from sidecar.kube.lease_record import read_record, with_record
from sidecar.observation import Follower, LeaseRecord, Observation
from tests.sidecar.rules.observations import (
    LEADER,
    NOW,
    RECORD,
    SETTINGS,
    WRITABLE,
    lease,
)

ONE = Follower("orders-1", 100, replayed=90, seconds=0.25)
IDLE = Follower("orders-2", 100, replayed=100)
UNHEARD = Follower("orders-3", 0)
FOLLOWED = replace(LEADER, postgres=replace(WRITABLE, followers=(ONE, IDLE)))


def recorded(observation: Observation) -> tuple[Follower, ...]:
    (renewal,) = (a for a in decide(observation, SETTINGS).actions if isinstance(a, RenewLease))
    return renewal.followers


def due(observation: Observation) -> Observation:
    """The same, with a renewal that is due."""
    return replace(observation, lease=lease(RECORD, renewed_at=NOW - 5))


def test_a_renewal_records_the_members_that_follow_and_nobody_else() -> None:
    other = replace(FOLLOWED.postgres, followers=(ONE, IDLE, Follower("an, other", 100)))
    assert recorded(due(replace(FOLLOWED, postgres=other))) == (ONE, IDLE)


def test_where_they_are_is_no_reason_to_renew() -> None:
    moved = replace(FOLLOWED.postgres, followers=(replace(ONE, position=120, replayed=120), IDLE))
    for postgres in (FOLLOWED.postgres, moved):
        at_ease = replace(FOLLOWED, postgres=postgres, lease=lease(RECORD, renewed_at=NOW - 0.1))
        renewals = [it for it in decide(at_ease, SETTINGS).actions if isinstance(it, RenewLease)]
        assert [it for it in renewals if it.members == RECORD.members] == []


def test_who_cannot_look_records_none() -> None:
    assert recorded(due(replace(FOLLOWED, postgres=replace(FOLLOWED.postgres, blind=True)))) == ()


def told(followers: tuple[Follower, ...]) -> list[tuple[str, int, int | None, float | None]]:
    """All of them: two followers are the same wherever they are with their replay."""
    return [(it.name, it.position, it.replayed, it.seconds) for it in followers]


def through_the_api(record: LeaseRecord) -> dict[str, str]:
    lease = with_record({"metadata": {"resourceVersion": "1"}}, record)
    assert told(read_record(lease).followers) == told(record.followers)
    return dict(lease["metadata"]["annotations"])


def test_they_come_back_from_the_api_as_they_were() -> None:
    record = replace(RECORD, transitions=7, followers=(ONE, IDLE, UNHEARD))
    text = through_the_api(record)[contract.FOLLOWERS]
    assert text == "term-7,orders-1 100 90 0.250,orders-2 100 100 -,orders-3 0 - -"
    assert contract.FOLLOWERS not in through_the_api(RECORD)


@pytest.mark.parametrize(
    "text",
    [
        "term-6,orders-1 100 90 0.250",
        "orders-1 100 90 0.250",
        "term-7,orders-1 much 90 0.250",
        "term-7,orders-1 100 90",
        "term-7",
        "",
    ],
    ids=["another holder's", "nobody's", "no position", "too short", "none", "empty"],
)
def test_what_is_damaged_or_of_another_holder_counts_as_absent(text: str) -> None:
    """A primary of version 0.2.0 keeps what the one before it wrote there."""
    lease = with_record({"metadata": {"resourceVersion": "1"}}, replace(RECORD, transitions=7))
    lease["metadata"]["annotations"][contract.FOLLOWERS] = text
    assert read_record(lease).followers == ()
