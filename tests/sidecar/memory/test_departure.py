"""When a member whose pod is deleted may go: not before the others can do without it."""

from dataclasses import replace

import pytest

from sidecar.memory.departure import SERVICE_SECONDS, STAY_SECONDS, Departure
from sidecar.observation import Observation
from tests.sidecar.rules.observations import FREE, LEADER, NOW, SETTINGS, lease

RELEASED = replace(
    LEADER,
    lease=lease(FREE, renewed_at=None),
    pods=tuple(replace(pod, role=None) for pod in LEADER.pods or ()),
)
"""It has given the Lease up, and its label is gone."""

LABELLED = replace(LEADER, lease=RELEASED.lease)
HOLDER = replace(LEADER, pods=RELEASED.pods)


def later(observation: Observation, seconds: float) -> Observation:
    return replace(observation, now=NOW + seconds)


def ordered() -> Departure:
    departure = Departure()
    departure.order(NOW - 0.1)
    return departure


def test_a_member_stays_until_it_is_told_to_go() -> None:
    assert not Departure().may_go(RELEASED, SETTINGS, NOW)


def test_only_a_look_that_began_after_the_order_counts() -> None:
    """What is done for a server that has just stopped takes a look at it."""
    departure = Departure()
    departure.order(NOW + 0.1)
    assert not departure.may_go(RELEASED, SETTINGS, NOW + 0.2)
    assert departure.may_go(later(RELEASED, 0.3), SETTINGS, NOW + 0.3)


@pytest.mark.parametrize("needed", [HOLDER, LABELLED], ids=["holds the Lease", "is labelled"])
def test_it_stays_while_clients_are_still_sent_to_it_and_2_seconds_more(
    needed: Observation,
) -> None:
    departure = ordered()
    assert not departure.may_go(needed, SETTINGS, NOW)
    almost = SERVICE_SECONDS - 0.1
    assert not departure.may_go(later(RELEASED, almost), SETTINGS, NOW + almost)
    after = SERVICE_SECONDS + 0.1
    assert departure.may_go(later(RELEASED, after), SETTINGS, NOW + after)


def test_it_does_not_stay_for_ever_with_a_lease_that_nobody_takes() -> None:
    departure = ordered()
    for second in range(6):
        may_go = departure.may_go(later(HOLDER, second), SETTINGS, NOW + second)
        assert may_go is (second - -0.1 > STAY_SECONDS)


@pytest.mark.parametrize("change", [{"paused": True}, {"opted_out": True}])
def test_nobody_is_waited_for_where_nobody_takes_over(change: dict[str, bool]) -> None:
    assert ordered().may_go(replace(HOLDER, **change), SETTINGS, NOW)


def test_nobody_is_waited_for_where_the_lease_was_left_to_the_next_pod_of_this_name() -> None:
    """It has what no other member has, and comes when this pod has gone."""
    left = replace(LABELLED, lease=lease(replace(FREE, heir="orders-0"), renewed_at=None))
    departure = ordered()
    assert not departure.may_go(HOLDER, SETTINGS, NOW)
    assert departure.may_go(left, SETTINGS, NOW)
    others = replace(LABELLED, lease=lease(replace(FREE, heir="orders-1"), renewed_at=None))
    assert not ordered().may_go(others, SETTINGS, NOW)


def test_pods_that_are_being_deleted_too_are_no_successors() -> None:
    pods = tuple(replace(pod, deleting=True) for pod in LEADER.pods or ())
    assert ordered().may_go(replace(LEADER, pods=pods), SETTINGS, NOW)


def test_a_second_order_does_not_put_it_off() -> None:
    departure = ordered()
    departure.order(NOW + 4.0)
    late = STAY_SECONDS + 0.1
    assert departure.may_go(later(HOLDER, late), SETTINGS, NOW + late)
