"""How the last attempts to reach others went, and what is waited for because of that."""

from dataclasses import replace

import pytest

from sidecar.memory.reach import Reach
from sidecar.settings import Settings
from tests.sidecar.rules.observations import LEADER, ME, NOW, OTHERS, RECORD, SETTINGS, lease

MINE = lease(RECORD, renewed_at=NOW - 1.0)


def failed(*, conflict: bool = False) -> Reach:
    reach = Reach()
    reach.renewal_is_sent(NOW - 0.5)
    reach.renewal_failed(MINE, ME, NOW, conflict=conflict)
    return reach


def test_a_renewal_that_failed_counts_until_one_succeeds() -> None:
    reach = failed()
    assert reach.renewal_failed_at(MINE) == NOW
    reach.renewal_succeeded()
    assert (reach.renewal_failed_at(MINE), reach.api_failed_at) == (None, NOW)


def test_or_until_it_is_seen_to_have_landed() -> None:
    assert failed().renewal_failed_at(lease(RECORD, renewed_at=NOW - 0.5)) is None


def test_that_another_holds_the_lease_is_news_and_not_a_failure() -> None:
    reach = Reach()
    reach.renewal_failed(lease(OTHERS), ME, NOW, conflict=True)
    assert reach.renewal_failed_at(None) is None
    assert failed(conflict=True).renewal_failed_at(MINE) == NOW


def test_while_the_api_server_answers_requests_get_little_time() -> None:
    assert Reach().requests_end_at(NOW, 5.0, SETTINGS) == NOW + 0.6
    assert Reach().requests_end_at(NOW, 0.1, SETTINGS) == NOW + 0.1


def test_once_it_has_not_answered_they_get_the_time_until_the_members_are_asked_again() -> None:
    slow = Settings(set_name="orders", ttl=20, renew_interval=5)
    assert failed().requests_end_at(NOW, 5.0, SETTINGS) == NOW + 3.0 - 0.5 - 0.7
    assert failed().requests_end_at(NOW, 5.0, slow) == NOW + 6.0 - 0.5 - 0.7
    assert failed().requests_end_at(NOW, 1.0, SETTINGS) == NOW + 1.0


def test_all_requests_of_one_turn_together_get_as_much_as_one() -> None:
    assert failed().requests_end_at(NOW, None, SETTINGS) == NOW + 3.0


def test_a_lease_that_has_fallen_silent_is_asked_for_once_a_second() -> None:
    reach, silent = Reach(), lease(OTHERS, heard_at=NOW - 3.1)
    assert reach.should_look(silent, ME, SETTINGS, NOW)
    assert not reach.should_look(silent, ME, SETTINGS, NOW + 0.9)
    assert reach.should_look(silent, ME, SETTINGS, NOW + 1.1)


@pytest.mark.parametrize(
    "heard",
    [None, lease(None), lease(RECORD, heard_at=0.0), lease(OTHERS, heard_at=NOW - 2.9)],
    ids=["never", "no Lease", "my own", "just now"],
)
def test_any_other_is_not(heard: object) -> None:
    assert not Reach().should_look(heard, ME, SETTINGS, NOW)  # type: ignore[arg-type]


def test_the_members_were_heard_when_any_of_them_was() -> None:
    reach = Reach()
    reach.hear_members(NOW)
    reach.see_server(streams=False, followers_heard_at=NOW - 1.0, now=NOW)
    reach.hear_members(None)
    assert (reach.members_heard_at, reach.streamed_at) == (NOW, None)


def test_when_a_standby_last_streamed_is_kept() -> None:
    reach = Reach()
    reach.see_server(streams=True, followers_heard_at=None, now=NOW)
    reach.see_server(streams=False, followers_heard_at=None, now=NOW + 1.0)
    assert reach.streamed_at == NOW


def test_what_acting_has_come_to_is_seen_before_the_pause() -> None:
    reach = failed()
    learned = reach.after_acting(LEADER, MINE, NOW + 0.01)
    assert (learned.renewal_failed_at, learned.lease, learned.now) == (NOW, MINE, NOW + 0.01)


def test_acting_that_took_long_counts_although_nothing_else_has_changed() -> None:
    assert Reach().after_acting(LEADER, LEADER.lease, NOW) is LEADER
    assert Reach().after_acting(LEADER, LEADER.lease, NOW + 2.0) == replace(LEADER, now=NOW + 2.0)
