"""A PostgreSQL that hangs, is full or has lost its postmaster, as its sidecar sees and ends it."""

import contextlib
import json
import os
import pwd
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from sidecar.observation import ServerState
from sidecar.postgres import process
from sidecar.postgres.connection import LIMITS, Address
from sidecar.postgres.control_data import parse_lsn
from sidecar.postgres.credentials import Credentials
from sidecar.postgres.probe import WriteProbe
from sidecar.postgres.server import Server
from tests.support.database import USER, Database, own
from tests.support.standby import Connect, every_view, session, wait_for, wait_for_a_good_probe
from tests.support.waiting import wait_until

pytestmark = pytest.mark.postgres

only_as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can do this")


@pytest.fixture
def primary(database: Database, connect: Connect) -> Server:
    database.start()
    server = connect(database.port)
    wait_for(server, ServerState.WRITABLE)
    return server


def test_a_stopped_server_is_down_after_three_seconds_and_seen_again(database: Database) -> None:
    database.start()
    with every_view(database, LIMITS) as (primary, seen):

        def is_down_after_three_seconds() -> bool:
            asked_at = time.monotonic()
            wait_until(lambda: primary.refresh(60.0).state is ServerState.WRITABLE, "an answer")
            seen.clear()
            pids = database.stand_still()
            stopped_at = time.monotonic()
            wait_until(lambda: any(view.state is ServerState.DOWN for view in seen), "the end")
            down = next(view for view in seen if view.state is ServerState.DOWN)
            assert "has not answered" in (down.problem or "")
            assert down.since >= asked_at + 3.0
            time.sleep(3.5)
            now = primary.view()
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
            stays = (now.state, now.since) == (ServerState.DOWN, down.since)
            return stays and down.since < stopped_at + 10.0

        # This machine may have stood still itself.
        assert any(is_down_after_three_seconds() for _ in range(5))
        wait_for(primary, ServerState.WRITABLE)


def test_a_stopped_postmaster_makes_no_new_sessions_and_that_is_unwell(
    primary: Server, database: Database
) -> None:
    assert database.process is not None
    wait_for_a_good_probe(primary)
    database.process.send_signal(signal.SIGSTOP)
    wait_until(lambda: primary.view().unwell_since is not None, "the probe to fail")
    assert primary.view().state is ServerState.WRITABLE
    database.process.send_signal(signal.SIGCONT)
    wait_until(lambda: primary.view().unwell_since is None, "the probe to succeed")


@pytest.fixture
def probe(database: Database) -> WriteProbe:
    """Of this database, as of a primary; only the test lets it probe."""
    credentials = Credentials("postgres", "secret")
    return WriteProbe(
        Address(credentials, port=lambda: database.port),
        clock=time.monotonic,
        is_writable=lambda: True,
        on_change=lambda: None,
    )


def is_good(probe: WriteProbe) -> bool:
    """Whether one more probe succeeds: one that fails is repeated within a second."""
    return probe._probe() > 1.0


def test_a_postmaster_that_stood_still_for_one_probe_is_not_unwell_and_for_two_it_is(
    database: Database, probe: WriteProbe
) -> None:
    database.start()
    assert database.process is not None
    wait_until(lambda: is_good(probe), "a good probe")
    database.process.send_signal(signal.SIGSTOP)
    assert not is_good(probe)
    assert probe.unwell_since is None
    database.process.send_signal(signal.SIGCONT)
    wait_until(lambda: is_good(probe), "a good probe")
    assert probe.unwell_since is None

    stopped_at = time.monotonic()
    database.process.send_signal(signal.SIGSTOP)
    assert [is_good(probe), is_good(probe)] == [False, False]
    assert (probe.unwell_since or 0.0) >= stopped_at
    database.process.send_signal(signal.SIGCONT)


CONNECTIONS = 6


def test_a_server_out_of_connections_is_well(database: Database, probe: WriteProbe) -> None:
    with (database.directory / "postgresql.conf").open("a") as settings:
        settings.write(f"\nmax_connections = {CONNECTIONS}\nsuperuser_reserved_connections = 0\n")
    database.start()
    taken = 0

    def take_all() -> bool:
        """Also the one of a pg_isready that is about to end."""
        nonlocal taken
        with contextlib.suppress(psycopg.OperationalError):
            while taken < CONNECTIONS:
                sessions.enter_context(session(database))
                taken += 1
        return taken == CONNECTIONS

    with contextlib.ExitStack() as sessions:
        wait_until(take_all, "all connections")
        # A busy machine may keep one from its answer; out of connections all of them are.
        wait_until(lambda: is_good(probe), "a good probe")
        with pytest.raises(psycopg.OperationalError, match="too many clients"):
            session(database)


def test_an_idle_database_gets_no_wal_from_the_probe_and_a_busy_one_a_little(
    database: Database, probe: WriteProbe
) -> None:
    with (database.directory / "postgresql.conf").open("a") as settings:
        # Whose commits would be taken for the probe's.
        settings.write("\nautovacuum = off\n")
    database.start()
    with session(database) as connection:
        # PostgreSQL itself writes a little more for a while; what is counted are commits.
        state = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text, pg_current_wal_lsn()::text"

        def look() -> tuple[str, int]:
            row = connection.execute(state).fetchone()
            assert row is not None
            return row[0], parse_lsn(row[1])

        def writes_nothing() -> bool:
            """Or tries again: after a probe that failed, the next one commits."""
            before, _ = look()
            return all(is_good(probe) for _ in range(3)) and look()[0] == before

        connection.execute("CREATE TABLE foo (id int)")
        connection.execute("CHECKPOINT")
        wait_until(writes_nothing, "no commit of the probe's")

        def bytes_written() -> int:
            connection.execute("INSERT INTO foo VALUES (1)")
            before, written = look()
            wait_until(lambda: is_good(probe), "a good probe")
            after, position = look()
            assert after != before
            return position - written

        # One that failed may have committed before, and PostgreSQL itself writes now and then.
        assert any(bytes_written() < 400 for _ in range(5))


@pytest.fixture
def small_volume(database: Database) -> Iterator[Path]:
    """The data directory on a tmpfs that its WAL and tables nearly fill."""
    volume = database.directory
    spare = volume.rename(volume.with_name("spare"))
    volume.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=110m", "tmpfs", volume], check=True)
    own(volume)
    volume.chmod(0o700)
    subprocess.run(["cp", "-a", f"{spare}/.", volume], check=True)
    yield volume
    if database.process is not None:
        process.send(volume, signal.SIGKILL)
        database.process.wait()
        wait_until(lambda: not process.processes(volume), "the end of all processes")
    subprocess.run(["umount", "-l", volume], check=True)


@only_as_root
def test_a_full_volume_is_unwell_while_the_server_still_answers(
    database: Database, small_volume: Path, connect: Connect
) -> None:
    database.start()
    server = connect(database.port)
    wait_for(server, ServerState.WRITABLE)
    wait_for_a_good_probe(server)
    filling = small_volume / "filling"

    def is_unwell() -> bool:
        """Fill what is free, also by the end of a temporary file: of a probe, for one."""
        with contextlib.suppress(OSError), filling.open("ab", buffering=0) as file:
            while True:
                file.write(b"x" * 65536)
        return server.view().unwell_since is not None

    wait_until(is_unwell, "the probe to fail")
    assert server.view().state is ServerState.WRITABLE
    filling.unlink()
    wait_until(lambda: server.view().unwell_since is None, "the probe to succeed")


def test_a_backend_outlives_its_postmaster_and_is_an_orphan_until_it_is_killed(
    primary: Server, database: Database
) -> None:
    at_work = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'DO%'"

    def work() -> None:
        with contextlib.suppress(psycopg.Error), session(database) as connection:
            connection.execute("DO $$ BEGIN LOOP END LOOP; END $$")

    threading.Thread(target=work, daemon=True).start()
    with session(database) as connection:
        wait_until(lambda: connection.execute(at_work).fetchone() == (1,), "the work to begin")
    assert database.process is not None
    assert process.orphans(database.directory) == ()
    everybody = process.processes(database.directory)
    assert everybody[0] == database.process.pid
    assert len(everybody) >= 7

    database.process.kill()
    database.process.wait()
    assert process.postmaster_pid(database.directory) is None
    # Who idles ends by itself.
    wait_until(lambda: len(process.orphans(database.directory)) == 1, "the end of all others")
    wait_for(primary, ServerState.DOWN)
    # Without a postmaster it waits for the volume, and not for long.
    with contextlib.suppress(TimeoutError):
        process.send(database.directory, signal.SIGINT)
    assert len(process.orphans(database.directory)) == 1
    process.send(database.directory, signal.SIGKILL)
    wait_until(lambda: process.processes(database.directory) == (), "the end of all")


def test_a_stopped_server_is_killed_as_a_whole(primary: Server, database: Database) -> None:
    wait_for(primary, ServerState.WRITABLE)
    assert database.process is not None
    everybody = database.stand_still()
    process.send(database.directory, signal.SIGQUIT)
    time.sleep(0.5)
    # A stopped process takes no signal but this one.
    assert set(process.processes(database.directory)) == set(everybody)
    process.send(database.directory, signal.SIGKILL)
    database.process.wait(timeout=180)
    wait_until(lambda: process.processes(database.directory) == (), "the end of all")


def test_a_stopped_postmaster_that_is_killed_leaves_idle_backends_to_end_by_themselves(
    primary: Server, database: Database
) -> None:
    wait_for(primary, ServerState.WRITABLE)
    assert database.process is not None
    database.process.send_signal(signal.SIGSTOP)
    database.process.kill()
    database.process.wait(timeout=180)
    wait_until(lambda: process.processes(database.directory) == (), "the end of all")


def test_a_smart_shutdown_that_sessions_hold_up_is_made_a_fast_one(
    primary: Server, database: Database
) -> None:
    with session(database) as connection:
        assert database.process is not None
        database.process.terminate()
        time.sleep(1.0)
        connection.execute("CREATE TABLE still_writable (id int)")
        assert primary.refresh(60.0).state is ServerState.WRITABLE
        process.send(database.directory, signal.SIGINT)
        assert database.process.wait(timeout=180) == 0
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


@only_as_root
def test_processes_are_found_without_any_privilege(primary: Server, database: Database) -> None:
    """As in the pod: the same uid and gid, no capability."""
    wait_for(primary, ServerState.WRITABLE)
    user = pwd.getpwnam(USER)
    before = set(process.processes(database.directory))
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
        os.write(write, json.dumps(process.processes(database.directory)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    found = set(json.loads(os.read(read, 4096)))
    os.close(read)
    os.close(write)
    staying = before & set(process.processes(database.directory))
    assert len(staying) >= 7
    assert staying <= found


def test_another_servers_processes_are_not_ours(
    primary: Server, database: Database, tmp_path: Path
) -> None:
    wait_for(primary, ServerState.WRITABLE)
    elsewhere = database.host.make_folder("elsewhere")
    assert process.processes(elsewhere) == ()
    assert process.orphans(elsewhere) == ()
    assert process.processes(tmp_path / "missing") == ()
