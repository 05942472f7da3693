"""How a standby looks for the password that its primary takes, at one that is not there."""

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from sidecar.observation import Pod, PostgresView, ServerState
from sidecar.postgres.configuration import password_file_line
from sidecar.postgres.primary_queries import PasswordRefusedError, UpstreamError, identify
from sidecar.postgres.way_in import WayIn, with_any
from tests.support.keys import keys_of
from tests.support.waiting import wait_until

PASSWORDS = ("likeliest", "former")
POD = Pod("orders-0", "uid-0", None, None)
OLD = replace(POD, signs=False)
STANDBY = PostgresView(ServerState.RECOVERY, since=0.0)
ADDRESS = "127.0.0.1"


def message(kind: bytes, content: bytes) -> bytes:
    """Return one of PostgreSQL's protocol."""
    return kind + (len(content) + 4).to_bytes(4) + content


@contextlib.contextmanager
def primary_that_asks_in_clear(given: list[bytes]) -> Iterator[int]:
    """Someone else at the primary's address: its port. What is sent for a password is `given`."""
    listener = socket.create_server((ADDRESS, 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                with listener.accept()[0] as connection:
                    connection.recv(8192)
                    connection.sendall(message(b"R", (3).to_bytes(4)))
                    if sent := connection.recv(8192):
                        given.append(sent)
                    refusal = b"SFATAL\0C28P01\0Mpassword authentication failed\0\0"
                    connection.sendall(message(b"E", refusal))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def parameters(port: int) -> dict[str, str]:
    local = {"host": ADDRESS, "user": "pgset_replication", "sslmode": "disable"}
    return local | {"port": str(port), "gssencmode": "disable"}


@pytest.mark.parametrize("pod", [POD, OLD])
def test_no_password_is_given_to_who_asks_for_it_in_clear(pod: Pod) -> None:
    given: list[bytes] = []
    with primary_that_asks_in_clear(given) as port:
        target = parameters(port)
        way_in = WayIn(target, keys_of("secret"), keep=lambda _: None, clock=time.monotonic)
        with pytest.raises(UpstreamError, match="scram-sha-256"):
            way_in.ask((pod,), lambda password: identify(target, password))
    assert given == []


def test_a_standbys_libpq_has_the_quick_password_no_more_when_the_last_old_pod_is_gone() -> None:
    """Whatever the primary says: it may be someone else."""
    keys, file = keys_of("secret"), list[str | None]()
    with primary_that_asks_in_clear([]) as port:
        way_in = WayIn(parameters(port), keys, keep=file.append, clock=time.monotonic)
        way_in.start()
        way_in.leave((OLD,))
        way_in.look(STANDBY, (POD,), ADDRESS)
        wait_until(lambda: len(file) == 2, "another line in the file")
    assert file[1] == password_file_line(keys.replication_password((POD,)) or "")


def test_who_looks_starts_no_thread() -> None:
    """Where memory is short, such a start may never end: it would be the loop's end."""
    with socket.create_server((ADDRESS, 0)) as silent:
        port = str(silent.getsockname()[1])
        keys = keys_of("secret")
        way_in = WayIn({"port": port}, keys, keep=lambda _: None, clock=time.monotonic)
        way_in.start()
        before = set(threading.enumerate())
        way_in.look(STANDBY, (POD,), ADDRESS)
        with silent.accept()[0]:
            # One that an earlier test has left behind may have ended meanwhile.
            assert set(threading.enumerate()) <= before


def test_what_is_told_is_why_the_likeliest_password_did_not_let_it_in() -> None:
    """It may be right, and the role have been refused for something else."""

    def ask(password: str) -> None:
        raise PasswordRefusedError(f"the answer to the {password} one")

    with pytest.raises(PasswordRefusedError, match="the answer to the likeliest one"):
        with_any(PASSWORDS, ask)


ASK = """
import os, time
from sidecar.postgres.primary_queries import UpstreamError, identify
from sidecar.postgres.way_in import WayIn
from tests.sidecar.test_way_in import POD, parameters
from tests.support.keys import keys_of
from tests.support.slow_scram import slow_scram

with slow_scram() as attacker:
    target = parameters(attacker.port)
    keys = keys_of("secret")
    way_in = WayIn(target, keys, keep=lambda _: None, clock=time.monotonic, seconds=3.0)
    for _ in range(2):
        try:
            way_in.ask((POD,), lambda password: identify(target, password))
        except UpstreamError as error:
            print(error, flush=True)
    os._exit(0)  # without what libraries tidy up at an end: they are in use
"""


@pytest.mark.thorough
def test_who_has_libpq_compute_for_an_hour_does_not_keep_the_loop() -> None:
    command = [sys.executable, "-c", ASK]
    asked = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    assert asked.stdout.splitlines() == [
        "the primary has not let us in for 3 s",
        "the primary has been asked, and has yet to answer",
    ]
