"""Who of several caretakers acts."""

import pytest

from tests.support.clock import Clock
from webhook.caretaker.election import LEADS_FOR, RENEW, TTL, Election, Record
from webhook.caretaker.errors import LookAgainError


class Lease:
    """A Lease with versions; `writes_first` writes between a candidate's read and its write."""

    def __init__(self):
        self.record = None
        self.writes_first = None

    def read(self):
        return self.record

    def write(self, holder, over):
        if self.writes_first is not None:
            other, self.writes_first = self.writes_first, None
            self.write(other, self.record)
        if over != self.record:
            raise LookAgainError
        version = int(self.record.version) + 1 if self.record else 1
        self.record = Record(holder, str(version))


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def lease():
    return Lease()


@pytest.fixture
def candidates(lease, clock):
    return Election(lease, "one", clock), Election(lease, "two", clock)


def test_nobody_leads_before_it_has_the_lease(candidates):
    assert not any(it.leads for it in candidates)


def test_the_first_one_leads_and_the_second_waits(candidates):
    one, two = candidates
    one.attempt()
    two.attempt()
    assert (one.leads, two.leads) == (True, False)


def test_who_renews_goes_on_for_ever(candidates, clock):
    one, two = candidates
    for _ in range(100):
        one.attempt()
        two.attempt()
        assert (one.leads, two.leads) == (True, False)
        clock.advance(RENEW)


def test_who_does_not_renew_stops_before_another_one_leads(candidates, clock):
    one, two = candidates
    one.attempt()
    two.attempt()
    led = []
    for second in range(int(TTL) + 1):
        led.append((one.leads, two.leads))
        clock.advance(1)
        two.attempt()
        assert not (one.leads and two.leads), second
    assert led.index((False, False)) == LEADS_FOR
    assert two.leads


def test_it_is_judged_by_what_was_seen_and_not_by_when_it_began_to_look(candidates, clock):
    one, two = candidates
    one.attempt()
    clock.advance(TTL * 2)
    two.attempt()
    assert not two.leads


def test_of_two_that_take_it_at_once_one_gets_it(candidates, lease):
    one, _ = candidates
    lease.writes_first = "two"
    with pytest.raises(LookAgainError):
        one.attempt()
    assert not one.leads
    assert lease.record.holder == "two"


def test_a_restarted_container_has_its_own_lease_back_at_once(candidates, lease, clock):
    one, _ = candidates
    one.attempt()
    again = Election(lease, "one", clock)
    again.attempt()
    assert again.leads


def test_who_resigns_stops_at_once_and_for_good_and_the_next_one_need_not_wait(candidates):
    one, two = candidates
    one.attempt()
    one.resign()
    one.attempt()
    two.attempt()
    assert (one.leads, two.leads) == (False, True)


def test_who_resigns_leaves_another_ones_lease_alone(candidates, lease):
    one, two = candidates
    two.attempt()
    one.resign()
    assert lease.record.holder == "two"
