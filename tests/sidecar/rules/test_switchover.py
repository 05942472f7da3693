"""Rules for what an operator asks for: a switchover, or a pause."""

import signal
from dataclasses import replace

import pytest

from sidecar.action import Attention, Checkpoint, Refuse, RenewLease, StopPostgres
from sidecar.decide import decide
from sidecar.observation import Identity, Observation
from tests.sidecar.rules.observations import (
    DELETED,
    DOWN,
    FREE,
    LEADER,
    NOW,
    RECORD,
    REPLICA,
    SETTINGS,
    STREAMING,
    WRITABLE,
    followers,
    lease,
    peer,
    situation_and_actions,
    wished,
)


def test_a_wished_switchover_is_recorded_and_begun() -> None:
    situation, actions = situation_and_actions(wished("orders-2"))
    assert situation == "AcceptingSwitchover"
    renewal = actions[0]
    assert isinstance(renewal, RenewLease)
    assert (renewal.heir, renewal.switchover_to) == ("orders-2", None)


def test_a_switchover_begins_no_checkpoint_that_its_stop_would_wait_for() -> None:
    fresh = wished("orders-2", postgres=replace(WRITABLE, checkpointed_at=NOW - 10))
    situation, actions = situation_and_actions(fresh)
    assert situation == "AcceptingSwitchover"
    assert [type(action) for action in actions] == [RenewLease]


def test_a_switchover_stops_postgresql_after_a_checkpoint() -> None:
    accepted = replace(LEADER, lease=lease(replace(RECORD, heir="orders-2")), peers=peer(2))
    assert situation_and_actions(accepted) == ("PreparingToStop", (Checkpoint(),))
    done = replace(accepted, postgres=replace(WRITABLE, checkpointed_at=NOW - 0.1))
    assert situation_and_actions(done) == ("Stopping", (StopPostgres(signal.SIGINT),))


@pytest.mark.parametrize(
    ("observation", "why"),
    [
        (wished("orders-7"), "there is no such pod in this set; there are: orders-1, orders-2"),
        (wished("orders-0"), "it leads already"),
        (wished("orders-1", paused=True), "the set is paused"),
        (
            wished("orders-1", postgres=replace(WRITABLE, followers=followers(2))),
            "it does not stream from the primary",
        ),
        (
            wished("orders-1", postgres=replace(WRITABLE, position=2**30)),
            f"it lags {2**30 - 5000} bytes behind, more than max-lag",
        ),
        (
            replace(
                LEADER,
                lease=lease(
                    replace(
                        RECORD,
                        switchover_to="orders-1",
                        voters=("orders-0", "orders-2"),
                        copies=2,
                    )
                ),
            ),
            "it is not in sync",
        ),
    ],
)
def test_a_wish_that_cannot_be_granted_is_cleared_and_says_why(
    observation: Observation, why: str
) -> None:
    situation, actions = situation_and_actions(observation)
    assert situation == "RefusingSwitchover"
    renewal = actions[0]
    assert isinstance(renewal, RenewLease)
    assert (renewal.heir, renewal.switchover_to) == (None, None)
    refusal = actions[1]
    assert isinstance(refusal, Refuse)
    assert refusal.sentence.endswith(why)


def test_after_a_failed_switchover_the_old_primary_leads_and_one_event_says_so() -> None:
    back = replace(
        LEADER,
        lease=lease(replace(RECORD, heir="orders-2")),
        postgres=replace(STREAMING, streaming=False),
    )
    decision = decide(back, SETTINGS)
    assert (decision.situation, decision.attention) == ("SwitchoverFailed", Attention.WARNING)
    assert "switchover to orders-2 failed" in decision.sentence
    (renewal,) = decision.actions
    assert isinstance(renewal, RenewLease)
    assert renewal.heir is None


def test_nobody_takes_over_while_the_set_is_paused_but_the_last_primary_may_return() -> None:
    free = replace(REPLICA, lease=lease(FREE, renewed_at=None), paused=True)
    assert decide(free, SETTINGS).situation == "TakingLease"
    other = replace(free, me=Identity("orders-1", "uid-1"))
    assert decide(other, SETTINGS).situation == "Paused"


def test_a_paused_primary_hands_nothing_over() -> None:
    assert decide(replace(DELETED, paused=True), SETTINGS).situation == "Leading"
    crashed = replace(
        LEADER, postgres=DOWN, peers=peer(1), complete_peers=frozenset({"orders-1"}), paused=True
    )
    assert decide(crashed, SETTINGS).situation == "Down"
