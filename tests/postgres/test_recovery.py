"""Whether a real recovery gets on, as it is seen from without."""

import os
import signal
import time
from pathlib import Path

import pytest

from sidecar.observation import PostgresView, ServerState
from sidecar.postgres import process
from sidecar.postgres.configuration import conninfo, standby_settings, with_settings
from sidecar.postgres.recovery import RecoveryWatch
from sidecar.settings import Settings
from tests.support.database import Database, Host, free_port, own
from tests.support.former_primary import Set, caught_up, rows, sql, write
from tests.support.standby import Connect, replication, session
from tests.support.waiting import state_of, wait_until

pytestmark = pytest.mark.postgres

RECOVERY = PostgresView(ServerState.RECOVERY, since=0.0)
MEGABYTES = 100


class Clock:
    """The monotonic clock, put forward at will."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


def start(database: Database, *options: str) -> int:
    """Start without waiting for an answer; return the postmaster's pid."""
    database.process = database.host.start(
        *("postgres", "-D", database.directory, "-p", str(database.port)),
        *("-k", database.host.folder, *options),
    )
    return database.process.pid


def title(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def startup_process(postmaster: int) -> int:
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    (found,) = (int(pid) for pid in children if title(int(pid)).startswith(b"postgres: startup"))
    return found


def crash_with_much_to_replay(database: Database) -> None:
    start(database, "-c", "max_wal_size=8GB", "-c", "checkpoint_timeout=1h")
    wait_until(database.answers, "PostgreSQL to accept connections")
    with session(database) as connection:
        connection.execute("CREATE TABLE much (text text)")
        connection.execute("ALTER TABLE much ALTER text SET STORAGE EXTERNAL")
        for _ in range(MEGABYTES // 100):
            connection.execute(
                "INSERT INTO much SELECT repeat('x', 1000000) FROM generate_series(1, 100)"
            )
    database.crash()
    (database.directory / "postmaster.pid").unlink()
    (database.directory / "standby.signal").touch()
    own(database.directory / "standby.signal")


def test_a_recovery_is_seen_to_move_and_one_that_hangs_is_seen_not_to(database: Database) -> None:
    crash_with_much_to_replay(database)
    # In memory it takes a second: it waits at its beginning until it has been looked at.
    asked, go_on = database.host.folder / "asked", database.host.folder / "go-on"
    waits = f"touch {asked}; until [ -e {go_on} ]; do sleep 0.1; done; false"
    clock = Clock()
    watch = RecoveryWatch(clock)
    assert watch.look(RECOVERY, 1) is None
    began = time.monotonic()
    postmaster = start(database, "-c", f"restore_command={waits}")

    def look() -> float | None:
        clock.ahead += 1.0
        down = PostgresView(ServerState.DOWN, since=began + clock.ahead)
        return watch.look(down, postmaster)

    wait_until(asked.exists, "the recovery")
    startup = startup_process(postmaster)
    os.kill(startup, signal.SIGSTOP)
    wait_until(lambda: state_of(startup) == "T", "it to stand still")
    wait_until(lambda: look() is not None, "the recovery to be seen")
    for _ in range(10):
        look()
    since = look()
    assert since is not None
    assert [look() for _ in range(300)] == [since] * 300

    before = title(startup)
    go_on.touch()
    while title(startup) == before:
        os.kill(startup, signal.SIGCONT)
        time.sleep(0.01)
        os.kill(startup, signal.SIGSTOP)
    moved = look()
    assert moved is not None
    assert moved > since
    assert process.postmaster_pid(database.directory) == postmaster

    os.kill(startup, signal.SIGCONT)
    wait_until(database.answers, "the end of the recovery")
    assert watch.look(RECOVERY, postmaster) is None


def test_a_standby_that_waits_for_wal_does_not_get_on(database: Database, host: Host) -> None:
    """Its base backup has none of the WAL that it needs, and nobody has any for it."""
    (database.directory / "pg_hba.conf").write_text(
        "host all all all scram-sha-256\nhost replication all all scram-sha-256\n"
    )
    database.start()
    copy = Database(host, host.folder / "copy", free_port())
    source = replication(database.port) | {"user": "postgres"}
    host.run(
        *("pg_basebackup", "--checkpoint=fast", "--wal-method=none"),
        *(f"--pgdata={copy.directory}", f"--dbname={conninfo(source)}"),
        PGPASSWORD="secret",
    )
    auto_conf = copy.directory / "postgresql.auto.conf"
    nobody = conninfo({"host": "127.0.0.1", "port": str(free_port())})
    settings = {"primary_conninfo": nobody, "wal_retrieve_retry_interval": "200ms"}
    auto_conf.write_text(with_settings(auto_conf.read_text(), settings))
    (copy.directory / "standby.signal").touch()
    own(copy.directory / "standby.signal")
    postmaster = start(copy)

    watch = RecoveryWatch(time.monotonic)
    down = PostgresView(ServerState.DOWN, since=time.monotonic())
    wait_until(lambda: watch.look(down, postmaster) is not None, "the recovery to be seen")

    def has_stood_still() -> bool:
        """For longer than its first moments, which may count as work."""
        moved = watch.look(down, postmaster)
        assert moved is not None
        return time.monotonic() - moved > 10

    wait_until(has_stood_still, "ten seconds without progress", pause=0.3)
    assert not copy.answers()


def test_a_server_that_has_answered_and_hangs_is_not_in_its_recovery(database: Database) -> None:
    (database.directory / "standby.signal").touch()
    own(database.directory / "standby.signal")
    postmaster = start(database)
    wait_until(database.answers, "PostgreSQL to accept connections")
    time.sleep(1)
    watch = RecoveryWatch(time.monotonic)
    assert watch.look(RECOVERY, postmaster) is None
    # It counts as down 3 s after its last answer at the earliest.
    hangs = PostgresView(ServerState.DOWN, since=time.monotonic() + 3)
    assert watch.look(hangs, postmaster) is None


def test_a_member_that_was_to_replay_late_knows_what_it_has_once_it_restarts(
    members: Set, connect: Connect
) -> None:
    """By recovery_min_apply_delay, which does nothing in the plain server that it was set in."""
    auto_conf = members.new.directory / "postgresql.auto.conf"
    usual = auto_conf.read_text()
    with (members.new.directory / "postgresql.conf").open("a") as file:
        file.write("recovery_min_apply_delay = '1h'\n")
    members.new.stop()
    members.new.start()
    write(members.old, "late")
    sql(members.old, "SELECT pg_switch_wal()")
    position = str(sql(members.old, "SELECT pg_current_wal_lsn()")[0][0])
    received = f"SELECT pg_last_wal_receive_lsn() >= '{position}'"
    wait_until(lambda: bool(sql(members.new, received)[0][0]), "the WAL")
    assert not caught_up(members.new, members.old)
    members.new.stop()
    settings = standby_settings(Settings(set_name="orders"), "a", log_hints=False, detached=True)
    auto_conf.write_text(with_settings(usual, settings))
    members.new.start()
    server = connect(members.new.port, directory=members.new.directory)
    wait_until(lambda: server.view().position is not None, "its position")
    assert rows(members.new) == ["both", "late"]
