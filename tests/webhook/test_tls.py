import contextlib
import ssl
import threading
import warnings
from datetime import UTC, datetime, timedelta

import pytest

from certs.authority import read
from certs.renewal import renewed
from tests.certs.handshake import shaken_hands
from tests.webhook import mounted
from webhook.tls import NoCertificateError, ServingCertificate

NOW = datetime.now(UTC)
NAME = "pgset-webhook"


def write_new_pair(directory, now=NOW):
    trust, _ = renewed(None, [NAME], now)
    mounted.write(directory, trust)
    return trust


def test_without_files_there_is_no_certificate(tmp_path):
    with pytest.raises(NoCertificateError):
        ServingCertificate(tmp_path).context()


def test_an_unreadable_pair_at_the_start_is_no_certificate(tmp_path):
    write_new_pair(tmp_path)
    (tmp_path / "tls.key").write_bytes(b"nonsense")
    with pytest.raises(NoCertificateError):
        ServingCertificate(tmp_path).context()


def test_unchanged_files_give_the_same_context(tmp_path):
    write_new_pair(tmp_path)
    certificate = ServingCertificate(tmp_path)
    assert certificate.context() is certificate.context()


def test_changed_files_give_a_new_context(tmp_path):
    write_new_pair(tmp_path)
    certificate = ServingCertificate(tmp_path)
    first = certificate.context()
    write_new_pair(tmp_path)
    assert certificate.context() is not first


def test_a_pair_that_became_unreadable_leaves_the_last_good_one(tmp_path):
    write_new_pair(tmp_path)
    certificate = ServingCertificate(tmp_path)
    first = certificate.context()
    (tmp_path / "tls.crt").write_bytes(b"nonsense")
    assert certificate.context() is first


def test_key_and_certificate_of_different_rounds_leave_the_last_good_pair(tmp_path):
    write_new_pair(tmp_path)
    certificate = ServingCertificate(tmp_path)
    first = certificate.context()
    other, _ = renewed(None, [NAME], NOW)
    mounted.replace(tmp_path / "tls.key", other.leaf.key)
    assert certificate.context() is first
    mounted.replace(tmp_path / "tls.crt", other.leaf.certificate)
    assert certificate.context() is not first


def test_a_fault_counts_once_however_many_connections_meet_it(tmp_path):
    trust = write_new_pair(tmp_path)
    certificate = ServingCertificate(tmp_path)
    for expected in (1, 2):
        mounted.write(tmp_path, trust)
        certificate.context()
        write_new_pair(tmp_path)
        certificate.context()
        (tmp_path / "tls.crt").write_bytes(b"nonsense")
        for _ in range(3):
            certificate.context()
        assert expected == certificate.reload_errors


def test_a_pair_that_was_put_back_as_it_was_can_become_unusable_anew(tmp_path):
    trust = write_new_pair(tmp_path)
    certificate = ServingCertificate(tmp_path)
    for expected in (1, 2):
        mounted.write(tmp_path, trust)
        certificate.context()
        mounted.replace(tmp_path / "tls.crt", b"nonsense")
        certificate.context()
        assert expected == certificate.reload_errors


@pytest.mark.parametrize("age", [0, 10, 400, 5000])
def test_when_the_pair_ends_is_told_even_if_it_has_ended(tmp_path, age):
    trust = write_new_pair(tmp_path, NOW - timedelta(days=age))
    certificate = ServingCertificate(tmp_path)
    assert certificate.expiry == 0
    certificate.context()
    assert certificate.expiry == read(trust.leaf)[0].not_valid_after_utc.timestamp()


@pytest.mark.thorough
def test_no_handshake_fails_while_pairs_are_replaced(tmp_path):
    """A client that trusts every CA there has been completes every handshake without a pause."""
    trusts = [renewed(None, [NAME], NOW)[0] for _ in range(20)]
    trusted = b"".join(it.authority.certificate for it in trusts)
    mounted.write(tmp_path, trusts[0])
    certificate = ServingCertificate(tmp_path)
    certificate.context()
    replaced = threading.Event()

    def replace_all():
        for trust in trusts[1:]:
            mounted.write(tmp_path, trust)
        replaced.set()

    writer = threading.Thread(target=replace_all)
    writer.start()
    shaken = 0
    while not replaced.is_set() or shaken < 20:
        assert shaken_hands(certificate.context(), trusted, NAME) == {NAME}
        shaken += 1
    writer.join()
    certificate.context()
    assert certificate.expiry == read(trusts[-1].leaf)[0].not_valid_after_utc.timestamp()


# ── clients that mean no good ─────────────────────────────────────────────────────────────


def greeted(directory, hello):
    """What the server makes of a client's first bytes."""
    write_new_pair(directory)
    come, answer = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = ServingCertificate(directory).context().wrap_bio(come, answer, server_side=True)
    come.write(hello)
    server.do_handshake()


def hello_of(version):
    """A client's that speaks no other version, and would take any cipher."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        client.minimum_version = client.maximum_version = version
    outgoing = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        client.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=NAME).do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions_are_refused(tmp_path, version):
    with pytest.raises(ssl.SSLError, match="UNSUPPORTED_PROTOCOL"):
        greeted(tmp_path, hello_of(version))
    # It is by the version alone.
    with pytest.raises(ssl.SSLWantReadError):
        greeted(tmp_path, hello_of(ssl.TLSVersion.TLSv1_2))


def test_a_greeting_of_megabytes_is_not_waited_for(tmp_path):
    """Its first 16 kB say how long it will be."""
    begins = b"\x01\xff\xff\xff\x03\x03" + bytes(2**14 - 6)
    record = b"\x16\x03\x01" + len(begins).to_bytes(2, "big") + begins
    with pytest.raises(ssl.SSLError, match="EXCESSIVE_MESSAGE_SIZE"):
        greeted(tmp_path, record)


def test_no_client_has_more_than_one_handshake_on_a_connection(tmp_path):
    write_new_pair(tmp_path)
    assert ssl.OP_NO_RENEGOTIATION in ServingCertificate(tmp_path).context().options
