"""Nothing that fails, hangs or waits may keep a holder from stopping when it has to."""

import signal
from dataclasses import replace

import pytest

from sidecar.action import (
    AskToStay,
    PutStandbySignal,
    ReleaseLease,
    RenewLease,
    SetSynchronous,
    StopPostgres,
    TakeLease,
)
from sidecar.decide import decide
from sidecar.observation import Follower, Observation
from sidecar.situation.timing import FENCING_SHARE, HUNG_PATIENCE
from tests.sidecar.rules.observations import (
    DOWN,
    LEADER,
    NOW,
    RECORD,
    REPLICA,
    RUNNING,
    SETTINGS,
    STREAMING,
    SYNC,
    WRITABLE,
    followers,
    lease,
    peer,
    promising,
    waiting,
)

DEADLINE = SETTINGS.ttl * (1 - FENCING_SHARE)


def unrenewed_for(seconds: float) -> Observation:
    """A primary whose last renewals had no answer; its members are heard of, by replication."""
    return replace(
        LEADER,
        lease=lease(RECORD, renewed_at=NOW - seconds, heard_at=NOW - seconds),
        renewal_failed_at=NOW - 0.3,
        members_heard_at=NOW - 0.1,
    )


@pytest.mark.parametrize("left", [0.001, 0.15])
def test_right_before_it_has_to_stop_a_holder_begins_nothing_that_it_would_wait_for(
    left: float,
) -> None:
    actions = decide(unrenewed_for(DEADLINE - left), SETTINGS).actions
    assert not [action for action in actions if isinstance(action, AskToStay | RenewLease)]


@pytest.mark.parametrize(("left", "weakened"), [(0.001, False), (0.15, False), (1.5, True)])
def test_commits_wait_for_no_fewer_where_that_is_not_recorded_first(
    left: float, *, weakened: bool
) -> None:
    """A renewal that fails ends the turn; one that is not even tried lets nothing pass either."""
    lonely = replace(
        unrenewed_for(DEADLINE - left),
        postgres=replace(waiting(1, 2), followers=followers(1)),
    )
    record = promising(0, 1, 2, copies=3)
    assert lonely.lease is not None
    lonely = replace(lonely, lease=replace(lonely.lease, record=record))
    actions = decide(lonely, SYNC).actions
    assert any(isinstance(action, SetSynchronous) for action in actions) is weakened
    if weakened:
        kinds = [type(action) for action in actions]
        assert kinds.index(RenewLease) < kinds.index(SetSynchronous)


def test_until_then_it_asks_and_renews() -> None:
    kinds = [type(action) for action in decide(unrenewed_for(DEADLINE - 1.5), SETTINGS).actions]
    assert AskToStay in kinds
    assert RenewLease in kinds


def test_where_a_hung_volume_keeps_what_was_killed_from_dying_the_lease_may_run_out() -> None:
    hung = replace(RUNNING, silent_since=NOW - DEADLINE, write_failure="the volume is silent")
    dying = replace(DOWN, alive=True, orphaned=True, has_written=True, since=NOW - DEADLINE)
    seen = replace(LEADER, bootstrap=hung, postgres=dying)
    assert decide(seen, SETTINGS).actions == (StopPostgres(signal.SIGKILL),)
    due = lease(RECORD, renewed_at=NOW - SETTINGS.renew_interval)
    soon = replace(seen, lease=due, bootstrap=replace(hung, silent_since=NOW - 1.0))
    assert [type(it) for it in decide(soon, SETTINGS).actions] == [StopPostgres, RenewLease]


def test_a_member_whose_volume_is_silent_leaves_the_lease_to_another() -> None:
    silent = replace(RUNNING, silent_since=NOW - HUNG_PATIENCE, write_failure="silent")
    free = replace(RECORD, holder="")
    seen = replace(REPLICA, lease=lease(free, renewed_at=None), peers=peer(1) | peer(2))
    takes = [it for it in decide(seen, SETTINGS).actions if isinstance(it, TakeLease)]
    assert takes
    assert decide(replace(seen, bootstrap=silent), SETTINGS).situation == "VolumeSilent"
    holder = replace(LEADER, postgres=replace(STREAMING, streaming=False), bootstrap=silent)
    assert ReleaseLease() in decide(holder, SETTINGS).actions


FULL = replace(RUNNING, write_failure="/data takes no writes: No space left on device")


def test_a_member_whose_volume_is_full_leaves_the_lease_to_another() -> None:
    """It could not note its promotion, and so would hold the Lease for nothing."""
    free = replace(RECORD, holder="")
    seen = replace(REPLICA, lease=lease(free, renewed_at=None), peers=peer(1) | peer(2))
    assert decide(seen, SETTINGS).situation == "TakingLease"
    decision = decide(replace(seen, bootstrap=FULL), SETTINGS)
    assert (decision.situation, decision.actions) == ("VolumeTakesNoWrites", ())
    assert "/data takes no writes: No space left on device" in decision.sentence
    alone = replace(free, members=("orders-0",))
    seen = replace(seen, lease=lease(alone, renewed_at=None), bootstrap=FULL)
    assert decide(seen, SETTINGS).situation == "TakingLease"


def test_a_holder_whose_volume_is_full_before_its_promotion_gives_the_lease_up() -> None:
    standby = replace(STREAMING, streaming=False)
    holder = replace(LEADER, postgres=standby, bootstrap=FULL)
    assert ReleaseLease() in decide(holder, SETTINGS).actions
    fresh = replace(holder, postgres=replace(standby, since=NOW - 1))
    assert decide(fresh, SETTINGS).situation == "Promoting"


def test_a_primary_that_has_crashed_for_want_of_space_is_killed_before_its_lease_goes() -> None:
    crashed = replace(STREAMING, streaming=False, has_written=True)
    seen = replace(LEADER, postgres=crashed, bootstrap=FULL)
    found = decide(seen, SETTINGS)
    assert (found.situation, found.actions) == (
        "CannotPromote",
        (StopPostgres(signal.SIGKILL),),
    )
    asked = replace(seen, postgres=replace(crashed, promoting_since=NOW - 1))
    assert decide(asked, SETTINGS).situation == "Promoting"


def test_a_server_that_lets_nobody_set_whom_commits_wait_for_is_not_what_a_set_waits_for() -> None:
    promised = replace(RECORD, voters=("orders-0", "orders-1", "orders-2"), copies=2)
    blind = replace(STREAMING, streaming=False, blind=True, since=NOW - 6)
    settings = replace(SETTINGS, durability="quorum")
    holder = replace(LEADER, lease=lease(promised), postgres=blind)
    assert ReleaseLease() in decide(holder, settings).actions
    free = replace(promised, holder="")
    voter = replace(REPLICA, lease=lease(free, renewed_at=None), postgres=blind)
    assert decide(voter, settings).situation == "LockedOut"


def test_who_is_taken_out_for_its_node_alone_stops_for_nobody_that_does_not_follow() -> None:
    gone = tuple(
        replace(pod, taken_out_since=NOW - 60, unready_since=NOW - 60)
        if pod.name == "orders-0"
        else pod
        for pod in LEADER.pods or ()
    )
    behind = replace(WRITABLE, followers=(), checkpointed_at=NOW)
    seen = replace(LEADER, pods=gone, postgres=behind, peers=peer(1) | peer(2))
    assert decide(seen, SETTINGS).situation == "Leading"
    follows = (Follower("orders-1", WRITABLE.position or 0),)
    followed = replace(seen, postgres=replace(behind, followers=follows))
    assert decide(followed, SETTINGS).situation == "Stopping"


def test_standby_signal_comes_before_a_stop_and_never_in_place_of_it() -> None:
    late = unrenewed_for(DEADLINE + 1.5)
    seen = replace(late, postgres=replace(WRITABLE, standby_signal=False))
    kinds = [type(action) for action in decide(seen, SETTINGS).actions]
    assert kinds[:2] == [PutStandbySignal, StopPostgres]
