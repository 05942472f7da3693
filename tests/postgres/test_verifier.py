"""The verifier of the replication password: by it a weak superuser's password can be guessed."""

import re
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from sidecar.observation import ServerState
from sidecar.postgres import replication_role
from tests.postgres.test_replication_password import OF_THE_ROLE, ask, watch
from tests.support.database import Database
from tests.support.standby import Connect, session, wait_for
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.postgres, pytest.mark.versions]

PARSE_TREES = ("debug_print_parse", "debug_print_rewritten", "debug_print_plan")


def prepare_as_owned_by_a_user(database: Database, connect: Connect, *settings: str) -> None:
    """Who owns a database may set there what every session begins with."""
    server = watch(database, connect)
    with session(database) as connection:
        for it in settings:
            connection.execute(f"ALTER DATABASE postgres SET {it}".encode())
    server.stop()
    server = connect(database.port, directory=database.directory)
    wait_for(server, ServerState.WRITABLE)
    server.prepare("derived")
    wait_until(lambda: server.view().prepared, "the preparation")


def test_no_parse_tree_of_it_is_logged(database: Database, connect: Connect) -> None:
    settings = (f"{it} = on" for it in PARSE_TREES)
    prepare_as_owned_by_a_user(database, connect, *settings)
    # A look's, say: else nothing here could fail.
    assert "parse tree:" in database.host.log()
    assert "SCRAM-SHA-256$" not in database.host.log()


def test_nobody_reads_it_while_it_is_sent_nor_after_that_has_failed(
    database: Database, connect: Connect
) -> None:
    """Who may monitor sees what each session does, and the log what has failed."""
    with (database.directory / "postgresql.conf").open("a") as file:
        file.write("shared_preload_libraries = 'pg_stat_statements'\n")
    server = watch(database, connect)
    waits = "FROM pg_locks WHERE relation = 'pg_authid'::regclass AND NOT granted"
    with session(database, autocommit=False) as other:
        other.execute("LOCK TABLE pg_authid IN SHARE MODE")
        server.prepare("derived")
        wait_until(lambda: ask(database, f"SELECT count(*) {waits}") == 1, "CREATE ROLE to wait")
        with session(database) as connection:
            seen = connection.execute("TABLE pg_stat_activity").fetchall()
            assert "LOCK TABLE" in str(seen)
            assert "SCRAM-SHA-256$" not in str(seen)
            with suppress(psycopg.Error):
                connection.execute("SELECT 1 / 0")
        ask(database, f"SELECT pg_cancel_backend(pid) {waits}")
        wait_until(lambda: "canceling" in (server.view().problem or ""), "its end")
    server.prepare("derived")
    wait_until(lambda: server.view().prepared, "the preparation")
    log = database.host.log()
    assert "STATEMENT:  SELECT 1 / 0" in log
    assert "SCRAM-SHA-256$" not in log
    with session(database) as connection:
        connection.execute("CREATE EXTENSION pg_stat_statements")
        connection.execute("CREATE ROLE another")
        kept = str(connection.execute("SELECT query FROM pg_stat_statements").fetchall())
    assert "CREATE ROLE another" in kept
    assert "SCRAM-SHA-256$" not in kept


def test_bootstrap_mutes_what_the_sidecar_mutes() -> None:
    """It, too, sends a password: an owner's, to a server that is told to log whatever it may be."""
    text = Path(replication_role.__file__).parents[1].joinpath("bootstrap_initdb.sh").read_text()
    for name, value in replication_role._MUTE.items():
        assert f"-c {name}={value}" in text or name == "scram_iterations", name


@pytest.mark.parametrize("number", [1, 1_000_000], ids=["cheap", "dear"])
def test_it_costs_to_guess_from_and_to_make_what_postgresql_says(
    database: Database, connect: Connect, number: int
) -> None:
    """A client's libpq makes it as the server's session has it set: for hours, if need be."""
    if version_of(database) < 16:
        pytest.skip("the number is fixed before PostgreSQL 16")
    prepare_as_owned_by_a_user(database, connect, f"scram_iterations = {number}")
    found = str(ask(database, f"SELECT rolpassword {OF_THE_ROLE}"))
    assert re.match(r"SCRAM-SHA-256\$(\d+):", found)[1] == "4096"


def version_of(database: Database) -> int:
    return int((database.directory / "PG_VERSION").read_text())
