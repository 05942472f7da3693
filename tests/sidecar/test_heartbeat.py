"""The heartbeat in the data directory tells that the volume takes writes, too."""

import errno
import os
from pathlib import Path

import pytest

from sidecar.bootstrap import Bootstrap
from sidecar.observation import Identity
from tests.support.patient_volume import patient


@pytest.fixture
def data(tmp_path: Path) -> Path:
    directory = tmp_path / "data"
    directory.mkdir()
    return directory


@pytest.fixture
def bootstrap(tmp_path: Path, data: Path) -> Bootstrap:
    report = f"session=1\ndone=0\nrefusal=\nfailure=\npgdata={data}\ndata=present\nrewind=\n"
    (tmp_path / "report").write_text(report)
    return patient(Bootstrap(tmp_path, Identity("orders-0", "uid-0"), ttl=10))


def test_a_volume_that_takes_writes_has_no_failure(bootstrap: Bootstrap, data: Path) -> None:
    assert bootstrap.observe(1.0).write_failure is None
    assert (data / ".pgset-heartbeat").read_text().split()[0] == "uid-0"


def test_a_volume_that_takes_no_writes_is_told_until_it_does_again(
    bootstrap: Bootstrap, data: Path
) -> None:
    bootstrap.observe(1.0)
    # Stands in for a full or broken volume, which root can't be refused by file modes.
    (data / ".pgset-heartbeat.new").mkdir()
    told = [bootstrap.observe(2.0).write_failure, bootstrap.observe(3.0).write_failure]
    (data / ".pgset-heartbeat.new").rmdir()
    reason = os.strerror(errno.EISDIR)
    assert told == [f"{data} takes no writes: {reason}"] * 2
    assert bootstrap.observe(4.0).write_failure is None


def start(tmp_path: Path) -> None:
    """Its PostgreSQL was told to start."""
    (tmp_path / "order").write_text("1 1 start\n\n")
    report = tmp_path / "report"
    report.write_text(report.read_text().replace("done=0", "done=1"))


def test_a_pod_whose_directory_was_taken_over_beats_there_no_more(
    bootstrap: Bootstrap, data: Path, tmp_path: Path
) -> None:
    file = data / ".pgset-heartbeat"
    bootstrap.observe(1.0)
    start(tmp_path)
    file.write_text("uid-9 1 2\n")
    told = [bootstrap.observe(at).other_writer for at in (4.0, 60.0, 61.0)]
    bootstrap.leave()
    assert (told, file.read_text()) == (["uid-9"] * 3, "uid-9 1 2\n")


def test_a_pod_goes_on_whatever_comes_late_from_the_one_before(
    bootstrap: Bootstrap, data: Path, tmp_path: Path
) -> None:
    file = data / ".pgset-heartbeat"
    file.write_text("uid-9 7 4\n")
    told = [bootstrap.observe(at).other_writer for at in (1.0, 12.0)]
    start(tmp_path)
    file.write_text("uid-9 8 4\n")
    told.append(bootstrap.observe(14.0).other_writer)
    assert told == ["uid-9", None, None]
    assert file.read_text().split()[::2] == ["uid-0", "5"]


def test_the_heartbeat_tells_its_ttl_and_the_longer_of_two_counts(
    bootstrap: Bootstrap, data: Path
) -> None:
    file = data / ".pgset-heartbeat"
    file.write_text("uid-9 7 1 60\n")
    told = [bootstrap.observe(at).other_writer for at in (1.0, 60.0, 62.0)]
    assert told == ["uid-9", "uid-9", None]
    assert file.read_text() == "uid-0 1 2 10\n"


def test_a_heartbeat_of_an_older_version_is_read(bootstrap: Bootstrap, data: Path) -> None:
    (data / ".pgset-heartbeat").write_text("uid-9 7\n")
    told = [bootstrap.observe(at).other_writer for at in (1.0, 10.0, 12.0)]
    assert told == ["uid-9", "uid-9", None]


def test_a_password_file_that_was_opened_to_the_group_is_closed_again(
    bootstrap: Bootstrap, data: Path
) -> None:
    """As the kubelet does to every file of a volume where the pod has an fsGroup."""
    bootstrap.keep_password("a line")
    file = data / ".pgset-password/pgsql_tmp.replication"
    file.chmod(0o660)
    bootstrap.keep_password("a line")
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("a line\n", 0o600)


def test_a_start_that_failed_is_no_start(bootstrap: Bootstrap, tmp_path: Path) -> None:
    bootstrap.order("start")
    report = tmp_path / "report"
    failed = report.read_text().replace("done=0", "done=1").replace("failure=", "failure=no room")
    report.write_text(failed)
    assert bootstrap.observe(1.0).running
    report.write_text(failed.replace("no room", ""))
    assert not bootstrap.observe(2.0).running


def test_no_name_comes_or_goes_while_bootstrap_is_at_work(
    bootstrap: Bootstrap, data: Path, tmp_path: Path
) -> None:
    """pg_rewind ends by a file that is gone before it has looked at it."""
    bootstrap.observe(1.0)
    before = data.stat().st_mtime_ns
    (tmp_path / "order").write_text("1 1 rewind\n\n")
    beats = set()
    for at in (2.0, 3.0):
        bootstrap.observe(at)
        beats.add((data / ".pgset-heartbeat").read_text())
    assert len(beats) == 2
    assert data.stat().st_mtime_ns == before
    assert {beat.split()[0] for beat in beats} == {"uid-0"}
