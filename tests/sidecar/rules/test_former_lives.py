"""A pod that was replaced may run on and answer the holder: who takes over, the holder knows."""

from dataclasses import replace

import pytest

from sidecar.action import RenewLease
from sidecar.decide import decide
from sidecar.kube.lease_record import read_record, with_record
from sidecar.memory.departure import Departure
from sidecar.observation import Observation
from sidecar.situation import Situation
from tests.sidecar.rules.observations import (
    FREE,
    LEADER,
    LEADER_PODS,
    NOW,
    OTHERS,
    RECORD,
    REPLICA,
    SETTINGS,
    lease,
    peer,
    situation_and_actions,
)

LIVES = ("orders-0_former", "orders-1_uid-1", "orders-2_uid-2")

RAN_OUT = replace(
    REPLICA,
    lease=lease(replace(OTHERS, lives=LIVES), renewed_at=None, changed_at=NOW - 11),
    peers=peer(1, running=False, reaches_api=False) | peer(2, position=4000),
)
"""Its holder knew this member's pod in its former life."""

KNOWN = ("orders-0_uid-0", *LIVES[1:])


def with_lives(*lives: str) -> Observation:
    record = replace(OTHERS, lives=lives)
    return replace(RAN_OUT, lease=lease(record, renewed_at=None, changed_at=NOW - 11))


def test_the_holder_records_which_pods_its_members_are() -> None:
    due = replace(LEADER, lease=lease(RECORD, renewed_at=NOW - 3))
    (renewal,) = decide(due, SETTINGS).actions
    assert isinstance(renewal, RenewLease)
    assert renewal.lives == tuple(f"orders-{n}_uid-{n}" for n in range(3))


def test_a_new_pod_is_recorded_when_a_renewal_is_due_and_not_before() -> None:
    """Pods change often, and nobody waits for it."""
    changed = (*LEADER_PODS[:2], replace(LEADER_PODS[2], uid="later"))
    assert decide(replace(LEADER, pods=changed), SETTINGS).actions == ()


def test_a_pod_that_the_holder_did_not_know_leaves_a_lease_alone_that_ran_out() -> None:
    assert situation_and_actions(RAN_OUT) == ("UnknownToHolder", ())


@pytest.mark.parametrize(
    "observation",
    [
        with_lives(*KNOWN),
        with_lives(),
        replace(RAN_OUT, pods=(RAN_OUT.pods or ())[::2]),
        replace(RAN_OUT, lease=lease(replace(FREE, lives=LIVES), renewed_at=None)),
    ],
    ids=["it knew it", "it told of none", "its pod is gone", "it has released the Lease"],
)
def test_it_takes_over_where(observation: Observation) -> None:
    assert situation_and_actions(observation)[0] == "TakingLease"


def test_nobody_waits_for_a_member_that_the_holder_did_not_know() -> None:
    ahead = peer(1, running=False, reaches_api=False) | peer(2, position=6000)
    lives = ("orders-0_uid-0", "orders-1_uid-1", "orders-2_former")
    assert situation_and_actions(replace(with_lives(*lives), peers=ahead))[0] == "TakingLease"
    assert situation_and_actions(replace(with_lives(*KNOWN), peers=ahead))[0] == "YieldingToPeer"


def test_by_a_record_that_has_gone_back_it_is_waited_for_only_where_it_has_more() -> None:
    """It does not take the Lease; and the others waited for ever, since it was preferred."""
    record = replace(OTHERS, lives=("orders-0_uid-0", "orders-1_uid-1", "orders-2_former"))
    back = lease(record, renewed_at=None, changed_at=NOW - 11, heard_at=NOW, went_back=True)
    pods = [replace(it, failover_priority=5 * (it.name == "orders-2")) for it in LEADER_PODS]
    for position, expected in ((5000, "TakingLease"), (6000, "YieldingToPeer")):
        peers = peer(1, position=4000) | peer(2, position=position)
        seen = replace(RAN_OUT, lease=back, pods=tuple(pods), peers=peers)
        assert situation_and_actions(seen)[0] == expected


HANDED_OVER = replace(
    RAN_OUT, lease=lease(replace(FREE, heir="orders-0"), renewed_at=None, changed_at=NOW - 1)
)


def handed_over_to(*lives: str) -> Observation:
    record = replace(FREE, heir="orders-0", lives=lives)
    return replace(HANDED_OVER, lease=lease(record, renewed_at=None, changed_at=NOW - 1))


def test_the_heir_is_the_pod_that_the_last_holder_knew() -> None:
    assert situation_and_actions(handed_over_to(*KNOWN))[0] == "Succeeding"
    assert situation_and_actions(handed_over_to(*LIVES)) == ("WaitingForHeir", ())


def test_where_it_told_of_none_any_pod_of_that_name_is() -> None:
    """So a primary's next pod comes back with what nobody else has."""
    assert situation_and_actions(handed_over_to())[0] == "Succeeding"


def test_who_is_replaced_while_it_runs_on_takes_nothing() -> None:
    pods = (replace((RAN_OUT.pods or ())[0], uid="later"), *(RAN_OUT.pods or ())[1:])
    assert situation_and_actions(replace(handed_over_to(), pods=pods))[0] != "Succeeding"
    assert situation_and_actions(replace(with_lives(), pods=pods)) == ("NotEligible", ())


def test_who_is_replaced_does_not_leave_the_lease_to_the_pod_that_has_replaced_it() -> None:
    """Whose volume may be an older copy."""
    assert Departure().heir(LEADER, SETTINGS) == "orders-0"
    pods = (replace(LEADER_PODS[0], uid="later"), *LEADER_PODS[1:])
    assert Departure().heir(replace(LEADER, pods=pods), SETTINGS) is None


def test_the_next_pod_of_an_heir_that_is_being_deleted_may_take_it_as_well() -> None:
    pods = (*LEADER_PODS[:1], replace(LEADER_PODS[1], deleting=True), *LEADER_PODS[2:])
    s = Situation(replace(LEADER, pods=pods), SETTINGS)
    assert s.set.lives_that_stay == ("orders-0_uid-0", "orders-2_uid-2")
    assert Situation(replace(LEADER, wanted=0), SETTINGS).set.lives_that_stay == ()


def test_lives_that_a_holder_of_an_older_version_has_left_as_they_were_count_for_nothing() -> None:
    empty = {"metadata": {"name": "pgset-orders", "resourceVersion": "7"}}
    written = with_record(empty, replace(OTHERS, transitions=3, lives=LIVES))
    assert read_record(written).lives == LIVES
    taken = written | {"spec": written["spec"] | {"leaseTransitions": 4}}
    assert read_record(taken).lives == ()
    assert read_record(with_record(empty, replace(OTHERS, transitions=3))).lives == ()
