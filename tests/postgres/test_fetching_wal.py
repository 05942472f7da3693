"""A standby receives from another one what only that has, after their primary was lost."""

import pytest

from sidecar.contract import REPLICATION_ROLE
from sidecar.observation import ServerState
from sidecar.postgres.configuration import conninfo
from tests.support.database import Database
from tests.support.standby import Connect, clone, replication, session, wait_for
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.postgres, pytest.mark.versions]


def test_it_has_all_rows_then_and_leads_with_them(database: Database, connect: Connect) -> None:
    database.start()
    with session(database) as connection:
        connection.execute(f"CREATE ROLE {REPLICATION_ROLE} LOGIN REPLICATION PASSWORD 'derived'")
        connection.execute("CREATE TABLE seen (id int)")
    primary = connect(database.port)
    wait_for(primary, ServerState.WRITABLE)
    primary.keep_slots(["pgset_orders_1", "pgset_orders_2"])
    behind = clone(database, "orders-1", REPLICATION_ROLE, "derived")
    ahead = clone(database, "orders-2", REPLICATION_ROLE, "derived")
    heir, reporting = connect(behind.port), connect(ahead.port)
    upstream = replication(database.port) | {"password": "derived"}
    for name, server in (("orders-1", heir), ("orders-2", reporting)):
        wait_for(server, ServerState.RECOVERY)
        own = upstream | {"application_name": name}
        server.follow(conninfo(own), f"pgset_{name.replace('-', '_')}")
        wait_until(lambda server=server: server.view().streaming, "streaming")  # type: ignore[misc]
    heir.follow("")
    wait_until(lambda: heir.view().detached, "the heir to be behind")
    with session(database) as connection:
        connection.execute("INSERT INTO seen SELECT generate_series(1, 1000)")
    wait_until(lambda: count(ahead) == 1000, "the other one to have it")
    database.crash()
    wait_until(lambda: not reporting.view().streaming, "the primary to be gone")
    position = reporting.view().position or 0
    assert (heir.view().position or 0) < position

    # As `Attach` without a slot: another standby has none for it.
    heir.follow(conninfo(replication(ahead.port) | {"password": "derived"}), "")

    wait_until(lambda: (heir.view().position or 0) >= position, "all WAL of the other one")
    heir.promote()
    wait_for(heir, ServerState.WRITABLE)
    assert count(behind) == 1000


def count(database: Database) -> int:
    with session(database) as connection:
        row = connection.execute("SELECT count(*) FROM seen").fetchone()
    assert row is not None
    return int(row[0])
