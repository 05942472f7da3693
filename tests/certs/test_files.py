import stat

from certs import files
from certs.authority import service_names
from certs.renewal import renewed
from certs.rotation import Served, served_of
from tests.certs.test_authority import NOW

NAMES = service_names("pgset-webhook", "pgset-system")
TRUST, _ = renewed(None, NAMES, NOW)


def content(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_the_directory_holds_the_trust_and_nothing_else(tmp_path):
    assert files.write(tmp_path, TRUST) == ["tls.key", "tls.crt", "ca.crt"]
    assert content(tmp_path) == {
        "ca.crt": TRUST.authority.certificate,
        "tls.key": TRUST.leaf.key,
        "tls.crt": TRUST.leaf.certificate,
    }


def test_only_the_owner_reads_the_key(tmp_path):
    files.write(tmp_path, TRUST)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"ca.crt": 0o644, "tls.key": 0o600, "tls.crt": 0o644}


def test_what_is_there_already_is_not_written_again(tmp_path):
    files.write(tmp_path, TRUST)
    assert files.write(tmp_path, TRUST) == []


def test_what_was_lost_is_written_again(tmp_path):
    files.write(tmp_path, TRUST)
    (tmp_path / "tls.key").write_bytes(b"")
    assert files.write(tmp_path, TRUST) == ["tls.key"]


def test_what_was_written_is_read_back(tmp_path):
    served = files.Files(tmp_path)
    assert served.read() is None
    served.write(TRUST)
    assert served_of(TRUST) == served.read()


def test_a_first_write_that_was_cut_off_at_the_ca_leaves_what_is_served_anyway(tmp_path):
    files.write(tmp_path, TRUST)
    (tmp_path / "ca.crt").unlink()
    assert files.Files(tmp_path).read() == Served(b"", TRUST.leaf)
