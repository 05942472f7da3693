"""The heartbeat in the data directory tells that the volume takes writes, too."""

import errno
import os
from pathlib import Path

import pytest

from sidecar.bootstrap import Bootstrap
from sidecar.observation import Identity


@pytest.fixture
def data(tmp_path: Path) -> Path:
    directory = tmp_path / "data"
    directory.mkdir()
    return directory


@pytest.fixture
def bootstrap(tmp_path: Path, data: Path) -> Bootstrap:
    report = f"session=1\ndone=0\nrefusal=\nfailure=\npgdata={data}\ndata=present\nrewind=\n"
    (tmp_path / "report").write_text(report)
    return Bootstrap(tmp_path, Identity("orders-0", "uid-0"), silence=10)


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
