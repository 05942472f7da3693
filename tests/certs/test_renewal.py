from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from certs.authority import Pair, make_authority, make_leaf, read, service_names
from certs.lifetimes import DEFAULT, Lifetimes
from certs.renewal import Trust, authority_fault, leaf_fault, renewed

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
NAMES = service_names("pgset-webhook", "pgset-system")
STORED, _ = renewed(None, NAMES, NOW)
OTHER, _ = renewed(None, NAMES, NOW)
BROKEN = Pair(b"-----BEGIN CERTIFICATE-----", b"")


def test_what_is_good_stays():
    assert renewed(STORED, NAMES, NOW) == (STORED, "")


@pytest.mark.parametrize(
    "stored",
    [
        None,
        replace(STORED, authority=BROKEN),
        replace(STORED, authority=Pair(STORED.authority.certificate, OTHER.authority.key)),
        replace(STORED, authority=STORED.leaf),
        Trust(authority := make_authority(NOW - timedelta(days=3651)), authority),
        Trust(authority := make_authority(NOW + timedelta(hours=2)), authority),
    ],
    ids=["missing", "broken", "another CA's key", "no CA", "expired", "of a clock ahead"],
)
def test_without_a_usable_ca_everything_is_made_anew(stored):
    trust, reason = renewed(stored, NAMES, NOW)
    assert reason
    assert authority_fault(trust, NOW) == leaf_fault(trust, NAMES, NOW) == ""
    if stored is not None:
        assert trust.authority != stored.authority


@pytest.mark.parametrize(
    "leaf",
    [
        BROKEN,
        OTHER.leaf,
        Pair(STORED.leaf.certificate, OTHER.leaf.key),
        make_leaf(STORED.authority, ["another.name"], NOW),
        make_leaf(STORED.authority, NAMES, NOW, timedelta(seconds=-1)),
    ],
    ids=["broken", "another CA's", "another key", "another name", "expired"],
)
def test_a_leaf_that_can_not_serve_is_replaced_by_one_of_the_same_ca(leaf):
    trust, reason = renewed(replace(STORED, leaf=leaf), NAMES, NOW)
    assert reason
    assert trust.authority == STORED.authority
    assert leaf_fault(trust, NAMES, NOW) == ""


@pytest.mark.parametrize(("days", "is_renewed"), [(0, False), (243, False), (244, True)])
def test_a_leaf_is_replaced_in_the_last_third_of_its_year(days, is_renewed):
    trust, _ = renewed(STORED, NAMES, NOW + timedelta(days=days))
    assert is_renewed == (trust.leaf != STORED.leaf)


@pytest.mark.parametrize(("days", "is_renewed"), [(0, False), (2433, False), (2434, True)])
def test_a_ca_is_replaced_in_the_last_third_of_its_ten_years(days, is_renewed):
    trust, _ = renewed(STORED, NAMES, NOW + timedelta(days=days))
    assert is_renewed == (trust.authority != STORED.authority)


@pytest.mark.parametrize("days", [300, 366, 3000, 4000])
def test_what_a_clock_ahead_renewed_is_good_for_those_whose_clock_is_right(days):
    """One node's clock was set wrong; or all were, and are right again."""
    known = [read(STORED.authority)[0]]
    ahead, reason = renewed(STORED, NAMES, NOW + timedelta(days=days), known=known)
    assert reason
    assert renewed(ahead, NAMES, NOW) == (ahead, "")
    assert renewed(ahead, NAMES, NOW + timedelta(days=days)) == (ahead, "")


def test_shorter_lives_hold_for_what_is_stored_too():
    short = Lifetimes(
        authority=timedelta(seconds=60),
        leaf=timedelta(seconds=30),
        overlap=timedelta(seconds=10),
        settle=timedelta(seconds=1),
        delivery=timedelta(seconds=3),
        interval=timedelta(seconds=1),
    )

    def replaced(stored, seconds):
        trust, _ = renewed(stored, NAMES, NOW + timedelta(seconds=seconds), short)
        return trust.authority != stored.authority, trust.leaf != stored.leaf

    assert replaced(STORED, 19) == (False, False)
    assert replaced(STORED, 20) == (False, True)
    assert replaced(STORED, 40) == (True, True)
    lived, _ = renewed(None, NAMES, NOW, short)
    assert replaced(lived, 19) == (False, False)
    assert replaced(lived, 40) == (True, True)


def test_longer_lives_leave_alone_what_was_made_for_a_shorter_one():
    assert renewed(STORED, NAMES, NOW, replace(DEFAULT, leaf=DEFAULT.authority)) == (STORED, "")
