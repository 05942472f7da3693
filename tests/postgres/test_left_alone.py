"""Data that cannot become a set's: told before anything is written, and then left as it is."""

import time
from pathlib import Path

import pytest

from sidecar.observation import BootstrapView, DataState, ServerState
from sidecar.postgres.credentials import Credentials
from sidecar.postgres.server import Server
from tests.support.bootstrap_pod import Pod
from tests.support.database import Database, Host
from tests.support.standby import PATIENT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.postgres


@pytest.fixture
def pod(host: Host, database: Database) -> Pod:
    pod = Pod(host)
    pod.data = database.directory
    return pod


def files(pod: Pod) -> set[str]:
    return {str(it.relative_to(pod.data)) for it in pod.data.rglob("*")}


def boot(pod: Pod) -> BootstrapView:
    (pod.handshake / "report").unlink(missing_ok=True)
    pod.boot()
    return pod.wait_for(lambda view: view.data is DataState.PRESENT)


def with_tablespace(pod: Pod, place: Path) -> None:
    """As a tablespace looks to who starts no server."""
    (pod.data / "pg_tblspc" / "16384").symlink_to(place)


def test_data_that_no_replica_can_be_made_of_is_left_as_it_is(pod: Pod, host: Host) -> None:
    with_tablespace(pod, host.make_folder("elsewhere"))
    before = files(pod)
    view = boot(pod)
    assert view.refusal is None
    assert (view.objection or "").startswith("the database has tablespaces")
    pod.sidecar.order("leave")
    assert pod.process.wait(timeout=180) == 0
    view = pod.look()
    assert (view.left_alone, view.running, view.failure) == (True, False, None)
    assert {it for it in files(pod) - before if not it.startswith(".pgset-heartbeat")} == set()
    assert before - files(pod) == set()


@pytest.mark.parametrize("of_a_backup", [(), (".pgset-found",)], ids=["plain", "of a member"])
def test_data_that_waits_for_its_restore_is_left_to_it(
    pod: Pod, of_a_backup: tuple[str, ...]
) -> None:
    for name in ("recovery.signal", *of_a_backup):
        (pod.data / name).touch()
    before = files(pod)
    view = boot(pod)
    assert view.refusal is None
    assert (view.objection or "").startswith("recovery.signal asks for a recovery")
    pod.sidecar.order("leave")
    assert pod.process.wait(timeout=60) == 0
    assert {it for it in files(pod) - before if not it.startswith(".pgset-heartbeat")} == set()


def test_a_restore_that_goes_on_as_a_standby_needs_nobody(pod: Pod) -> None:
    for name in ("recovery.signal", "standby.signal"):
        (pod.data / name).touch()
    assert boot(pod).objection is None


@pytest.mark.parametrize(
    ("conninfo", "upstream"),
    [
        ("user=repl host=db.example.com password=secret", "db.example.com"),
        ("host = ''10.1.2.3,10.1.2.4'' port=5433", "10.1.2.3"),
        ("postgresql://repl:secret@db-0.db:5433/postgres?sslmode=require", "db-0.db"),
        ("service=production", "another server"),
    ],
)
def test_a_standby_of_somebodys_primary_says_whom_it_follows_and_stays_as_it_is(
    pod: Pod, conninfo: str, upstream: str
) -> None:
    (pod.data / "standby.signal").touch()
    with (pod.data / "postgresql.auto.conf").open("a") as file:
        file.write(f"primary_conninfo = '{conninfo}'\n")
    before = {
        name: (pod.data / name).read_bytes() for name in ("postgresql.auto.conf", "PG_VERSION")
    }
    view = boot(pod)
    assert (view.refusal, view.follows) == (None, upstream)
    assert "secret" not in (pod.handshake / "report").read_text()
    pod.sidecar.order("leave")
    assert pod.process.wait(timeout=180) == 0
    assert (pod.data / "standby.signal").exists()
    assert not (pod.data / ".pgset-found").exists()
    assert before == {name: (pod.data / name).read_bytes() for name in before}


def test_a_standby_that_follows_an_archive_alone_says_so(pod: Pod) -> None:
    """By log shipping: its source lives, and goes on writing."""
    with (pod.data / "postgresql.conf").open("a") as file:
        file.write("restore_command = 'cp /archive/%f %p'\n")
    assert boot(pod).follows is None  # it is no standby, and has a setting left over
    (pod.data / "standby.signal").touch()
    assert boot(pod).follows == "an archive (restore_command)"
    with (pod.data / "postgresql.auto.conf").open("a") as file:
        file.write("primary_conninfo = 'host=orders-primary user=pgset_replication'\n")
    assert boot(pod).follows is None  # a copy of a member's


def test_whom_a_primary_or_a_member_was_told_to_follow_counts_for_nothing(pod: Pod) -> None:
    with (pod.data / "postgresql.auto.conf").open("a") as file:
        file.write("primary_conninfo = 'host=db.example.com'\n")
    assert boot(pod).follows is None  # it is no standby
    (pod.data / "standby.signal").touch()
    assert boot(pod).follows == "db.example.com"
    (pod.data / ".pgset-found").write_text("standby\n")
    assert boot(pod).follows is None
    (pod.data / ".pgset-found").unlink()
    with (pod.data / "postgresql.auto.conf").open("a") as file:
        file.write("primary_conninfo = 'host=orders-primary user=pgset_replication'\n")
    assert boot(pod).follows is None  # a copy of a member's


def test_it_is_left_alone_where_bootstrap_refuses_every_other_order(pod: Pod) -> None:
    pod.command = (*pod.command, "-p", "1")
    view = boot(pod)
    assert view.refusal is not None
    assert view.objection == view.refusal
    pod.sidecar.order("leave")
    assert pod.process.wait(timeout=180) == 0
    assert pod.look().left_alone
    assert not (pod.data / "standby.signal").exists()


def test_a_server_that_was_left_alone_is_looked_for_on_the_port_that_it_has(
    pod: Pod, database: Database
) -> None:
    pod.command = ("postgres", "-p", str(database.port))
    assert "listen on port" in (boot(pod).refusal or "")
    pod.sidecar.order("leave")
    assert pod.process.wait(timeout=180) == 0
    database.start()
    server = Server(
        Credentials("postgres", "secret"),
        clock=time.monotonic,
        on_change=lambda: None,
        port=pod.port,
        port_alone=pod.sidecar.port_alone,
        limits=PATIENT,
    )
    server.start()
    try:
        wait_until(
            lambda: pod.look().left_alone and server.view().state is ServerState.WRITABLE,
            "the server",
        )
    finally:
        server.stop()


def test_what_bootstrap_refuses_an_image_for_is_no_failure_once_the_data_is_left_alone(
    pod: Pod,
) -> None:
    """Else the sidecar would wait for a container that has ended, and never look at the server."""
    entrypoint = pod.host.folder / "docker-entrypoint.sh"
    entrypoint.write_text('#!/bin/sh\npostgres "$@" & wait\n')
    pod.command = (entrypoint, "postgres")
    (pod.data / "postmaster.pid").write_text("1\n")
    pod.boot(PGSET_UNKNOWN_IMAGE="yes")
    view = pod.wait_for(lambda it: it.data is DataState.PRESENT)
    assert "starts another process" in (view.objection or "")
    assert "starts another process" in (pod.obey("start").failure or "")
    pod.sidecar.order("leave")
    assert pod.process.wait(timeout=180) == 0
    view = pod.look()
    assert (view.left_alone, view.running, view.failure) == (True, False, None)
    assert not (pod.data / "postmaster.pid").exists()


def test_an_earlier_report_is_not_believed_while_bootstrap_refuses(pod: Pod) -> None:
    (pod.handshake / "report").write_text("session=earlier\n")
    pod.stand_in("postgres", "#!/bin/sh\nexec sleep 600\n")
    pod.boot()
    wait_until(lambda: not (pod.handshake / "report").exists(), "the report's end")
    pod.kill()


def test_what_pgset_has_had_started_before_is_not_objected_to(pod: Pod, host: Host) -> None:
    """A set that has led goes on, with what it was accepted with."""
    assert boot(pod).objection is None
    assert pod.obey("start").failure is None
    pod.process.wait(timeout=180)
    with_tablespace(pod, host.make_folder("elsewhere"))
    assert boot(pod).objection is None


@pytest.mark.parametrize("version", ["9.6", "13"])
def test_data_of_another_version_is_objected_to(pod: Pod, version: str) -> None:
    (pod.data / "PG_VERSION").write_text(f"{version}\n")
    assert f"was made by PostgreSQL {version}, and" in (boot(pod).objection or "")
