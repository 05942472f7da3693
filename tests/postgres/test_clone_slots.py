"""The primary keeps the WAL that a member needs once it has replayed its clone."""

import subprocess

import pytest

from sidecar.observation import ServerState
from sidecar.postgres import clone_slots, commands
from sidecar.postgres.clone_slots import Volume
from sidecar.postgres.server import Server
from tests.support.database import Database, own
from tests.support.standby import Connect, prepare_server, session, wait_for
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.postgres, pytest.mark.versions]

SLOT, BOUND_MB = "pgset_orders_1", 32
"""The bound of the tests, which write no gigabyte."""


@pytest.fixture
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A volume with room for ever more."""
    monkeypatch.setattr(clone_slots, "_volume", lambda _: Volume(size=100_000, free=70_000))


@pytest.fixture
def primary(database: Database, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> Server:
    """It has a slot for one member."""
    for module in (clone_slots, commands):
        monkeypatch.setattr(module, "MAX_SLOT_WAL_KEEP_MB", BOUND_MB)
    monkeypatch.setattr(clone_slots, "LOOK_SECONDS", 0.2)
    with (database.directory / "postgresql.conf").open("a") as file:
        file.write("min_wal_size = 32MB\nmax_wal_size = 64MB\n")
        file.write("checkpoint_timeout = 1h\n")
    database.start()
    server = connect(database.port)
    wait_for(server, ServerState.WRITABLE)
    prepare_server(server)
    own(database.directory / "pg_hba.conf")
    server.keep_slots([SLOT])
    wait_until(lambda: server.view().slots == (SLOT,), "the slot")
    wait_until(lambda: bound(database) == BOUND_MB, "the bound")
    return server


def bound(database: Database) -> int:
    """In MB."""
    with session(database) as connection:
        row = connection.execute(
            "SELECT setting FROM pg_settings WHERE name = 'max_slot_wal_keep_size'"
        ).fetchone()
    assert row is not None
    return int(row[0])


def receive(database: Database, application_name: str) -> "subprocess.Popen[bytes]":
    """By the member's slot, as a copy does, or a standby."""
    folder = database.host.make_folder(application_name)
    receiver = database.host.start(
        *("pg_receivewal", f"--slot={SLOT}", "--no-loop", "--no-sync", f"--directory={folder}"),
        f"--dbname=host=127.0.0.1 port={database.port} user=pgset_replication "
        f"application_name={application_name}",
        PGPASSWORD="derived",
    )
    wait_until(lambda: is_in_use(database), "the slot to be used")
    return receiver


def end(receiver: "subprocess.Popen[bytes]", database: Database) -> None:
    receiver.terminate()
    receiver.wait(timeout=180)
    wait_until(lambda: not is_in_use(database), "the slot to be free")


def is_in_use(database: Database) -> bool:
    with session(database) as connection:
        row = connection.execute(
            "SELECT active FROM pg_replication_slots WHERE slot_name = %s", [SLOT]
        ).fetchone()
    return row is not None and bool(row[0])


def write_beyond_the_bound(database: Database) -> None:
    with session(database) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS foo (id int)")
        # The sidecar sees to it that the last 128 MB are kept.
        for _ in range(12):
            connection.execute("INSERT INTO foo VALUES (1)")
            connection.execute("SELECT pg_switch_wal()")
        connection.execute("CHECKPOINT")


def is_lost(database: Database) -> bool:
    with session(database) as connection:
        row = connection.execute(
            "SELECT wal_status FROM pg_replication_slots WHERE slot_name = %s", [SLOT]
        ).fetchone()
    assert row is not None
    return row[0] == "lost"


@pytest.mark.usefixtures("roomy", "primary")
def test_the_slot_of_a_copy_is_kept_until_its_member_streams(database: Database) -> None:
    copy = receive(database, "pgset-clone")
    wait_until(lambda: bound(database) > BOUND_MB, "the raised bound")
    end(copy, database)
    write_beyond_the_bound(database)
    assert not is_lost(database)
    assert bound(database) > BOUND_MB

    member = receive(database, "orders-1")
    wait_until(lambda: bound(database) == BOUND_MB, "the usual bound")
    end(member, database)
    write_beyond_the_bound(database)
    assert is_lost(database)


@pytest.mark.usefixtures("roomy")
def test_another_sidecar_of_that_primary_keeps_it_as_well(
    primary: Server, database: Database, connect: Connect
) -> None:
    copy = receive(database, "pgset-clone")
    wait_until(lambda: bound(database) > BOUND_MB, "the raised bound")
    primary.stop()
    end(copy, database)
    write_beyond_the_bound(database)
    next_one = connect(database.port)
    wait_for(next_one, ServerState.WRITABLE)
    wait_until(lambda: next_one._clone_slots._raised is not None, "the first look")
    write_beyond_the_bound(database)
    assert not is_lost(database)


def test_it_is_given_up_before_the_volume_is_full(
    primary: Server, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = [70_000]
    monkeypatch.setattr(clone_slots, "_volume", lambda _: Volume(100_000, free[0]))
    copy = receive(database, "pgset-clone")
    wait_until(lambda: bound(database) > BOUND_MB, "the raised bound")
    end(copy, database)
    write_beyond_the_bound(database)
    assert not is_lost(database)
    free[0] = 10_000
    # By a checkpoint that the sidecar asks for: the next one of PostgreSQL's own is far away.
    wait_until(lambda: primary.view().slots == (), "the slot to be given up")
    wait_until(lambda: bound(database) == BOUND_MB, "the usual bound")


@pytest.mark.usefixtures("roomy")
def test_an_operators_bound_stays(primary: Server, database: Database) -> None:
    with session(database) as connection:
        connection.execute("ALTER SYSTEM SET max_slot_wal_keep_size = '48MB'")
        connection.execute("SELECT pg_reload_conf()")
    copy = receive(database, "pgset-clone")
    wait_until(lambda: SLOT in primary._clone_slots._copied, "the copy to be seen")
    asked_at = primary._clone_slots._looked_at
    wait_until(lambda: primary._clone_slots._looked_at > asked_at + 1, "some looks more")
    assert bound(database) == 48
    end(copy, database)


def test_without_a_copy_the_bound_stays_where_it_is(primary: Server, database: Database) -> None:
    write_beyond_the_bound(database)
    assert is_lost(database)
    assert bound(database) == BOUND_MB
    assert primary.view().problem is None


def test_room_is_that_of_the_volume_that_has_the_wal(database: Database) -> None:
    found = clone_slots._volume(database.directory)
    assert found is not None
    assert 0 < found.free <= found.size
    (database.directory / "pg_wal").rename(database.host.folder / "wal")
    (database.directory / "pg_wal").symlink_to(database.host.folder / "wal")
    # It may be a path in the sidecar, too, and is another volume there.
    assert clone_slots._volume(database.directory) is None
