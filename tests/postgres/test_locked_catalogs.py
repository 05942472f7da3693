"""Whoever owns a database can lock its catalogs: nobody gets in there, and the server is well."""

import contextlib
import time
from collections.abc import Iterator

import psycopg
import pytest

from sidecar.observation import ServerState
from sidecar.postgres import replication_role
from sidecar.postgres.connection import LIMITS, Address
from sidecar.postgres.credentials import Credentials
from sidecar.postgres.probe import WriteProbe
from tests.support.database import Database
from tests.support.standby import Connect, session, wait_for, wait_for_a_good_probe
from tests.support.waiting import wait_until

pytestmark = pytest.mark.postgres


@contextlib.contextmanager
def locked(database: Database) -> Iterator[None]:
    """Keep everybody out of database postgres, as a reader of pg_class and VACUUM FULL do."""
    with session(database) as connection, connection.transaction():
        connection.execute("LOCK TABLE pg_class IN ACCESS EXCLUSIVE MODE")
        yield


@pytest.fixture
def address(database: Database) -> Address:
    database.start()
    with session(database) as connection:
        connection.execute("CREATE DATABASE app")
    return Address(Credentials("postgres", "secret"), port=lambda: database.port)


def test_another_database_is_asked_after_one_that_does_not_answer(
    database: Database, address: Address
) -> None:
    with locked(database):
        with pytest.raises(psycopg.errors.ConnectionTimeout):
            address.connect(seconds=LIMITS.answer)
        with address.connect(seconds=LIMITS.answer) as connection:
            assert connection.info.dbname == "app"


def test_no_two_probes_in_a_row_fail(database: Database, address: Address) -> None:
    probe = WriteProbe(
        address, clock=time.monotonic, is_writable=lambda: True, on_change=lambda: None
    )
    with locked(database):
        failed = [probe._probe() <= 1.0 for _ in range(4)]
        assert failed == [True, False, True, False]
        assert probe.unwell_since is None


def test_a_server_that_hangs_is_told_by_the_second_attempt(
    database: Database, address: Address
) -> None:
    pids = database.stand_still()
    for _ in range(3):
        began = time.monotonic()
        with pytest.raises(psycopg.errors.ConnectionTimeout):
            address.connect(seconds=LIMITS.answer)
        assert time.monotonic() - began < 2 * LIMITS.connect
    assert pids


def test_a_primary_stays_one_and_carries_out_its_orders(
    database: Database, connect: Connect
) -> None:
    database.start()
    with session(database) as connection:
        connection.execute("CREATE DATABASE app")
    server = connect(database.port)
    wait_for(server, ServerState.WRITABLE)
    wait_for_a_good_probe(server)
    with locked(database):
        ends_at = time.monotonic() + 8.0
        while time.monotonic() < ends_at:
            view = server.refresh(1.0)
            assert (view.state, view.unwell_since) == (ServerState.WRITABLE, None)
            time.sleep(0.5)

        def has_checkpoint() -> bool:
            server.checkpoint()  # as the loop does for as long as there is none
            return server.view().checkpointed_at is not None

        wait_until(has_checkpoint, "a checkpoint", pause=0.5)


def test_members_get_their_role_beside_a_change_of_the_database_that_is_never_committed(
    database: Database, address: Address
) -> None:
    with session(database) as connection:
        connection.execute("CREATE ROLE mallory LOGIN PASSWORD 'mallory'")
        connection.execute("ALTER DATABASE postgres OWNER TO mallory")
    may = "SELECT has_function_privilege('pgset_replication', 'pg_read_binary_file(text)', %s)"
    with (
        session(database, ("mallory", "mallory"), dbname="app", autocommit=False) as mallory,
        address.connect(seconds=LIMITS.answer) as ours,
    ):
        mallory.execute("ALTER DATABASE postgres CONNECTION LIMIT 99")
        assert ours.info.dbname == "postgres"
        replication_role.make(ours, "derived")
        assert ours.execute(may, ["EXECUTE"]).fetchone() == {"has_function_privilege": True}


def test_the_role_may_connect_where_public_may_not(database: Database, address: Address) -> None:
    with session(database) as connection:
        connection.execute("REVOKE CONNECT ON DATABASE postgres FROM PUBLIC")
    with address.connect(seconds=LIMITS.answer) as ours:
        replication_role.make(ours, "derived")
    with session(database, ("pgset_replication", "derived")) as member:
        assert member.execute("SELECT 1").fetchone() == (1,)
