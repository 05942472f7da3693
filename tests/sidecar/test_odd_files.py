"""Files that hold what nobody expects there: the sidecar goes on, and keeps what is not its own."""

import errno
import os
from pathlib import Path

import pytest

from sidecar.bootstrap import Bootstrap
from sidecar.observation import Identity
from tests.support.patient_volume import patient

NOT_UTF_8 = b"B\xfcro"


def made(home: Path, **lines: bytes) -> Bootstrap:
    data = home / "data"
    data.mkdir()
    head = {
        "session": b"s",
        "done": b"0",
        "refusal": b"",
        "failure": b"",
        "pgdata": os.fsencode(data),
        "data": b"present",
        "rewind": b"",
        "refused": b"",
    }
    report = b"".join(b"%s=%s\n" % (name.encode(), it) for name, it in (head | lines).items())
    (home / "report").write_bytes(report)
    return patient(Bootstrap(home, Identity("orders-0", "uid-0"), ttl=10))


def test_settings_that_are_not_utf_8_stay_as_they_are(tmp_path: Path) -> None:
    bootstrap = made(tmp_path)
    auto_conf = tmp_path / "data/postgresql.auto.conf"
    theirs = b"log_line_prefix = '%s '\n" % NOT_UTF_8
    auto_conf.write_bytes(theirs + b"max_connections = '0x00000064'\n")
    bootstrap.write_settings({"hot_standby": "on"})
    assert auto_conf.read_bytes() == theirs + b"hot_standby = 'on'\n"
    auto_conf.write_bytes(theirs + b"max_connections = '0x00000064'\n")
    bootstrap.remove_standby_signal()
    assert auto_conf.read_bytes() == theirs


def test_a_power_cut_leaves_the_old_settings_or_the_new_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among them what somebody has set by ALTER SYSTEM. Only what was synced is on the disk, and a
    name only with its directory."""
    bootstrap = made(tmp_path)
    auto_conf = tmp_path / "data/postgresql.auto.conf"
    sync, synced = os.fsync, list[tuple[str, bool]]()

    def record(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        synced.append((name, auto_conf.read_bytes() == before))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    for change in (
        lambda: bootstrap.write_settings({"hot_standby": "on"}, {"max_connections": "100"}),
        bootstrap.remove_standby_signal,
    ):
        auto_conf.write_bytes(before := b"work_mem = '8MB'\nmax_connections = '0x00000064'\n")
        change()
    assert synced == [("postgresql.auto.conf.new", True), ("data", False)] * 2


@pytest.mark.parametrize(
    "name", [NOT_UTF_8, b"\xe2\x80\xa8", b"\xc2\x85", b"\x0b\x1c", b"\r", b"a=b"]
)
def test_a_failure_may_name_anything_and_is_told_as_text(tmp_path: Path, name: bytes) -> None:
    told = made(tmp_path, failure=b"the primary has " + name).observe(1.0).failure
    assert told is not None
    told.encode()
    assert told == "the primary has " + name.decode(errors="replace")


def test_a_data_directory_may_have_any_name(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + NOT_UTF_8))
    path.mkdir()
    bootstrap = made(tmp_path, pgdata=os.fsencode(path))
    assert bootstrap.observe(1.0).write_failure is None
    bootstrap.put_standby_signal()
    assert (path / "standby.signal").exists()


@pytest.mark.parametrize(
    "name", [".pgset-found", ".pgset-returns", ".pgset-promoting", ".pgset-heartbeat"]
)
def test_a_note_that_cannot_be_read_says_nothing(tmp_path: Path, name: str) -> None:
    bootstrap = made(tmp_path)
    (tmp_path / "data" / name).write_bytes(NOT_UTF_8)
    view = bootstrap.observe(1.0)
    assert (view.found_standby, view.returns, view.promoting_from) == (False, None, None)


def test_a_directory_that_cannot_be_looked_into_does_not_pass_for_read_only(
    tmp_path: Path,
) -> None:
    """As one of another user's, or on a disk with errors: here its name is too long."""
    path = tmp_path / ("x" * 300)
    bootstrap = made(tmp_path, pgdata=bytes(path))
    assert bootstrap.observe(1.0).write_failure == f"{path}: {os.strerror(errno.ENAMETOOLONG)}"
    assert not bootstrap.has_standby_signal()
    with pytest.raises(OSError, match=os.strerror(errno.ENAMETOOLONG)):
        bootstrap.put_standby_signal()
