"""Volumes that are copies of one snapshot: which of them has the primary's data, and which was
written to apart. They have one system identifier, and one timeline."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from sidecar.observation import (
    BootstrapView,
    DataState,
    Identity,
    LeaseRecord,
    PostgresView,
    ServerState,
)
from sidecar.postgres.comparison import Comparer, is_same_wal
from sidecar.postgres.configuration import with_settings
from tests.support.database import Database, free_port, own
from tests.support.former_primary import (
    caught_up,
    follow,
    parameters,
    prepare,
    rows,
    sql,
    streams_from,
    write,
)
from tests.support.server_processes import stop_background_writer
from tests.support.standby import Connect, wait_for
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.postgres, pytest.mark.versions]

ALIKE, NOT_ALIKE = ("aaaa", "bbbb"), ("a", "b" * 100)


@dataclass
class Copies:
    """Two data directories that are copies of a third; no server runs."""

    snapshot: Path
    primary: Database
    other: Database
    connect: Connect

    def begin(self) -> None:
        for database in (self.primary, self.other):
            shutil.rmtree(database.directory, ignore_errors=True)
            database.host.run("cp", "-a", self.snapshot, database.directory)

    def write_apart(self, words: tuple[str, str]) -> None:
        self.begin()
        for database, word in zip((self.primary, self.other), words, strict=True):
            database.start()
            stop_background_writer(database)
            write(database, word)
            database.crash()
            (database.directory / "postmaster.pid").unlink()

    def lead(self, *, promote: bool) -> None:
        """The primary goes on, and writes more than the other has."""
        if promote:
            start_detached(self.primary)
            sql(self.primary, "SELECT pg_promote(true, 180)")
        else:
            self.primary.start()
        sql(self.primary, "CREATE TABLE more AS SELECT generate_series(1, 10) AS number")

    def other_waits(self) -> PostgresView:
        """Return what its sidecar sees of the other once that has replayed all that it has."""
        start_detached(self.other)
        server = self.connect(self.other.port)
        wait_for(server, ServerState.RECOVERY)
        wait_until(lambda: server.view().position is not None, "the end of its WAL")
        assert server.view().detached
        return server.view()

    def compare(self) -> bool | None:
        view = self.other_waits()
        assert view.system_identifier is not None
        assert view.timeline is not None
        assert view.position is not None
        return is_same_wal(
            parameters(self.primary),
            "derived",
            view.system_identifier,
            self.other.directory,
            (view.timeline, view.position),
        )

    def attach(self) -> None:
        """Have the other follow the primary from now on."""
        follow(self.other, self.primary)
        sql(self.other, "SELECT pg_reload_conf()")
        wait_until(lambda: streams_from(self.other, self.primary), "streaming")
        wait_until(lambda: caught_up(self.other, self.primary), "replay")


def start_detached(database: Database) -> None:
    """As a standby that receives WAL from nobody."""
    auto_conf = database.directory / "postgresql.auto.conf"
    auto_conf.write_text(with_settings(auto_conf.read_text(), {"primary_conninfo": ""}))
    (database.directory / "standby.signal").touch()
    own(database.directory / "standby.signal")
    database.start()


@pytest.fixture
def copies(database: Database, connect: Connect) -> Copies:
    with (database.directory / "postgresql.conf").open("a") as file:
        file.write("autovacuum = off\ncheckpoint_timeout = 1h\n")
    database.start()
    prepare(database)
    sql(database, "CREATE TABLE words (word text)")
    write(database, "both")
    # As a snapshot has it of a server that runs.
    database.crash()
    (database.directory / "postmaster.pid").unlink()
    host = database.host
    snapshot = database.directory.rename(host.folder / "snapshot")
    other = Database(host, host.folder / "copy", free_port())
    return Copies(snapshot, database, other, connect)


def test_postgresql_streams_onto_a_copy_that_was_written_to_apart_and_says_nothing(
    copies: Copies,
) -> None:
    """Why they are compared: as far as PostgreSQL looks it is the same, and the rows differ."""

    def ends_alike() -> bool:
        """Not if one of them, on a busy machine, has written a record more of itself."""
        copies.write_apart(ALIKE)
        ends = []
        for database in (copies.primary, copies.other):
            start_detached(database)
            ends.append(sql(database, "SELECT pg_last_wal_replay_lsn()"))
            database.stop()
            (database.directory / "standby.signal").unlink()
        return ends[0] == ends[1]

    wait_until(ends_alike, "two ends that are the same", seconds=600)
    copies.lead(promote=True)
    start_detached(copies.other)
    copies.attach()
    assert sql(copies.other, "SELECT count(*) FROM more") == [(10,)]
    # The primary's last: with checksums (18's default), whoever reads a row there first may write
    # its whole page to WAL, by which the other one gets it.
    assert (rows(copies.other), rows(copies.primary)) == (["bbbb", "both"], ["aaaa", "both"])


@pytest.mark.parametrize(
    ("words", "promote"),
    [(ALIKE, True), (ALIKE, False), (NOT_ALIKE, True)],
    ids=["alike", "alike, on one timeline", "not alike"],
)
def test_what_was_written_apart_is_seen(
    copies: Copies, words: tuple[str, str], *, promote: bool
) -> None:
    copies.write_apart(words)
    copies.lead(promote=promote)
    assert copies.compare() is False


def test_a_copy_that_was_not_written_to_is_the_same_and_follows(copies: Copies) -> None:
    copies.begin()
    copies.lead(promote=True)
    view, known = copies.other_waits(), []
    comparer = Comparer(
        Identity("orders-0", "uid-0"),
        parameters(copies.primary),
        # Of two, as while a password changes.
        lambda: ("former", "derived"),
        data_directory=lambda: copies.other.directory,
        clock=time.monotonic,
        on_change=lambda: known.append(True),
    )
    comparer.start()
    record = LeaseRecord(holder="orders-1_uid-1", resource_version="7", ttl=10)
    bootstrap = BootstrapView(DataState.PRESENT)

    def answer() -> bool | None:
        return comparer.find(view, record, bootstrap, "127.0.0.1")

    wait_until(lambda: answer() is not None, "the comparison")
    assert (answer(), known) == (True, [True])
    copies.attach()
    assert sql(copies.other, "SELECT count(*) FROM more") == [(10,)]


def test_a_timeline_that_the_primary_was_never_on_is_not_its_own(copies: Copies) -> None:
    copies.write_apart(ALIKE)
    start_detached(copies.other)
    sql(copies.other, "SELECT pg_promote(true, 180)")
    copies.other.stop()
    copies.lead(promote=False)
    assert copies.compare() is False


def test_where_the_primary_has_removed_that_wal_nothing_is_known(copies: Copies) -> None:
    """PostgreSQL could not stream from there either."""
    copies.begin()
    copies.lead(promote=False)
    # The sidecar, too, has said how much is kept.
    sql(copies.primary, "ALTER SYSTEM SET wal_keep_size = 0")
    sql(copies.primary, "SELECT pg_reload_conf()")
    for _ in range(3):
        sql(copies.primary, "SELECT pg_switch_wal()")
        sql(copies.primary, "CHECKPOINT")
    first = "000000010000000000000001"
    wait_until(
        lambda: not (copies.primary.directory / "pg_wal" / first).exists(), "the file to be removed"
    )
    assert (copies.other.directory / "pg_wal" / first).exists()
    assert copies.compare() is None
