from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from certs.authority import Pair, make_authority, make_leaf, service_names
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
    ],
    ids=["missing", "broken", "another CA's key", "no CA", "expired"],
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
        make_leaf(STORED.authority, NAMES, NOW - timedelta(days=400)),
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
