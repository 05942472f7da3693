"""What a real PostgreSQL is set to that no promise of the set's covers."""

import pytest

from sidecar.observation import ServerState
from sidecar.postgres.server import Server
from tests.support.database import Database
from tests.support.former_primary import sql
from tests.support.standby import Connect, wait_for
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
    ],
    ids=["role", "database", "role-in-database", "configuration"],
)
def test_commits_that_wait_for_nobody_are_told_of(
    database: Database, server: Server, statements: list[str], told: str
) -> None:
    for statement in statements:
        sql(database, statement)
    problem = problem_with_a_promise(server)
    assert problem is not None
    assert f"for {told}. " in problem


def test_what_waits_is_no_problem_nor_is_anything_without_a_promise(
    database: Database, server: Server
) -> None:
    sql(database, "ALTER ROLE app SET synchronous_commit = remote_apply")
    assert problem_with_a_promise(server) is None
    server.set_synchronous([], 0)
    wait_until(lambda: server.view().waits_for_number == 0, "the setting")
    sql(database, "ALTER ROLE app SET synchronous_commit = off")
    assert server.refresh(60.0).problem is None
