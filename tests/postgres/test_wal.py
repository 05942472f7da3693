"""Whether a dead primary's files hold WAL that its standby lacks."""

import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import psycopg
import pytest

from sidecar.postgres import process
from sidecar.postgres.control_data import parse_lsn
from sidecar.postgres.wal import has_wal_beyond
from tests.support.database import Database
from tests.support.server_processes import stop_background_writer
from tests.support.standby import clone, session
from tests.support.waiting import wait_until

pytestmark = pytest.mark.postgres

WRITERS = 4


@pytest.fixture
def primary(database: Database) -> Database:
    with (database.directory / "postgresql.conf").open("a") as file:
        # It, too, writes when it likes.
        file.write("autovacuum = off\n")
    database.start()
    with session(database) as connection:
        connection.execute("CREATE TABLE foo (id int, text text)")
    return database


@pytest.fixture
def standby(primary: Database) -> Database:
    copy = clone(primary, "orders-1", "postgres", "secret")
    wait_until(lambda: received(copy) is not None, "streaming")
    return copy


def received(standby: Database) -> int | None:
    with session(standby) as connection:
        row = connection.execute("SELECT pg_last_wal_receive_lsn()::text").fetchone()
    assert row is not None
    return None if row[0] is None else parse_lsn(row[0])


def settled(standby: Database) -> int:
    """Return what it has received, once nothing more comes: its primary has ended."""
    receives = "SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'"

    def has_all() -> bool:
        with session(standby) as connection:
            return connection.execute(receives).fetchone() == (0,)

    wait_until(has_all, "the receiver to have read all that was sent")
    position = received(standby)
    assert position is not None
    return position


def written(database: Database) -> int:
    with session(database) as connection:
        row = connection.execute("SELECT pg_current_wal_lsn()::text").fetchone()
    assert row is not None
    return parse_lsn(row[0])


def write_until_dead(database: Database) -> list[threading.Thread]:
    def write() -> None:
        try:
            with session(database) as connection:
                while True:
                    connection.execute("INSERT INTO foo VALUES (1, repeat('x', 300))")
        except psycopg.Error:
            return

    threads = [threading.Thread(target=write, daemon=True) for _ in range(WRITERS)]
    for thread in threads:
        thread.start()
    return threads


def kill(database: Database) -> None:
    assert database.process is not None
    process.send(database.directory, signal.SIGKILL)
    database.process.wait(timeout=180)
    wait_until(lambda: process.processes(database.directory) == (), "the end of all processes")


def end_of_wal(database: Database, programs: Path) -> int:
    """Return where pg_waldump finds the last record to end, rounded up to 8 bytes."""
    folder = database.directory / "pg_wal"
    names = sorted(p.name for p in folder.iterdir() if re.fullmatch("0{7}1[0-9A-F]{16}", p.name))
    dump = subprocess.run(
        [
            programs / "pg_waldump",
            f"--path={folder}",
            f"--start={int(names[0][8:16], 16):X}/{int(names[0][16:], 16) << 24:X}",
        ],
        capture_output=True,
        text=True,
        check=False,
        env=database.host.environment(),
    )
    # "error in WAL record at 0/1501648: invalid record length at 0/15016A8: wanted 24, got 0"
    places = re.findall(r" at ([0-9A-F]+/[0-9A-F]+)", dump.stderr)
    assert places, dump.stderr
    return parse_lsn(places[-1])


@pytest.mark.parametrize("_round", range(3))
def test_a_primary_killed_under_load_has_wal_up_to_where_its_own_recovery_would_end(
    primary: Database, programs: Path, _round: int
) -> None:
    threads = write_until_dead(primary)
    beginning = written(primary)
    wait_until(lambda: written(primary) > beginning + 100_000, "the load")
    time.sleep(_round / 3)
    middle = written(primary)
    wait_until(lambda: written(primary) > middle, "more of it")
    kill(primary)
    for thread in threads:
        thread.join()
    end = end_of_wal(primary, programs)
    assert end > middle
    assert has_wal_beyond(primary.directory, 1, middle)
    assert has_wal_beyond(primary.directory, 1, end - 24)
    assert not has_wal_beyond(primary.directory, 1, end)


def test_a_standby_that_kept_up_with_a_killed_primary_lacks_nothing(
    primary: Database, standby: Database
) -> None:
    with session(primary) as connection:
        for _ in range(200):
            connection.execute("INSERT INTO foo VALUES (1, repeat('x', 300))")
    stop_background_writer(primary)
    wait_until(lambda: received(standby) == written(primary), "the standby to have all")
    kill(primary)
    assert not has_wal_beyond(primary.directory, 1, settled(standby))


def test_a_standby_that_was_cut_off_lacks_what_came_later(
    primary: Database, standby: Database
) -> None:
    wait_until(lambda: received(standby) == written(primary), "the standby to have all")
    position = received(standby)
    assert position is not None
    kill(standby)
    with session(primary) as connection:
        connection.execute("INSERT INTO foo VALUES (2, 'lost')")
    kill(primary)
    assert has_wal_beyond(primary.directory, 1, position)


def test_under_load_the_standbys_word_agrees_with_the_dead_primarys_last_record(
    primary: Database, standby: Database, programs: Path
) -> None:
    threads = write_until_dead(primary)
    time.sleep(2.0)
    kill(primary)
    for thread in threads:
        thread.join()
    end, position = end_of_wal(primary, programs), settled(standby)
    assert has_wal_beyond(primary.directory, 1, position) == (end > position)


def test_a_clean_stop_sends_its_last_record_first(primary: Database, standby: Database) -> None:
    write_until_dead(primary)
    time.sleep(1.0)
    primary.stop()
    position = settled(standby)
    assert not has_wal_beyond(primary.directory, 1, position)
    assert has_wal_beyond(primary.directory, 1, position - 100)


def test_wal_after_a_switch_is_not_overlooked_from_before_it(primary: Database) -> None:
    with session(primary) as connection:
        connection.execute("INSERT INTO foo VALUES (1, 'before')")
        row = connection.execute("SELECT pg_switch_wal()::text").fetchone()
        assert row is not None
        after_switch = parse_lsn(row[0])
        connection.execute("INSERT INTO foo VALUES (1, 'after')")
    kill(primary)
    assert has_wal_beyond(primary.directory, 1, after_switch)
    # Somewhere in the rest of that segment, where not even pages are.
    assert has_wal_beyond(primary.directory, 1, after_switch + 3 * 8192 + 40)


def test_a_switch_that_nothing_follows_is_the_end(primary: Database) -> None:
    stop_background_writer(primary)
    with session(primary) as connection:
        connection.execute("INSERT INTO foo VALUES (1, 'before')")
        row = connection.execute("SELECT pg_switch_wal()::text").fetchone()
        assert row is not None
    kill(primary)
    after_switch = parse_lsn(row[0])
    assert not has_wal_beyond(primary.directory, 1, after_switch)
    assert not has_wal_beyond(primary.directory, 1, (after_switch // (16 << 20) + 1) * (16 << 20))


def test_files_that_were_recycled_are_no_wal(primary: Database, programs: Path) -> None:
    with session(primary) as connection:
        connection.execute("ALTER SYSTEM SET wal_keep_size = 0")
        connection.execute("SELECT pg_reload_conf()")
        for _ in range(4):
            connection.execute(
                "INSERT INTO foo SELECT 1, repeat('x', 300) FROM generate_series(1, 40000)"
            )
            connection.execute("SELECT pg_switch_wal()")
            connection.execute("CHECKPOINT")
        connection.execute("INSERT INTO foo VALUES (1, 'last')")
    kill(primary)
    end = end_of_wal(primary, programs)
    names = sorted(
        path.name for path in (primary.directory / "pg_wal").iterdir() if len(path.name) == 24
    )
    assert int(names[-1][16:], 16) > end // (16 << 20), "no recycled file here to be mistaken"
    assert not has_wal_beyond(primary.directory, 1, end)
    assert not has_wal_beyond(primary.directory, 1, end + 8192)
    assert has_wal_beyond(primary.directory, 1, end - 24)
    assert has_wal_beyond(primary.directory, 1, 0), "removed long ago: there is more"


def test_of_wal_that_is_encrypted_nothing_is_claimed(primary: Database) -> None:
    """As pg_tde writes it, with all headers: it must not pass for pages of an earlier life."""
    with session(primary) as connection:
        row = connection.execute("SELECT pg_current_wal_lsn()::text").fetchone()
        assert row is not None
        connection.execute("INSERT INTO foo SELECT 1, 'lost' FROM generate_series(1, 1000)")
    kill(primary)
    position = parse_lsn(row[0])
    assert has_wal_beyond(primary.directory, 1, position)
    for path in (primary.directory / "pg_wal").glob("0*"):
        path.write_bytes(path.read_bytes().translate(bytes(it ^ 0x5A for it in range(256))))
    with pytest.raises(OSError, match="that can be read"):
        has_wal_beyond(primary.directory, 1, position)


def test_a_newer_timeline_may_hold_anything(standby: Database) -> None:
    with session(standby) as connection:
        connection.execute("SELECT pg_promote()")
        row = connection.execute("SELECT pg_current_wal_lsn()::text").fetchone()
    assert row is not None
    kill(standby)
    assert has_wal_beyond(standby.directory, 1, parse_lsn(row[0]) + (16 << 20))
    assert not has_wal_beyond(standby.directory, 2, parse_lsn(row[0]) + (16 << 20))
    assert has_wal_beyond(standby.directory, 3, parse_lsn(row[0])), "a timeline unknown here"


def test_files_that_cannot_be_read_answer_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - whichever
        has_wal_beyond(tmp_path, 1, 0)
    (tmp_path / "pg_wal").mkdir()
    assert has_wal_beyond(tmp_path, 1, 0)
    size = 2**20
    for number, there in ((1, 5000), (2, size)):
        path = tmp_path / "pg_wal" / f"{1:08X}{0:08X}{number:08X}"
        path.touch()
        os.truncate(path, there)
    with pytest.raises(OSError, match="ends before"):
        has_wal_beyond(tmp_path, 1, size + 8192 + 16)
