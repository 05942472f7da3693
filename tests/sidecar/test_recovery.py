"""A primary that replays its WAL after a crash is left to finish, where that is the better way."""

import signal
from dataclasses import replace

import pytest

from sidecar.action import ReleaseLease, RenewLease, StopPostgres
from sidecar.decide import decide
from sidecar.observation import Observation
from sidecar.settings import Settings
from tests.sidecar.rules.observations import DOWN, LEADER, NOW, RECORD, SETTINGS, lease, peer

SYNC = Settings(set_name="orders", durability="sync")
MOVES = replace(DOWN, alive=True, since=NOW - 900, progress_at=NOW - 1)
RECOVERING = replace(LEADER, postgres=MOVES, peers=peer(1, position=4000) | peer(2, position=4000))


def is_killed(seen: Observation, settings: Settings = SETTINGS) -> bool:
    return StopPostgres(signal.SIGKILL) in decide(seen, settings).actions


def test_a_recovery_that_moves_is_left_to_finish_where_nobody_else_has_everything() -> None:
    decision = decide(RECOVERING, SETTINGS)
    assert (decision.situation, decision.actions) == ("Recovering", ())
    assert "no other member is known to have everything" in decision.sentence
    due = replace(RECOVERING, lease=lease(RECORD, renewed_at=NOW - 2))
    (renewal,) = decide(due, SETTINGS).actions
    assert isinstance(renewal, RenewLease)


def test_it_is_given_up_where_a_member_has_everything() -> None:
    assert is_killed(replace(RECOVERING, complete_peers=frozenset({"orders-1"})))


def test_it_is_given_up_where_a_voter_has_all_that_was_acknowledged() -> None:
    voters = replace(RECORD, voters=("orders-0", "orders-1"), copies=2)
    assert is_killed(replace(RECOVERING, lease=lease(voters)), SYNC)


def test_it_is_given_up_where_it_does_not_get_on_for_five_minutes() -> None:
    for seconds, killed in ((299, False), (301, True)):
        still = replace(MOVES, progress_at=NOW - seconds)
        assert is_killed(replace(RECOVERING, postgres=still)) is killed, seconds


@pytest.mark.parametrize("seconds", [1, 100_000])
def test_it_is_never_killed_for_being_slow_where_nobody_else_may_lead(seconds: float) -> None:
    """By the record: the others are members, but commits wait for none of them."""
    alone = replace(RECORD, voters=("orders-0",), copies=1)
    slow = replace(MOVES, since=NOW - 100_000, progress_at=NOW - seconds)
    seen = replace(
        RECOVERING,
        lease=lease(alone),
        postgres=slow,
        complete_peers=frozenset({"orders-1"}),
    )
    decision = decide(seen, SYNC)
    assert (decision.situation, decision.actions) == ("Recovering", ())
    # What a renewal without an answer may have recorded counts as recorded.
    perhaps = replace(seen, lease=lease(alone, possible_members=("orders-1",)))
    assert is_killed(perhaps, SYNC) is (seconds > 300)


def test_a_server_that_hangs_otherwise_is_given_up_after_the_ttl() -> None:
    for seconds, killed in ((9.5, False), (10.5, True)):
        hangs = replace(DOWN, alive=True, since=NOW - seconds)
        assert is_killed(replace(RECOVERING, postgres=hangs)) is killed


def test_one_that_is_not_started_again_is_given_up_after_the_ttl() -> None:
    gone = replace(RECOVERING, postgres=replace(DOWN, since=NOW - 10.5))
    assert ReleaseLease() in decide(gone, SETTINGS).actions


def test_the_others_are_asked_once_a_second_and_not_before_the_ttl() -> None:
    assert decide(replace(RECOVERING, peers=None), SETTINGS).asks_peers
    early = replace(RECOVERING, peers=None, postgres=replace(MOVES, since=NOW - 9))
    assert not decide(early, SETTINGS).asks_peers
    just_renewed = replace(RECOVERING, lease=lease(RECORD, renewed_at=NOW))
    assert decide(just_renewed, SETTINGS).look_in == 1.0
