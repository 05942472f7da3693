"""What the sidecar sees of a real PostgreSQL, and what it can make it do."""

import signal
import time
from pathlib import Path

import psycopg
import pytest

from sidecar.observation import Follower, ServerState
from sidecar.postgres import process
from sidecar.postgres.configuration import HBA_LINES
from sidecar.postgres.control_data import parse_control_data
from sidecar.postgres.primary_queries import UpstreamError
from tests.support.database import Database, own
from tests.support.many_descriptors import many_descriptors
from tests.support.standby import Connect, clone, identify, prepare_server, replication, wait_for
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.postgres, pytest.mark.versions]


def test_a_server_that_is_not_there_is_down(connect: Connect, database: Database) -> None:
    server = connect(database.port)
    wait_until(lambda: server.view().problem is not None, "a problem")
    assert server.view().state is ServerState.DOWN


def test_a_refused_password_is_told_in_the_servers_words(
    connect: Connect, database: Database
) -> None:
    database.start()
    server = connect(database.port, password="wrong")
    wait_until(lambda: server.view().problem is not None, "a problem")
    assert server.view().state is ServerState.DOWN
    assert "postgres" in (server.view().problem or "")


def test_a_server_is_seen_while_a_crowd_of_clients_holds_a_thousand_descriptors(
    connect: Connect, database: Database
) -> None:
    """By select, which takes none above 1023, it would count as one that lets nobody look."""
    database.start()
    with many_descriptors():
        server = connect(database.port)
        assert not wait_for(server, ServerState.WRITABLE).blind


def test_standby_signal_makes_a_crashed_primary_come_up_read_only_until_promoted(
    connect: Connect, database: Database
) -> None:
    """Rule 1 on a real server: crash, restart, read-only; then promotion writes on."""
    database.start()
    server = connect(database.port)
    before = wait_for(server, ServerState.WRITABLE)
    (database.directory / "standby.signal").touch()

    database.crash()
    (database.directory / "postmaster.pid").unlink()
    database.start()
    recovered = wait_for(server, ServerState.RECOVERY)
    assert recovered.system_identifier == before.system_identifier
    assert recovered.timeline == 1

    server.promote()
    promoted = wait_for(server, ServerState.WRITABLE)
    assert promoted.timeline == 2
    assert not (database.directory / "standby.signal").exists()


def test_a_prepared_primary_lets_a_replica_be_cloned_and_follow(
    connect: Connect, database: Database
) -> None:
    database.start()
    server = connect(database.port)
    primary = wait_for(server, ServerState.WRITABLE)
    prepare_server(server)
    # In a pod the sidecar has PostgreSQL's uid; the test, being root, has left root's file.
    own(database.directory / "pg_hba.conf")
    server.prepare("derived")
    time.sleep(1.1)
    assert identify(replication(database.port), "derived") == primary.system_identifier

    copy = clone(database, "orders-1", "pgset_replication", "derived")
    replica = connect(copy.port)
    wait_until(lambda: replica.view().streaming, "streaming")
    wait_until(
        lambda: (
            replica.view().position is not None
            and server.view().followers == (Follower("orders-1", replica.view().position or 0),)
        ),
        "the follower with all WAL",
    )
    wait_until(lambda: replica.view().lag == 0, "the first word of what there is")
    assert replica.view().timeline == 1

    def replayed() -> list[int | None]:
        return [it.replayed for it in server.view().followers]

    wait_until(lambda: replayed() == [server.view().position], "the follower's replay")
    assert {type(it.seconds) for it in server.view().followers} <= {float, type(None)}


def test_preparing_twice_changes_nothing(connect: Connect, database: Database) -> None:
    database.start()
    server = connect(database.port)
    wait_for(server, ServerState.WRITABLE)
    hba = database.directory / "pg_hba.conf"
    for _ in range(2):
        prepare_server(server)
        time.sleep(1.1)
    assert [hba.read_text().splitlines().count(line) for line in HBA_LINES] == [1, 1]


def test_a_pg_hba_conf_outside_of_the_data_directory_is_left_to_the_operator(
    connect: Connect, database: Database
) -> None:
    elsewhere = database.host.folder / "pg_hba.conf"
    elsewhere.write_text("host all all all trust\n")
    settings = database.directory / "postgresql.conf"
    settings.write_text(f"{settings.read_text()}\nhba_file = '{elsewhere}'\n")
    database.start()
    server = connect(database.port)
    wait_for(server, ServerState.WRITABLE)
    server.prepare("derived")
    wait_until(lambda: HBA_LINES[1] in (server.view().problem or ""), "the advice")
    assert elsewhere.read_text() == "host all all all trust\n"


def test_the_password_of_the_replication_role_never_travels(
    connect: Connect, database: Database
) -> None:
    settings = database.directory / "postgresql.conf"
    settings.write_text(f"{settings.read_text()}\nlog_statement = 'all'\n")
    database.start()
    server = connect(database.port)
    wait_for(server, ServerState.WRITABLE)
    server.prepare("never-to-be-seen")
    wait_until(lambda: server.view().prepared, "preparation")
    log = database.host.log()
    assert "GRANT EXECUTE" not in log, "no statement about the role is logged"
    assert "SCRAM-SHA-256$" not in log, "nor is what a password can be guessed by"
    assert "never-to-be-seen" not in log


def test_a_clone_that_cannot_be_is_told_before_it_is_tried(database: Database) -> None:
    with pytest.raises(UpstreamError):
        identify(replication(database.port), "derived")


def test_the_end_of_the_server_is_seen_at_once(connect: Connect, database: Database) -> None:
    database.start()
    server = connect(database.port)
    wait_for(server, ServerState.WRITABLE)
    assert database.process is not None
    assert process.postmaster_pid(database.directory) == database.process.pid
    process.send(database.directory, signal.SIGINT)
    wait_for(server, ServerState.DOWN)
    database.process.wait(timeout=180)
    assert process.postmaster_pid(database.directory) is None


def test_control_data_of_a_stopped_server(
    connect: Connect, database: Database, programs: Path
) -> None:
    database.start()
    view = wait_for(connect(database.port), ServerState.WRITABLE)
    with psycopg.connect(
        host="127.0.0.1", port=database.port, user="postgres", password="secret"
    ) as connection:
        connection.execute("CREATE TABLE foo AS SELECT generate_series(1, 1000)")
    database.stop()
    database.host.run("sh", "-c", f"{programs}/pg_controldata -D {database.directory} > control")
    control = parse_control_data((database.host.folder / "control").read_text())
    assert control is not None
    assert (control.system_identifier, control.timeline) == (view.system_identifier, 1)
    assert view.position is not None
    assert control.position > view.position


def test_a_primary_that_only_its_own_pod_can_reach_says_what_to_set(
    connect: Connect, database: Database
) -> None:
    settings = database.directory / "postgresql.conf"
    settings.write_text(f"{settings.read_text()}\nlisten_addresses = 'localhost'\n")
    database.start()
    server = connect(database.port)
    wait_for(server, ServerState.WRITABLE)
    server.prepare("derived")
    wait_until(lambda: "listen_addresses is localhost" in (server.view().problem or ""), "advice")


@pytest.mark.parametrize("setting", ["max_replication_slots = 0", "max_wal_senders = 1"])
def test_a_primary_that_can_have_no_replica_says_what_to_remove(
    connect: Connect, database: Database, setting: str
) -> None:
    settings = database.directory / "postgresql.conf"
    settings.write_text(f"{settings.read_text()}\n{setting}\n")
    database.start()
    server = connect(database.port)
    wait_for(server, ServerState.WRITABLE)
    server.prepare("derived")
    wait_until(lambda: setting.replace("=", "is") in (server.view().problem or ""), "advice")
