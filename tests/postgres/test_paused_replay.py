"""A standby whose primary was started with a greater max_connections can be promoted after all."""

from collections.abc import Callable

import pytest

from sidecar.observation import ServerState
from sidecar.postgres.paused_replay import needed_settings
from sidecar.postgres.server import Server
from tests.support.database import Database
from tests.support.former_primary import caught_up, prepare, sql
from tests.support.standby import Connect, clone, wait_for
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.postgres, pytest.mark.versions]

ARGUMENT = ("-c", "max_connections=60")


@pytest.fixture
def primary(database: Database) -> Database:
    with (database.directory / "postgresql.conf").open("a") as file:
        file.write("max_connections = 60\n")
    database.start()
    prepare(database)
    return database


def raise_on_the_primary(primary: Database) -> None:
    primary.stop()
    with (primary.directory / "postgresql.conf").open("a") as file:
        file.write("max_connections = 90\nmax_worker_processes = 12\n")
    primary.start()
    sql(primary, "CREATE TABLE words AS SELECT 'after'::text AS word")


def needed(database: Database) -> dict[str, int]:
    return needed_settings((database.directory / "global/pg_control").read_bytes())


def says(server: Server, *words: str) -> Callable[[], bool]:
    return lambda: all(word in (server.view().problem or "") for word in words)


def is_promoted(server: Server) -> bool:
    """As the loop does: asked again at each look."""
    server.promote()
    return server.view().state is ServerState.WRITABLE


def test_it_ends_by_its_promotion_and_its_next_start_can_be_promoted(
    primary: Database, connect: Connect
) -> None:
    """As a kubelet starts it: at once, and without bootstrap."""
    standby = clone(primary, "orders-1", "pgset_replication", "derived")
    server = connect(standby.port)
    wait_until(lambda: caught_up(standby, primary), "the standby")
    raise_on_the_primary(primary)
    wait_until(
        says(server, "max_connections is 60 and was raised to 90", "max_worker_processes is 8"),
        "the problem",
    )
    assert "delete this pod" in (server.view().problem or "")
    primary.crash()
    server.promote()
    assert standby.process is not None
    assert standby.process.wait(timeout=240) != 0

    standby.start()
    wait_for(server, ServerState.RECOVERY)
    assert sql(standby, "SHOW max_connections") == [("90",)]
    wait_until(lambda: is_promoted(server), "the promotion", pause=0.5)
    assert sql(standby, "SELECT word FROM words") == [("after",)]


def test_of_an_argument_it_is_told_that_it_has_to_be_raised_there(
    primary: Database, connect: Connect
) -> None:
    standby = clone(primary, "orders-1", "pgset_replication", "derived", start=False)
    standby.process = standby.host.start(
        *("postgres", "-D", standby.directory, "-p", str(standby.port)),
        *("-k", standby.host.folder, *ARGUMENT),
    )
    wait_until(standby.answers, "the standby")
    wait_until(lambda: caught_up(standby, primary), "the standby")
    server = connect(standby.port)
    raise_on_the_primary(primary)
    wait_until(says(server, "raise max_connections in PostgreSQL's arguments"), "the problem")
    assert "max_connections" not in (standby.directory / "postgresql.auto.conf").read_text()


def test_who_has_paused_it_by_hand_has_nothing_raised(primary: Database, connect: Connect) -> None:
    standby = clone(primary, "orders-1", "pgset_replication", "derived")
    server = connect(standby.port)
    wait_until(lambda: caught_up(standby, primary), "the standby")
    before = (standby.directory / "postgresql.auto.conf").read_text()
    sql(standby, "SELECT pg_wal_replay_pause()")
    wait_until(says(server, "pg_wal_replay_resume"), "the problem")
    wait_until(lambda: server._paused_replay._looked_at > 0, "a look at the reason")
    wait_until(lambda: not server._orders._orders._waiting, "the end of that look")
    assert (standby.directory / "postgresql.auto.conf").read_text() == before
    assert "pg_wal_replay_resume" in (server.view().problem or "")


def test_what_is_needed_is_read_from_the_control_file(primary: Database) -> None:
    sql(primary, "ALTER SYSTEM SET max_prepared_transactions = 3")
    sql(primary, "ALTER SYSTEM SET max_locks_per_transaction = 65")
    sql(primary, "ALTER SYSTEM SET max_wal_senders = 11")
    sql(primary, "ALTER SYSTEM SET max_worker_processes = 9")
    primary.stop()
    primary.start()
    assert needed(primary) == {
        "max_connections": 60,
        "max_worker_processes": 9,
        "max_wal_senders": 11,
        "max_prepared_transactions": 3,
        "max_locks_per_transaction": 65,
    }


@pytest.mark.parametrize("content", [b"", b"\0" * 8192, bytes(range(256)) * 32])
def test_of_a_file_that_is_something_else_nothing_is_known(content: bytes) -> None:
    assert needed_settings(content) == {}
