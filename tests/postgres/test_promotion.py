"""What has to happen before a real standby is writable: all that it has received is replayed."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.rows import TupleRow

from sidecar.observation import ServerState
from sidecar.postgres.connection import APPLICATION_NAME
from sidecar.postgres.server import Server
from tests.support.database import Database
from tests.support.former_primary import caught_up, prepare, sql
from tests.support.standby import Connect, clone, session, wait_for
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.postgres, pytest.mark.versions]

Session = psycopg.Connection[TupleRow]


@pytest.fixture
def primary(database: Database) -> Database:
    with (database.directory / "postgresql.conf").open("a") as file:
        # Nor does autovacuum remove what a transaction on the standby may still see.
        file.write("max_standby_streaming_delay = -1\nautovacuum = off\n")
    database.start()
    prepare(database)
    sql(database, "CREATE TABLE words AS SELECT i::text AS word FROM generate_series(1, 1000) i")
    return database


@pytest.fixture
def standby(primary: Database) -> Database:
    standby = clone(primary, "orders-1", "pgset_replication", "derived")
    wait_until(lambda: caught_up(standby, primary), "the standby")
    return standby


@pytest.fixture
def report(standby: Database) -> Iterator[Session]:
    """A long one, on the standby: it reads on, and is idle in its transaction."""
    with session(standby) as client:
        client.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        client.execute("SELECT count(*) FROM words")
        yield client


def wait_of_replay(standby: Database) -> object:
    asked = (
        "SELECT wait_event_type, wait_event FROM pg_stat_activity WHERE backend_type = 'startup'"
    )
    return sql(standby, asked)[0]


def promote(server: Server) -> None:
    """As the loop does: again at each look."""

    def is_writable() -> bool:
        server.promote()
        return server.view().state is ServerState.WRITABLE

    wait_until(is_writable, "the promotion", pause=0.5)


def hold_up_a_promotion(
    client: Session, primary: Database, standby: Database, server: Server
) -> None:
    """By a transaction on the standby that is open; it ends for the promotion."""
    client.execute("SELECT count(*) FROM words")
    sql(primary, "ALTER TABLE words ADD COLUMN more text")
    wait_until(lambda: "relation" in str(wait_of_replay(standby)), "replay to be held up")
    primary.crash()
    promote(server)
    with pytest.raises(psycopg.OperationalError):
        client.execute("SELECT 1")


@pytest.mark.parametrize(
    ("statements", "wait"),
    [
        (("DELETE FROM words", "VACUUM words"), "RecoveryConflictSnapshot"),
        (("ALTER TABLE words ADD COLUMN more text",), "relation"),
    ],
    ids=["vacuum", "lock"],
)
def test_a_promotion_ends_the_transactions_that_hold_up_replay(
    primary: Database,
    standby: Database,
    report: Session,
    connect: Connect,
    *,
    statements: tuple[str, ...],
    wait: str,
) -> None:
    server = connect(standby.port)
    wait_for(server, ServerState.RECOVERY)
    for statement in statements:
        sql(primary, statement)
    sql(primary, "CREATE TABLE afterwards ()")
    wait_until(lambda: wait in str(wait_of_replay(standby)), f"replay to wait for {wait}")
    wait_until(lambda: bool(server.view().to_replay), "the WAL that is left to replay")
    position = str(sql(primary, "SELECT pg_current_wal_lsn()")[0][0])
    has_it = f"SELECT pg_last_wal_receive_lsn() >= '{position}'"
    wait_until(lambda: sql(standby, has_it) == [(True,)], "all WAL to be received")
    primary.crash()
    promote(server)
    assert sql(standby, "SELECT count(*) FROM afterwards") == [(0,)]
    with pytest.raises(psycopg.OperationalError):
        report.execute("SELECT count(*) FROM words")


def test_a_client_is_ended_that_calls_itself_as_the_sidecar_does(
    primary: Database, standby: Database, connect: Connect
) -> None:
    """Else any user could keep the set from having a primary."""
    sql(primary, "CREATE ROLE mallory LOGIN PASSWORD 'mallory'")
    sql(primary, "GRANT SELECT ON words TO mallory")
    wait_until(lambda: caught_up(standby, primary), "the role")
    server = connect(standby.port)
    wait_for(server, ServerState.RECOVERY)
    login = ("mallory", "mallory")
    with session(standby, login, application_name=APPLICATION_NAME, autocommit=False) as mallory:
        hold_up_a_promotion(mallory, primary, standby, server)


def test_a_client_is_ended_that_does_not_show_what_it_does(
    primary: Database, standby: Database, connect: Connect
) -> None:
    sql(standby, "ALTER SYSTEM SET track_activities = off")
    sql(standby, "SELECT pg_reload_conf()")
    wait_until(lambda: sql(standby, "SHOW track_activities") == [("off",)], "the setting")
    server = connect(standby.port)
    wait_for(server, ServerState.RECOVERY)
    with session(standby, autocommit=False) as client:
        hold_up_a_promotion(client, primary, standby, server)


def test_a_promotion_that_nothing_holds_up_ends_nobody(
    primary: Database, standby: Database, report: Session, connect: Connect
) -> None:
    server = connect(standby.port)
    wait_until(lambda: server.view().to_replay == 0, "all to be replayed")
    primary.crash()
    promote(server)
    assert report.execute("SELECT count(*) FROM words").fetchone() == (1000,)


def test_slots_that_a_standby_makes_are_there_when_it_is_the_primary(
    primary: Database, standby: Database, connect: Connect
) -> None:
    """The others stream at once then. A slot holds WAL back from before the promotion."""
    server = connect(standby.port)
    wait_for(server, ServerState.RECOVERY)
    server.keep_slots(["pgset_orders_0"])
    wait_until(lambda: server.view().slots == ("pgset_orders_0",), "the slot")
    position = sql(standby, "SELECT pg_last_wal_replay_lsn()")[0][0]
    primary.crash()
    promote(server)
    held = f"SELECT restart_lsn <= '{position}' FROM pg_replication_slots"  # noqa: S608 - our own
    assert sql(standby, held) == [(True,)]
