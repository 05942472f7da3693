"""What PostgreSQL is told to do, as it then is."""

import contextlib
import threading
import time

import psycopg
import pytest

from sidecar.observation import ServerState
from sidecar.postgres.credentials import Credentials
from sidecar.postgres.server import Server
from tests.support.database import Database, own
from tests.support.standby import PATIENT, Connect, clone, prepare_server, session, wait_for
from tests.support.waiting import is_quick, wait_until

pytestmark = [pytest.mark.postgres, pytest.mark.versions]

SLOT_IN_USE = "SELECT active FROM pg_replication_slots WHERE slot_name = 'pgset_orders_1'"


@pytest.fixture
def primary(database: Database, connect: Connect) -> Server:
    database.start()
    server = connect(database.port)
    wait_for(server, ServerState.WRITABLE)
    return server


def ask(database: Database, question: str) -> object:
    with session(database) as connection:
        row = connection.execute(question).fetchone()
    assert row is not None
    return row[0]


def test_commits_wait_for_the_named_members_and_a_standby_can_be_told_before_it_is_promoted(
    primary: Server, database: Database, connect: Connect
) -> None:
    # Before the setting: with it, a copy that says nothing for five seconds is cut off, and fails.
    copy = clone(database, "orders-1", "postgres", "secret", start=False)
    primary.set_synchronous(["orders-1", "orders-2"], 1)
    wait_until(
        lambda: (
            (primary.view().waits_for, primary.view().waits_for_number)
            == (("orders-1", "orders-2"), 1)
        ),
        "the setting",
    )
    assert ask(database, "SHOW wal_sender_timeout") == "5s"
    copy.start()
    with session(database) as connection:
        connection.execute("CREATE TABLE foo (id int)")  # would wait for ever without it

    standby = connect(copy.port)
    wait_for(standby, ServerState.RECOVERY)
    standby.set_synchronous(["orders-0"], 1)
    wait_until(lambda: standby.view().waits_for == ("orders-0",), "the standby's setting")
    standby.set_synchronous([], 0)
    wait_until(lambda: standby.view().waits_for == (), "no member any more")
    assert ask(copy, "SHOW synchronous_standby_names") == ""


def test_an_operators_wal_sender_timeout_is_kept(primary: Server, database: Database) -> None:
    with session(database) as connection:
        connection.execute("ALTER SYSTEM SET wal_sender_timeout = '60s'")
        connection.execute("SELECT pg_reload_conf()")
    primary.set_synchronous(["orders-1"], 1)
    wait_until(lambda: primary.view().waits_for_number == 1, "the setting")
    assert ask(database, "SHOW wal_sender_timeout") == "1min"


def test_a_setting_on_the_command_line_is_left_to_the_operator(
    database: Database, connect: Connect
) -> None:
    database.process = database.host.start(
        *("postgres", "-D", database.directory, "-p", str(database.port)),
        *("-k", database.host.folder, "-c", "synchronous_standby_names="),
    )
    server = connect(database.port)
    wait_for(server, ServerState.WRITABLE)
    server.set_synchronous(["orders-1"], 1)
    wait_until(lambda: "command line" in (server.view().problem or ""), "the advice")
    wait_for(server, ServerState.WRITABLE)


def test_slots_are_made_and_dropped_but_neither_those_in_use_nor_other_peoples(
    primary: Server, database: Database
) -> None:
    with session(database) as connection:
        connection.execute("SELECT pg_create_physical_replication_slot('mine')")
    primary.keep_slots(["pgset_orders_1", "pgset_orders_2"])
    wait_until(lambda: primary.view().slots == ("pgset_orders_1", "pgset_orders_2"), "the slots")
    reserved = "SELECT count(*) FROM pg_replication_slots WHERE restart_lsn IS NOT NULL"
    assert ask(database, reserved) == 2

    copy = clone(database, "orders-1", "postgres", "secret")
    with session(copy) as connection:
        connection.execute("ALTER SYSTEM SET primary_slot_name = 'pgset_orders_1'")
        connection.execute("SELECT pg_reload_conf()")
    wait_until(lambda: ask(database, SLOT_IN_USE) is True, "the slot to be used")
    primary.keep_slots([])
    wait_until(lambda: primary.view().slots == ("pgset_orders_1",), "the other slot to be dropped")
    assert ask(database, "SELECT count(*) FROM pg_replication_slots WHERE slot_name='mine'") == 1


def test_a_standby_whose_slot_was_taken_from_it_shows_that_and_uses_it_again(
    primary: Server, database: Database, connect: Connect
) -> None:
    primary.keep_slots(["pgset_orders_1"])
    wait_until(lambda: primary.view().slots == ("pgset_orders_1",), "the slot")
    assert primary.view().primary_slot_name is None
    copy = clone(database, "orders-1", "postgres", "secret")
    standby = connect(copy.port)
    wait_for(standby, ServerState.RECOVERY)
    upstream = str(ask(copy, "SHOW primary_conninfo"))
    for name in ("", "somebody_elses"):
        with session(copy) as connection:
            connection.execute(f"ALTER SYSTEM SET primary_slot_name = '{name}'")
            connection.execute("SELECT pg_reload_conf()")
        wait_until(
            lambda name=name: standby.view().primary_slot_name == name,  # type: ignore[misc]
            "the name to be seen",
        )
        standby.follow(upstream, "pgset_orders_1")
        wait_until(lambda: ask(database, SLOT_IN_USE) is True, "the slot to be used")
        wait_until(lambda: standby.view().primary_slot_name == "pgset_orders_1", "its own name")
        wait_until(lambda: standby.view().streaming, "streaming")


def test_a_slot_on_the_command_line_is_told_and_the_primary_is_followed_all_the_same(
    primary: Server, database: Database, connect: Connect
) -> None:
    assert primary.view().state is ServerState.WRITABLE
    copy = clone(database, "orders-1", "postgres", "secret", start=False)
    copy.process = copy.host.start(
        *("postgres", "-D", copy.directory, "-p", str(copy.port), "-k", copy.host.folder),
        *("-c", "primary_slot_name=somebody_elses"),
    )
    standby = connect(copy.port)
    wait_for(standby, ServerState.RECOVERY)
    standby.follow("host='127.0.0.9'", "pgset_orders_1")
    wait_until(
        lambda: "primary_slot_name is an arg" in (standby.view().problem or ""), "the advice"
    )
    wait_until(lambda: standby.view().upstream == "127.0.0.9", "the new primary")


def test_a_slot_that_somebody_else_has_is_told(primary: Server, database: Database) -> None:
    """Whoever may replicate can take a member's while it is away, or make another of its name: then
    the member does not stream, and only its server's log would say so."""
    with session(database) as connection:
        connection.execute("CREATE ROLE thief LOGIN REPLICATION PASSWORD 'secret'")
        connection.execute("ALTER SYSTEM SET wal_level = logical")
    database.stop()
    database.start()
    wait_for(primary, ServerState.WRITABLE)
    with session(database) as connection:
        connection.execute(
            "SELECT pg_create_logical_replication_slot('pgset_orders_1', 'pgoutput')"
        )
    primary.keep_slots(["pgset_orders_1", "pgset_orders_2"])
    wait_until(lambda: "pgset_orders_1 is a log" in (primary.view().problem or ""), "the problem")
    with session(database) as connection:
        connection.execute("SELECT pg_drop_replication_slot('pgset_orders_1')")
    primary.keep_slots(["pgset_orders_1", "pgset_orders_2"])
    wait_until(lambda: primary.view().problem is None, "no problem")

    receiver = database.host.start(
        *("pg_receivewal", "--slot=pgset_orders_2", "--no-loop"),
        f"--directory={database.host.make_folder('stolen')}",
        f"--dbname=host=127.0.0.1 port={database.port} user=thief",
        PGPASSWORD="secret",
    )
    in_use = SLOT_IN_USE.replace("orders_1", "orders_2")
    wait_until(lambda: ask(database, in_use) is True, "the slot to be used")
    primary.prepare("derived")
    wait_until(lambda: "by role thief" in (primary.view().problem or ""), "the problem")
    own(database.directory / "pg_hba.conf")
    receiver.terminate()
    wait_until(lambda: ask(database, in_use) is False, "the slot to be free")
    primary.prepare("derived")
    wait_until(lambda: primary.view().prepared and primary.view().problem is None, "no problem")


def test_a_slot_that_has_lost_its_wal_is_made_anew(primary: Server, database: Database) -> None:
    with session(database) as connection:
        for setting in (
            "wal_keep_size = 0",
            "max_slot_wal_keep_size = '16MB'",
            "max_wal_size = '32MB'",
            "min_wal_size = '32MB'",
        ):
            connection.execute(f"ALTER SYSTEM SET {setting}")
        connection.execute("SELECT pg_reload_conf()")
        primary.keep_slots(["pgset_orders_1"])
        wait_until(lambda: primary.view().slots == ("pgset_orders_1",), "the slot")
        connection.execute("CREATE TABLE foo (id int)")
        for _ in range(5):
            connection.execute("INSERT INTO foo VALUES (1)")
            connection.execute("SELECT pg_switch_wal()")
        connection.execute("CHECKPOINT")
    wait_until(lambda: primary.view().slots == (), "the slot to be of no use")
    primary.keep_slots(["pgset_orders_1"])
    wait_until(lambda: primary.view().slots == ("pgset_orders_1",), "the new slot")


def test_preparing_bounds_the_wal_that_slots_keep(primary: Server, database: Database) -> None:
    prepare_server(primary)
    assert ask(database, "SHOW max_slot_wal_keep_size") == "1GB"


def test_a_whole_segment_is_kept_however_large_they_are(
    database: Database, connect: Connect
) -> None:
    database.host.run("pg_resetwal", "--wal-segsize=256", "-D", database.directory)
    with (database.directory / "postgresql.conf").open("a") as file:
        file.write("min_wal_size = 512MB\n")
    database.start()
    server = connect(database.port)
    wait_for(server, ServerState.WRITABLE)
    prepare_server(server)
    assert ask(database, "SHOW wal_keep_size") == "256MB"


def test_who_has_set_no_bound_keeps_none(primary: Server, database: Database) -> None:
    with session(database) as connection:
        connection.execute("ALTER SYSTEM SET max_slot_wal_keep_size = -1")
        connection.execute("SELECT pg_reload_conf()")
    prepare_server(primary)
    assert ask(database, "SHOW max_slot_wal_keep_size") == "-1"


def test_a_long_checkpoint_delays_no_look(primary: Server, database: Database) -> None:
    """It waits behind another one that takes its time, as it may on a slow disk."""
    with session(database) as connection:
        connection.execute("CREATE TABLE foo AS SELECT generate_series(1, 300000) AS id")
    asked_at = time.monotonic()
    primary.checkpoint()
    primary.checkpoint()
    assert primary.refresh(60.0).state is ServerState.WRITABLE
    wait_until(lambda: primary.view().checkpointed_at is not None, "the end of the checkpoint")
    assert (primary.view().checkpointed_at or 0.0) > asked_at


def test_a_checkpoint_that_has_just_ended_is_not_made_again(database: Database) -> None:
    """Who is about to hand over asks for it at each look, and may not have seen its end."""
    database.start()
    now = [100.0]
    server = Server(
        Credentials("postgres", "secret"),
        clock=lambda: now[0],
        on_change=lambda: None,
        port=database.port,
        limits=PATIENT,
    )
    server.start()
    try:
        server.checkpoint()
        wait_until(lambda: server.view().checkpointed_at == now[0], "the checkpoint")
        server.checkpoint()
        time.sleep(0.3)  # in which it would begin
        now[0] += 2.0
        server.checkpoint()
        wait_until(lambda: server.view().checkpointed_at == now[0], "the next one")
    finally:
        server.stop()
    assert database.host.log().count("checkpoint starting: immediate force wait") == 2


def test_a_promotion_is_not_begun_too_late_and_ends_with_a_checkpoint(
    database: Database, connect: Connect
) -> None:
    database.start()
    copy = clone(database, "orders-1", "postgres", "secret")
    standby = connect(copy.port)
    wait_for(standby, ServerState.RECOVERY)
    standby.promote(deadline=time.monotonic() - 1)
    time.sleep(0.5)
    assert standby.view().state is ServerState.RECOVERY, "it was too late to promote"

    standby.promote()
    wait_for(standby, ServerState.WRITABLE)
    wait_until(lambda: standby.view().checkpointed_at is not None, "the checkpoint")
    assert ask(copy, "SELECT timeline_id FROM pg_control_checkpoint()") == 2


def test_a_promotion_needs_no_new_connection(database: Database, connect: Connect) -> None:
    with (database.directory / "postgresql.conf").open("a") as settings:
        settings.write("\nmax_connections = 20\n")
    database.start()
    copy = clone(database, "orders-1", "postgres", "secret")
    standby = connect(copy.port)
    wait_for(standby, ServerState.RECOVERY)
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                stack.enter_context(session(copy))
        standby.promote()
        wait_for(standby, ServerState.WRITABLE)


def test_an_order_that_has_to_wait_delays_no_look(primary: Server, database: Database) -> None:
    with session(database) as connection:
        connection.execute("BEGIN")
        connection.execute("CREATE ROLE pgset_replication")
        primary.prepare("derived")
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        wait_until(lambda: connection.execute(waits).fetchone() == (1,), "the order to wait")
        assert is_quick(lambda: primary.refresh(60.0), 5.0)
        assert primary.view().state is ServerState.WRITABLE
        assert connection.execute(waits).fetchone() == (1,)
        connection.execute("ROLLBACK")
    wait_until(lambda: primary.view().prepared, "the preparation")


def test_orders_from_several_threads_are_all_carried_out(
    primary: Server, database: Database
) -> None:
    threads = [
        threading.Thread(target=primary.set_synchronous, args=(["orders-1"], 1)),
        threading.Thread(target=primary.keep_slots, args=(["pgset_orders_1"],)),
        threading.Thread(target=primary.checkpoint),
        threading.Thread(target=primary.prepare, args=("derived",)),
    ]
    for thread in threads:
        thread.start()
    wait_until(
        lambda: (
            primary.view().prepared
            and primary.view().slots == ("pgset_orders_1",)
            and primary.view().waits_for == ("orders-1",)
            and primary.view().checkpointed_at is not None
        ),
        f"all four, but {primary.view()}",
    )
    with session(database) as connection:
        connection.execute("SET statement_timeout = '60s'")
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("TABLE missing")
