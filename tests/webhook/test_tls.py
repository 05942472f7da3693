from datetime import UTC, datetime

import pytest

from certs import files
from certs.renewal import renewed
from webhook.tls import NoCertificateError, ServingCertificate

NOW = datetime.now(UTC)


def write_new_pair(directory):
    trust, _ = renewed(None, ["pgset-webhook"], NOW)
    files.write(directory, trust)


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
