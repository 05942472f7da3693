"""A real server that was promoted, and whose standby.signal nobody has put back."""

import subprocess
from pathlib import Path

import pytest

from sidecar import signal_files
from sidecar.observation import DataState, ServerState
from tests.postgres.test_bootstrap import from_primary
from tests.support.bootstrap_pod import Pod
from tests.support.database import Database, Host, own
from tests.support.former_primary import prepare, sql
from tests.support.standby import Connect, session, wait_for
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.postgres, pytest.mark.versions]


@pytest.fixture
def promoted(database: Database) -> Database:
    """Its sidecar has stood still since it asked for that."""
    (database.directory / "standby.signal").touch()
    own(database.directory / "standby.signal")
    database.start()
    hold(database.directory)
    promote(database)
    return database


def hold(directory: Path) -> None:
    signal_files.hold_the_next_start(directory)
    own(directory / "recovery.signal")


def promote(database: Database) -> None:
    sql(database, "SELECT pg_promote()")
    wait_until(lambda: not is_in_recovery(database), "the promotion")


def is_in_recovery(database: Database) -> bool:
    return bool(sql(database, "SELECT pg_is_in_recovery()")[0][0])


def signals(directory: Path) -> set[str]:
    return {path.name for path in directory.glob("*.signal*")}


def start(database: Database) -> subprocess.Popen[bytes]:
    return database.host.start(
        "postgres", "-D", database.directory, "-p", str(database.port), "-k", database.host.folder
    )


@pytest.mark.parametrize("crashes", [True, False], ids=["crashed", "stopped"])
def test_it_does_not_start_until_that_is_there_and_then_as_a_standby(
    promoted: Database, *, crashes: bool
) -> None:
    assert signals(promoted.directory) == {"recovery.signal"}
    if crashes:
        promoted.crash()
        (promoted.directory / "postmaster.pid").unlink()
    else:
        promoted.stop()
    for _ in range(2):
        assert start(promoted).wait(timeout=180) == 1
        assert signals(promoted.directory) == {"recovery.signal"}
    signal_files.put_standby(promoted.directory)
    own(promoted.directory / "standby.signal")
    assert signals(promoted.directory) == {"standby.signal"}
    promoted.start()
    assert is_in_recovery(promoted)


def test_with_both_it_is_a_standby_and_held_again_once_it_is_promoted(promoted: Database) -> None:
    (promoted.directory / "standby.signal").touch()
    own(promoted.directory / "standby.signal")
    promoted.stop()
    promoted.start()
    assert is_in_recovery(promoted)
    promote(promoted)
    assert signals(promoted.directory) == {"recovery.signal"}


def test_with_a_restore_command_it_would_become_writable_and_so_its_sidecar_is_told_of_that(
    promoted: Database, connect: Connect
) -> None:
    server = connect(promoted.port)
    wait_for(server, ServerState.WRITABLE)
    assert not server.restores
    with session(promoted) as connection:
        connection.execute("ALTER SYSTEM SET restore_command = 'false'")
        connection.execute("SELECT pg_reload_conf()")
    wait_until(lambda: server.restores, "the setting")
    promoted.stop()
    promoted.start()
    wait_until(lambda: not is_in_recovery(promoted), "the end of the recovery")


@pytest.mark.parametrize(
    ("verb", "left"), [("start", {"standby.signal"}), ("start-writable", set())]
)
def test_the_next_pod_starts_it_as_it_is_told_to(
    host: Host, promoted: Database, *, verb: str, left: set[str]
) -> None:
    promoted.stop()
    pod = Pod(host)
    pod.data = promoted.directory
    pod.boot_with(DataState.PRESENT)
    assert pod.look().objection is None
    assert pod.obey(verb).failure is None
    assert pod.process.wait(timeout=180) == 0
    assert signals(promoted.directory) == left
    promoted.start()
    assert is_in_recovery(promoted) is (verb == "start")


def test_a_copy_that_was_made_meanwhile_is_not_held(host: Host, promoted: Database) -> None:
    prepare(promoted)
    pod = Pod(host)
    pod.boot_with(DataState.EMPTY)
    cloned = pod.obey("clone", from_primary(pod, promoted))
    assert (cloned.data, cloned.failure) == (DataState.PRESENT, None)
    assert signals(pod.data) == {"standby.signal"}
    assert signals(promoted.directory) == {"recovery.signal"}
