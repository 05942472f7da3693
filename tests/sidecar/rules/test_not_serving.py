"""Rules for a PostgreSQL that is down, and for a holder that is not writable yet."""

import signal
from dataclasses import replace
from typing import Any

import pytest

from sidecar.action import (
    DeleteOwnPod,
    ForgetReturns,
    Promote,
    ReleaseLease,
    RenewLease,
    SetRole,
    StopPostgres,
)
from sidecar.decide import decide
from sidecar.observation import Leadership
from tests.sidecar.rules.observations import (
    CUT_OFF,
    DOWN,
    FREE,
    LEADER,
    LEADER_PODS,
    NOW,
    OTHERS,
    RECORD,
    REPLICA,
    RUNNING,
    SETTINGS,
    SLOTS,
    STREAMING,
    SYNC,
    WRITABLE,
    lease,
    peer,
    pods,
    promising,
    situation_and_actions,
)


def test_a_replica_that_is_starting_is_left_to_start() -> None:
    starting = replace(REPLICA, postgres=replace(DOWN, alive=True))
    assert decide(starting, SETTINGS).situation == "Down"


def test_the_holder_whose_server_came_up_read_only_promotes_it() -> None:
    crashed = replace(LEADER, postgres=replace(STREAMING, streaming=False))
    assert situation_and_actions(crashed) == ("Promoting", (Promote(1), SLOTS))


def test_nothing_is_promoted_while_the_new_timeline_could_not_be_recorded() -> None:
    crashed = replace(LEADER, postgres=replace(STREAMING, streaming=False))
    silent = replace(crashed, renewal_failed_at=NOW - 0.1)
    situation, actions = situation_and_actions(silent)
    assert (situation, [type(action) for action in actions]) == ("Resuming", [RenewLease])


class TestAPromotionThatDoesNotComeAbout:
    ASKED = replace(STREAMING, streaming=False, has_written=True, promoting_since=NOW - 10.5)
    OVERDUE = replace(LEADER, postgres=ASKED, peers=peer(1, position=4900) | peer(2))

    def test_it_is_given_up_where_another_member_has_everything_too(self) -> None:
        decision = decide(self.OVERDUE, SETTINGS)
        assert (decision.situation, decision.actions) == (
            "PromotionOverdue",
            (StopPostgres(signal.SIGKILL),),
        )
        assert "and orders-2 has everything" in decision.sentence
        dead = replace(DOWN, since=NOW - 0.1)
        complete = replace(self.OVERDUE, postgres=dead, complete_peers=frozenset({"orders-2"}))
        assert decide(complete, SETTINGS).actions == (ReleaseLease("orders-2"),)

    def test_the_others_are_asked_first(self) -> None:
        assert decide(replace(self.OVERDUE, peers=None), SETTINGS).asks_peers
        early = replace(self.OVERDUE, postgres=replace(self.ASKED, promoting_since=NOW - 9))
        assert not decide(replace(early, peers=None), SETTINGS).asks_peers
        assert decide(early, SETTINGS).situation == "Promoting"

    @pytest.mark.parametrize(
        "changes",
        [
            {"peers": peer(1, position=4900)},
            {"peers": peer(1, to_replay=2**30)},
            {"peers": peer(1, reaches_api=False)},
            {"paused": True},
        ],
        ids=["less", "as-late", "cut-off", "paused"],
    )
    def test_it_goes_on_where_nobody_would_be_quicker(self, changes: dict[str, Any]) -> None:
        assert decide(replace(self.OVERDUE, **changes), SETTINGS).actions == (Promote(1), SLOTS)


def test_after_an_expiry_the_old_label_goes_before_the_promotion() -> None:
    taken = replace(
        LEADER,
        lease=lease(RECORD, taken_expired=True),
        pods=pods("replica", "primary"),
        postgres=STREAMING,
    )
    assert situation_and_actions(taken) == (
        "Promoting",
        (SetRole("orders-1", "uid-1", None), Promote(1), SLOTS),
    )


def test_a_stopped_primary_keeps_its_label_until_the_next_one_takes_it() -> None:
    released = replace(LEADER, lease=lease(OTHERS, renewed_at=None), postgres=DOWN)
    assert situation_and_actions(released) == ("Down", ())
    never = replace(OTHERS, history=(Leadership(1, "orders-1", ""),))
    admitted = replace(released, lease=lease(never, renewed_at=None))
    assert situation_and_actions(admitted) == ("Down", (SetRole("orders-0", "uid-0", None),))
    # A standby that starts lets nobody in yet, and each change of a label may delay the next one.
    starting = replace(released, postgres=replace(DOWN, alive=True))
    assert situation_and_actions(starting) == ("Down", ())
    hung = replace(released, postgres=replace(DOWN, alive=True, has_written=True))
    assert SetRole("orders-0", "uid-0", None) in situation_and_actions(hung)[1]


@pytest.mark.parametrize("heir", [None, "orders-1"], ids=["Resuming", "SwitchoverFailed"])
def test_a_primary_that_came_up_again_shows_nobody_what_others_may_lead_without(
    heir: str | None,
) -> None:
    """What was waiting for standbys when it ended is seen by all after the restart."""
    record = replace(RECORD, voters=("orders-0", "orders-1"), copies=2, heir=heir)
    failed = {"renewal_failed_at": NOW - 0.1} if heir is None else {}
    recovering = replace(STREAMING, streaming=False)
    came_up = replace(LEADER, lease=lease(record), postgres=recovering, **failed)
    bare = SetRole("orders-0", "uid-0", None)
    situation, actions = situation_and_actions(came_up)
    assert situation == ("Resuming" if heir is None else "SwitchoverFailed")
    assert bare in actions
    alone = replace(record, copies=1)
    assert bare not in decide(replace(came_up, lease=lease(alone)), SETTINGS).actions
    writable = replace(came_up, postgres=WRITABLE)
    assert bare not in decide(writable, SETTINGS).actions


def test_a_replica_whose_server_is_down_takes_no_reads() -> None:
    down = replace(REPLICA, postgres=DOWN)
    assert situation_and_actions(down) == ("Down", (SetRole("orders-0", "uid-0", None),))


class TestAPrimaryWithWhatNobodyElseHasThatIsNotRestarted:
    """The kubelet backs off for 10 s and more; a new pod is there in half of that."""

    BACKS_OFF = (replace(LEADER_PODS[0], backs_off=True), *LEADER_PODS[1:])
    GONE = replace(LEADER, postgres=replace(DOWN, since=NOW - 3.5), pods=BACKS_OFF)

    def test_it_gets_a_new_pod(self) -> None:
        decision = decide(self.GONE, SETTINGS)
        assert decision.situation == "Returning"
        assert decision.actions[-1] == DeleteOwnPod(reclone=False, returns=0)

    def test_the_lease_is_left_to_its_new_pod(self) -> None:
        leaving = replace(LEADER_PODS[0], deleting=True)
        deleted = replace(self.GONE, pods=(leaving, *LEADER_PODS[1:]))
        assert situation_and_actions(deleted) == ("Vacating", (ReleaseLease("orders-0"),))

    @pytest.mark.parametrize(
        "changes",
        [
            {"postgres": replace(DOWN, since=NOW - 2)},
            {"postgres": replace(DOWN, since=NOW - 3.5, alive=True)},
            {"postgres": replace(DOWN, since=NOW - 11)},
            {"lease": lease(replace(RECORD, members=("orders-0",)))},
            {"paused": True},
            {"pods": LEADER_PODS},
            {"pods": (LEADER_PODS[0], replace(LEADER_PODS[1], backs_off=True))},
            {"bootstrap": replace(RUNNING, returns=1)},
        ],
        ids=[
            *("just-now", "still-running", "for-too-long", "alone", "paused"),
            *("no-back-off", "back-off-of-another", "in-vain"),
        ],
    )
    def test_it_keeps_its_pod(self, changes: dict[str, Any]) -> None:
        assert decide(replace(self.GONE, **changes), SETTINGS).situation != "Returning"


class TestAReplicaThatIsNotRestarted:
    """A kubelet's second back-off is 20 s long, its fifth 160 s."""

    GONE = replace(
        REPLICA,
        postgres=replace(DOWN, since=NOW - 12.5),
        pods=(replace(LEADER_PODS[0], backs_off=True), *LEADER_PODS[1:]),
        peers=peer(1, writable=True),
    )

    def test_it_gets_a_new_pod(self) -> None:
        situation, actions = situation_and_actions(self.GONE)
        assert situation == "ReturningAsReplica"
        assert actions[-1] == DeleteOwnPod(reclone=False, returns=0)

    @pytest.mark.parametrize(
        "changes",
        [
            {"postgres": replace(DOWN, since=NOW - 11)},
            {"postgres": replace(DOWN, since=NOW - 12.5, alive=True)},
            {"pods": LEADER_PODS},
            {"paused": True},
            {"bootstrap": replace(RUNNING, returns=0)},
            {"peers": peer(1)},
            {"lease": lease(FREE, renewed_at=None)},
        ],
        ids=[
            *("first-back-off", "still-running", "no-back-off", "paused"),
            *("in-vain", "leader-is-read-only", "nobody-leads"),
        ],
    )
    def test_it_keeps_its_pod(self, changes: dict[str, Any]) -> None:
        assert decide(replace(self.GONE, **changes), SETTINGS).situation != "ReturningAsReplica"


def test_a_new_pod_is_no_longer_in_vain_once_its_server_has_led_for_a_minute() -> None:
    returned = replace(LEADER, bootstrap=replace(RUNNING, returns=1))
    assert ForgetReturns() in decide(returned, SETTINGS).actions
    again = replace(returned, postgres=replace(WRITABLE, since=NOW - 59))
    assert ForgetReturns() not in decide(again, SETTINGS).actions


def test_a_holder_whose_server_does_not_come_up_lets_another_lead() -> None:
    dead = replace(LEADER, postgres=replace(DOWN, since=NOW - 11))
    assert situation_and_actions(dead)[0] == "GivingUp"
    assert ReleaseLease() in situation_and_actions(dead)[1]


def test_a_server_that_only_hangs_is_killed_before_the_lease_is_released() -> None:
    hangs = replace(LEADER, postgres=replace(DOWN, since=NOW - 11, alive=True))
    decision = decide(hangs, SETTINGS)
    assert (decision.situation, decision.actions) == ("GivingUp", (StopPostgres(signal.SIGKILL),))
    assert decision.sentence.endswith(
        "killing what still runs of it, and then giving the Lease up to another member"
    )


def test_a_holder_whose_server_was_just_lost_keeps_the_lease_a_while() -> None:
    assert decide(replace(LEADER, postgres=DOWN), SETTINGS).situation == "Down"


def test_an_isolated_holder_does_not_promote_what_it_has_stopped() -> None:
    restarted = replace(CUT_OFF, postgres=replace(STREAMING, streaming=False))
    isolated = replace(restarted, members_heard_at=NOW - 2.5)
    assert decide(isolated, SETTINGS).situation == "Resuming"


@pytest.mark.parametrize(
    "postgres",
    [replace(DOWN, alive=True, progress_at=NOW - 0.1), replace(STREAMING, streaming=False)],
    ids=["recovering", "up"],
)
def test_a_crashed_primary_shows_nobody_what_others_may_lead_without(postgres: Any) -> None:
    """A commit that was waiting for standbys is seen by all after a restart."""
    unlabelled = SetRole("orders-0", "uid-0", None)
    crashed = replace(LEADER, lease=lease(promising(0, 1, copies=2)), postgres=postgres)
    assert unlabelled in decide(crashed, SYNC).actions
    alone = replace(crashed, lease=lease(promising(0, copies=1)))
    assert unlabelled not in decide(alone, SYNC).actions
    assert unlabelled not in decide(replace(crashed, lease=lease(RECORD)), SETTINGS).actions


LATE = replace(
    LEADER,
    lease=lease(
        replace(RECORD, history=(Leadership(1, "orders-2", "then"),)),
        taken_late=True,
        taken_expired=True,
    ),
    pods=pods("replica", "replica", "primary"),
    postgres=STREAMING,
)
MORE = peer(1, position=5100, reaches_api=False) | peer(2, running=False)


def test_a_take_that_landed_late_is_handed_to_who_has_more() -> None:
    """It did not answer, or did not reach the API server either, when the request was sent."""
    assert decide(LATE, SETTINGS).asks_peers
    lives = tuple(f"orders-{n}_uid-{n}" for n in range(3))
    assert situation_and_actions(replace(LATE, peers=MORE)) == (
        "TakenTooLate",
        (SetRole("orders-2", "uid-2", None), ReleaseLease("orders-1", lives)),
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"peers": peer(1)},
        {"peers": peer(1, position=5100, running=False)},
        {"peers": peer(1, position=5100, well=False)},
        {"peers": peer(1, position=5100, writable=True)},
        {"peers": peer(1, position=5100, system_identifier="999")},
        {"peers": MORE, "lease": replace(LATE.lease, taken_late=False)},
        {"peers": MORE, "pods": (replace(LATE.pods[0], failover="7"), *LATE.pods[1:])},
        {"peers": MORE, "paused": True},
    ],
    ids=[
        "nobody has more",
        "does not run",
        "could not lead",
        "is writable",
        "another database",
        "in time",
        "an operator's wish",
        "paused",
    ],
)
def test_else_it_is_acted_on(changes: dict[str, Any]) -> None:
    assert decide(replace(LATE, **changes), SETTINGS).situation == "Promoting"
