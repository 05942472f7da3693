"""Whether the database that PostgreSQL was started on is still in its directory."""

import sys
from pathlib import Path

import pytest

from sidecar.bootstrap import Bootstrap
from sidecar.observation import Identity

CONTROL = """\
Database system identifier:           7300000000000000001
Latest checkpoint location:           0/2000060
Latest checkpoint's TimeLineID:       1
Minimum recovery ending location:     0/0
Min recovery ending loc's timeline:   0
Data page checksum version:           1
wal_log_hints setting:                off
"""
REPORT = "session=1\ndone=1\nrefusal=\nfailure=\npgdata={}\ndata=present\nrewind=\n" + CONTROL


@pytest.fixture
def control_file(tmp_path: Path) -> Path:
    path = tmp_path / "data/global/pg_control"
    path.parent.mkdir(parents=True)
    path.write_bytes(identifier(7300000000000000001) + b"and more")
    return path


@pytest.fixture
def bootstrap(tmp_path: Path, control_file: Path) -> Bootstrap:
    (tmp_path / "report").write_text(REPORT.format(control_file.parents[1]))
    (tmp_path / "order").write_text("1 1 start\n\n")
    return Bootstrap(tmp_path, Identity("orders-0", "uid-0"), ttl=10)


def identifier(number: int) -> bytes:
    return number.to_bytes(8, sys.byteorder)


def test_what_it_was_started_on_is_there(bootstrap: Bootstrap) -> None:
    assert bootstrap.observe(1.0).vanished is False


def test_an_emptied_directory_is_told(bootstrap: Bootstrap, control_file: Path) -> None:
    control_file.unlink()
    assert bootstrap.observe(1.0).vanished is True


def test_another_database_in_its_place_is_told(bootstrap: Bootstrap, control_file: Path) -> None:
    control_file.write_bytes(identifier(42))
    assert bootstrap.observe(1.0).vanished is True


def test_before_the_start_nothing_can_have_vanished(
    bootstrap: Bootstrap, control_file: Path, tmp_path: Path
) -> None:
    control_file.unlink()
    (tmp_path / "order").unlink()
    assert bootstrap.observe(1.0).vanished is False


def test_a_directory_that_cannot_be_read_has_not_vanished(
    bootstrap: Bootstrap, control_file: Path
) -> None:
    control_file.unlink()
    control_file.mkdir()
    assert bootstrap.observe(1.0).vanished is False


def test_a_directory_that_is_gone_cannot_be_marked_and_need_not_be(
    bootstrap: Bootstrap, control_file: Path
) -> None:
    control_file.unlink()
    control_file.parent.rmdir()
    for file in control_file.parents[1].iterdir():
        file.unlink()
    control_file.parents[1].rmdir()
    assert bootstrap.observe(1.0).vanished is True
    bootstrap.mark_for_reclone()
