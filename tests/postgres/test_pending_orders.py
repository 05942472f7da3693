"""What a real PostgreSQL is told counts until it was seen to do it, however long that takes."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from sidecar.memory.commit_wait import RELOAD_SECONDS
from sidecar.observation import PostgresView, ServerState
from sidecar.postgres.connection import APPLICATION_NAME
from sidecar.postgres.server import Server
from tests.support.database import Database
from tests.support.standby import PATIENT, Connect, clone, every_view, session, wait_for
from tests.support.waiting import wait_until

pytestmark = pytest.mark.postgres


GIVEN_UP_SOON = replace(PATIENT, connect=20)
"""An order that is given up is waited for here, and all others are given once."""


@pytest.fixture
def primary(database: Database, connect: Connect) -> Server:
    database.start()
    server = connect(database.port, limits=GIVEN_UP_SOON)
    wait_for(server, ServerState.WRITABLE)
    return server


@contextmanager
def takes_nobody_in(database: Database) -> Iterator[None]:
    """Let the postmaster stand still: who is connected is served, and no order gets through."""
    assert database.process is not None
    database.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        database.process.send_signal(signal.SIGCONT)


def settle(server: Server, members: tuple[str, ...]) -> None:
    server.set_synchronous(members, len(members))
    wait_until(
        lambda: server.view().waits_for == members and server.view().ordered is None,
        f"the setting, but {server.view()}",
    )
    wait_until(lambda: server.view().waits_from is not None, "the setting to hold for everybody")


def test_an_order_shows_at_once_and_until_it_was_seen_to_have_taken_effect(
    primary: Server, database: Database
) -> None:
    settle(primary, ("orders-1",))
    with takes_nobody_in(database):
        primary.set_synchronous((), 0)
        view = primary.view()
        assert (view.waits_for, view.ordered) == (("orders-1",), ((), 0))
        wait_until(lambda: primary.view().problem is not None, "the order to be given up")
        view = primary.view()
        assert (view.waits_for, view.ordered) == (("orders-1",), ((), 0))
    primary.set_synchronous((), 0)
    wait_until(lambda: primary.view().ordered is None, f"the effect, but {primary.view()}")
    assert primary.view().waits_for == ()


def test_a_setting_that_was_there_before_counts_anew_once_it_was_ordered_again(
    database: Database,
) -> None:
    """The order in between may have been in force between two looks."""
    database.start()
    with every_view(database) as (primary, seen):
        wait_for(primary, ServerState.WRITABLE)
        settle(primary, ("orders-1",))
        # Who is told of the look before has been told.
        primary.refresh(60.0)
        seen.clear()
        primary.set_synchronous((), 0)
        primary.set_synchronous(("orders-1",), 1)

        def after_it() -> list[PostgresView]:
            return [view for view in seen if view.waits_for and view.ordered is None]

        wait_until(lambda: bool(after_it()), "the setting")
        assert after_it()[0].waits_for == ("orders-1",)
        assert after_it()[0].waits_from is None
        wait_until(lambda: primary.view().waits_from is not None, "it to hold for everybody")


def test_what_an_earlier_sidecar_ordered_half_way_is_known_to_the_next(
    database: Database, connect: Connect
) -> None:
    database.start()
    before = connect(database.port)
    wait_for(before, ServerState.WRITABLE)
    settle(before, ("orders-1",))
    before.stop()
    with session(database) as connection:
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = ''")
    after = connect(database.port)
    wait_until(lambda: after.view().ordered == ((), 0), f"the other half, but {after.view()}")
    assert after.view().waits_for == ("orders-1",)
    assert after.view().waits_from is None
    settle(after, ("orders-1",))


@contextmanager
def under_way(database: Database) -> Iterator[None]:
    """An ALTER SYSTEM of an earlier sidecar that has not ended, as on a slow disk: without a Sync
    the server takes the statement for unfinished."""
    with session(database) as connection:
        connection.execute("SELECT set_config('application_name', %s, false)", [APPLICATION_NAME])
        connection.pgconn.enter_pipeline_mode()
        connection.pgconn.send_query_params(b"ALTER SYSTEM SET work_mem = '5MB'", None)
        connection.pgconn.send_flush_request()
        connection.pgconn.flush()
        yield
        connection.close()


def test_what_an_earlier_sidecar_ordered_may_be_under_way_still(
    database: Database, connect: Connect
) -> None:
    """It may be the order to wait for nobody, and stand in the file a moment later."""
    database.start()
    before = connect(database.port)
    wait_for(before, ServerState.WRITABLE)
    settle(before, ("orders-1",))
    before.stop()
    with under_way(database):
        after = connect(database.port)
        wait_until(lambda: after.view().waits_for == ("orders-1",), f"a look, but {after.view()}")
        time.sleep(3 * RELOAD_SECONDS)
        assert after.view().waits_from is None
    wait_until(lambda: after.view().waits_from is not None, "the setting to hold for everybody")


def test_a_standby_is_not_detached_any_more_once_it_was_ordered_to_follow(
    database: Database, connect: Connect
) -> None:
    database.start()
    copy = clone(database, "orders-1", "postgres", "secret")
    standby = connect(copy.port, limits=GIVEN_UP_SOON)
    wait_for(standby, ServerState.RECOVERY)
    standby.follow("")
    wait_until(lambda: standby.view().detached, f"nobody to be followed, but {standby.view()}")
    with takes_nobody_in(copy):
        standby.follow("host='127.0.0.1'")
        assert not standby.view().detached
        wait_until(lambda: standby.view().problem is not None, "the order to be given up")
        assert not standby.view().detached
    standby.follow("")
    wait_until(lambda: standby.view().detached, f"nobody to be followed, but {standby.view()}")


def test_a_standby_whose_file_says_whom_to_follow_is_not_detached(
    database: Database, connect: Connect
) -> None:
    database.start()
    copy = clone(database, "orders-1", "postgres", "secret")
    standby = connect(copy.port)
    wait_for(standby, ServerState.RECOVERY)
    standby.follow("")
    wait_until(lambda: standby.view().detached, f"nobody to be followed, but {standby.view()}")
    with session(copy) as connection:
        connection.execute("ALTER SYSTEM SET primary_conninfo = 'host=''127.0.0.1'''")
    wait_until(lambda: not standby.view().detached, "the next reload to be feared")
