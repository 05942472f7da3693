import ssl
from datetime import UTC, datetime, timedelta

import pytest

from certs.authority import made_at, make_authority, make_leaf, read, service_names
from tests.certs.handshake import peer_names

NOW = datetime.now(UTC).replace(microsecond=0)
NAMES = service_names("pgset-webhook", "pgset-system")


@pytest.mark.parametrize("name", NAMES)
def test_a_client_that_trusts_the_ca_shakes_hands_under_each_name(name, tmp_path):
    authority = make_authority(NOW)
    leaf = make_leaf(authority, NAMES, NOW)
    assert set(NAMES) == peer_names(tmp_path, leaf, authority.certificate, name)


def test_another_ca_is_not_trusted(tmp_path):
    leaf = make_leaf(make_authority(NOW), NAMES, NOW)
    with pytest.raises(ssl.SSLCertVerificationError):
        peer_names(tmp_path, leaf, make_authority(NOW).certificate, NAMES[0])


def test_another_name_is_not_trusted(tmp_path):
    authority = make_authority(NOW)
    leaf = make_leaf(authority, NAMES, NOW)
    with pytest.raises(ssl.SSLCertVerificationError):
        peer_names(tmp_path, leaf, authority.certificate, "pgset-webhook.other.svc")


def test_an_expired_leaf_is_not_trusted(tmp_path):
    authority = make_authority(NOW - timedelta(days=400))
    leaf = make_leaf(authority, NAMES, NOW - timedelta(days=400))
    with pytest.raises(ssl.SSLCertVerificationError):
        peer_names(tmp_path, leaf, authority.certificate, NAMES[0])


def test_a_first_ca_and_its_leaves_are_valid_from_an_hour_before_it_was_made():
    authority = make_authority(NOW)
    for pair in (authority, make_leaf(authority, NAMES, NOW + timedelta(days=30))):
        certificate, _ = read(pair)
        assert certificate.not_valid_before_utc == NOW - timedelta(hours=1)


def test_a_later_ca_is_valid_from_when_the_first_was():
    first = make_authority(NOW)
    second = make_authority(NOW + timedelta(days=4000), known=[read(first)[0]])
    third = make_authority(NOW - timedelta(days=9), known=[read(second)[0]])
    assert read(second)[0].not_valid_before_utc == NOW - timedelta(hours=1)
    assert read(third)[0].not_valid_before_utc == NOW - timedelta(days=9, hours=1)


def test_a_certificate_tells_when_it_was_made():
    later = NOW + timedelta(days=30)
    authority = make_authority(NOW)
    assert made_at(read(authority)[0]) == NOW
    assert made_at(read(make_leaf(authority, NAMES, later))[0]) == later
    assert made_at(read(make_authority(later, known=[read(authority)[0]]))[0]) == later


def test_a_leaf_lives_for_a_year_and_no_longer_than_its_ca():
    old = make_authority(NOW - timedelta(days=3640))
    young = make_authority(NOW)
    assert read(make_leaf(young, NAMES, NOW))[0].not_valid_after_utc == NOW + timedelta(days=365)
    assert read(make_leaf(old, NAMES, NOW))[0].not_valid_after_utc == NOW + timedelta(days=10)


def test_a_long_service_name_still_gets_a_certificate(tmp_path):
    names = service_names("w" * 63, "n" * 63)
    authority = make_authority(NOW)
    leaf = make_leaf(authority, names, NOW)
    assert set(names) == peer_names(tmp_path, leaf, authority.certificate, names[1])
