"""Each step of a rotation, and what may come between two of them, by values."""

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certs import ca_bundle
from certs.authority import Pair, make_leaf, service_names
from certs.lifetimes import DEFAULT
from certs.renewal import Trust, authority_fault, leaf_fault, renewed, serving_fault
from certs.rotation import (
    Observation,
    Publish,
    Serve,
    Served,
    Store,
    authorities_in,
    decide,
    served_of,
)

NAMES = service_names("pgset-webhook", "pgset-system")
NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)


def made(now):
    return renewed(None, NAMES, now)[0]


def with_new_leaf(trust):
    return Trust(trust.authority, make_leaf(trust.authority, NAMES, NOW))


OLD = with_new_leaf(made(NOW - DEFAULT.authority * 2 / 3))
"""Its CA is due at NOW, its leaf is young."""
NEW = made(NOW)
PEM = NEW.authority.certificate
EXPIRED = made(NOW - 2 * DEFAULT.authority)


def cas(*trusts):
    return frozenset().union(*(authorities_in(it.authority.certificate) for it in trusts))


def bundles(*trusts):
    return (cas(*trusts),) * 2


STEADY = Observation(
    stored=NEW,
    held=NEW,
    bundles=bundles(NEW),
    served=served_of(NEW),
    steady_for=timedelta(),
    now=NOW,
)
PUBLISHED = replace(STEADY, bundles=bundles(OLD, NEW), served=served_of(OLD))


def step(seen):
    return decide(seen, NAMES, DEFAULT)


def test_where_everything_agrees_there_is_nothing_to_do():
    assert step(STEADY) is None
    assert step(replace(STEADY, steady_for=10 * DEFAULT.overlap)) is None


# ── The order ─────────────────────────────────────────────────────────────────────────────


def test_first_a_ca_that_is_due_gets_its_successor_stored():
    seen = replace(STEADY, stored=OLD, bundles=bundles(OLD), served=served_of(OLD))
    stored = step(seen)
    assert isinstance(stored, Store)
    assert stored.trust.authority != OLD.authority
    assert "last third" in stored.reason


def test_both_cas_are_published_once_the_successor_is_stored():
    seen = replace(STEADY, bundles=bundles(OLD), served=served_of(OLD))
    assert step(seen) == Publish(cas(OLD, NEW))
    assert step(replace(seen, bundles=(cas(OLD, NEW), cas(OLD)))) == Publish(cas(OLD, NEW))


@pytest.mark.parametrize(
    ("steady_for", "expected"),
    [(timedelta(), None), (DEFAULT.settle - MOMENT, None), (DEFAULT.settle, Serve(NEW))],
)
def test_the_new_leaf_is_served_as_soon_as_both_cas_have_settled(steady_for, expected):
    assert expected == step(replace(PUBLISHED, steady_for=steady_for))


@pytest.mark.parametrize(
    ("steady_for", "expected"),
    [(DEFAULT.overlap - MOMENT, None), (DEFAULT.overlap, Publish(cas(NEW)))],
)
def test_last_the_old_ca_goes_after_a_whole_overlap(steady_for, expected):
    seen = replace(PUBLISHED, served=served_of(NEW), steady_for=steady_for)
    assert expected == step(seen)


def test_the_ca_of_what_this_replica_serves_is_not_taken_away_however_long_it_was_asleep():
    seen = replace(PUBLISHED, steady_for=100 * DEFAULT.overlap)
    assert step(seen) == Serve(NEW)


@pytest.mark.parametrize("served", [OLD, NEW, None])
@pytest.mark.parametrize("stored", [OLD, NEW])
@pytest.mark.parametrize("published", [(OLD,), (OLD, NEW)])
def test_wherever_the_last_process_crashed_a_new_one_takes_no_trust_away(stored, published, served):
    seen = replace(
        STEADY,
        stored=stored,
        held=None,
        bundles=bundles(*published),
        served=served and served_of(served),
    )
    taken = step(seen)
    assert not isinstance(taken, Serve) or cas(taken.trust) <= cas(*published)
    assert not isinstance(taken, Publish) or cas(*published) < taken.authorities


def test_a_new_leaf_of_the_same_ca_is_served_at_once():
    assert step(replace(STEADY, stored=(trust := with_new_leaf(NEW)))) == Serve(trust)


@pytest.mark.parametrize(("published", "expected"), [((NEW,), Serve(NEW)), ((OLD, NEW), None)])
def test_a_new_replica_waits_only_in_a_rotation(published, expected):
    seen = replace(STEADY, served=None, bundles=bundles(*published))
    assert expected == step(seen)


def test_a_new_replica_in_a_rotation_serves_once_that_has_settled():
    seen = replace(PUBLISHED, served=None, steady_for=DEFAULT.settle)
    assert step(seen) == Serve(NEW)


def test_without_registrations_nobody_calls_and_a_first_leaf_is_served_at_once():
    assert step(replace(STEADY, served=None, bundles=())) == Serve(NEW)


# ── What others do ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("left", [frozenset(), cas(NEW)], ids=["blank", "without the old"])
def test_a_bundle_blanked_in_a_rotation_gets_what_is_stored_and_what_is_served(left):
    seen = replace(PUBLISHED, bundles=(left, cas(OLD, NEW)), steady_for=DEFAULT.overlap)
    assert step(seen) == Publish(cas(OLD, NEW))


def test_a_bundle_blanked_at_rest_gets_the_ca_again():
    assert step(replace(STEADY, bundles=(cas(NEW), cas()))) == Publish(cas(NEW))


def test_a_foreign_ca_is_left_for_an_overlap():
    other = made(NOW)
    seen = replace(STEADY, bundles=bundles(NEW, other))
    assert step(seen) is None
    assert step(replace(seen, steady_for=DEFAULT.overlap)) == Publish(cas(NEW))


@pytest.mark.parametrize(
    "stored",
    [
        None,
        replace(NEW, authority=Pair(NEW.authority.certificate, OLD.authority.key)),
        replace(NEW, authority=Pair(b"", b"")),
        replace(NEW, authority=Pair(NEW.authority.certificate[:200], NEW.authority.key)),
        EXPIRED,
    ],
    ids=["deleted", "half written", "empty", "cut off", "from a backup"],
)
def test_a_secret_that_can_not_be_used_is_put_back_as_it_was(stored):
    stored_again = step(replace(STEADY, stored=stored))
    assert isinstance(stored_again, Store)
    assert stored_again.trust == NEW


@pytest.mark.parametrize("held", [None, EXPIRED])
def test_where_nobody_knows_it_any_more_a_new_trust_is_stored_and_the_old_ca_stays(held):
    seen = replace(STEADY, stored=None, held=held)
    stored = step(seen)
    assert isinstance(stored, Store)
    assert stored.trust.authority not in (NEW.authority, EXPIRED.authority)
    published = step(replace(seen, stored=stored.trust))
    assert published == Publish(cas(NEW, stored.trust))


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        (None, "no CA is stored"),
        (replace(NEW, authority=Pair(b"", b"")), "the stored CA can't be used: "),
        (EXPIRED, "the stored CA expired at "),
    ],
)
def test_a_new_trust_is_stored_with_the_reason_why_the_one_before_is_not_used(stored, reason):
    step_taken = step(replace(STEADY, stored=stored, held=None))
    assert isinstance(step_taken, Store)
    assert step_taken.reason.startswith(reason)


def test_a_leaf_of_another_round_than_its_key_is_replaced_by_one_of_the_same_ca():
    mixed = replace(NEW, leaf=Pair(NEW.leaf.certificate, OLD.leaf.key))
    stored = step(replace(STEADY, stored=mixed))
    assert isinstance(stored, Store)
    assert stored.trust.authority == NEW.authority
    assert leaf_fault(stored.trust, NAMES, NOW) == ""


def test_a_ca_of_someone_elses_in_the_secret_is_taken_over_in_the_same_order():
    seen = replace(STEADY, stored=(theirs := made(NOW)))
    assert step(seen) == Publish(cas(NEW, theirs))
    assert step(replace(seen, bundles=bundles(NEW, theirs))) is None


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@given(
    which=st.sampled_from(["authority", "leaf"]),
    part=st.sampled_from(["certificate", "key"]),
    position=st.integers(0, 10_000),
    value=st.integers(0, 255),
)
def test_a_secret_with_one_byte_wrong_is_good_still_or_is_replaced(which, part, position, value):
    pair = getattr(NEW, which)
    broken = replace(pair, **{part: with_byte(getattr(pair, part), position, value)})
    stored = step(replace(STEADY, stored=replace(NEW, **{which: broken})))
    if isinstance(stored, Store):
        assert authority_fault(stored.trust, NOW) == leaf_fault(stored.trust, NAMES, NOW) == ""
        assert stored.trust.authority == NEW.authority
    else:
        assert serving_fault(broken if which == "leaf" else NEW.leaf, PEM, NOW) == ""
    # Published or served by mistake, it can still be dealt with.
    published = step(replace(STEADY, served=Served(broken.certificate, broken)))
    assert not isinstance(published, Publish) or ca_bundle.pem(published.authorities)


def with_byte(pem, position, value):
    """PEM whose content differs in one byte."""
    head, *lines, foot = pem.splitlines()
    content = bytearray(base64.b64decode(b"".join(lines)))
    content[position % len(content)] = value
    return b"\n".join([head, base64.b64encode(content), foot, b""])


# ── The clock ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "later", [2 * DEFAULT.authority, -timedelta(hours=2)], ids=["past expiry", "before the start"]
)
def test_after_a_step_of_the_clock_nothing_is_waited_for(later):
    seen = replace(STEADY, now=NOW + later)
    stored = step(seen)
    assert isinstance(stored, Store)
    assert authority_fault(stored.trust, seen.now) == ""
    seen = replace(seen, stored=stored.trust)
    assert step(seen) == Publish(cas(NEW, stored.trust))
    assert step(replace(seen, bundles=bundles(NEW, stored.trust))) == Serve(stored.trust)


def test_an_expired_leaf_is_replaced_at_once():
    served = Served(EXPIRED.authority.certificate, EXPIRED.leaf)
    assert step(replace(PUBLISHED, served=served, bundles=bundles(EXPIRED, NEW))) == Serve(NEW)


@pytest.mark.parametrize(
    "served",
    [
        Served(OLD.authority.certificate, Pair(b"", b"")),
        Served(OLD.authority.certificate, Pair(OLD.leaf.certificate, NEW.leaf.key)),
        Served(b"", OLD.leaf),
    ],
    ids=["empty", "cut off after the key", "cut off before the CA"],
)
def test_files_of_a_write_that_was_cut_off_wait_in_a_rotation_and_only_then(served):
    seen = replace(PUBLISHED, served=served)
    assert step(seen) is None
    assert step(replace(seen, steady_for=DEFAULT.settle)) == Serve(NEW)
    at_rest = replace(STEADY, served=replace(served, authority=b""))
    assert step(at_rest) == Serve(NEW)


def test_a_ca_file_that_can_not_be_read_asks_for_no_trust():
    served = Served(b"", NEW.leaf)
    assert step(replace(STEADY, served=served)) == Serve(NEW)
