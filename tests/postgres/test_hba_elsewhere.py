"""A pg_hba.conf that cannot be written, from a ConfigMap say: one of ours stands in for it."""

import contextlib
import time
from pathlib import Path

import pytest

from sidecar.observation import DataState
from sidecar.postgres.configuration import HBA_LINES
from sidecar.postgres.credentials import Credentials
from sidecar.postgres.server import Server
from tests.postgres.test_bootstrap_settings import ask, configure, end_bootstrap, find, pod, run
from tests.postgres.test_replication_password import replication
from tests.support.bootstrap_pod import Pod
from tests.support.database import Database, own
from tests.support.standby import PATIENT, identify, prepare_server
from tests.support.waiting import wait_until

__all__ = ["pod"]

pytestmark = pytest.mark.postgres

OPERATORS = "# caf\xe9\nhost all all 127.0.0.1/32 scram-sha-256\nlocal all all trust\n"


@pytest.fixture
def elsewhere(pod: Pod) -> Path:
    path = pod.host.folder / "config" / "pg_hba.conf"
    path.parent.mkdir()
    path.write_bytes(OPERATORS.encode("latin-1"))
    for each in (path.parent, path):
        own(each)
    return path


def hba_file(pod: Pod) -> str:
    return ask(pod, "show hba_file")


def start(pod: Pod, *arguments: str) -> Database:
    """As the sidecar starts it."""
    pod.sidecar.write_settings({"hot_standby": "on"})
    for name in ("postgresql.auto.conf", "pgset_hba.conf"):
        if (pod.data / name).exists():
            own(pod.data / name)
    assert pod.obey("start").failure is None
    database = run(pod, *arguments)
    end_bootstrap(pod)
    return database


def watch(pod: Pod) -> Server:
    server = Server(
        Credentials("postgres", "secret"),
        clock=time.monotonic,
        on_change=lambda: None,
        port=pod.port,
        hba_file=pod.sidecar.hba_file,
        limits=PATIENT,
    )
    server.start()
    return server


@pytest.mark.parametrize("config_is_elsewhere", [False, True])
def test_replicas_connect_although_pg_hba_conf_cannot_be_written(
    pod: Pod, elsewhere: Path, config_is_elsewhere: bool
) -> None:
    arguments: tuple[str, ...] = ()
    if config_is_elsewhere:
        config = elsewhere.with_name("postgresql.conf")
        config.write_text(f"hba_file = '{elsewhere}'\nfsync = off\nlisten_addresses = '*'\n")
        own(config)
        arguments = ("-c", f"config_file={config}")
    else:
        configure(pod, f"hba_file = '{elsewhere}'")
    assert find(pod, *arguments) == ()
    database = start(pod, *arguments)
    ask(pod, "select pg_promote()")
    server = watch(pod)
    wait_until(lambda: server.view().state.name == "WRITABLE", "the promotion")
    prepare_server(server)
    assert server.view().problem is None
    assert identify(replication(pod.port), "derived")
    assert elsewhere.read_bytes() == OPERATORS.encode("latin-1")
    server.stop()
    database.stop()
    # Opted out, it is as it was: the next server starts with the operator's own file.
    pod.sidecar.remove_standby_signal()
    own(pod.data / "postgresql.auto.conf")
    run(pod, *arguments)
    assert hba_file(pod) == str(elsewhere)


@pytest.mark.parametrize("is_link", [False, True])
def test_the_copy_is_kept_in_step(pod: Pod, elsewhere: Path, is_link: bool) -> None:
    """Also where PGDATA is a link: a line that is to keep somebody out must count."""
    if is_link:
        (pod.host.folder / "current").symlink_to(pod.data)
        pod.data = pod.host.folder / "current"
    configure(pod, f"hba_file = '{elsewhere}'")
    find(pod)
    start(pod)
    server = watch(pod)
    elsewhere.write_text(f"{OPERATORS}host all nobody_else all reject\n")
    rules = "select count(*) from pg_hba_file_rules where user_name = '{nobody_else}'"

    def is_read() -> bool:
        # The sidecar, which is root here, may replace it once between this and what is asked.
        own(pod.data / "pgset_hba.conf")
        with contextlib.suppress(AssertionError):
            return ask(pod, f"select pg_reload_conf(); {rules}").endswith("1")
        return False

    wait_until(is_read, "the new line", pause=0.5)
    lines = (pod.data / "pgset_hba.conf").read_bytes().split(b"\n")
    assert [lines.count(line.encode()) for line in HBA_LINES] == [1, 1]
    server.stop()


def test_a_setting_that_came_with_a_copy_of_the_primary_goes_again(pod: Pod) -> None:
    """Nothing here is elsewhere: this pod's own pg_hba.conf counts."""
    configure(pod, "hba_file = '/somewhere/data/pgset_hba.conf'", file="postgresql.auto.conf")
    (pod.data / "pgset_hba.conf").write_text(f"{HBA_LINES[0]}\n")
    own(pod.data / "pgset_hba.conf")
    find(pod)
    start(pod)
    assert hba_file(pod) == str(pod.data / "pg_hba.conf")
    assert not (pod.data / "pgset_hba.conf").exists()


def test_on_the_command_line_or_with_our_lines_it_stays(pod: Pod, elsewhere: Path) -> None:
    find(pod, "-c", f"hba_file={elsewhere}")
    assert pod.sidecar.hba_file() is None
    pod.kill()
    pod.command = pod.command[:-2]
    elsewhere.write_text("\n".join((*HBA_LINES, OPERATORS)))
    configure(pod, f"hba_file = '{elsewhere}'")
    (pod.handshake / "report").unlink()
    pod.boot_with(DataState.PRESENT)
    start(pod)
    assert hba_file(pod) == str(elsewhere)
