"""Who has a former primary's address keeps no standby's walreceiver busy for an hour."""

from collections.abc import Iterator

import pytest

from sidecar.observation import ServerState
from sidecar.postgres.configuration import conninfo
from sidecar.postgres.server import Server
from tests.postgres.test_promotion import promote
from tests.support.database import Database
from tests.support.former_primary import caught_up, prepare, sql
from tests.support.slow_scram import slow_scram
from tests.support.standby import Connect, clone, replication, wait_for
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.postgres, pytest.mark.versions, pytest.mark.thorough]

SECRET = {"password": "derived", "application_name": "orders-1"}


@pytest.fixture
def standby(database: Database) -> Database:
    database.start()
    prepare(database)
    standby = clone(database, "orders-1", "pgset_replication", "derived")
    wait_until(lambda: caught_up(standby, database), "the standby")
    return standby


@pytest.fixture
def server(standby: Database, connect: Connect) -> Iterator[Server]:
    """Its walreceiver computes."""
    server = connect(standby.port, directory=standby.directory)
    wait_for(server, ServerState.RECOVERY)
    with slow_scram() as attacker:
        server.follow(conninfo(replication(attacker.port) | SECRET))
        wait_until(attacker.asked.is_set, "the walreceiver to ask")
        wait_until(lambda: not server.view().streaming, "the end of streaming")
        yield server


def test_it_is_promoted(database: Database, standby: Database, server: Server) -> None:
    database.crash()
    promote(server)
    sql(standby, "CREATE TABLE afterwards ()")


def test_it_follows_another_primary(database: Database, standby: Database, server: Server) -> None:
    sql(database, "CREATE TABLE afterwards ()")
    server.follow(conninfo(replication(database.port) | SECRET))
    wait_until(lambda: server.view().streaming, "streaming")
    wait_until(lambda: caught_up(standby, database), "the standby")
