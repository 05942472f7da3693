"""Rules for the holder of the Lease whose PostgreSQL is writable."""

from dataclasses import replace

import pytest

from sidecar.action import (
    ForgetPromotion,
    KeepSlots,
    PreparePrimary,
    PutStandbySignal,
    RenewLease,
    Role,
    SetRole,
)
from sidecar.decide import decide
from sidecar.observation import Leadership
from tests.sidecar.rules.observations import (
    LEADER,
    NOW,
    RECORD,
    REPLICA,
    SETTINGS,
    STREAMING,
    SYNC,
    UNRECORDED,
    WRITABLE,
    followers,
    lease,
    pods,
    promising,
    situation_and_actions,
    waiting,
)


def test_a_primary_that_renewed_just_now_has_nothing_to_do() -> None:
    assert situation_and_actions(LEADER) == ("Leading", ())


def test_a_primary_renews_at_its_interval() -> None:
    due = replace(LEADER, lease=lease(RECORD, renewed_at=NOW - 2))
    renewal = RenewLease("111", 1, ("orders-0", "orders-1", "orders-2"), 5000)
    assert situation_and_actions(due) == ("Leading", (renewal,))


def test_a_member_that_streams_is_recorded_at_once() -> None:
    unrecorded = replace(LEADER, lease=lease(replace(RECORD, members=("orders-0", "orders-1"))))
    renewal = RenewLease("111", 1, ("orders-0", "orders-1", "orders-2"), 5000)
    assert situation_and_actions(unrecorded) == ("Leading", (renewal,))


def test_a_member_that_is_no_longer_wanted_is_taken_off_the_record() -> None:
    scaled = replace(LEADER, wanted=2, postgres=replace(WRITABLE, followers=followers(1)))
    assert RenewLease("111", 1, ("orders-0", "orders-1"), 5000) in decide(scaled, SETTINGS).actions


def test_a_new_primary_first_makes_its_next_start_read_only_and_labels_itself_before_the_old() -> (
    None
):
    promoted = replace(
        LEADER,
        pods=pods("replica", "primary"),
        postgres=replace(WRITABLE, timeline=2, prepared=False, standby_signal=False, followers=()),
    )
    assert situation_and_actions(promoted) == (
        "Leading",
        (
            PutStandbySignal(),
            RenewLease("111", 2, ("orders-0", "orders-1", "orders-2"), 5000),
            SetRole("orders-0", "uid-0", "primary"),
            SetRole("orders-1", "uid-1", None),
            PreparePrimary(),
        ),
    )


def test_the_role_label_is_the_users_own() -> None:
    settings = replace(SETTINGS, primary_value="pgset-master")
    labelled = decide(replace(LEADER, pods=pods("replica")), settings).actions
    assert SetRole("orders-0", "uid-0", "pgset-master") in labelled


def test_a_promotion_is_forgotten_once_its_timeline_is_on_record() -> None:
    history = (Leadership(1, "orders-1", ""), Leadership(2, "orders-0", ""))
    recorded = replace(RECORD, timeline=2, history=history)
    led = replace(LEADER, lease=lease(recorded), postgres=replace(WRITABLE, timeline=2))
    assert decide(replace(led, bootstrap=UNRECORDED), SETTINGS).actions == (ForgetPromotion(),)


def test_a_primary_keeps_a_slot_for_each_wanted_member_and_a_replica_none() -> None:
    scaled = replace(LEADER, wanted=4)
    assert KeepSlots(("orders-1", "orders-2", "orders-3")) in decide(scaled, SETTINGS).actions
    shrunk = replace(LEADER, wanted=2)
    assert KeepSlots(("orders-1",)) in decide(shrunk, SETTINGS).actions
    replica = replace(REPLICA, postgres=replace(STREAMING, slots=("pgset_orders_1",)))
    assert KeepSlots(()) in decide(replica, SETTINGS).actions


def test_slots_do_not_wait_for_the_api_server() -> None:
    """With sync, clients wait until the others stream from who has just been promoted."""
    slots, renewal, *_ = decide(replace(LEADER, wanted=4, renewal_failed_at=NOW), SETTINGS).actions
    assert isinstance(slots, KeepSlots)
    assert isinstance(renewal, RenewLease)


class TestAPrimaryWhoseRowsMayBeGoneYet:
    """Another member may lead without what was never acknowledged."""

    RECORDED = lease(promising(0, 1, 2, copies=3))
    BEHIND = replace(waiting(1, 2, since=6000), since=NOW - 0.3)
    PROMOTED = replace(LEADER, lease=RECORDED, pods=pods("replica"), postgres=BEHIND)
    LABEL = SetRole("orders-0", "uid-0", "primary")

    def test_it_gets_its_label_when_the_standbys_have_them_and_looks_often(self) -> None:
        decision = decide(self.PROMOTED, SYNC)
        assert (decision.situation, decision.role) == ("Settling", Role.NONE)
        assert self.LABEL not in decision.actions
        assert decision.look_in <= 0.1
        settled = replace(self.BEHIND, followers=followers(1, 2, position=6000))
        decision = decide(replace(self.PROMOTED, postgres=settled), SYNC)
        assert (decision.situation, decision.role) == ("Leading", Role.PRIMARY)
        assert self.LABEL in decision.actions

    def test_an_heir_does_not_wait_while_the_last_primary_may_lead_with_the_same_rows(self) -> None:
        timeline = self.BEHIND.timeline or 0
        history = (Leadership(timeline - 1, "orders-1", ""), Leadership(timeline, "orders-0", ""))
        record = replace(promising(0, 1, 2, copies=3), history=history)
        heir = replace(
            self.PROMOTED,
            lease=lease(record, handed_over_by="orders-1_uid-1"),
            pods=pods("replica", "primary"),
        )
        assert self.LABEL in decide(heir, SYNC).actions
        assert decide(replace(heir, pods=pods("replica")), SYNC).situation == "Settling"
        no_voter = replace(record, voters=("orders-0", "orders-2"))
        by_another_life = lease(record, handed_over_by="orders-1_former")
        not_on_record = lease(no_voter, handed_over_by="orders-1_uid-1")
        for view in (lease(record), not_on_record, by_another_life):
            assert decide(replace(heir, lease=view), SYNC).situation == "Settling"

    def test_before_long_it_serves_no_reads_as_a_replica_either(self) -> None:
        longer = replace(self.PROMOTED, postgres=replace(self.BEHIND, since=NOW - 1.5))
        assert SetRole("orders-0", "uid-0", None) in decide(longer, SYNC).actions

    def test_the_label_of_a_stopped_primary_stays_as_long(self) -> None:
        beside = replace(self.PROMOTED, pods=pods("replica", "primary"))
        assert not [a for a in decide(beside, SYNC).actions if isinstance(a, SetRole)]

    def test_it_waits_for_nobody_who_is_not_on_record(self) -> None:
        alone = replace(self.PROMOTED, lease=lease(promising(0, copies=1)))
        assert self.LABEL in decide(alone, SYNC).actions

    @pytest.mark.parametrize("durability", ["sync-strict", "quorum"])
    def test_where_commits_wait_for_ever_reads_do_not(self, durability: str) -> None:
        nobody = replace(self.BEHIND, followers=(), since=NOW - 10)
        strict = replace(SETTINGS, durability=durability)
        assert self.LABEL in decide(replace(self.PROMOTED, postgres=nobody), strict).actions

    def test_its_label_does_not_wait_for_a_renewal_that_may_be_refused(self) -> None:
        recorded = promising(0, 1, 2, copies=3)
        later = replace(self.BEHIND, timeline=2, since=NOW - 12)
        excused = lease(recorded, renewed_at=NOW - 12, excused_at=NOW - 1)
        refused = replace(self.PROMOTED, lease=excused, postgres=later, renewal_failed_at=NOW - 1)
        first, *rest = decide(refused, SYNC).actions
        assert first == self.LABEL
        assert any(isinstance(action, RenewLease) for action in rest)

    def test_a_label_that_it_has_stays_whoever_joins(self) -> None:
        labelled = replace(self.PROMOTED, pods=pods("primary"))
        decision = decide(labelled, SYNC)
        assert decision.situation == "Leading"
        assert not [a for a in decision.actions if isinstance(a, SetRole)]
