"""A volume that does not answer: what looks at it does not hang with it, and who writes is known.

Files whose open() hangs are of `tests.support.hung_files`; a frozen file system, where that can be
had, is one.
"""

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.action import StopPostgres
from sidecar.bootstrap import Bootstrap
from sidecar.decide import decide
from sidecar.observation import Identity, Observation
from sidecar.patiently import Patiently
from sidecar.postgres import process
from sidecar.watchdog import Watchdog
from tests.sidecar.rules.observations import (
    LEADER,
    NOW,
    REPLICA,
    RUNNING,
    SETTINGS,
    WRITABLE,
    peer,
)
from tests.support.hung_files import HungFiles, hung
from tests.support.patient_volume import hurry, patient
from tests.support.waiting import wait_until

__all__ = ["hung"]

SECONDS = 120.0
"""For what must not hang; it is given half a second, and what hangs does so for longer."""
TTL = 10


@pytest.fixture
def data(tmp_path: Path) -> Path:
    directory = tmp_path / "data"
    directory.mkdir(exist_ok=True)
    return directory


@pytest.fixture
def bootstrap(tmp_path: Path, data: Path) -> Bootstrap:
    report = f"session=1\ndone=0\nrefusal=\nfailure=\npgdata={data}\ndata=present\nrewind=\n"
    (tmp_path / "report").write_text(report)
    return patient(Bootstrap(tmp_path, Identity("orders-0", "uid-0"), ttl=TTL))


@pytest.fixture
def server(tmp_path: Path, data: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks like a postmaster of this directory."""
    program = tmp_path / "postgres"
    shutil.copy("/bin/sleep", program)
    started = subprocess.Popen([program, "3600"], cwd=data)
    name = Path(f"/proc/{started.pid}/comm")
    wait_until(lambda: name.read_text() == "postgres\n", "the process to have its name")
    (data / "postmaster.pid").write_text(f"{started.pid}\n")
    yield started
    started.kill()
    started.wait()


def answers(bootstrap: Bootstrap) -> None:
    """Wait until what has hung has come to its end."""

    def answered() -> bool:
        try:
            bootstrap.patiently.run(lambda: None)
        except TimeoutError:
            return False
        return True

    wait_until(answered, "the end of what has hung")


# ── patience ──────────────────────────────────────────────────────────────────────────────


def test_who_waits_gets_what_comes_or_an_error_in_time() -> None:
    patiently, go_on = Patiently(), threading.Event()
    assert patiently.run(lambda: 42, SECONDS) == 42
    with pytest.raises(ZeroDivisionError):
        patiently.run(lambda: 1 / 0, SECONDS)
    threads = threading.active_count()
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        patiently.run(go_on.wait, 0.3)
    # At once: none of them begins to wait.
    for _ in range(100):
        with pytest.raises(TimeoutError):
            patiently.run(go_on.wait, 2 * SECONDS)
    assert time.monotonic() - began < SECONDS
    # One that an earlier test has left behind may have ended meanwhile.
    assert threading.active_count() <= threads
    go_on.set()
    wait_until(lambda: _tried(patiently), "the end of what has hung")


def _tried(patiently: Patiently) -> bool:
    try:
        return patiently.run(lambda: True)
    except TimeoutError:
        return False


# ── a look ────────────────────────────────────────────────────────────────────────────────


def test_a_look_does_not_hang_and_says_for_how_long_the_volume_has(
    bootstrap: Bootstrap, data: Path, hung: HungFiles
) -> None:
    before = bootstrap.observe(100.0)
    heartbeat = data / ".pgset-heartbeat"
    hung.hang(heartbeat)
    hurry(bootstrap)
    began = time.monotonic()
    seen = [bootstrap.observe(102.0), bootstrap.observe(104.0), bootstrap.observe(122.0)]
    with pytest.raises(TimeoutError):
        bootstrap.put_standby_signal()
    assert time.monotonic() - began < SECONDS
    assert {view.silent_since for view in seen} == {102.0}
    assert seen[-1].write_failure == f"{data} has not answered for 20 s"
    hung.answer(heartbeat)
    hurry(bootstrap, hurries=False)
    answers(bootstrap)
    after = bootstrap.observe(124.0)
    assert (before.silent_since, after.silent_since, after.write_failure) == (None, None, None)
    assert heartbeat.read_text().split()[0] == "uid-0"


def test_a_stall_is_no_silence_of_another_writer(
    bootstrap: Bootstrap, data: Path, hung: HungFiles
) -> None:
    """Its beats did not come through either: it may live, and write when the volume answers."""
    heartbeat = data / ".pgset-heartbeat"
    heartbeat.write_text("uid-9 7\n")
    assert bootstrap.observe(100.0).other_writer == "uid-9"
    hung.hang(heartbeat)
    hurry(bootstrap)
    bootstrap.observe(102.0)
    hurry(bootstrap, hurries=False)
    hung.answer(heartbeat)
    answers(bootstrap)
    told = [bootstrap.observe(moment).other_writer for moment in (160.0, 169.0, 171.0)]
    assert told == ["uid-9", "uid-9", None]


def test_a_beat_that_comes_late_does_not_take_the_directory(
    bootstrap: Bootstrap, data: Path, hung: HungFiles
) -> None:
    """The other was taken for dead just before the stall, and our beat came after it."""
    heartbeat, new = data / ".pgset-heartbeat", data / ".pgset-heartbeat.new"
    heartbeat.write_text("uid-9 7\n")
    hung.hang(new)
    bootstrap.observe(100.0)
    hurry(bootstrap)
    assert bootstrap.observe(111.0).silent_since == 111.0
    hurry(bootstrap, hurries=False)
    hung.answer(new)
    answers(bootstrap)
    assert heartbeat.read_text().split()[0] == "uid-0"
    assert bootstrap.observe(150.0).other_writer == "uid-9"
    heartbeat.write_text("uid-9 8\n")
    told = [bootstrap.observe(moment).other_writer for moment in (158.0, 167.0, 169.0)]
    assert told == ["uid-9", "uid-9", None]


# ── the kill ──────────────────────────────────────────────────────────────────────────────


def watched_to_its_end(data: Path, server: subprocess.Popen[bytes]) -> None:
    """Let the real watchdog kill the server, and see that it does."""
    watchdog = Watchdog(clock=time.monotonic, kill=lambda: process.send(data, signal.SIGKILL))
    watchdog.trust_until(time.monotonic())
    watchdog.start()
    try:
        assert server.wait(timeout=SECONDS) == -signal.SIGKILL
    finally:
        watchdog.trust_until(None)


def test_the_watchdog_kills_whom_it_knows(
    data: Path, server: subprocess.Popen[bytes], hung: HungFiles
) -> None:
    assert process.postmaster_pid(data) == server.pid
    hung.hang(data / "postmaster.pid")
    watched_to_its_end(data, server)


def test_a_sidecar_that_has_just_started_kills_whom_it_finds_by_its_folder(
    data: Path, server: subprocess.Popen[bytes], hung: HungFiles
) -> None:
    hung.hang(data / "postmaster.pid")
    watched_to_its_end(data, server)


@pytest.fixture
def freezable(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, in place of the data directory; thawed whatever happens."""
    image, volume = tmp_path / "image", tmp_path / "data"
    volume.mkdir()
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    if subprocess.run(["mount", "-o", "loop", image, volume], check=False).returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        yield volume
    finally:
        subprocess.run(["fsfreeze", "--unfreeze", volume], check=False, capture_output=True)
        subprocess.run(["umount", "--lazy", volume], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can do this")
def test_a_frozen_file_system_keeps_nobody_from_looking_and_killing(
    freezable: Path, bootstrap: Bootstrap, server: subprocess.Popen[bytes]
) -> None:
    assert bootstrap.observe(100.0).silent_since is None
    assert process.postmaster_pid(freezable) == server.pid
    subprocess.run(["fsfreeze", "--freeze", freezable], check=True)
    try:
        began = time.monotonic()
        hurry(bootstrap)
        assert bootstrap.observe(102.0).silent_since == 102.0
        watched_to_its_end(freezable, server)
        assert time.monotonic() - began < 2 * SECONDS
    finally:
        subprocess.run(["fsfreeze", "--unfreeze", freezable], check=True)
    hurry(bootstrap, hurries=False)
    answers(bootstrap)
    assert bootstrap.observe(104.0).silent_since is None


# ── what is decided ───────────────────────────────────────────────────────────────────────


def stalled(observation: Observation, seconds: float = 20.0) -> Observation:
    bootstrap = replace(
        RUNNING, silent_since=NOW - seconds, write_failure=f"it is silent for {seconds:.0f} s"
    )
    return replace(observation, bootstrap=bootstrap)


def stops(observation: Observation) -> bool:
    return any(isinstance(it, StopPostgres) for it in decide(observation, SETTINGS).actions)


def test_storage_that_stalls_for_all_stops_nobody() -> None:
    """Nobody could do better, and what hangs goes on when the volumes answer."""
    unwell = replace(LEADER, postgres=replace(WRITABLE, unwell_since=NOW - 20))
    primary = stalled(replace(unwell, peers=peer(1, well=False) | peer(2, well=False)))
    assert (decide(primary, SETTINGS).situation, stops(primary)) == ("Leading", False)
    assert not stops(stalled(REPLICA))


@pytest.mark.parametrize("observation", [LEADER, REPLICA], ids=["primary", "replica"])
def test_who_may_have_been_replaced_on_a_silent_volume_is_killed(observation: Observation) -> None:
    """Rule 8: another life of this pod waits for the ttl's silence, and then writes there."""
    pods = tuple(pod for pod in observation.pods or () if pod.uid != observation.me.uid)
    gone = replace(observation, pods=pods)
    assert decide(stalled(gone), SETTINGS).situation == "VolumeLost"
    assert stops(stalled(gone))
    assert not stops(stalled(gone, seconds=6.0))
    assert observation.lease is not None
    unheard = replace(observation.lease, heard_at=NOW - 8, renewed_at=None)
    assert stops(stalled(replace(observation, lease=unheard)))
