"""What a look tells of replication: who follows, what commits wait for, what WAL is kept."""

import os
import signal
import threading
import time
from itertools import pairwise

import psycopg
import pytest
from psycopg.rows import TupleRow

from sidecar.contract import REPLICATION_ROLE
from sidecar.observation import PostgresView, ServerState
from sidecar.postgres.polling import news
from sidecar.postgres.server import Server
from sidecar.situation.timing import SILENCE
from tests.support.database import Database
from tests.support.mute_primary import mute_primary
from tests.support.server_processes import stop_at
from tests.support.standby import Connect, clone, every_view, session, wait_for
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.postgres, pytest.mark.versions]


@pytest.fixture
def primary(database: Database, connect: Connect) -> Server:
    database.start()
    with session(database) as connection:
        connection.execute(f"CREATE ROLE {REPLICATION_ROLE} LOGIN REPLICATION PASSWORD 'derived'")
    server = connect(database.port)
    wait_for(server, ServerState.WRITABLE)
    return server


def follow(database: Database, name: str) -> Database:
    return clone(database, name, REPLICATION_ROLE, "derived")


def follower_names(server: Server) -> list[str]:
    return [follower.name for follower in server.view().followers]


def test_a_follower_is_heard_every_second_until_it_is_silent(
    primary: Server, database: Database
) -> None:
    assert primary.view().followers_heard_at is None
    standby = follow(database, "orders-1")
    wait_until(lambda: follower_names(primary) == ["orders-1"], "the follower")
    for _ in range(3):
        heard_at = primary.view().followers_heard_at or 0.0
        wait_until(
            lambda heard_at=heard_at: (primary.view().followers_heard_at or 0.0) > heard_at,
            "another word",
        )
    pids = standby.stand_still()
    assert len(pids) > 3
    try:
        wait_until(lambda: silence(primary) > 2.5, "silence")
        assert follower_names(primary) == ["orders-1"]
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def silence(server: Server) -> float:
    """Return for how many seconds no follower has been heard."""
    heard_at = server.refresh(60.0).followers_heard_at
    return 0.0 if heard_at is None else time.monotonic() - heard_at


@pytest.mark.usefixtures("primary")
def test_followers_that_fall_silent_wake_the_loop_once(database: Database) -> None:
    """It looks every two seconds only: a cut-off has to be noticed sooner."""
    with every_view(database) as (watching, seen):
        standby = follow(database, "orders-1")
        wait_until(lambda: follower_names(watching) == ["orders-1"], "the follower")
        wait_until(lambda: watching.view().waits_from is not None, "all other news")
        pids = standby.stand_still()

        def woken_for_nothing_else() -> int:
            """Since the last word; there is other news while this machine stands still."""
            last = watching.view().followers_heard_at
            return sum(
                news(before) == news(after) and after.followers_heard_at == last
                for before, after in pairwise(tuple(seen))
            )

        try:
            wait_until(lambda: silence(watching) > SILENCE, "silence")
            wait_until(lambda: woken_for_nothing_else() > 0, "it to be noticed")
            for _ in range(5):
                watching.refresh(60.0)
            assert woken_for_nothing_else() == 1
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)


def test_only_who_streams_by_the_replication_role_is_a_follower(
    primary: Server, database: Database
) -> None:
    clone(database, "somebody", "postgres", "secret")
    follow(database, "orders-1")
    wait_until(lambda: follower_names(primary) == ["orders-1"], "the follower")
    time.sleep(1.1)
    assert follower_names(primary) == ["orders-1"]


def test_a_refreshed_view_was_looked_at_after_the_question(
    primary: Server, database: Database
) -> None:
    for _ in range(5):
        with session(database) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS foo (id int)")
            connection.execute("INSERT INTO foo VALUES (1)")
            row = connection.execute("SELECT (pg_current_wal_lsn() - '0/0')::bigint").fetchone()
        assert row is not None
        assert (primary.refresh(60.0).position or 0) >= row[0]


def test_nothing_is_known_of_commits_before_the_reload_has_reached_everybody(
    database: Database,
) -> None:
    database.start()
    with every_view(database) as (primary, seen):
        wait_until(lambda: primary.view().waits_from is not None, "the first setting")
        asked_at = time.monotonic()
        primary.set_synchronous(["orders-1"], 1)

        def settled() -> list[PostgresView]:
            return [view for view in seen if view.waits_for and view.waits_from is not None]

        wait_until(lambda: bool(settled()), "the position")
        assert time.monotonic() - asked_at >= 1.0
        first = next(view for view in seen if view.waits_for)
        assert (first.waits_for, first.waits_for_number) == (("orders-1",), 1)
        assert first.waits_from is None
        assert (settled()[0].waits_from or 0) >= (first.position or 0)


def test_a_checkpointer_at_work_has_not_heard_of_the_setting_and_commits_do_not_wait_yet(
    primary: Server, database: Database
) -> None:
    """Stopped here; a slow disk keeps it as long. It is who lets commits wait."""
    with session(database) as connection, session(database) as other:
        other.execute("SET statement_timeout = '180s'")
        connection.execute("CREATE TABLE foo AS SELECT generate_series(1, 1000000) AS id")
        # Apart: no page of it is written, and so locked, by whom we stop.
        connection.execute("CREATE TABLE bar (id int)")
        pid = stop_checkpointer_at_work(connection, other)
        primary.set_synchronous(["nobody-there"], 1)
        wait_until(lambda: primary.view().waits_for == ("nobody-there",), "the setting")
        time.sleep(2.5)
        other.execute("INSERT INTO bar VALUES (0)")
        assert primary.view().waits_from is None
        os.kill(pid, signal.SIGCONT)
        wait_until(lambda: primary.view().waits_from is not None, "the setting to be settled")
        # Now it waits. statement_timeout would not end that: it no longer counts at the commit.
        commit = threading.Thread(target=other.execute, args=["INSERT INTO bar VALUES (0)"])
        commit.start()
        waits = "SELECT wait_event FROM pg_stat_activity WHERE pid = %s"
        pid = other.info.backend_pid
        wait_until(
            lambda: connection.execute(waits, [pid]).fetchone() == ("SyncRep",), "it to wait"
        )
        connection.execute("SELECT pg_cancel_backend(%s)", [pid])
        commit.join()


CHECKPOINTER_WRITING = b"""
SELECT pid FROM pg_stat_activity
WHERE backend_type = 'checkpointer' AND wait_event = 'DataFileWrite'
"""


def stop_checkpointer_at_work(
    connection: psycopg.Connection[TupleRow], other: psycopg.Connection[TupleRow]
) -> int:
    for _ in range(100):
        connection.execute("UPDATE foo SET id = id + 1 WHERE id % 10 = 0")
        checkpoint = threading.Thread(target=connection.execute, args=["CHECKPOINT"], daemon=True)
        checkpoint.start()
        while checkpoint.is_alive():
            if (pid := stop_at(other, CHECKPOINTER_WRITING)) is not None:
                return pid
        checkpoint.join()
    raise AssertionError("the checkpointer was never met at work")


def test_a_restart_makes_the_waiting_unknown_again(database: Database) -> None:
    database.start()
    with every_view(database) as (primary, seen):
        wait_until(lambda: primary.view().waits_from is not None, "the setting to be settled")
        database.stop()
        wait_until(lambda: seen[-1].state is ServerState.DOWN, "the end")
        seen.clear()
        database.start()
        wait_until(lambda: any(view.waits_from is not None for view in seen), "it to be settled")
        first = next(view for view in seen if view.state is ServerState.WRITABLE)
        assert first.waits_from is None


def test_somebody_elses_synchronous_standby_names_are_not_ours(
    primary: Server, database: Database
) -> None:
    with session(database) as connection:
        connection.execute("SET synchronous_commit = local")
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (a, b)'")
        connection.execute("SELECT pg_reload_conf()")
    time.sleep(1.5)
    assert (primary.view().waits_for, primary.view().waits_for_number) == ((), 0)


def test_the_oldest_wal_moves_on_when_files_are_removed(
    primary: Server, database: Database
) -> None:
    oldest = primary.view().oldest_wal
    names = sorted(
        path.name for path in (database.directory / "pg_wal").iterdir() if len(path.name) == 24
    )
    assert oldest == int(names[0][16:], 16) * (16 << 20)
    with session(database) as connection:
        connection.execute("ALTER SYSTEM SET wal_keep_size = 0")
        connection.execute("ALTER SYSTEM SET max_wal_size = '32MB'")
        connection.execute("ALTER SYSTEM SET min_wal_size = '32MB'")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute("CREATE TABLE foo (id int)")
        for _ in range(4):
            connection.execute("INSERT INTO foo VALUES (1)")
            connection.execute("SELECT pg_switch_wal()")
        connection.execute("CHECKPOINT")
    wait_until(lambda: (primary.view().oldest_wal or 0) > oldest, "the next listing")


def test_a_lost_connection_of_the_sidecar_only_is_made_again(
    primary: Server, database: Database
) -> None:
    with session(database) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'pgset-sidecar'"
        )
    time.sleep(0.5)
    wait_until(lambda: primary.view().problem is None, "a new connection")
    assert wait_for(primary, ServerState.WRITABLE).problem is None


@pytest.mark.usefixtures("primary")
def test_a_standby_that_the_primary_refuses_never_streams(
    database: Database, connect: Connect
) -> None:
    """Its receiver says that it does while it asks."""
    copy = clone(database, "orders-1", REPLICATION_ROLE, "derived", start=False)
    with (copy.directory / "postgresql.auto.conf").open("a") as file:
        file.write("primary_slot_name = 'gone'\n")
    copy.start()
    standby = connect(copy.port)
    wait_for(standby, ServerState.RECOVERY)
    wait_until(lambda: '"gone" does not exist' in database.host.log(), "a refusal")
    until = time.monotonic() + 6.0
    while time.monotonic() < until:
        assert not standby.refresh(2.0).streaming


@pytest.mark.usefixtures("primary")
def test_a_standby_that_waits_for_the_first_word_streams(
    database: Database, connect: Connect
) -> None:
    copy = clone(database, "orders-1", REPLICATION_ROLE, "derived", start=False)
    with mute_primary(database.port) as port:
        conninfo = f"host=127.0.0.1 port={port} sslmode=disable gssencmode=disable"
        with (copy.directory / "postgresql.auto.conf").open("a") as file:
            file.write(
                f"primary_conninfo = '{conninfo} user={REPLICATION_ROLE} password=derived'\n"
            )
        copy.start()
        standby = connect(copy.port)
        wait_until(lambda: standby.view().streaming, "streaming")
        with session(copy) as connection:
            heard = b"SELECT last_msg_send_time <> last_msg_receipt_time FROM pg_stat_wal_receiver"
            assert connection.execute(heard).fetchone() == (False,)
        copy.stop()


def test_a_standby_whose_replay_has_paused_says_so(
    primary: Server, database: Database, connect: Connect
) -> None:
    """It streams on, and nobody would see why it falls behind, or that it can't be promoted."""
    standby = follow(database, "orders-1")
    server = connect(standby.port)
    wait_until(lambda: server.view().streaming, "streaming")
    assert (server.view().problem, primary.view().problem) == (None, None)
    with session(standby) as client:
        client.execute("SELECT pg_wal_replay_pause()")
        wait_until(lambda: "replay has paused" in (server.view().problem or ""), "the problem")
        client.execute("SELECT pg_wal_replay_resume()")
        wait_until(lambda: server.view().problem is None, "the end of the problem")
    database.stop()
    with (database.directory / "postgresql.conf").open("a") as file:
        file.write("max_connections = 150\n")
    database.start()
    wait_until(lambda: "delete this pod" in (server.view().problem or ""), "the problem")
