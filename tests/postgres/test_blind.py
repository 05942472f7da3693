"""A server that answers, with whatever error, is alive: nobody stops it, and it goes on."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from sidecar.action import DeleteOwnPod, ReleaseLease, StopPostgres
from sidecar.decide import decide
from sidecar.observation import PostgresView, ServerState
from sidecar.postgres.connection import Address
from sidecar.postgres.credentials import Credentials
from sidecar.postgres.server import Server
from tests.sidecar.rules.observations import LEADER, NOW, RUNNING, SETTINGS
from tests.support.database import Database, own
from tests.support.standby import PATIENT, prepare_server, session, wait_for
from tests.support.waiting import wait_until

pytestmark = pytest.mark.postgres


@pytest.fixture
def watch() -> Iterator[Callable[..., Server]]:
    """Watch a database as its sidecar does, which knows the data directory as well."""
    servers: list[Server] = []

    def start(database: Database, password: str = "secret", name: str = "") -> Server:
        server = Server(
            Credentials("postgres", password, name),
            clock=time.monotonic,
            on_change=lambda: None,
            data_directory=lambda: database.directory,
            port=database.port,
            limits=PATIENT,
        )
        server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()


Watch = Callable[..., Server]


def run(
    database: Database, *statements: str, dbname: str = "postgres", user: str = "postgres"
) -> None:
    with psycopg.connect(
        host="127.0.0.1",
        port=database.port,
        user=user,
        password="secret",
        dbname=dbname,
        autocommit=True,
    ) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def stays_writable(server: Server, seconds: float) -> PostgresView:
    """See it writable throughout, with nobody who would be stopped, released or deleted for it."""
    until = time.monotonic() + seconds
    while True:
        view = server.refresh(60.0)
        assert view.state is ServerState.WRITABLE, view
        seen = replace(
            view,
            since=NOW - 100,
            followers_heard_at=NOW - 0.5,
            unwell_since=view.unwell_since and NOW - 10,
            system_identifier="111",
            timeline=1,
            standby_signal=True,
        )
        decision = decide(replace(LEADER, postgres=seen, bootstrap=RUNNING), SETTINGS)
        assert decision.situation == "Leading", decision
        for action in decision.actions:
            assert not isinstance(action, StopPostgres | ReleaseLease | DeleteOwnPod)
        if time.monotonic() >= until:
            return view
        time.sleep(0.1)


def end_our_sessions(database: Database, user: str = "postgres", dbname: str = "postgres") -> None:
    run(
        database,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name LIKE 'pgset-%'",
        user=user,
        dbname=dbname,
    )


@pytest.fixture
def primary(database: Database) -> Database:
    database.start()
    run(database, "CREATE ROLE other LOGIN SUPERUSER PASSWORD 'secret'", "CREATE DATABASE app")
    return database


TAKEN_AWAY = {
    "superuser": ("ALTER ROLE postgres NOSUPERUSER", "ALTER ROLE postgres SUPERUSER"),
    "login": ("ALTER ROLE postgres NOLOGIN", "ALTER ROLE postgres LOGIN"),
    "password": (
        "ALTER ROLE postgres PASSWORD 'another'",
        "ALTER ROLE postgres PASSWORD 'secret'",
    ),
}


@pytest.mark.parametrize("what", TAKEN_AWAY)
@pytest.mark.parametrize("connected", [True, False], ids=["connected", "anew"])
def test_a_primary_that_refuses_its_sidecar_goes_on_and_mends_with_what_is_given_back(
    primary: Database, watch: Watch, what: str, connected: bool
) -> None:
    taken, given = TAKEN_AWAY[what]
    server = watch(primary)
    wait_for(server, ServerState.WRITABLE)
    run(primary, taken, user="other")
    end_our_sessions(primary, user="other")
    if not connected:
        server = watch(primary)
    wait_until(lambda: server.view().blind, "a look that fails")
    view = stays_writable(server, 4.0)
    assert view.blind
    assert "postgres" in (view.problem or "")
    assert "SUPERUSER" in (view.problem or "")
    assert view.timeline == 1
    assert view.position

    run(primary, given, user="other")
    wait_until(lambda: not server.view().blind, "a look that succeeds")
    assert server.view().problem is None


def test_without_the_database_postgres_another_one_is_used(primary: Database, watch: Watch) -> None:
    """Not the template for long: CREATE DATABASE copies it, and refuses where somebody is in it."""
    server = watch(primary)
    wait_for(server, ServerState.WRITABLE)
    prepare_server(server)
    own(primary.directory / "pg_hba.conf")
    run(primary, "DROP DATABASE postgres WITH (FORCE)", dbname="app")
    stays_writable(server, 3.0)
    wait_until(lambda: not server.view().blind, "another database")
    wait_until(lambda: not server.view().prepared, "what it is to be prepared for anew")
    prepare_server(server)
    may = "has_function_privilege('pgset_replication', 'pg_read_binary_file(text)', 'execute')"
    run(primary, f"SELECT 1 / {may}::int", dbname="app")
    server.keep_slots(["pgset_orders_1"])
    wait_until(lambda: server.view().slots == ("pgset_orders_1",), "an order")
    run(primary, "CREATE DATABASE another", dbname="app")
    run(primary, "CREATE DATABASE postgres", dbname="app")
    again = watch(primary)
    wait_for(again, ServerState.WRITABLE)


def test_the_database_of_the_application_is_tried_first(primary: Database) -> None:
    run(primary, "CREATE DATABASE shop")
    run(primary, "DROP DATABASE postgres WITH (FORCE)", dbname="app")
    credentials = Credentials("postgres", "secret", "shop")
    address = Address(credentials, port=lambda: primary.port, limits=PATIENT)
    with address.connect(seconds=None) as connection:
        assert connection.info.dbname == "shop"


CONNECTIONS = 8


def fill(database: Database) -> list[psycopg.Connection[tuple[object, ...]]]:
    """Take every connection there is, as the superuser that the application is; those of the
    sidecar, and one that is about to end, become free meanwhile."""
    taken: list[psycopg.Connection[tuple[object, ...]]] = []

    def are_all_taken() -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            while len(taken) < CONNECTIONS:
                taken.append(session(database))
        if taken:
            taken[0].execute(
                b"SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                b"WHERE application_name LIKE 'pgset-%'"
            )
        return len(taken) == CONNECTIONS

    wait_until(are_all_taken, "all connections")
    return taken


def limit_connections(database: Database) -> None:
    with (database.directory / "postgresql.conf").open("a") as file:
        file.write(f"max_connections = {CONNECTIONS}\nmax_wal_senders = 2\n")
        file.write("superuser_reserved_connections = 1\n")


def test_a_primary_whose_connections_are_all_taken_goes_on(
    database: Database, watch: Watch
) -> None:
    limit_connections(database)
    database.start()
    server = watch(database)
    wait_for(server, ServerState.WRITABLE)
    taken = fill(database)
    wait_until(lambda: server.view().blind, "no place for it")
    view = stays_writable(server, 3.0)
    assert view.blind
    assert "connection" in (view.problem or "")
    for connection in taken:
        connection.close()
    wait_until(lambda: not server.view().blind, "a look that succeeds")


def test_a_set_of_one_whose_clients_take_all_connections_after_a_crash_is_promoted(
    database: Database, watch: Watch
) -> None:
    """The server has started anew, read-only; to promote it takes no connection."""
    limit_connections(database)
    database.start()
    (database.directory / "standby.signal").touch()
    own(database.directory / "standby.signal")
    database.crash()
    (database.directory / "postmaster.pid").unlink()
    database.start()
    taken = fill(database)
    server = watch(database)
    wait_for(server, ServerState.RECOVERY)
    assert server.view().blind
    assert server.view().streaming is False

    server.promote(deadline=time.monotonic() - 1)
    time.sleep(1.0)
    assert server.view().state is ServerState.RECOVERY, "it was too late"
    assert not (database.directory / "promote").exists()

    def is_promoted() -> bool:
        """Asked again, as the loop does: the file goes after five seconds, whoever stood still."""
        server.promote(deadline=time.monotonic() + 60)
        return server.view().state is ServerState.WRITABLE

    wait_until(is_promoted, "the promotion", pause=0.5)
    promoted = server.view()
    assert promoted.blind
    assert promoted.timeline == 2
    wait_until(lambda: not (database.directory / "promote").exists(), "the file to be gone")
    taken[-1].execute(b"CREATE TABLE foo (id int)")
    for connection in taken:
        connection.close()
    wait_until(lambda: not server.view().blind, "a look that succeeds")


def test_a_promotion_file_that_was_left_over_goes_before_anything_else(
    database: Database, watch: Watch
) -> None:
    left_over: Path = database.directory / "promote"
    left_over.touch()
    watch(database)
    wait_until(lambda: not left_over.exists(), "the file to be gone")


def test_the_end_of_a_server_that_was_blind_is_seen(primary: Database, watch: Watch) -> None:
    run(primary, "ALTER ROLE postgres NOLOGIN", user="other")
    server = watch(primary)
    wait_until(lambda: server.view().blind, "a look that fails")
    primary.stop()
    wait_for(server, ServerState.DOWN)
    assert not server.view().blind


@pytest.mark.parametrize("setting", ["event_triggers=off", "transaction_timeout=0"])
def test_what_17_brought_is_switched_off_there(setting: str) -> None:
    """Before PostgreSQL 17 nobody knows these, and a connection that names one is refused."""
    options = {
        version: Address(Credentials("postgres", ""), major_version=lambda v=version: v)._options()
        for version in (None, 14, 16, 17, 18)
    }
    with_it = {version for version, text in options.items() if setting in text}
    assert with_it == {17, 18}


def test_the_version_is_read_once_since_a_volume_may_hang_later() -> None:
    read: list[int] = []

    def version() -> int:
        read.append(17)
        return 17

    address = Address(Credentials("postgres", ""), major_version=version)
    assert len({address._options() for _ in range(3)}) == 1
    assert read == [17]


def test_where_pg_hba_conf_keeps_the_sidecar_out_it_is_promoted_and_told_of(
    database: Database, watch: Watch
) -> None:
    """As one does that wants a certificate of everybody who comes by TCP."""
    hba = "local all all trust\nhostssl all all all cert\n"
    (database.directory / "pg_hba.conf").write_text(hba)
    (database.directory / "standby.signal").touch()
    database.start()
    server = watch(database)
    wait_for(server, ServerState.RECOVERY)
    server.promote()
    view = wait_for(server, ServerState.WRITABLE)
    assert view.blind
    assert "let pg_hba.conf admit it from 127.0.0.1" in str(view.problem)
