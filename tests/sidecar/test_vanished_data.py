"""Whether the database that PostgreSQL was started on is still in its directory."""

import shutil
import sys
from pathlib import Path

import pytest

from sidecar.bootstrap import Bootstrap
from sidecar.observation import Identity
from tests.support.patient_volume import patient

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
    (tmp_path / "data/PG_VERSION").write_text("15\n")
    return path


@pytest.fixture
def bootstrap(tmp_path: Path, control_file: Path) -> Bootstrap:
    (tmp_path / "report").write_text(REPORT.format(control_file.parents[1]))
    (tmp_path / "order").write_text("1 1 start\n\n")
    return patient(Bootstrap(tmp_path, Identity("orders-0", "uid-0"), ttl=10))


def identifier(number: int) -> bytes:
    return number.to_bytes(8, sys.byteorder)


def test_what_it_was_started_on_is_there(bootstrap: Bootstrap) -> None:
    assert bootstrap.observe(1.0).vanished is False


def empty(control_file: Path) -> None:
    control_file.unlink()
    (control_file.parents[1] / "PG_VERSION").unlink()


def test_an_emptied_directory_is_told_after_several_looks(
    bootstrap: Bootstrap, control_file: Path
) -> None:
    empty(control_file)
    told = [bootstrap.observe(at).vanished for at in (1.0, 2.9, 3.0)]
    assert told == [False, False, True]


@pytest.mark.parametrize(
    "looks", [(1.0, 1.1, 1.2, 1.3, 2.9), (1.0, 60.0)], ids=["in a moment", "too few"]
)
def test_neither_many_looks_nor_a_long_time_is_enough_alone(
    bootstrap: Bootstrap, control_file: Path, looks: tuple[float, ...]
) -> None:
    empty(control_file)
    assert not any(bootstrap.observe(at).vanished for at in looks)


def test_a_moment_without_files_is_no_loss(bootstrap: Bootstrap, control_file: Path) -> None:
    """Storage that all members share may stumble for a moment, and nobody would be left."""
    content = control_file.read_bytes()
    empty(control_file)
    told = [bootstrap.observe(1.0).vanished, bootstrap.observe(2.5).vanished]
    control_file.write_bytes(content)
    told.append(bootstrap.observe(3.0).vanished)
    control_file.unlink()
    told += [bootstrap.observe(at).vanished for at in (4.0, 5.9)]
    assert told == [False] * 5


def test_meanwhile_nothing_is_put_there(bootstrap: Bootstrap, control_file: Path) -> None:
    """A standby.signal alone would keep bootstrap from knowing an empty directory."""
    bootstrap.observe(1.0)
    assert not bootstrap.has_standby_signal()
    empty(control_file)
    bootstrap.observe(2.0)
    assert bootstrap.has_standby_signal()


def test_a_control_file_alone_that_is_missing_is_no_loss(
    bootstrap: Bootstrap, control_file: Path
) -> None:
    control_file.unlink()
    assert not any(bootstrap.observe(float(at)).vanished for at in range(1, 20))


def test_what_has_vanished_is_gone_until_it_is_there_again(
    bootstrap: Bootstrap, control_file: Path
) -> None:
    """Also while an entrypoint's initdb has got no further than the first of its files."""
    content, version = control_file.read_bytes(), control_file.parents[1] / "PG_VERSION"
    empty(control_file)
    for at in (1.0, 2.0, 3.0):
        bootstrap.observe(at)
    version.write_text("15\n")
    told = [bootstrap.observe(4.0).vanished]
    control_file.write_bytes(content)
    told.append(bootstrap.observe(5.0).vanished)
    assert told == [True, False]


def test_another_database_in_its_place_is_told(bootstrap: Bootstrap, control_file: Path) -> None:
    control_file.write_bytes(identifier(42))
    assert bootstrap.observe(1.0).vanished is True


def test_before_the_start_nothing_can_have_vanished(
    bootstrap: Bootstrap, control_file: Path, tmp_path: Path
) -> None:
    empty(control_file)
    (tmp_path / "order").unlink()
    assert not any(bootstrap.observe(float(at)).vanished for at in range(1, 10))


@pytest.mark.thorough
def test_a_directory_that_cannot_be_read_has_not_vanished(
    bootstrap: Bootstrap, control_file: Path
) -> None:
    control_file.unlink()
    control_file.mkdir()
    assert not any(bootstrap.observe(float(at)).vanished for at in range(1, 10))


def test_a_directory_that_is_gone_is_made_again_once_that_is_sure(
    bootstrap: Bootstrap, control_file: Path
) -> None:
    """With the heartbeat in it, so that an entrypoint's initdb refuses it."""
    directory = control_file.parents[1]
    shutil.rmtree(directory)
    there = []
    for at in (1.0, 2.0, 3.0):
        bootstrap.observe(at)
        there.append(directory.exists())
    assert there == [False, False, True]
    assert [path.name for path in directory.iterdir()] == [".pgset-heartbeat"]


def test_one_that_cannot_be_made_again_cannot_be_marked_and_need_not_be(
    bootstrap: Bootstrap, control_file: Path, tmp_path: Path
) -> None:
    directory = control_file.parents[1]
    shutil.rmtree(directory)
    directory.symlink_to(tmp_path / "a volume that is not mounted" / "data")
    assert [bootstrap.observe(at).vanished for at in (1.0, 2.0, 3.0)] == [False, False, True]
    bootstrap.mark_for_reclone()
    assert not directory.exists()
