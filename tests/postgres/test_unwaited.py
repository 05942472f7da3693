"""What a real PostgreSQL is set to that no promise of the set's covers."""

import secrets

import pytest

from sidecar.observation import ServerState
from sidecar.postgres import unwaited
from sidecar.postgres.server import Server
from tests.support.database import Database
from tests.support.former_primary import sql
from tests.support.standby import Connect, session, wait_for
from tests.support.waiting import wait_until

pytestmark = pytest.mark.postgres


@pytest.fixture
def server(database: Database, connect: Connect) -> Server:
    database.start()
    sql(database, "CREATE ROLE app")
    server = connect(database.port)
    wait_for(server, ServerState.WRITABLE)
    return server


def problem_with_a_promise(server: Server) -> str | None:
    server.set_synchronous(["orders-1"], 1)
    wait_until(lambda: server.view().waits_for_number == 1, "the setting")
    return server.refresh(60.0).problem


@pytest.mark.parametrize(
    ("statements", "told"),
    [
        (["ALTER ROLE app SET synchronous_commit = off"], "role app (off)"),
        (["ALTER DATABASE postgres SET synchronous_commit = local"], "database postgres (local)"),
        (
            ["ALTER ROLE app IN DATABASE postgres SET synchronous_commit TO 'remote_write'"],
            "role app in database postgres (remote_write)",
        ),
        (["ALTER SYSTEM SET synchronous_commit = off"], "the configuration (off)"),
        (["ALTER ROLE ALL SET synchronous_commit = off"], "all roles (off)"),
    ],
    ids=["role", "database", "role-in-database", "configuration", "all-roles"],
)
def test_commits_that_wait_for_nobody_are_told_of(
    database: Database, server: Server, statements: list[str], told: str
) -> None:
    for statement in statements:
        sql(database, statement)
    problem = problem_with_a_promise(server)
    assert problem is not None
    assert f"for {told}. " in problem


def test_a_standby_by_a_members_name_that_is_no_member_is_told_of(
    database: Database, server: Server
) -> None:
    """PostgreSQL counts it: any role that may replicate acknowledges commits in its place."""
    sql(database, "CREATE ROLE thief LOGIN REPLICATION PASSWORD 'secret'")
    name = f"host=127.0.0.1 port={database.port} user=thief application_name=orders-1"
    folder = database.host.make_folder("stolen")
    database.host.start(
        *("pg_receivewal", "--synchronous", "--no-loop", f"--directory={folder}"),
        f"--dbname={name}",
        PGPASSWORD="secret",
    )
    server.set_synchronous(["orders-1"], 1)
    wait_until(lambda: server.view().waits_for_number == 1, "the setting")
    # Nobody waits for long: PostgreSQL takes its word.
    sql(database, "CREATE TABLE lost ()")
    assert server.view().followers == ()
    wait_until(lambda: "thief as orders-1" in str(server.view().problem), "the problem")


def test_names_and_settings_in_another_encoding_hide_no_server(
    database: Database, server: Server
) -> None:
    """Any user may have made some, in a database of that encoding; every database shows them."""
    made = "ENCODING '{}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
    sql(database, f"CREATE DATABASE latin {made.format('LATIN1')}")
    sql(database, f"CREATE DATABASE unicode {made.format('UTF8')}")
    with session(database, dbname="latin", client_encoding="latin1") as connection:
        for statement in (
            'CREATE ROLE "caf\xe9"',
            'ALTER ROLE "caf\xe9" SET "app.word" = \'d\xe9j\xe0 vu \xe9\'',
            'ALTER ROLE "caf\xe9" SET synchronous_commit = off',
        ):
            connection.execute(statement.encode("latin1"))
    with session(database, dbname="unicode") as connection:
        told = unwaited.problem(connection.pgconn, 60.0)
    assert "for role caf\ufffd (off). " in str(told)
    with session(database) as connection:
        assert unwaited.problem(connection.pgconn, 60.0) is None
    # The database that the sidecar looks at is of encoding SQL_ASCII here, and tells no such name.
    problem_with_a_promise(server)
    assert server.view().state is ServerState.WRITABLE


def test_thousands_of_them_are_told_shortly(database: Database, server: Server) -> None:
    """Any user adds some, and members read no status of any length."""
    sql(
        database,
        "DO $$ BEGIN FOR number IN 1..3000 LOOP EXECUTE format('CREATE ROLE %I', "
        "repeat('r', 50) || number); EXECUTE format('ALTER ROLE %I SET synchronous_commit = off', "
        "repeat('r', 50) || number); END LOOP; END $$",
    )
    problem = problem_with_a_promise(server)
    assert problem is not None
    assert " (off), and others. " in problem
    assert len(problem) < 2000


def test_settings_of_megabytes_are_not_unpacked(database: Database, server: Server) -> None:
    """Any user may give himself hundreds of them, and a look that unpacked these would take so long
    that the server counted as down."""
    sql(database, "CREATE ROLE mallory LOGIN PASSWORD 'mallory'")
    with session(database, ("mallory", "mallory")) as connection:
        for setting in (
            f"application_name = '{secrets.token_hex(1 << 20)}'",
            "synchronous_commit = off",
        ):
            connection.execute(f"ALTER ROLE mallory SET {setting}".encode())
    sql(database, "ALTER ROLE app SET synchronous_commit = off")
    assert "for role app (off). " in str(problem_with_a_promise(server))


def test_what_waits_is_no_problem_nor_is_anything_without_a_promise(
    database: Database, server: Server
) -> None:
    sql(database, "ALTER ROLE app SET synchronous_commit = remote_apply")
    assert problem_with_a_promise(server) is None
    server.set_synchronous([], 0)
    wait_until(lambda: server.view().waits_for_number == 0, "the setting")
    sql(database, "ALTER ROLE app SET synchronous_commit = off")
    assert server.refresh(60.0).problem is None
