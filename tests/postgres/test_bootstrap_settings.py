"""Settings that PostgreSQL refuses a standby: found before anything is written, and started with.

All with a real PostgreSQL; what is decided on it is in tests/sidecar/test_refused_settings.py.
"""

import os
from pathlib import Path

import pytest

from sidecar.observation import DataState
from sidecar.postgres.configuration import standby_settings
from sidecar.postgres.control_data import read_major_version
from sidecar.refused_setting import Origin, RefusedSetting
from sidecar.settings import Settings
from tests.support.bootstrap_pod import Pod
from tests.support.database import Database, Host, own
from tests.support.waiting import wait_until

pytestmark = pytest.mark.postgres

LOWERED = RefusedSetting("max_connections", "50", "100", Origin.FILE)


@pytest.fixture
def pod(host: Host, database: Database) -> Pod:
    """One whose data was written with PostgreSQL's defaults: max_connections is 100."""
    pod = Pod(host)
    pod.data = database.directory
    return pod


def configure(pod: Pod, *lines: str, file: str = "postgresql.conf") -> None:
    path = pod.data / file
    with path.open("a") as text:
        text.writelines(f"{line}\n" for line in lines)
    own(path)


def find(pod: Pod, *arguments: str | Path) -> tuple[RefusedSetting, ...]:
    """What bootstrap tells, where the server is started with these arguments."""
    pod.command = (*pod.command, *arguments)
    # That of an earlier life, which stays until this one has begun.
    (pod.handshake / "report").unlink(missing_ok=True)
    pod.boot()
    return pod.wait_for(lambda view: view.data is DataState.PRESENT).refused


def start(pod: Pod, *, raised: dict[str, str] | None = None, writable: bool = False) -> None:
    """As the sidecar does it."""
    pod.sidecar.write_settings({"hot_standby": "on"}, raised or {})
    own(pod.data / "postgresql.auto.conf")
    assert pod.obey("start-writable" if writable else "start").failure is None


def run(pod: Pod, *arguments: str) -> Database:
    """The container of the database."""
    database = Database(pod.host, pod.data, pod.port)
    folder = pod.host.folder
    database.process = pod.host.start(
        *("postgres", "-D", pod.data, "-p", str(pod.port), "-k", folder, *arguments)
    )
    wait_until(database.answers, "PostgreSQL to accept connections")
    return database


def ask(pod: Pod, statement: str) -> str:
    answer = pod.host.folder / "answer"
    pod.host.run(
        *("psql", "-h", "127.0.0.1", "-p", str(pod.port), "-U", "postgres", "-AtXq"),
        *("-o", answer, "-c", statement),
        PGPASSWORD="secret",
    )
    return answer.read_text().strip()


def end_bootstrap(pod: Pod) -> None:
    pod.process.wait(timeout=180)


def test_a_lowered_setting_in_a_file_is_raised_for_a_standbys_start_and_for_no_longer(
    pod: Pod,
) -> None:
    configure(pod, "max_connections = 50")
    assert find(pod) == (LOWERED,)
    start(pod, raised={"max_connections": "100"})
    database = run(pod)
    assert ask(pod, "select pg_is_in_recovery(), current_setting('max_connections')") == "t|100"
    auto_conf = (pod.data / "postgresql.auto.conf").read_text()
    assert auto_conf.splitlines()[-1] == "max_connections = '0x00000064'"
    # What PostgreSQL rewrites itself is known as ours all the same.
    ask(pod, "select pg_promote()")
    ask(pod, "alter system set work_mem = '5MB'")
    database.stop()
    end_bootstrap(pod)

    assert find(pod) == (LOWERED,)
    assert "max_connections" not in (pod.data / "postgresql.auto.conf").read_text()


def test_an_operators_own_alter_system_is_found_again(pod: Pod) -> None:
    configure(pod, "max_connections = '50'", file="postgresql.auto.conf")
    assert find(pod) == (LOWERED,)
    start(pod, raised={"max_connections": "100"})
    run(pod).stop()
    end_bootstrap(pod)
    assert find(pod) == (LOWERED,)
    lines = (pod.data / "postgresql.auto.conf").read_text().splitlines()
    assert [line for line in lines if line.startswith("max_")] == ["max_connections = '50'"]


def test_a_lowered_argument_is_told_from_a_file_and_nothing_is_written(pod: Pod) -> None:
    configure(pod, "max_connections = 50", "max_worker_processes = 4")
    before = {path.name: path.stat().st_mtime_ns for path in pod.data.iterdir()}
    found = find(pod, "-c", "max_connections=50")
    assert found == (
        RefusedSetting("max_connections", "50", "100", Origin.COMMAND_LINE),
        RefusedSetting("max_worker_processes", "4", "8", Origin.FILE),
    )
    after = {path.name: path.stat().st_mtime_ns for path in pod.data.iterdir()}
    del after[".pgset-heartbeat"]
    assert after == before


@pytest.mark.versions
def test_a_member_can_be_told_whom_to_follow_where_alter_system_is_off(pod: Pod) -> None:
    version = read_major_version(pod.data)
    if version is None or version < 17:
        pytest.skip("this version cannot do without ALTER SYSTEM")
    configure(pod, "allow_alter_system = off")
    assert find(pod) == ()
    settings = Settings(set_name="orders")
    pod.sidecar.write_settings(
        standby_settings(settings, "orders-0", log_hints=False, major_version=version)
    )
    own(pod.data / "postgresql.auto.conf")
    assert pod.obey("start").failure is None
    run(pod)
    ask(pod, "alter system set primary_conninfo = ''")
    end_bootstrap(pod)


def test_a_configuration_elsewhere_is_the_one_that_counts(pod: Pod) -> None:
    elsewhere = pod.host.make_folder("etc") / "postgresql.conf"
    elsewhere.write_text("max_connections = 50\n")
    elsewhere.chmod(0o644)
    assert find(pod, "-c", f"config_file={elsewhere}") == (LOWERED,)


@pytest.mark.parametrize("argument", ["--", "-c", "--single", "-C"])
def test_no_argument_makes_the_look_a_start(pod: Pod, argument: str) -> None:
    configure(pod, "max_connections = 50")
    find(pod, argument)
    assert not (pod.data / "postmaster.pid").exists()
    assert "starting PostgreSQL" not in pod.host.log()


def test_a_command_that_ignores_its_words_is_never_run_to_look(pod: Pod) -> None:
    wrapper = "touch started; exec postgres -c max_connections=60"
    configure(pod, "max_connections = 50")
    pod.command = ("/bin/sh", "-c", wrapper)
    # Its arguments are not known; the file is.
    assert find(pod) == (LOWERED,)
    assert not (pod.host.folder / "started").exists()
    assert not (pod.data / "postmaster.pid").exists()


@pytest.mark.parametrize("text", ["exit 1", "echo nonsense", "sleep 600"])
def test_where_the_look_fails_or_hangs_nothing_is_claimed(pod: Pod, text: str) -> None:
    configure(pod, "max_connections = 50")
    pod.stand_in("postgres", f"#!/bin/sh\n{text}\n")
    pod.hurry()
    assert find(pod) == ()


def test_the_only_member_comes_up_writable_with_its_setting_and_is_read_only_from_then_on(
    pod: Pod,
) -> None:
    assert find(pod, "-c", "max_connections=50") != ()
    (pod.data / "standby.signal").touch()
    own(pod.data / "standby.signal")
    start(pod, writable=True)
    assert pod.look().started_writable
    assert not pod.sidecar.has_standby_signal()
    database = run(pod, "-c", "max_connections=50")
    ask(pod, "create table made ()")
    assert ask(pod, "show max_connections") == "50"
    pod.sidecar.put_standby_signal()
    own(pod.data / "standby.signal")
    database.crash()
    # A restart in place: the data was written with the lower value by now.
    run(pod, "-c", "max_connections=50")
    assert ask(pod, "select pg_is_in_recovery()") == "t"


def test_data_of_minimal_wal_is_adopted_by_one_writable_start(pod: Pod) -> None:
    configure(pod, "wal_level = minimal", "max_wal_senders = 0")
    run(pod).stop()
    found = find(pod)
    assert found == (
        RefusedSetting("wal_level", "minimal", "replica", Origin.DATA),
        RefusedSetting("wal_level", "minimal", "replica", Origin.FILE),
        RefusedSetting("max_wal_senders", "0", "10", Origin.FILE),
    )
    start(pod, raised={"wal_level": "replica", "max_wal_senders": "10"}, writable=True)
    database = run(pod)
    shown = "current_setting('wal_level'), current_setting('max_wal_senders')"
    assert ask(pod, f"select pg_is_in_recovery(), {shown}") == "f|replica|10"
    database.stop()
    end_bootstrap(pod)
    assert [r.origin for r in find(pod)] == [Origin.FILE, Origin.FILE]


def test_minimal_wal_on_the_command_line_is_told(pod: Pod) -> None:
    found = find(pod, "-c", "wal_level=minimal", "-c", "max_wal_senders=0")
    assert found == (
        RefusedSetting("wal_level", "minimal", "replica", Origin.COMMAND_LINE),
        RefusedSetting("max_wal_senders", "0", "10", Origin.COMMAND_LINE),
    )


@pytest.mark.parametrize("was_standby", [False, True])
def test_what_the_data_was_before_its_first_start_is_remembered(
    pod: Pod, *, was_standby: bool
) -> None:
    if was_standby:
        (pod.data / "standby.signal").touch()
        own(pod.data / "standby.signal")
    for _ in range(2):
        find(pod)
        assert pod.obey("start").found_standby is was_standby
        end_bootstrap(pod)


def test_opting_out_leaves_the_operators_own_settings(pod: Pod) -> None:
    find(pod)
    start(pod, raised={"max_connections": "200"})
    pod.sidecar.write_settings({"allow_alter_system": "on"})
    pod.sidecar.remove_standby_signal()
    for name in ("max_connections", "allow_alter_system"):
        assert name not in (pod.data / "postgresql.auto.conf").read_text()
    assert not os.path.lexists(pod.data / "standby.signal")


def test_what_was_raised_goes_in_any_encoding(pod: Pod) -> None:
    """The locale is the image's: in one of UTF-8 no pattern matches a byte that is not."""
    path = pod.data / "postgresql.auto.conf"
    theirs = path.read_bytes() + b"# caf\xe9\n"
    path.write_bytes(theirs + b"hba_file = '/caf\xe9/pgset_hba.conf'\n")
    pod.boot(LC_ALL="C.UTF-8")
    pod.wait_for(lambda view: view.data is DataState.PRESENT)
    assert path.read_bytes() == theirs


def test_a_start_waits_for_no_other_volume_of_its_node(pod: Pod) -> None:
    said = pod.host.folder / "synced"
    pod.stand_in("sync", f'#!/bin/sh\necho "$@" >> {said}\n')
    find(pod)
    start(pod)
    end_bootstrap(pod)
    assert set(said.read_text().splitlines()) == {f"-f {pod.data}"}


def refusal(pod: Pod, **environment: str) -> str | None:
    (pod.handshake / "report").unlink(missing_ok=True)
    pod.boot(**environment)
    return pod.wait_for(lambda view: view.data is not None).refusal


def test_a_port_in_the_configuration_that_the_others_do_not_expect_is_refused(pod: Pod) -> None:
    """Before anything is written: the set would not find its own member."""
    configure(pod, f"port = {pod.port + 1}")
    assert refusal(pod) == (
        f"PostgreSQL would listen on port {pod.port + 1}, but the other members and the Services "
        f"expect {pod.port}: set the annotation pgset.dev/port of the StatefulSet to "
        f'"{pod.port + 1}", or PostgreSQL\'s port to {pod.port}'
    )
    assert not (pod.data / "standby.signal").exists()
    pod.kill()
    pod.command = (*pod.command, "-p", str(pod.port))
    assert refusal(pod) is None


@pytest.mark.parametrize("addresses", ["", "10.1.2.3", "::", "::1, db.example.com"])
def test_a_server_that_the_sidecar_would_not_reach_is_refused(pod: Pod, addresses: str) -> None:
    """It would stay read-only, as nobody could see that it is up."""
    configure(pod, f"listen_addresses = '{addresses}'")
    found = refusal(pod) or ""
    assert found.startswith(f"PostgreSQL would listen on {addresses or 'no address'}, but the")
    assert found.endswith("set listen_addresses to '*'")
    assert not (pod.data / "standby.signal").exists()
    pod.kill()
    (pod.data / ".pgset-found").write_text("writable\n")
    assert refusal(pod) is None  # a set that has lived with it


@pytest.mark.parametrize("addresses", ["*", "0.0.0.0,::", " 10.1.2.3 , 127.0.0.1", "localhost"])
def test_a_server_that_it_reaches_is_not(pod: Pod, addresses: str) -> None:
    configure(pod, f"listen_addresses = '{addresses}'")
    assert refusal(pod) is None


def test_of_what_a_wrapper_makes_of_the_port_nothing_is_said(pod: Pod) -> None:
    configure(pod, f"port = {pod.port + 1}")
    pod.command = ("sh", "-c", 'exec "$0" "$@"', *pod.command)
    assert refusal(pod) is None
