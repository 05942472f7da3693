"""The verifier of the replication password: by it a weak superuser's password can be guessed."""

import re

import pytest

from sidecar.observation import ServerState
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
