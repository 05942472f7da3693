"""Rules for a set whose annotation was taken away."""

from dataclasses import replace
from typing import Any

import pytest

from sidecar.action import PutStandbySignal, RemoveStandbySignal, RenewLease, SetSynchronous
from sidecar.decide import decide
from sidecar.observation import Leadership
from tests.sidecar.rules.observations import (
    DOWN,
    FREE,
    LEADER,
    LEADER_PODS,
    NOW,
    OTHERS,
    RECORD,
    REPLICA,
    SETTINGS,
    WRITABLE,
    lease,
    peer,
)


class TestASetThatWasOptedOut:
    """Its pods become plain ones, of which the last primary alone is to be writable."""

    ALONE = replace(RECORD, members=("orders-0",))
    LEADING = replace(LEADER, opted_out=True)
    GONE = replace(
        LEADING,
        lease=lease(ALONE),
        pods=(replace(LEADER_PODS[0], deleting=True), *LEADER_PODS[1:]),
        leaving_since=NOW - 1.5,
        postgres=DOWN,
    )

    def test_the_primary_first_sees_to_it_that_nobody_else_may_lead(self) -> None:
        (renewal,) = decide(self.LEADING, SETTINGS).actions
        assert isinstance(renewal, RenewLease)
        assert renewal.members == ("orders-0",)

    def test_it_promises_nothing_of_its_commits_any_more(self) -> None:
        voters = ("orders-0", "orders-1", "orders-2")
        record = replace(RECORD, voters=voters, copies=3)
        synchronous = replace(WRITABLE, waits_for=voters[1:], waits_for_number=2, waits_from=1)
        seen = replace(self.LEADING, lease=lease(record), postgres=synchronous)
        renewal, waiting = decide(seen, replace(SETTINGS, durability="sync")).actions
        assert isinstance(renewal, RenewLease)
        assert (renewal.voters, renewal.copies) == ((), 0)
        assert waiting == SetSynchronous((), 0)

    def test_its_deletion_hands_nothing_over(self) -> None:
        leaving = replace(self.GONE, postgres=WRITABLE, peers=peer(1))
        assert decide(leaving, SETTINGS).situation == "Leading"

    def test_stopped_it_is_left_to_start_writable_without_us(self) -> None:
        decision = decide(self.GONE, SETTINGS)
        assert (decision.situation, decision.actions) == ("OptedOut", (RemoveStandbySignal(),))
        removed = replace(self.GONE, postgres=replace(DOWN, standby_signal=False))
        assert PutStandbySignal() not in decide(removed, SETTINGS).actions

    @pytest.mark.parametrize(
        "changes",
        [
            {"lease": lease(RECORD)},
            {"lease": lease(replace(OTHERS, members=("orders-0",)))},
            {"opted_out": False},
            {"postgres": replace(DOWN, alive=True)},
            {"pods": LEADER_PODS},
        ],
        ids=["others-may-lead", "another-holds", "not-opted-out", "not-stopped", "not-deleted"],
    )
    def test_the_signal_stays_where_another_may_lead_or_the_pod_goes_on(
        self, changes: dict[str, Any]
    ) -> None:
        assert RemoveStandbySignal() not in decide(replace(self.GONE, **changes), SETTINGS).actions

    def test_nobody_takes_over(self) -> None:
        record = replace(FREE, history=(Leadership(1, "orders-1", ""),))
        free = replace(REPLICA, lease=lease(record, renewed_at=None), opted_out=True)
        assert decide(free, SETTINGS).situation == "Paused"
