"""Logical replication slots over a promotion: from PostgreSQL 17 on, those with `failover` stay."""

from pathlib import Path

import pytest

from sidecar.contract import slot_name
from sidecar.observation import ServerState
from sidecar.postgres.configuration import conninfo, primary_parameters, standby_settings
from sidecar.settings import Settings
from tests.support.bootstrap_pod import Pod
from tests.support.database import Database, Host, own
from tests.support.former_primary import PrimaryOf, make_set, sql, streams_from, write
from tests.support.standby import Connect, wait_for
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.postgres, pytest.mark.versions]

COPIES_SLOTS = 17
LOGICAL = "wal_level = logical\n"


@pytest.fixture
def version(programs: Path) -> int:
    return int(programs.parent.name)


def start_as_member(pod: Pod, member: str, database: Database, primary: Database) -> None:
    """Through bootstrap, with the sidecar's settings but for port and password."""
    pod.data = database.directory
    pod.boot()
    pod.wait_for(lambda view: view.data is not None)
    settings = Settings(set_name="orders")
    there = primary_parameters(settings, member, "127.0.0.1") | {"port": str(primary.port)}
    connection = conninfo(there | {"dbname": "postgres", "password": "derived"})
    wanted = standby_settings(settings, member, log_hints=False, address="127.0.0.1")
    pod.sidecar.write_settings(wanted | {"primary_conninfo": connection})
    for name in ("postgresql.auto.conf", "standby.signal"):
        if (database.directory / name).exists():
            own(database.directory / name)
    assert pod.obey("start").failure is None
    database.start()
    wait_until(lambda: streams_from(database, primary), "streaming")


def make_slot(database: Database, member: str) -> None:
    """The one by which the member follows."""
    name = slot_name(member)
    sql(database, f"SELECT pg_create_physical_replication_slot('{name}', true)")


def has_copy(standby: Database, primary: Database) -> bool:
    """Whether the slot was copied; it is once its subscriber has gone on a bit."""
    sql(primary, "SELECT pg_replication_slot_advance('feed', pg_current_wal_lsn())")
    # What a standby needs of the catalogue must be there still, and so is told in its feedback.
    sql(primary, "SELECT pg_log_standby_snapshot()")
    return bool(sql(standby, "SELECT 1 FROM pg_replication_slots WHERE synced AND NOT temporary"))


def test_a_failover_slot_survives_a_promotion_and_comes_back_to_the_former_primary(
    host: Host, version: int, connect: Connect, primary_of: PrimaryOf
) -> None:
    if version < COPIES_SLOTS:
        pytest.skip("PostgreSQL before 17 copies no slots")
    members = make_set(host, primary_of("--data-checksums", "--set=wal_level=logical"))
    old, new = members.old, members.new
    make_slot(old, "orders-1")
    sql(
        old,
        "SELECT pg_create_logical_replication_slot('feed', 'test_decoding', false, false, true)",
    )
    new.stop()
    start_as_member(Pod(host, name="new"), "orders-1", new, old)
    wait_until(lambda: has_copy(new, old), "a copy of the slot")

    old.stop()
    sql(new, "SELECT pg_promote()")
    write(new, "after")
    changes = sql(new, "SELECT data FROM pg_logical_slot_get_changes('feed', NULL, NULL)")
    assert any("'after'" in str(row[0]) for row in changes)

    make_slot(new, "orders-0")
    start_as_member(members.pod, "orders-0", old, new)
    server = connect(old.port)
    wait_for(server, ServerState.RECOVERY)
    wait_until(lambda: "feed" in server.view().logical_slots, "the slot of the former primary")
    server.keep_slots((), ("another",))
    assert "feed" in server.refresh(60.0).logical_slots

    def is_copied() -> bool:
        """Ordered again, as the loop does: while it does not stream, nothing is dropped."""
        server.keep_slots((), ("feed",))
        return has_copy(old, new)

    wait_until(is_copied, "a copy of the slot", pause=0.5)
    wait_until(lambda: server.view().logical_slots == (), "no slot that is ours to drop")
    assert wait_for(connect(new.port), ServerState.WRITABLE).logical_slots == ("feed",)


@pytest.mark.parametrize("logical", [True, False])
def test_slots_are_copied_where_the_server_can(
    host: Host, database: Database, version: int, *, logical: bool
) -> None:
    if logical:
        with (database.directory / "postgresql.conf").open("a") as file:
            file.write(LOGICAL)
    pod = Pod(host)
    pod.data = database.directory
    pod.boot()
    pod.wait_for(lambda view: view.data is not None)
    pod.sidecar.write_settings({})
    text = (database.directory / "postgresql.auto.conf").read_text()
    expected = logical and version >= COPIES_SLOTS
    assert ("sync_replication_slots = 'oN'" in text) == expected
    assert ("hot_standby_feedback = 'oN'" in text) == expected
    own(database.directory / "postgresql.auto.conf")
    assert pod.obey("start").failure is None
    database.start()
    if expected:
        # Another start, with another wal_level: it goes, or the standby would end by it.
        database.stop()
        pod.process.wait(timeout=180)
        with (database.directory / "postgresql.conf").open("a") as file:
            file.write("wal_level = replica\n")
        pod.boot()
        auto_conf = database.directory / "postgresql.auto.conf"
        wait_until(lambda: pod.look() and "'oN'" not in auto_conf.read_text(), "it to be gone")


def test_the_logical_slots_of_a_primary_are_seen(database: Database, connect: Connect) -> None:
    with (database.directory / "postgresql.conf").open("a") as file:
        file.write(LOGICAL)
    database.start()
    for name, temporary in (("feed", False), ("gone_with_the_session", True)):
        sql(
            database,
            f"SELECT pg_create_logical_replication_slot('{name}', 'pgoutput', {temporary})",
        )
    server = connect(database.port)
    wait_for(server, ServerState.WRITABLE)
    assert (server.view().logical_slots, server.view().slots) == (("feed",), ())


def test_physical_slots_of_others_than_members_are_seen(
    database: Database, connect: Connect
) -> None:
    database.start()
    for name, kept in (("barman", True), ("not_used_yet", False), ("pgset_orders_1", True)):
        sql(database, f"SELECT pg_create_physical_replication_slot('{name}', {kept})")
    sql(database, "SELECT pg_create_physical_replication_slot('of_a_session', true, true)")
    server = connect(database.port)
    wait_for(server, ServerState.WRITABLE)
    view = server.view()
    assert (view.physical_slots, view.slots) == (("barman", "not_used_yet"), ("pgset_orders_1",))
    assert view.logical_slots == ()
    assert view.unsafe == ("fsync",)  # by the tests' template
    for names, told in (
        ("FIRST 1 (standby1)", ("fsync", "synchronous_standby_names")),
        ("ANY 1 (*)", ("fsync",)),
        ('ANY 1 ("orders-1")', ("fsync",)),
    ):
        sql(database, f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        sql(database, "SELECT pg_reload_conf()")
        wait_until(lambda told=told: server.refresh(60.0).unsafe == told, names)
