"""Bytes that are no UTF-8, and names with odd characters, in the files that the sidecar reads."""

from pathlib import Path

import pytest

from sidecar.bootstrap import Bootstrap
from sidecar.observation import Identity
from tests.support.patient_volume import patient

AUTO = b"log_line_prefix = 'B\xfcro '\n"


def made(home: Path, failure: bytes = b"") -> Bootstrap:
    data = home / "data"
    data.mkdir()
    (data / "postgresql.auto.conf").write_bytes(AUTO)
    (home / "report").write_bytes(
        b"session=s\ndone=0\nrefusal=\nfailure=%s\npgdata=%s\ndata=present\nrewind=\n"
        % (failure, bytes(data))
    )
    return patient(Bootstrap(home, Identity("orders-0", "uid-0"), 10))


def test_a_setting_in_another_encoding_is_kept_byte_for_byte(tmp_path: Path) -> None:
    bootstrap = made(tmp_path)
    bootstrap.write_settings({"hot_standby": "on"}, {"max_connections": "200"})
    bootstrap.remove_standby_signal()
    written = (tmp_path / "data/postgresql.auto.conf").read_bytes()
    assert written == AUTO + b"hot_standby = 'on'\n"


@pytest.mark.parametrize("name", [b"caf\xe9", "a\u2028b\x0cc\x85".encode(), b"\x00", b"done=7"])
def test_a_failure_with_an_odd_name_is_told(tmp_path: Path, name: bytes) -> None:
    view = made(tmp_path, b"the primary has tablespaces (%s)" % name).observe(1.0)
    assert view.failure == f"the primary has tablespaces ({name.decode(errors='replace')})"
