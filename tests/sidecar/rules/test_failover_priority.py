"""Of members with the same data an operator prefers one, by `pgset.dev/failover-priority`."""

from dataclasses import replace

from sidecar.decide import decide
from sidecar.observation import Observation
from tests.sidecar.rules.observations import DELETED, FREE, SETTINGS, VACANT, lease, peer


def preferred(observation: Observation, *priorities: int) -> Observation:
    """The same, with these priorities; this member's is the first."""
    given = zip(observation.pods or (), priorities, strict=True)
    pods = tuple(replace(pod, failover_priority=priority) for pod, priority in given)
    return replace(observation, pods=pods)


BOTH = replace(VACANT, peers=peer(1) | peer(2))


def test_of_members_with_the_same_data_the_greatest_takes_over() -> None:
    for priorities, situation in (
        ((1, 1, 1), "TakingLease"),
        ((2, 2, 2), "TakingLease"),
        ((1, 1, 2), "YieldingToPeer"),
        ((3, 1, 2), "TakingLease"),
    ):
        assert decide(preferred(BOTH, *priorities), SETTINGS).situation == situation
    assert "orders-2 should take" in decide(preferred(BOTH, 1, 1, 2), SETTINGS).sentence


def test_it_counts_before_who_was_primary_last() -> None:
    """Which is orders-0."""
    assert FREE.last_leader == "orders-0"
    returned = replace(BOTH, lease=lease(FREE, renewed_at=None))
    assert decide(preferred(returned, 1, 5, 1), SETTINGS).situation == "YieldingToPeer"


def test_more_data_and_less_to_replay_count_before_it() -> None:
    behind = replace(VACANT, peers=peer(1, position=4000))
    assert decide(preferred(behind, 1, 9, 1), SETTINGS).situation == "TakingLease"
    slow = replace(VACANT, peers=peer(1, to_replay=2**30))
    assert decide(preferred(slow, 1, 9, 1), SETTINGS).situation == "TakingLease"


def test_a_primary_hands_over_to_the_greatest() -> None:
    assert "over to orders-1" in decide(DELETED, SETTINGS).sentence
    assert "over to orders-2" in decide(preferred(DELETED, 1, 1, 2), SETTINGS).sentence
    complete = replace(preferred(DELETED, 1, 1, 2), complete_peers=frozenset({"orders-1"}))
    assert "over to orders-1" in decide(complete, SETTINGS).sentence


def test_it_counts_before_who_was_rolled_already() -> None:
    first, second, third = DELETED.pods or ()
    rolled = replace(DELETED, pods=(first, replace(second, revision="new"), third))
    assert "over to orders-1" in decide(rolled, SETTINGS).sentence
    assert "over to orders-2" in decide(preferred(rolled, 1, 1, 2), SETTINGS).sentence
