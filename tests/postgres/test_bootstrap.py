"""The bootstrap container's script and the sidecar's end of the hand-shake, with a real initdb."""

import os
import time

import pytest
from psycopg import sql

from sidecar.observation import DataState
from sidecar.postgres.configuration import conninfo, password_file_line
from tests.support.bootstrap_pod import Pod, sidecar_of
from tests.support.clock import Clock
from tests.support.database import Database, Host, free_port, own
from tests.support.standby import session
from tests.support.waiting import wait_until
from webhook.command_line import Environment, read

pytestmark = [pytest.mark.postgres, pytest.mark.versions]


@pytest.fixture
def pod(host: Host) -> Pod:
    return Pod(host)


@pytest.fixture
def primary(database: Database) -> Database:
    hba = database.directory / "pg_hba.conf"
    hba.write_text("host all all all scram-sha-256\nhost replication all all scram-sha-256\n")
    database.start()
    return database


def from_primary(pod: Pod, primary: Database) -> str:
    line = password_file_line("secret").replace("pgset_replication", "postgres")
    pod.sidecar.write_password_file(line)
    own(pod.handshake / "pgpass")
    return conninfo({"host": "127.0.0.1", "port": str(primary.port), "user": "postgres"})


def test_initdb_by_the_stock_entrypoint_with_checksums_and_then_a_read_only_start(
    pod: Pod,
) -> None:
    pod.boot_with(DataState.EMPTY)
    made = pod.obey("initdb")
    assert (made.data, made.failure, made.running) == (DataState.PRESENT, None, True)
    assert made.system_identifier is not None
    assert (pod.data / "standby.signal").exists()
    assert pod.obey("start").running is False
    assert pod.process.wait(timeout=180) == 0

    database = Database(pod.host, pod.data, pod.port)
    database.start()
    pod.host.run(
        *("psql", "-p", str(pod.port), "-U", "postgres", "-c"),
        "DO $$ BEGIN ASSERT pg_is_in_recovery() AND "
        "current_setting('data_checksums') = 'on'; END $$",
    )


def test_a_script_in_a_file_that_passes_no_arguments_on_fails_the_order_and_says_why(
    pod: Pod,
) -> None:
    """What it does is seen by nobody before; and bootstrap must not wait for it for ever."""
    words = " ".join(map(str, pod.command))
    pod.command = (pod.stand_in("start.sh", f"#!/bin/sh\nexec /bin/bash {words}\n"),)
    pod.boot_with(DataState.EMPTY)
    made = pod.obey("initdb")
    assert made.data is DataState.INTERRUPTED
    assert (made.failure or "").startswith("the command that starts PostgreSQL passes on no arg")


def test_a_shell_that_the_webhook_accepts_makes_a_first_database(pod: Pod) -> None:
    """As its refusal of other shells says it: exec, and arguments that are passed on."""
    pod.command = ("/bin/sh", "-c", 'true; exec "$0" "$@"', *pod.command)
    assert not read([str(word) for word in pod.command], Environment([])).drops_arguments
    pod.boot_with(DataState.EMPTY)
    assert pod.obey("initdb").data is DataState.PRESENT


@pytest.mark.parametrize("program", ["gosu", "su-exec", "s6-setuidgid"])
def test_a_shell_that_changes_to_the_user_that_bootstrap_is_by_then_makes_a_first_database(
    pod: Pod, program: str
) -> None:
    pod.stand_in(program, "#!/bin/sh\necho 'operation not permitted' >&2\nexit 1\n")
    script = f'exec {program} postgres "$0" "$@"'
    pod.command = ("/bin/sh", "-c", script, *pod.command)
    assert read([str(word) for word in pod.command], Environment([])).started_by == ""
    pod.boot_with(DataState.EMPTY)
    assert pod.obey("initdb").data is DataState.PRESENT


def test_initdb_that_was_cut_short_is_redone(pod: Pod) -> None:
    pod.boot_with(DataState.EMPTY)
    (pod.data / ".pgset-new/base").mkdir(parents=True)
    own(pod.data / ".pgset-new")
    own(pod.data / ".pgset-new/base")
    pod.process.kill()
    pod.process.wait()

    pod.boot_with(DataState.INTERRUPTED)
    assert pod.obey("initdb").data is DataState.PRESENT
    assert not (pod.data / ".pgset-new").exists()


def test_a_failing_init_script_is_told_and_nothing_is_left_to_start(pod: Pod) -> None:
    pod.boot(POSTGRES_INITDB_ARGS="--no-such-option")
    pod.wait_for(lambda view: view.data is DataState.EMPTY)
    failed = pod.obey("initdb")
    assert (failed.data, failed.failure) == (
        DataState.INTERRUPTED,
        "initdb failed: see the log of container pgset-bootstrap",
    )


def test_a_clone_starts_as_a_standby(pod: Pod, primary: Database) -> None:
    pod.boot_with(DataState.EMPTY)
    cloned = pod.obey("clone", from_primary(pod, primary))
    assert (cloned.data, cloned.failure, cloned.copied) == (DataState.PRESENT, None, True)
    assert (pod.data / "standby.signal").exists()
    pod.obey("start")
    copy = Database(pod.host, pod.data, pod.port)
    copy.start()


@pytest.mark.parametrize("name", ["postgresql.conf", "pg_hba.conf"])
def test_a_configuration_that_is_a_link_is_told_since_no_copy_gets_it(
    pod: Pod, primary: Database, name: str
) -> None:
    primary.stop()
    file, elsewhere = primary.directory / name, primary.host.folder / name
    elsewhere.write_bytes(file.read_bytes())
    own(elsewhere)
    file.unlink()
    file.symlink_to(elsewhere)
    primary.start()
    pod.boot_with(DataState.EMPTY)
    made = pod.obey("clone", from_primary(pod, primary))
    assert made.data is DataState.INTERRUPTED
    assert (made.failure or "").startswith(f"{name} is a symbolic link on the primary")
    pod.kill()
    parameter = {"postgresql.conf": "config_file", "pg_hba.conf": "hba_file"}[name]
    pod.command = (*pod.command, "-c", f"{parameter}={elsewhere}")
    pod.boot_with(DataState.INTERRUPTED)
    assert pod.obey("clone", from_primary(pod, primary)).data is DataState.PRESENT


def test_no_commit_takes_a_clone_for_the_standby_that_it_waits_for(
    pod: Pod, primary: Database
) -> None:
    waits_for = "synchronous_standby_names = 'ANY 1 (\"orders-0\")'"
    with session(primary) as connection:
        connection.execute(f"ALTER SYSTEM SET {waits_for}")
        connection.execute("SELECT pg_reload_conf()")
    pod.boot_with(DataState.EMPTY)
    source = f"{from_primary(pod, primary)} {conninfo({'application_name': 'orders-0'})}"
    assert pod.obey("clone", source).data is DataState.PRESENT
    assert "synchronous_standby_names" in primary.host.log()
    assert 'standby "orders-0" is now a candidate' not in primary.host.log()


def test_a_clone_that_was_cut_short_is_redone_and_never_started(
    pod: Pod, primary: Database
) -> None:
    pod.boot_with(DataState.EMPTY)
    assert pod.obey("clone", from_primary(pod, primary)).data is DataState.PRESENT
    # As if the pod had been killed before the last file had come.
    (pod.data / ".pgset-new").mkdir(mode=0o700)
    own(pod.data / ".pgset-new")
    for path in pod.data.iterdir():
        if not path.name.startswith(".pgset-"):
            path.rename(pod.data / ".pgset-new" / path.name)
    pod.process.kill()
    pod.process.wait()

    pod.boot_with(DataState.INTERRUPTED)
    assert pod.obey("start").failure == "there is no database to start"
    again = pod.obey("clone", from_primary(pod, primary))
    assert (again.data, again.failure) == (DataState.PRESENT, None)


@pytest.mark.parametrize("verb", ["initdb", "clone"])
def test_data_is_never_made_where_there_is_some(pod: Pod, database: Database, verb: str) -> None:
    pod.data = database.directory
    pod.boot_with(DataState.PRESENT)
    before = sorted(path.name for path in pod.data.iterdir())
    assert pod.obey(verb).failure == "there is data already"
    assert sorted(path.name for path in pod.data.iterdir()) == before


def test_an_unreachable_primary_leaves_no_data(pod: Pod) -> None:
    pod.boot_with(DataState.EMPTY)
    nobody = conninfo({"host": "127.0.0.1", "port": str(free_port()), "connect_timeout": "2"})
    failed = pod.obey("clone", nobody)
    assert failed.failure == "the clone failed: see the log of container pgset-bootstrap"
    assert failed.data is DataState.INTERRUPTED


def test_existing_data_is_found_and_only_made_read_only(pod: Pod, database: Database) -> None:
    pod.data = database.directory
    before = sorted(path.name for path in database.directory.iterdir())
    pod.boot_with(DataState.PRESENT)
    assert pod.look().timeline == 1
    pod.obey("start")
    after = sorted(path.name for path in database.directory.iterdir())
    assert after == sorted([*before, "standby.signal", ".pgset-found", ".pgset-heartbeat"])


def test_files_that_are_no_database_are_refused(pod: Pod) -> None:
    pod.data.mkdir(0o700)
    own(pod.data)
    (pod.data / "thesis.txt").write_text("irreplaceable")
    pod.boot()
    refused = pod.wait_for(lambda view: view.refusal is not None)
    assert "holds files, but not a PostgreSQL database" in (refused.refusal or "")
    pod.sidecar.order("initdb")
    time.sleep(0.5)
    assert [path.name for path in pod.data.iterdir() if path.name[0] != "."] == ["thesis.txt"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder of another user")
def test_a_data_directory_of_another_user_is_refused(pod: Pod) -> None:
    pod.data.mkdir(0o755)
    pod.boot()
    refused = pod.wait_for(lambda view: view.refusal is not None)
    assert "belongs to uid 0, but PostgreSQL runs as uid" in (refused.refusal or "")


def test_an_order_of_an_earlier_life_is_not_obeyed(pod: Pod) -> None:
    pod.boot_with(DataState.EMPTY)
    pod.obey("initdb")
    pod.obey("start")
    pod.process.wait(timeout=180)
    pod.boot_with(DataState.PRESENT)
    time.sleep(0.5)
    assert pod.process.poll() is None
    assert pod.look().running is True


def test_a_restarted_sidecar_knows_that_postgresql_was_started(pod: Pod) -> None:
    pod.boot_with(DataState.EMPTY)
    pod.obey("initdb")
    pod.obey("start")
    again = sidecar_of(pod.handshake, "orders-0", "uid-0")
    assert again.observe(time.monotonic()).running is False


def test_a_directory_where_another_pod_writes_is_in_use_until_that_one_is_silent(
    pod: Pod, database: Database
) -> None:
    pod.data = database.directory
    pod.clock = clock = Clock()
    heartbeat = pod.data / ".pgset-heartbeat"
    heartbeat.write_text("uid-old 1\n")
    pod.boot_with(DataState.PRESENT)
    assert pod.look().other_writer == "uid-old"
    clock.advance(2.0)
    heartbeat.write_text("uid-old 2\n")
    assert pod.look().other_writer == "uid-old"
    clock.advance(2.0)
    assert pod.wait_for(lambda view: view.other_writer is None)
    assert heartbeat.read_text().startswith("uid-0 ")


def test_half_moved_files_are_put_in_order_only_once_no_other_pod_writes_there(
    pod: Pod, database: Database
) -> None:
    """They may be on their way by that pod's hand."""
    pod.data = database.directory
    up = pod.data / ".pgset-up"
    up.mkdir(0o700)
    (pod.data / "PG_VERSION").rename(up / "PG_VERSION")
    own(up)
    pod.clock = clock = Clock()
    (pod.data / ".pgset-heartbeat").write_text("uid-old 1\n")
    pod.boot()
    waiting = pod.wait_for(lambda view: view.other_writer is not None)
    assert (waiting.data, (up / "PG_VERSION").exists()) == (None, True)
    clock.advance(2.0)
    settled = pod.wait_for(lambda view: view.data is not None)
    assert (settled.data, settled.other_writer) == (DataState.PRESENT, None)
    assert not up.exists()


def test_a_pod_that_left_in_order_is_not_waited_for(pod: Pod, database: Database) -> None:
    pod.data = database.directory
    pod.boot_with(DataState.PRESENT)
    pod.sidecar.leave()
    successor = sidecar_of(pod.handshake, "orders-0", "uid-new", ttl=60)
    assert successor.observe(time.monotonic()).other_writer is None


def test_settings_stand_in_the_stopped_servers_auto_conf(pod: Pod, database: Database) -> None:
    pod.data = database.directory
    pod.boot_with(DataState.PRESENT)
    pod.sidecar.write_settings({"primary_conninfo": "host='a b' password='it''s'"})
    pod.sidecar.write_settings({"primary_conninfo": "host='db' password='it\\'s'"})
    own(pod.data / "postgresql.auto.conf")
    database.start()
    database.host.run(
        "sh",
        "-c",
        f"psql -h 127.0.0.1 -p {database.port} -U postgres -AtXc 'SHOW primary_conninfo' > shown",
        PGPASSWORD="secret",
    )
    shown = (database.host.folder / "shown").read_text().strip()
    assert shown == "host='db' password='it\\'s'"


# ── what is odd in what it finds ──────────────────────────────────────────────────────────


@pytest.mark.parametrize(("mode", "left"), [(0o750, 0o750), (0o700, 0o700), (0o770, 0o700)])
def test_a_directory_that_a_group_may_read_stays_one(
    pod: Pod, database: Database, mode: int, left: int
) -> None:
    """initdb --allow-group-access, for a backup tool of that group."""
    pod.data = database.directory
    pod.data.chmod(mode)
    pod.boot_with(DataState.PRESENT)
    assert pod.data.stat().st_mode & 0o777 == left


def test_initdb_with_a_wal_directory_elsewhere_is_redone_after_it_was_cut_short(pod: Pod) -> None:
    wal = pod.host.make_folder("wal")
    initdb = pod.host.programs / "initdb"
    # However late this test looks, the order is not carried out yet.
    endless = pod.stand_in("initdb", f'#!/bin/sh\n{initdb} "$@"\nexec sleep 600\n')
    pod.boot(POSTGRES_INITDB_WALDIR=str(wal))
    pod.wait_for(lambda view: view.data is DataState.EMPTY)
    pod.sidecar.order("initdb")
    wait_until((wal / "archive_status").is_dir, "initdb to be at work")
    pod.kill()
    endless.unlink()
    assert pod.data.joinpath(".pgset-new/pg_wal").is_symlink()
    pod.boot(POSTGRES_INITDB_WALDIR=str(wal))
    pod.wait_for(lambda view: view.data is DataState.INTERRUPTED)
    made = pod.obey("initdb")
    assert (made.data, made.failure) == (DataState.PRESENT, None)
    assert (pod.data / "pg_wal").readlink() == wal


def test_files_of_somebody_else_in_a_wal_directory_are_left_and_told(pod: Pod) -> None:
    wal = pod.host.make_folder("wal")
    (wal / "precious").write_text("x")
    pod.boot(POSTGRES_INITDB_WALDIR=str(wal))
    pod.wait_for(lambda view: view.data is DataState.EMPTY)
    told = pod.obey("initdb").failure
    assert told is not None
    assert told.startswith(f"the WAL directory {wal} has files")
    assert (wal / "precious").exists()


ODD_NAMES = ("a\nb", "c\r\nd=e", "back\\nslash\\c", 'it\'s "odd" $HOME `id` *', "\u2028\x85\x0b")


def test_the_names_of_tablespaces_are_told_whatever_they_are(pod: Pod, primary: Database) -> None:
    for number, name in enumerate(ODD_NAMES):
        folder = pod.host.make_folder(f"space-{number}")
        with session(primary) as connection:
            place = sql.SQL("CREATE TABLESPACE {} LOCATION {}")
            connection.execute(place.format(sql.Identifier(name), str(folder)))
    pod.boot_with(DataState.EMPTY)
    told = pod.obey("clone", from_primary(pod, primary)).failure
    assert told is not None
    for name in ODD_NAMES:
        assert name.replace("\n", " ") in told
    assert told.endswith("and drop them")


def test_a_clone_uses_the_slot_that_the_primary_keeps_for_it(pod: Pod, primary: Database) -> None:
    with session(primary) as connection:
        connection.execute("SELECT pg_create_physical_replication_slot('pgset_orders_1', true)")
        before = connection.execute("SELECT restart_lsn FROM pg_replication_slots").fetchone()
    conninfo_ = from_primary(pod, primary)
    pod.boot_with(DataState.EMPTY)
    with session(primary) as connection:
        connection.execute("CREATE TABLE filled AS SELECT generate_series(1, 10000)")
    pod.sidecar.order("clone", conninfo_, slot="pgset_orders_1")
    assert pod.wait_for(lambda view: view.busy is None).failure is None
    with session(primary) as connection:
        after = connection.execute("SELECT restart_lsn FROM pg_replication_slots").fetchone()
    assert after != before


def test_a_copy_that_has_filled_the_volume_is_not_begun_again(pod: Pod, primary: Database) -> None:
    """The first is tried: a file system that compresses may have room for it."""
    conninfo_ = from_primary(pod, primary)
    pod.stand_in("df", "#!/bin/sh\necho Filesystem\necho /dev/sda1 100 95 5000 95% /\n")
    copying = pod.stand_in("pg_basebackup", "#!/bin/sh\nexit 1\n")
    pod.boot_with(DataState.EMPTY)
    assert "no room" not in (pod.obey("clone", conninfo_).failure or "")
    copying.unlink()
    failure = pod.obey("clone", conninfo_).failure or ""
    assert failure.startswith("there is no room for a copy of the primary, which has ")
    assert failure.endswith(f"{pod.data} has 4 MB left; enlarge the volume")
    assert not list((pod.data / ".pgset-new").iterdir())
    pod.stand_in("df", "#!/bin/sh\necho Filesystem\necho /dev/sda1 100 5 500000000 5% /\n")
    assert pod.obey("clone", conninfo_).failure is None
