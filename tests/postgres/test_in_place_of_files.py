"""What PostgreSQL's user may put in the place of a file that bootstrap reads, or makes."""

import os

import pytest

from tests.postgres.test_bootstrap_settings import end_bootstrap, pod
from tests.support.bootstrap_pod import Pod

__all__ = ["pod"]

pytestmark = pytest.mark.postgres

ASKED_FOR_ITS_VERSION_ALONE = """#!/bin/sh
[ "$1" = --version ] && exec {postgres} --version
exit 1
"""
"""The real one reads its configuration, and would be given five seconds for each question."""


@pytest.mark.parametrize(
    ("name", "is_started"),
    [
        ("recovery.signal", True),
        ("postgresql.auto.conf", True),
        ("pg_wal/0000000F.history", True),
        ("global/pg_control", True),
        ("PG_VERSION", False),
    ],
)
def test_nobody_waits_for_a_pipe(pod: Pod, name: str, is_started: bool) -> None:
    """PostgreSQL may; but what bootstrap waits for keeps its sidecar from being told anything."""
    postgres = pod.host.programs / "postgres"
    pod.stand_in("postgres", ASKED_FOR_ITS_VERSION_ALONE.format(postgres=postgres))
    (pod.data / name).unlink(missing_ok=True)
    os.mkfifo(pod.data / name)
    pod.boot()
    if not is_started:
        told = pod.wait_for(lambda view: view.refusal is not None).refusal
        assert "not a PostgreSQL database" in str(told)
        return
    pod.wait_for(lambda view: view.data is not None)
    assert pod.obey("start").failure is None
    end_bootstrap(pod)


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_start_is_read_only_by_a_file_of_the_data_directorys_own(pod: Pod, kind: str) -> None:
    """A link may lead to what PostgreSQL's container has not, where it then starts writable."""
    signal = pod.data / "standby.signal"
    if kind == "link":
        signal.symlink_to(pod.handshake / "report")
    else:
        os.mkfifo(signal)
    pod.boot()
    pod.wait_for(lambda view: view.data is not None)
    assert pod.obey("start").failure is None
    assert signal.is_file()
    assert not signal.is_symlink()
    assert signal.stat().st_size == 0
    end_bootstrap(pod)
