"""The bootstrap container's script and the sidecar's end of the hand-shake, with a real initdb."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.bootstrap import Bootstrap
from sidecar.observation import BootstrapView, DataState, Identity
from sidecar.postgres.configuration import conninfo, password_file_line
from tests.support.database import ENTRYPOINT, Database, Host, free_port, own, wait_until

pytestmark = pytest.mark.postgres

SCRIPT = Path(__file__).parents[2] / "sidecar/bootstrap.sh"


class Pod:
    """One pod's data directory, hand-shake folder and sidecar."""

    def __init__(self, host: Host, uid: str = "uid-0", name: str = "pod") -> None:
        self.host = host
        self.handshake = host.make_folder(f"{name}-handshake")
        self.data = host.folder / f"{name}-data"
        self.port = free_port()
        self.sidecar = Bootstrap(self.handshake, Identity("orders-0", uid), silence=1.0)
        self.sidecar.provide_script()

    def boot(self, **environment: str) -> None:
        self.process = self.host.start(
            "/bin/sh",
            self.handshake / "bootstrap.sh",
            shutil.copy(ENTRYPOINT, self.host.folder),
            "postgres",
            "-k",
            self.host.folder,
            PGDATA=str(self.data),
            PGSET_HANDSHAKE=str(self.handshake),
            PGSET_UID=str(self.data.parent.stat().st_uid),
            PGPORT=str(self.port),
            POSTGRES_PASSWORD="secret",
            **environment,
        )

    def look(self) -> BootstrapView:
        return self.sidecar.observe(time.monotonic())

    def wait_for(self, question: Callable[[BootstrapView], bool]) -> BootstrapView:
        wait_until(lambda: question(self.look()), f"bootstrap, which says {self.look()}")
        return self.look()

    def obey(self, verb: str, argument: str = "") -> BootstrapView:
        self.sidecar.order(verb, argument)
        return self.wait_for(lambda view: view.busy is None)

    def boot_with(self, data: DataState) -> None:
        self.boot()
        self.wait_for(lambda view: view.data is data)


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
    assert pod.process.wait(timeout=10) == 0

    database = Database(pod.host, pod.data, pod.port)
    database.start()
    pod.host.run(
        *("psql", "-p", str(pod.port), "-U", "postgres", "-c"),
        "DO $$ BEGIN ASSERT pg_is_in_recovery() AND "
        "current_setting('data_checksums') = 'on'; END $$",
    )


def test_initdb_that_was_cut_short_is_redone(pod: Pod) -> None:
    pod.boot_with(DataState.EMPTY)
    (pod.data / ".pgset-new").mkdir()
    (pod.data / "base").mkdir()
    own(pod.data / ".pgset-new")
    own(pod.data / "base")
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
        "initdb did not succeed: see the log of this container",
    )


def test_a_clone_starts_as_a_standby(pod: Pod, primary: Database) -> None:
    pod.boot_with(DataState.EMPTY)
    cloned = pod.obey("clone", from_primary(pod, primary))
    assert (cloned.data, cloned.failure) == (DataState.PRESENT, None)
    assert (pod.data / "standby.signal").exists()
    pod.obey("start")
    copy = Database(pod.host, pod.data, pod.port)
    copy.start()


def test_a_clone_that_was_cut_short_is_redone_and_never_started(
    pod: Pod, primary: Database
) -> None:
    pod.boot_with(DataState.EMPTY)
    assert pod.obey("clone", from_primary(pod, primary)).data is DataState.PRESENT
    # As if the pod had been killed while the files were being moved up, PG_VERSION last.
    (pod.data / ".pgset-new").mkdir(mode=0o700)
    own(pod.data / ".pgset-new")
    (pod.data / "PG_VERSION").rename(pod.data / ".pgset-new/PG_VERSION")
    pod.process.kill()
    pod.process.wait()

    pod.boot_with(DataState.INTERRUPTED)
    again = pod.obey("clone", from_primary(pod, primary))
    assert (again.data, again.failure) == (DataState.PRESENT, None)


def test_an_unreachable_primary_leaves_no_data(pod: Pod) -> None:
    pod.boot_with(DataState.EMPTY)
    nobody = conninfo({"host": "127.0.0.1", "port": str(free_port()), "connect_timeout": "2"})
    failed = pod.obey("clone", nobody)
    assert failed.failure == "the clone did not succeed: see the log of this container"
    assert failed.data is DataState.INTERRUPTED


def test_existing_data_is_found_and_only_made_read_only(pod: Pod, database: Database) -> None:
    pod.data = database.directory
    before = sorted(path.name for path in database.directory.iterdir())
    pod.boot_with(DataState.PRESENT)
    assert pod.look().timeline == 1
    pod.obey("start")
    after = sorted(path.name for path in database.directory.iterdir())
    assert after == sorted([*before, "standby.signal", ".pgset-heartbeat"])


def test_files_that_are_no_database_are_refused(pod: Pod) -> None:
    pod.data.mkdir(0o700)
    own(pod.data)
    (pod.data / "thesis.txt").write_text("irreplaceable")
    pod.boot()
    refused = pod.wait_for(lambda view: view.refusal is not None)
    assert "holds files but no PostgreSQL database" in (refused.refusal or "")
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
    pod.process.wait(timeout=10)
    pod.boot_with(DataState.PRESENT)
    time.sleep(0.5)
    assert pod.process.poll() is None
    assert pod.look().running is True


def test_a_restarted_sidecar_knows_that_postgresql_was_started(pod: Pod) -> None:
    pod.boot_with(DataState.EMPTY)
    pod.obey("initdb")
    pod.obey("start")
    again = Bootstrap(pod.handshake, Identity("orders-0", "uid-0"), silence=1.0)
    assert again.observe(time.monotonic()).running is False


def test_a_directory_where_another_pod_writes_is_in_use_until_that_one_is_silent(
    pod: Pod, database: Database
) -> None:
    pod.data = database.directory
    heartbeat = pod.data / ".pgset-heartbeat"
    heartbeat.write_text("uid-old 1\n")
    pod.boot_with(DataState.PRESENT)
    assert pod.look().other_writer == "uid-old"
    heartbeat.write_text("uid-old 2\n")
    assert pod.look().other_writer == "uid-old"
    assert pod.wait_for(lambda view: view.other_writer is None)
    assert heartbeat.read_text().startswith("uid-0 ")


def test_a_pod_that_left_in_order_is_not_waited_for(pod: Pod, database: Database) -> None:
    pod.data = database.directory
    pod.boot_with(DataState.PRESENT)
    pod.sidecar.leave()
    successor = Bootstrap(pod.handshake, Identity("orders-0", "uid-new"), silence=60.0)
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
