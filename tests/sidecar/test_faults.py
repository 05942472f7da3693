"""Whatever goes wrong in a thread of the sidecar, it is told, and the thread goes on."""

import errno
import itertools
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sidecar import loop as loop_module
from sidecar.act import Actor
from sidecar.action import Attention, RunInitdb
from sidecar.kube.mirror import Mirror
from sidecar.loop import Loop
from sidecar.observation import (
    BootstrapView,
    DataState,
    Identity,
    LeaseRecord,
    Pod,
    PostgresView,
    ServerState,
)
from sidecar.patiently import Patiently
from sidecar.peers import Peers
from sidecar.postgres import comparison, divergence, way_in
from sidecar.postgres.background import Background
from sidecar.postgres.connection import Address
from sidecar.postgres.credentials import Credentials
from sidecar.postgres.probe import WriteProbe
from sidecar.postgres.server import Server
from sidecar.report.message import Answer, Request
from sidecar.report.server import HttpServer, Waiting, listen
from sidecar.report.snapshot import Reporter
from sidecar.teller import Teller
from sidecar.watchdog import Watchdog
from sidecar.workers import Workers
from tests.sidecar import test_loop
from tests.support.database import free_port
from tests.support.http_server import PATIENT
from tests.support.keys import keys_of
from tests.support.waiting import wait_until

# What a loop is made of, as test_loop has it.
data, adapters, reporter, loop = (
    test_loop.data,
    test_loop.adapters,
    test_loop.reporter,
    test_loop.loop,
)

ERRORS = [
    UnicodeDecodeError("utf-8", b"caf\xe9", 3, 4, "invalid continuation byte"),
    PermissionError(errno.EACCES, os.strerror(errno.EACCES)),
    OSError(errno.EIO, os.strerror(errno.EIO)),
    OSError(errno.ESTALE, os.strerror(errno.ESTALE)),
    ValueError("a number was expected"),
    MemoryError(),
    AssertionError(),
    RuntimeError("can't start new thread"),
]

pytestmark = [pytest.mark.thorough, pytest.mark.parametrize("error", ERRORS, ids=repr)]


class Failing:
    """Raises it at each of its first calls, and then returns what it is told to."""

    def __init__(self, error: Exception, result: Any = None, times: int = 2) -> None:
        self.error, self.result, self.times, self.calls = error, result, times, 0

    def __call__(self, *_: object, **__: object) -> Any:
        self.calls += 1
        if self.calls <= self.times:
            raise self.error
        return self.result

    def has_recovered(self) -> bool:
        return self.calls > self.times


def test_a_worker(error: Exception) -> None:
    workers, work = Workers("w", 1, most_waiting=3), Failing(error)
    workers.start()
    assert all(workers.take(work) for _ in range(3))
    workers.stop()
    assert work.has_recovered()


@pytest.fixture
def served() -> Iterator[Callable[..., HttpServer]]:
    servers: list[HttpServer] = []

    def serve(
        answer: Callable[[Request], Answer], waits: Callable[[Request], Waiting | None]
    ) -> HttpServer:
        listener = listen(0, "127.0.0.1")
        servers.append(HttpServer(answer, listener, waits=waits, seconds=PATIENT))
        servers[0].start()
        return servers[0]

    yield serve
    servers[0].stop()


def ask(server: HttpServer, path: str) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\n\r\n".encode())
        return b"".join(iter(lambda: client.recv(4096), b""))


@pytest.mark.parametrize("waits", [*Waiting, None])
def test_the_http_server_and_its_workers(
    error: Exception, served: Callable[..., HttpServer], waits: Waiting | None
) -> None:
    server = served(Failing(error, Answer(200, b"")), lambda _: waits)
    assert [ask(server, "/status")[9:12] for _ in range(3)] == [b"500", b"500", b"200"]


def test_the_http_server_before_it_answers(
    error: Exception, served: Callable[..., HttpServer]
) -> None:
    server = served(lambda _: Answer(200, b""), Failing(error, result=None))
    assert [ask(server, "/liveness")[9:12] for _ in range(3)] == [b"", b"", b"200"]


def test_the_order_thread(error: Exception) -> None:
    class Connection:
        closed = False

        def close(self) -> None:
            pass

    connect, told, command = Failing(error, Connection()), Failing(error), Failing(error)
    background = Background(connect, told)
    background.start()
    deadline = time.monotonic() + 60
    while not command.has_recovered() and time.monotonic() < deadline:
        background.order(("checkpoint",), command)
        time.sleep(0.01)
    wait_until(lambda: background.problem() is None, "no problem to be left")
    assert all(it.has_recovered() for it in (connect, told, command))


def test_the_look_thread_and_the_probe(error: Exception) -> None:
    directory, told = Failing(error), Failing(error)
    server = Server(
        Credentials("postgres", "secret"),
        clock=time.monotonic,
        on_change=told,
        data_directory=directory,
        port=free_port(),
    )
    writable = Failing(error, result=False)
    probe = WriteProbe(
        Address(Credentials("postgres", "secret")),
        clock=time.monotonic,
        is_writable=writable,
        on_change=lambda: None,
    )
    probe._period = 0.01
    probe.start()
    server.start()
    wait_until(directory.has_recovered, "another look")
    assert server.refresh(60.0).problem is not None
    wait_until(writable.has_recovered, "another probe")
    probe.stop()
    server.stop()


def test_the_watchdog(error: Exception) -> None:
    kill = Failing(error, times=1)
    watchdog = Watchdog(clock=time.monotonic, kill=kill)
    watchdog.trust_until(time.monotonic())
    watchdog.start()
    wait_until(kill.has_recovered, "another kill")
    watchdog.trust_until(None)


def test_a_watch(error: Exception) -> None:
    listed = {"metadata": {"resourceVersion": "7"}, "items": []}

    class Client:
        get = Failing(error, listed, times=1)
        watch = Failing(error, [], times=1)

    mirror = Mirror(
        Client(),  # type: ignore[arg-type]
        "/pods",
        {},
        clock=time.monotonic,
        on_change=lambda: None,
    )
    mirror.start()
    wait_until(lambda: mirror.objects() == {}, "the list")
    wait_until(Client.watch.has_recovered, "another watch")


def test_the_teller(error: Exception) -> None:
    class Api:
        tell = Failing(error, times=1)

    teller = Teller(Identity("orders-0", "uid-0"), Api(), Api())  # type: ignore[arg-type]
    teller._told = ("Situation", "sentence")
    teller.start()

    def has_recovered() -> bool:
        # Of several that wait it tells one, so that the next may come too soon.
        teller._put("Situation", "sentence", Attention.NONE)
        return Api.tell.has_recovered()

    wait_until(has_recovered, "another sentence")


def test_a_question_to_a_peer(error: Exception) -> None:
    peers = Peers(Identity("orders-0", "uid-0"), port=free_port())
    peers._ask_one = Failing(error)  # type: ignore[method-assign]
    pod = Pod("orders-1", "uid-1", "127.0.0.1", None)
    assert peers.ask([pod]) == {}


def test_what_asks_a_primary_where_its_history_left_ours(
    error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    history, told, clock = Failing(error, ()), Failing(error, times=1), itertools.count(step=2.0)
    monkeypatch.setattr(divergence, "history", history)
    finder = divergence.ForkFinder(
        *({}, lambda: ("secret",)),
        data_directory=lambda: tmp_path,
        clock=lambda: next(clock),
        on_change=told,
    )
    finder.start()
    record = LeaseRecord(holder="orders-1_uid-1", resource_version="7", ttl=10, timeline=2)
    stands = PostgresView(ServerState.RECOVERY, since=0.0, timeline=1)
    wait_until(lambda: finder.find(stands, record, "127.0.0.1") is not None, "an answer")
    # Who asks in the moment between the answer and its being known asks once more.
    assert history.calls in (3, 4)
    wait_until(lambda: told.calls > 0, "that it is told")
    later = replace(record, timeline=3)
    wait_until(lambda: finder.find(stands, later, "127.0.0.1") is not None, "another")


def test_what_compares_wal_with_the_primarys(
    error: Exception, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    compare, told, clock = Failing(error, True), Failing(error, times=1), itertools.count(step=2.0)
    monkeypatch.setattr(comparison, "is_same_wal", compare)
    me, bootstrap = Identity("orders-0", "uid-0"), BootstrapView(DataState.PRESENT)
    comparer = comparison.Comparer(
        *(me, {}, lambda: ("secret",)),
        data_directory=lambda: tmp_path,
        clock=lambda: next(clock),
        on_change=told,
    )
    comparer.start()
    record = LeaseRecord(holder="orders-1_uid-1", resource_version="7", ttl=10, timeline=2)
    stands = PostgresView(ServerState.RECOVERY, since=0.0, timeline=1, position=5000)

    def answer(of: LeaseRecord) -> bool | None:
        return comparer.find(stands, of, bootstrap, "127.0.0.1")

    wait_until(lambda: answer(record) is True, "an answer")
    wait_until(lambda: told.calls > 0, "that it is told")
    later = replace(record, holder="orders-2_uid-2")
    wait_until(lambda: answer(later) is True, "another")


def test_what_finds_the_password_that_the_primary_takes(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    identify, keep, clock = Failing(error, "7"), Failing(error), itertools.count(step=20.0)
    monkeypatch.setattr(way_in, "identify", identify)
    finds = way_in.WayIn({}, keys_of("secret"), keep=keep, clock=lambda: next(clock))
    finds.start()
    stands = PostgresView(ServerState.RECOVERY, since=0.0)

    def has_kept() -> bool:
        finds.look(stands, (), "127.0.0.1")
        return keep.has_recovered()

    wait_until(has_kept, "another try")


def test_what_waits_for_the_volume(error: Exception) -> None:
    patiently, look = Patiently(), Failing(error, 7)
    for _ in range(2):
        with pytest.raises(type(error)):
            patiently.run(look, 180.0)
    assert patiently.run(look, 180.0) == 7


def test_a_turn_of_the_loop(
    error: Exception, loop: Loop, reporter: Reporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Turns fail for long where a busy machine stands still in the only one that fails.
    monkeypatch.setattr(loop_module, "_MOST_FAULTY_SECONDS", math.inf)
    observe = Failing(error, times=1)
    working = loop._adapters.bootstrap.observe

    def observed(now: float) -> Any:
        observe()
        return working(now)

    loop._adapters.bootstrap.observe = observed  # type: ignore[method-assign]
    thread = threading.Thread(target=loop.run)
    thread.start()
    wait_until(lambda: reporter.newest() is not None, "a turn that does not fail")
    loop.leave()
    thread.join(timeout=180)
    assert not thread.is_alive()


def test_an_action_is_told_and_ends_nothing(error: Exception, loop: Loop) -> None:
    actor: Actor = loop._actor
    actor._adapters.bootstrap.order = Failing(error)  # type: ignore[method-assign]
    told = actor.carry_out((RunInitdb(),), float("inf"))
    assert told is not None
    assert told.startswith("RunInitdb did not succeed: ")
