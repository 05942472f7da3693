"""Settings that a restore has left behind: inert in a plain server, alive with standby.signal."""

import pytest

from sidecar.observation import DataState
from sidecar.postgres.configuration import standby_settings
from sidecar.postgres.control_data import read_major_version
from sidecar.settings import Settings
from tests.postgres.test_bootstrap_settings import ask, configure, end_bootstrap, find, pod, run
from tests.support.bootstrap_pod import Pod
from tests.support.database import own
from tests.support.standby import Connect
from tests.support.waiting import wait_until

__all__ = ["pod"]

pytestmark = pytest.mark.postgres

TARGETS = [
    "recovery_target = 'immediate'",
    "recovery_target_time = '2020-01-01 00:00:00+00'",
    "recovery_target_time '2020-01-01 00:00:00+00'",
    "recovery_target_lsn = '0/70000000'",
    "recovery_target_xid = '999999'",
    "recovery_target_name = 'before the release'",
]


@pytest.mark.parametrize("file", ["postgresql.auto.conf", "postgresql.conf"])
@pytest.mark.parametrize("target", TARGETS)
def test_a_target_in_a_file_keeps_nobody_from_leading(pod: Pod, target: str, file: str) -> None:
    configure(
        pod,
        target,
        "recovery_target_action = 'shutdown'",
        "restore_command = 'echo %f >> asked-for; false'",
        file=file,
    )
    assert find(pod) == ()
    pod.sidecar.write_settings(
        standby_settings(Settings(set_name="orders"), "orders-0", log_hints=False)
    )
    own(pod.data / "postgresql.auto.conf")
    assert pod.obey("start").failure is None
    run(pod)
    assert ask(pod, "select pg_is_in_recovery()") == "t"
    ask(pod, "select pg_promote()")
    wait_until(lambda: ask(pod, "select pg_is_in_recovery()") == "f", "the promotion")
    # What somebody has written into postgresql.conf is meant for standbys.
    assert (pod.data / "asked-for").exists() is (file == "postgresql.conf")
    end_bootstrap(pod)


def test_a_trigger_file_promotes_nobody(pod: Pod) -> None:
    version = read_major_version(pod.data)
    if version is None or version > 15:
        pytest.skip("this version has no such file")
    trigger = pod.host.folder / "trigger"
    trigger.touch()
    configure(pod, f"promote_trigger_file = '{trigger}'")
    assert find(pod) == ()
    pod.sidecar.write_settings(
        standby_settings(
            Settings(set_name="orders"),
            "orders-0",
            log_hints=False,
            major_version=version,
        )
    )
    own(pod.data / "postgresql.auto.conf")
    assert pod.obey("start").failure is None
    run(pod)
    assert ask(pod, "show promote_trigger_file") == ""
    assert ask(pod, "select pg_sleep(1), pg_is_in_recovery()") == "|t"
    assert trigger.exists()
    end_bootstrap(pod)


@pytest.mark.parametrize(
    "argument", ["recovery_target_time=2020-01-01 00:00:00+00", "recovery_target_timeline=current"]
)
def test_a_target_on_the_command_line_is_refused_before_anything_is_written(
    pod: Pod, argument: str
) -> None:
    pod.command = (*pod.command, "-c", argument)
    pod.boot()
    name, _, value = argument.partition("=")
    refusal = pod.wait_for(lambda view: view.refusal is not None).refusal or ""
    assert refusal.startswith(f"{name} is {value} on PostgreSQL's command line")
    assert not (pod.data / "standby.signal").exists()
    pod.kill()


def test_no_target_on_the_command_line_is_as_good_as_none(pod: Pod) -> None:
    pod.command = (
        *pod.command,
        "-c",
        "recovery_target_name=",
        "-c",
        "recovery_target_timeline=latest",
    )
    pod.boot_with(DataState.PRESENT)
    assert pod.look().refusal is None
    pod.kill()


def test_a_slow_archive_that_has_nothing_more_keeps_no_member_from_knowing_what_it_has(
    pod: Pod, connect: Connect
) -> None:
    """PostgreSQL then never waits between two rounds, which would show that it has replayed all."""
    configure(pod, "restore_command = 'sleep 1; test -e nowhere/%f'")
    find(pod)
    settings = standby_settings(
        Settings(set_name="orders"), "orders-0", log_hints=False, detached=True
    )
    pod.sidecar.write_settings(settings)
    own(pod.data / "postgresql.auto.conf")
    assert pod.obey("start").failure is None
    run(pod)
    server = connect(pod.port, directory=pod.data)
    wait_until(lambda: server.view().position is not None, "its position")
    end_bootstrap(pod)
