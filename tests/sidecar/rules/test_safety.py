"""What comes first: a PostgreSQL that may write without a valid Lease is stopped."""

import signal
from dataclasses import replace

import pytest

from sidecar.action import (
    AskToStay,
    DeleteOwnPod,
    PutStandbySignal,
    ReleaseLease,
    RenewLease,
    SetRole,
    StopPostgres,
    TakeLease,
)
from sidecar.decide import decide
from sidecar.observation import Observation
from tests.sidecar.rules.observations import (
    CUT_OFF,
    DELETED,
    DOWN,
    LEADER,
    LEADER_PODS,
    NOW,
    OTHERS,
    RECORD,
    REPLICA,
    RUNNING,
    SETTINGS,
    STREAMING,
    UNANSWERED,
    VACANT,
    WRITABLE,
    lease,
    peer,
    situation_and_actions,
    wished,
)


def test_a_lease_that_somebody_deleted_is_taken_again_by_its_primary() -> None:
    deleted = replace(LEADER, lease=lease(None))
    assert situation_and_actions(deleted) == ("Reclaiming", (TakeLease(expired=False),))


@pytest.mark.parametrize(
    ("ago", "sent"),
    [(7.0, signal.SIGINT), (8.1, signal.SIGQUIT), (9.1, signal.SIGKILL), (60.0, signal.SIGKILL)],
)
def test_a_primary_that_cannot_renew_is_stopped_harder_and_harder(
    ago: float, sent: signal.Signals
) -> None:
    late = replace(LEADER, lease=lease(RECORD, renewed_at=NOW - ago, changed_at=NOW - ago))
    situation, actions = situation_and_actions(late)
    assert (situation, actions[0]) == ("Fencing", StopPostgres(sent))


def test_a_primary_that_answers_nobody_is_stopped_all_the_same() -> None:
    """Out of connections, or hung: sessions that it has may go on writing."""
    silent = replace(DOWN, alive=True, has_written=True)
    late = replace(LEADER, lease=lease(RECORD, renewed_at=NOW - 7), postgres=silent)
    assert situation_and_actions(late)[0] == "Fencing"


def test_a_primary_that_cannot_renew_is_not_stopped_a_moment_too_early() -> None:
    late = replace(LEADER, lease=lease(RECORD, renewed_at=NOW - 6.9, changed_at=NOW - 6.9))
    assert decide(late, SETTINGS).situation == "Leading"


def test_a_set_of_one_member_has_nobody_to_fear() -> None:
    alone = replace(RECORD, members=("orders-0",))
    late = replace(
        LEADER,
        lease=lease(alone, renewed_at=NOW - 600, changed_at=NOW - 600),
        postgres=replace(WRITABLE, followers=()),
        wanted=1,
    )
    assert decide(late, SETTINGS).situation == "Leading"


def test_a_writable_server_whose_lease_is_anothers_is_stopped_and_loses_the_label() -> None:
    superseded = replace(LEADER, lease=lease(OTHERS))
    assert situation_and_actions(superseded) == (
        "Superseded",
        (StopPostgres(signal.SIGINT), SetRole("orders-0", "uid-0", None)),
    )


def test_a_restarted_sidecar_that_cannot_renew_fences_within_two_seconds() -> None:
    restarted = replace(LEADER, started_at=NOW - 1.1, lease=lease(RECORD, renewed_at=None))
    assert decide(restarted, SETTINGS).situation == "Fencing"


def test_a_restarted_sidecar_renews_first() -> None:
    restarted = replace(LEADER, started_at=NOW - 0.2, lease=lease(RECORD, renewed_at=None))
    situation, actions = situation_and_actions(restarted)
    assert (situation, [type(action) for action in actions]) == ("Resuming", [RenewLease])


def test_a_writable_server_before_the_first_answer_of_the_api_server_is_stopped_in_the_end() -> (
    None
):
    blind = replace(LEADER, started_at=NOW - 5, lease=None, pods=None)
    assert decide(blind, SETTINGS).situation == "Fencing"


def test_what_a_dead_postmaster_left_running_is_killed_first() -> None:
    orphaned = replace(DOWN, alive=True, orphaned=True)
    crashed = replace(LEADER, postgres=orphaned, peers=peer(1), complete_peers=frozenset(peer(1)))
    assert situation_and_actions(crashed) == ("Orphaned", (StopPostgres(signal.SIGKILL),))


def test_a_holder_that_cannot_renew_asks_the_members_before_it_tries_again() -> None:
    situation, actions = situation_and_actions(UNANSWERED)
    assert (situation, actions[0]) == ("Leading", AskToStay(("orders-1", "orders-2")))
    assert isinstance(actions[1], RenewLease)


def test_a_holder_asks_also_whom_an_unanswered_renewal_may_have_recorded() -> None:
    view = UNANSWERED.lease
    assert view is not None
    perhaps = replace(UNANSWERED, lease=replace(view, possible_members=("orders-3",)))
    assert AskToStay(("orders-1", "orders-2", "orders-3")) in decide(perhaps, SETTINGS).actions


def test_while_all_members_let_it_a_holder_goes_on() -> None:
    long_ago = lease(RECORD, renewed_at=NOW - 60, changed_at=NOW - 60)
    excused = replace(UNANSWERED, lease=replace(long_ago, excused_at=NOW - 2))
    assert decide(excused, SETTINGS).situation == "Leading"
    refused = replace(UNANSWERED, lease=replace(long_ago, excused_at=NOW - 7))
    assert decide(refused, SETTINGS).situation == "Fencing"


def test_who_hears_from_nobody_at_all_stops_at_once() -> None:
    situation, actions = situation_and_actions(CUT_OFF)
    assert (situation, actions[0]) == ("Isolated", StopPostgres(signal.SIGINT))


@pytest.mark.parametrize(
    "observation",
    [
        replace(CUT_OFF, question_failed_at=None),
        replace(CUT_OFF, renewal_failed_at=None),
        replace(CUT_OFF, postgres=replace(WRITABLE, followers_heard_at=NOW - 1.5)),
        # The members were lost long before: they are away, and not this one.
        replace(CUT_OFF, postgres=replace(WRITABLE, followers_heard_at=NOW - 60)),
    ],
)
def test_who_hears_from_somebody_or_lost_the_members_before_goes_on(
    observation: Observation,
) -> None:
    assert decide(observation, SETTINGS).situation == "Leading"


def test_standby_signal_is_put_back_before_anything_that_may_fail() -> None:
    """In any situation of a primary, and where it died just after its promotion."""
    for observation in (wished("orders-7"), wished("orders-1"), LEADER, DELETED):
        unsafe = replace(observation, postgres=replace(observation.postgres, standby_signal=False))
        assert decide(unsafe, SETTINGS).actions[0] == PutStandbySignal()
    died = replace(REPLICA, postgres=replace(DOWN, standby_signal=False))
    assert decide(died, SETTINGS).actions[0] == PutStandbySignal()


def test_a_standby_whose_standby_signal_somebody_has_deleted_gets_it_back() -> None:
    """Its next start would be writable; and a promotion ends in a FATAL error without the file."""
    for observation in (REPLICA, VACANT):
        unsafe = replace(observation, postgres=replace(STREAMING, standby_signal=False))
        assert decide(unsafe, SETTINGS).actions[0] == PutStandbySignal()


def test_a_restarted_sidecar_does_not_stop_its_primary_before_it_has_heard_the_api_server() -> None:
    blind = replace(LEADER, started_at=NOW - 0.5, lease=None, pods=None)
    assert decide(blind, SETTINGS).situation == "WaitingForApi"


class TestADatabaseThatHasVanishedUnderItsServer:
    """The image's entrypoint would make an empty one there, writable and labelled primary."""

    VANISHED = replace(RUNNING, vanished=True)
    SIGNAL_GONE = replace(WRITABLE, standby_signal=False)
    KILLED = StopPostgres(signal.SIGKILL)
    GONE = DeleteOwnPod(reclone=True)

    def test_a_primary_is_killed_leaves_the_lease_and_gets_to_bootstrap(self) -> None:
        seen = replace(LEADER, bootstrap=self.VANISHED, postgres=self.SIGNAL_GONE)
        stripped = SetRole("orders-0", "uid-0", None)
        assert situation_and_actions(seen) == (
            "DataVanished",
            (self.KILLED, ReleaseLease(), self.GONE, stripped),
        )

    def test_a_replica_is_killed_and_gets_to_bootstrap(self) -> None:
        seen = replace(REPLICA, bootstrap=self.VANISHED, postgres=DOWN)
        actions = [it for it in decide(seen, SETTINGS).actions if not isinstance(it, SetRole)]
        assert actions == [self.KILLED, self.GONE]

    def test_nothing_is_waited_for_meanwhile(self) -> None:
        decision = decide(replace(LEADER, bootstrap=self.VANISHED), SETTINGS)
        assert (decision.fence_in, decision.look_in, decision.asks_peers) == (0.0, 0.1, False)

    def test_on_a_paused_set_nothing_is_done_but_that_and_nothing_else_is_said(self) -> None:
        seen = replace(LEADER, bootstrap=self.VANISHED, paused=True)
        decision = decide(seen, SETTINGS)
        assert decision.actions == (self.KILLED,)
        assert "deleting this pod" not in decision.sentence
        assert decision.sentence.endswith("while the set is paused or opted out")

    def test_before_anybody_has_led_its_pod_is_kept(self) -> None:
        """The next one would find neither data nor a record of it, and run initdb."""
        nobody = lease(None, renewed_at=None, renewal_seen=False)
        decision = decide(replace(REPLICA, bootstrap=self.VANISHED, lease=nobody), SETTINGS)
        assert decision.actions == (self.KILLED, SetRole("orders-0", "uid-0", None))
        assert decision.sentence.endswith("or delete this pod to go on without it")

    def test_its_pod_is_said_to_be_deleted_where_it_is(self) -> None:
        seen = replace(REPLICA, bootstrap=self.VANISHED)
        assert "deleting this pod" in decide(seen, SETTINGS).sentence
        leaving = (replace(LEADER_PODS[0], deleting=True), *LEADER_PODS[1:])
        decision = decide(replace(seen, pods=leaving), SETTINGS)
        assert self.GONE not in decision.actions
        assert decision.sentence.endswith("this pod is being deleted already")


class TestADirectoryThatAnotherPodHasTakenOver:
    """Rule 8, on shared storage: the other has written there, and the server here must not."""

    TAKEN = replace(RUNNING, other_writer="uid-new")
    KILLED = StopPostgres(signal.SIGKILL)
    GONE = DeleteOwnPod(reclone=False)

    def test_a_primary_is_killed_at_once_and_leaves_the_lease(self) -> None:
        seen = replace(LEADER, bootstrap=self.TAKEN)
        stripped = SetRole("orders-0", "uid-0", None)
        assert situation_and_actions(seen) == (
            "DirectoryTaken",
            (self.KILLED, ReleaseLease(), self.GONE, stripped),
        )

    def test_no_checkpoint_is_written_where_its_next_life_leads(self) -> None:
        """Not SIGINT, as where another member does."""
        next_life = replace(OTHERS, holder="orders-0_uid-new")
        pods = (replace(LEADER_PODS[0], uid="uid-new"), *LEADER_PODS[1:])
        seen = replace(LEADER, bootstrap=self.TAKEN, lease=lease(next_life), pods=pods)
        assert situation_and_actions(seen) == ("DirectoryTaken", (self.KILLED,))
        assert decide(seen, SETTINGS).sentence.endswith("this pod has been deleted")

    def test_a_replica_is_killed_too_also_before_the_api_server_was_heard(self) -> None:
        for seen in (REPLICA, replace(REPLICA, lease=None, pods=None)):
            assert self.KILLED in decide(replace(seen, bootstrap=self.TAKEN), SETTINGS).actions

    def test_what_the_kubelet_starts_there_is_killed_soon_and_nothing_is_written_there(
        self,
    ) -> None:
        stopped = replace(DOWN, standby_signal=False)
        seen = replace(REPLICA, bootstrap=self.TAKEN, postgres=stopped)
        decision = decide(seen, SETTINGS)
        assert self.KILLED in decision.actions
        assert PutStandbySignal() not in decision.actions
        assert (decision.fence_in, decision.look_in, decision.asks_peers) == (0.0, 0.1, False)

    def test_on_a_paused_set_nothing_is_done_but_that(self) -> None:
        seen = replace(LEADER, bootstrap=self.TAKEN, paused=True)
        assert decide(seen, SETTINGS).actions == (self.KILLED,)
