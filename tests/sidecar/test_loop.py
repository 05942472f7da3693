"""How the loop ends: what it hands over, and what it keeps while PostgreSQL is still there.

With the real adapters on a folder. The API server's address is a port where nobody listens.
"""

import contextlib
import math
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sidecar.act import Actor
from sidecar.action import Clone, Reclone, Rewind
from sidecar.adapters import Adapters
from sidecar.bootstrap import Bootstrap
from sidecar.kube.client import ApiClient
from sidecar.kube.events import Events
from sidecar.kube.lease import LeaseKeeper
from sidecar.kube.pods import Pods
from sidecar.loop import Loop
from sidecar.observation import Identity, Pod, PostgresView, ServerState
from sidecar.observe import observe
from sidecar.peers import Peers
from sidecar.pledges import Pledges
from sidecar.postgres.comparison import Comparer
from sidecar.postgres.credentials import Credentials
from sidecar.postgres.divergence import ForkFinder
from sidecar.postgres.process import WriterMemory
from sidecar.postgres.server import Server
from sidecar.postgres.way_in import WayIn
from sidecar.report.snapshot import Reporter
from sidecar.settings import Settings
from sidecar.teller import Teller
from sidecar.watchdog import Watchdog
from tests.support.clock import Clock
from tests.support.database import free_port
from tests.support.keys import keys_of
from tests.support.patient_volume import patient
from tests.support.waiting import wait_until

ME = Identity("orders-0", "uid-0")
SETTINGS = Settings(set_name="orders")
SUPERUSER = Credentials("postgres", "secret")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    directory = tmp_path / "data"
    directory.mkdir()
    return directory


def secrets(password: str) -> dict[str, Any]:
    keys = keys_of(password)
    way_in = WayIn({}, keys, keep=lambda _: None, clock=time.monotonic)
    return {"keys": keys, "way_in": way_in}


@pytest.fixture
def adapters(tmp_path: Path, data: Path) -> Adapters:
    """Of a member whose bootstrap container has reported its data directory."""
    handshake = tmp_path / "handshake"
    handshake.mkdir()
    report = f"session=1\ndone=0\nrefusal=\nfailure=\nrewind=none\npgdata={data}\ndata=present\n"
    (handshake / "report").write_text(report)
    token, nobody = tmp_path / "token", f"http://127.0.0.1:{free_port()}"
    token.write_text("token")
    client = ApiClient(nobody, tmp_path / "ca.crt", token)
    return Adapters(
        me=ME,
        settings=SETTINGS,
        clock=time.monotonic,
        client=client,
        lease=LeaseKeeper(
            client, "shop", SETTINGS, ME, clock=time.monotonic, on_change=lambda: None
        ),
        pods=Pods(client, "shop", SETTINGS, clock=time.monotonic, on_change=lambda: None),
        bootstrap=patient(Bootstrap(handshake, ME, ttl=10)),
        server=Server(SUPERUSER, clock=time.monotonic, on_change=lambda: None),
        writers=WriterMemory(handshake),
        peers=Peers(ME),
        pledges=Pledges(time.monotonic),
        forks=ForkFinder(
            *({}, tuple),
            data_directory=lambda: data,
            clock=time.monotonic,
            on_change=lambda: None,
        ),
        comparer=Comparer(
            *(ME, {}, tuple),
            data_directory=lambda: data,
            clock=time.monotonic,
            on_change=lambda: None,
        ),
        **secrets("secret"),
    )


@pytest.fixture
def reporter() -> Reporter:
    return Reporter(time.monotonic)


@pytest.fixture
def loop(adapters: Adapters, tmp_path: Path, reporter: Reporter) -> Loop:
    client = ApiClient(f"http://127.0.0.1:{free_port()}", tmp_path / "ca.crt", tmp_path / "token")
    events = Events(client, "shop", ME)
    teller = Teller(ME, adapters.pods, events)
    watchdog = Watchdog(clock=time.monotonic, kill=lambda: None)
    return Loop(adapters, Actor(adapters, events), teller, watchdog, reporter)


@pytest.fixture
def postmaster(tmp_path: Path, data: Path) -> Iterator[None]:
    """A process by that name, as far as the sidecar can see."""
    program = tmp_path / "postgres"
    shutil.copy("/bin/sleep", program)
    process = subprocess.Popen([program, "3600"])
    (data / "postmaster.pid").write_text(f"{process.pid}\n")
    name = Path(f"/proc/{process.pid}/comm")
    wait_until(lambda: name.read_text() == "postgres\n", "the process to have its name")
    yield
    process.kill()
    process.wait()


def beats(data: Path) -> bool:
    return (data / ".pgset-heartbeat").exists()


def test_a_sidecar_that_leaves_makes_room_for_its_successor_at_once(
    adapters: Adapters, loop: Loop, data: Path
) -> None:
    adapters.bootstrap.observe(time.monotonic())
    before = beats(data)
    loop.leave()
    loop.run()
    assert (before, beats(data)) == (True, False)


@pytest.mark.usefixtures("postmaster")
def test_a_writer_that_cannot_be_noted_ends_no_turn(
    adapters: Adapters, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "handshake/writer").mkdir()
    writes = PostgresView(ServerState.WRITABLE, since=0.0)
    monkeypatch.setattr(adapters.server, "view", lambda: writes)
    assert observe(adapters, 0.0).postgres.has_written


@pytest.mark.usefixtures("postmaster")
def test_the_directory_stays_taken_while_postgresql_is_alive(
    adapters: Adapters, loop: Loop, data: Path
) -> None:
    """One writer a directory (rule 8): a sidecar alone that is restarted gives nothing away."""
    adapters.bootstrap.observe(time.monotonic())
    loop.leave()
    loop.run()
    assert beats(data)


def test_a_loop_turns_and_ends_without_an_api_server(loop: Loop, reporter: Reporter) -> None:
    """It publishes what it decided, fails to tell it, goes on, and leaves when it is told to."""
    thread = threading.Thread(target=loop.run)
    thread.start()
    wait_until(lambda: reporter.newest() is not None, "the first turn")
    first = reporter.newest()
    wait_until(lambda: reporter.newest() is not first, "another turn")
    loop.leave()
    thread.join(timeout=180)
    assert first is not None
    assert (first.decision.situation, thread.is_alive()) == ("WaitingForApi", False)


def test_an_annotation_that_counts_as_if_it_were_not_there_is_a_problem(
    loop: Loop, reporter: Reporter, adapters: Adapters, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = adapters.me
    shown = Pod(me.name, me.uid, None, None, problem="annotation such and such")
    monkeypatch.setattr(adapters.pods, "observe", lambda: (shown,))
    loop.leave()
    loop.run()
    newest = reporter.newest()
    assert newest is not None
    assert newest.problem == "annotation such and such"


def fail(loop: Loop) -> None:
    def observed(_: float) -> Any:
        raise ValueError("what nobody thought of")

    loop._adapters.bootstrap.observe = observed  # type: ignore[method-assign]


@pytest.mark.thorough
def test_a_sidecar_that_has_not_decided_yet_lets_the_kubelet_stop_postgresql(
    loop: Loop, reporter: Reporter
) -> None:
    """Restarted, it may hold a Lease that runs out, and has given its watchdog no time."""
    # A machine that stands still for longer than turns may fail would end the loop at once.
    clock = Clock(time.monotonic())
    loop._adapters = replace(loop._adapters, clock=clock)
    fail(loop)
    thread = threading.Thread(target=lambda: suppressed(loop.run))
    thread.start()
    wait_until(reporter.probe_fails, "the probe to fail")
    clock.advance(60)
    thread.join(timeout=180)
    assert (reporter.newest(), thread.is_alive()) == (None, False)


@pytest.mark.thorough
def test_a_sidecar_whose_turns_fail_again_and_again_ends_and_is_started_anew(
    loop: Loop, reporter: Reporter
) -> None:
    thread = threading.Thread(target=lambda: suppressed(loop.run))
    thread.start()
    wait_until(lambda: reporter.newest() is not None, "the first turn")
    fail(loop)
    thread.join(timeout=180)
    assert not thread.is_alive()


def suppressed(work: Callable[[], None]) -> None:
    with contextlib.suppress(ValueError):
        work()


@pytest.mark.usefixtures("postmaster")
@pytest.mark.parametrize("standby_signal", [False, True])
@pytest.mark.parametrize("verb", ["start", "start-writable"])
def test_a_server_that_was_told_to_start_writable_counts_as_one_before_it_answers(
    adapters: Adapters, data: Path, tmp_path: Path, *, verb: str, standby_signal: bool
) -> None:
    report = tmp_path / "handshake/report"
    report.write_text(report.read_text().replace("done=0", "done=1"))
    (tmp_path / "handshake/order").write_text(f"1 1 {verb}\n\n")
    if standby_signal:
        (data / "standby.signal").touch()
    seen = observe(adapters, 0.0)
    assert seen.postgres.alive
    assert seen.bootstrap.started_writable is (verb == "start-writable")
    assert seen.postgres.has_written is (verb == "start-writable" and not standby_signal)


def test_a_member_without_a_password_says_what_to_set_instead_of_copying(
    adapters: Adapters, tmp_path: Path
) -> None:
    """The primary lets nobody in by a password that anybody can compute."""
    client = ApiClient(f"http://127.0.0.1:{free_port()}", tmp_path / "ca.crt", tmp_path / "token")
    without = replace(adapters, **secrets(""))
    actor = Actor(without, Events(client, "shop", ME))
    for action in (Clone("111"), Rewind("111"), Reclone("111")):
        assert "POSTGRES_PASSWORD" in (actor.carry_out((action,), math.inf) or "")
