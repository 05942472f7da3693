"""A storm's plan is all in its seed."""

from itertools import islice

import pytest

from tests.storm import faults, plan, report
from tests.storm.plan import Kind, Turn

KINDS = list(faults.KINDS.values())
MANY = 400


def drawn(seed: int, replicas: int = 3) -> list[Turn]:
    return list(islice(plan.turns(seed, KINDS, replicas), MANY))


def test_the_same_seed_makes_the_same_sequence() -> None:
    assert drawn(7) == drawn(7)


def test_another_seed_makes_another_sequence() -> None:
    assert drawn(7) != drawn(8)


def test_every_fault_comes_before_any_comes_a_third_time() -> None:
    """One that may not be the second of a pair waits for a turn, which may be of the next deck."""
    names = [blow.fault for turn in drawn(1) for blow in turn.blows]
    first = names[: 2 * len(KINDS)]
    assert {*first} == {*faults.FAULTS}
    assert max(first.count(name) for name in first) <= 3


def test_pauses_are_3_to_15_s_but_in_a_return() -> None:
    for turn in drawn(2):
        if turn.during_return:
            assert plan.SHORTEST_RETURN <= turn.pause <= plan.LONGEST_RETURN
        else:
            assert plan.SHORTEST_PAUSE <= turn.pause <= plan.LONGEST_PAUSE


def test_two_at_once_and_strikes_during_a_return_and_on_replicas_are_drawn() -> None:
    some = drawn(3)
    assert 0 < sum(len(turn.blows) == 2 for turn in some) < MANY / 2
    assert 0 < sum(turn.during_return for turn in some) < MANY / 2
    assert {blow.whom for turn in some for blow in turn.blows} == {0, 1, 2}


@pytest.mark.thorough
def test_no_data_is_removed_twice_at_once() -> None:
    some = [turn for seed in range(20) for turn in drawn(seed)]
    removing = [sum(faults.KINDS[blow.fault].removes_data for blow in it.blows) for it in some]
    assert max(removing) == 1


def test_nodes_are_cut_for_2_to_60_s() -> None:
    times = [blow.lasts for turn in drawn(4) for blow in turn.blows if blow.fault == "node-cut"]
    assert min(times) >= 2
    assert max(times) <= 60
    assert len({*times}) > 1


def test_what_only_the_primary_can_be_struck_by_never_strikes_a_replica() -> None:
    kinds = [Kind("switchover", 0, 0)]
    assert {blow.whom for it in islice(plan.turns(1, kinds, 3), 50) for blow in it.blows} == {0}


def test_what_is_for_replicas_never_strikes_the_primary() -> None:
    kinds = [Kind("replica-deleted", 0, 0, strikes_primary=False)]
    assert {blow.whom for it in islice(plan.turns(1, kinds, 3), 50) for blow in it.blows} == {1, 2}


@pytest.mark.parametrize("name", ["node-killed", "node-cut-during-clone", "kubelet-away"])
def test_a_node_is_struck_once_at_a_time(name: str) -> None:
    assert faults.held_by(name, "n2") == "n2"


def test_what_strikes_a_pod_alone_holds_nothing() -> None:
    assert faults.held_by("pod-deleted", "n2") == ""
    assert faults.held_by("api-slow", "n2") == faults.held_by("etcd-stopped", "n1") != ""


def test_a_plan_is_told() -> None:
    turn = Turn(
        4.5,
        during_return=False,
        blows=(plan.Blow("node-cut", 2, 7.5), plan.Blow("pod-deleted", 0, 0)),
    )
    assert report.plan(3, turn) == (
        "3: after 4.5 s node-cut on replica 2 for 7.5 s and pod-deleted on the primary"
    )
