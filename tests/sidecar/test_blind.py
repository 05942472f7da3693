"""What a member does whose PostgreSQL answers, and lets its sidecar not look."""

from dataclasses import replace

import pytest

from sidecar.action import (
    Action,
    DeleteOwnPod,
    Promote,
    Refuse,
    ReleaseLease,
    RenewLease,
    SetRole,
    StopPostgres,
)
from sidecar.decide import decide
from sidecar.memory.status import describe
from sidecar.observation import Fork, Observation, Peer, ServerState
from tests.sidecar.rules.observations import (
    LEADER,
    NOW,
    OTHERS,
    RECORD,
    REPLICA,
    SETTINGS,
    STREAMING,
    WRITABLE,
    lease,
)

BLIND_PRIMARY = replace(WRITABLE, blind=True, problem="permission denied")
BLIND_REPLICA = replace(STREAMING, blind=True, streaming=False, lag=None, since=NOW - 100)
HARMFUL = StopPostgres | ReleaseLease | DeleteOwnPod


def actions(observation: Observation) -> tuple[Action, ...]:
    return decide(observation, SETTINGS).actions


def test_a_blind_primary_is_stopped_by_nothing_and_renews() -> None:
    long_ago = replace(BLIND_PRIMARY, since=NOW - 1000, followers_heard_at=NOW - 0.5)
    due = replace(LEADER, postgres=long_ago, lease=lease(RECORD, renewed_at=NOW - 3.0))
    done = actions(due)
    assert not [action for action in done if isinstance(action, HARMFUL)]
    assert [action for action in done if isinstance(action, RenewLease)]
    assert decide(due, SETTINGS).situation == "Leading"


def test_a_blind_primary_records_no_position_behind_the_one_on_record() -> None:
    """Its own is a lower bound; by the recorded one a member is found to be too far behind."""
    known = lease(replace(RECORD, position=9000), renewed_at=NOW - 3.0)
    done = actions(replace(LEADER, postgres=BLIND_PRIMARY, lease=known))
    assert [a.position for a in done if isinstance(a, RenewLease)] == [9000]


def test_a_blind_primary_refuses_a_switchover_which_it_could_not_prepare() -> None:
    wish = replace(LEADER, lease=lease(replace(RECORD, switchover_to="orders-1")))
    assert not [a for a in actions(replace(wish, postgres=WRITABLE)) if isinstance(a, Refuse)]
    refusals = [a for a in actions(replace(wish, postgres=BLIND_PRIMARY)) if isinstance(a, Refuse)]
    assert ["does not let the sidecar" in refusal.sentence for refusal in refusals] == [True]


@pytest.mark.parametrize("what", ["diverged", "left behind"])
def test_the_pod_of_a_blind_replica_is_not_deleted_for_what_is_no_longer_known(what: str) -> None:
    seen = replace(REPLICA, lease=lease(OTHERS), postgres=BLIND_REPLICA)
    if what == "diverged":
        seen = replace(seen, fork=Fork(1, 4000))
    else:
        primary = Peer("orders-1", True, "111", 1, 9000, True, True, oldest_wal=8000)
        seen = replace(seen, peers={"orders-1": primary})
    sighted = replace(seen, postgres=replace(BLIND_REPLICA, blind=False))
    assert [a for a in actions(sighted) if isinstance(a, DeleteOwnPod)]
    assert not [a for a in actions(seen) if isinstance(a, DeleteOwnPod)]


def test_a_blind_replica_serves_no_reads_for_long() -> None:
    seen = replace(
        REPLICA, lease=lease(OTHERS), postgres=replace(BLIND_REPLICA, streamed_at=NOW - 6)
    )
    me = next(pod for pod in seen.pods or () if pod.name == seen.me.name)
    labelled = replace(seen, pods=(replace(me, role=SETTINGS.replica_value),))
    assert SetRole(me.name, me.uid, None) in actions(labelled)


def test_a_blind_standby_that_holds_the_lease_is_promoted() -> None:
    alone = lease(replace(RECORD, members=("orders-0",)))
    standby = replace(BLIND_REPLICA, followers=(), waits_for=())
    assert Promote(1) in actions(replace(LEADER, postgres=standby, lease=alone))


def test_no_peer_takes_a_blind_members_lower_bound_for_all_that_it_has() -> None:
    """Else a member with less could lead, and acknowledged commits would be gone."""
    sighted = describe(replace(REPLICA, postgres=STREAMING), SETTINGS)
    blind = describe(replace(REPLICA, postgres=BLIND_REPLICA), SETTINGS)
    assert (sighted["position"], blind["position"]) == (5000, None)
    assert blind["running"] is True
    assert BLIND_REPLICA.state is ServerState.RECOVERY
