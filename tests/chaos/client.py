"""One client, as a process of its own: `python -m tests.chaos.client write|anew|read ...`.

    write  commits a numbered row every 20 ms; after a failure it goes on with the next number
    anew   does the same every 100 ms, each time on a new connection, so that each is routed anew
    read   asks every 100 ms, each time on a new connection, so that each is routed anew

Every try is a line of JSON in its log, written out at once. It ends at SIGTERM. The password is
read from PGPASSWORD.
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Final, Protocol, TextIO

from tests.chaos.link import Link, LinkError
from tests.chaos.record import Attempt

SECONDS: Final = 1.0
"""What connecting may take, and a statement."""

WRITE_INTERVAL: Final = 0.02
ANEW_INTERVAL: Final = 0.1
READ_INTERVAL: Final = 0.1


class Client(Protocol):
    """What tries."""

    def attempt(self, number: int, /) -> str | None:
        """Return the address of the server that said yes; LinkError where none is known to have."""


class WrongAnswerError(Exception):
    """The server at `by` answered, and what it said can't be."""

    def __init__(self, by: str | None, message: str) -> None:
        super().__init__(message)
        self.by = by


class Writer:
    """Commits rows on one connection, as long as that lasts."""

    def __init__(self, address: str, password: str, name: str) -> None:
        self._address = address
        self._password = password
        self._name = name
        self._link: Link | None = None

    def attempt(self, number: int) -> str | None:
        """Commit the row and return the server's address; LinkError where that is not known."""
        try:
            self._link = self._link or Link(self._address, self._password, SECONDS)
            rows = self._link.ask(
                f"insert into chaos values ('{self._name}', {number}) "  # noqa: S608 - our own name
                "returning host(inet_server_addr())",
                SECONDS,
            )
        except LinkError:
            if self._link is not None:
                self._link.close()
            self._link = None
            raise
        return rows[0][0]


class AnewWriter(Writer):
    """Commits each row on a new connection."""

    def attempt(self, number: int) -> str | None:
        """Commit the row and return the server's address; LinkError where that is not known."""
        try:
            return super().attempt(number)
        finally:
            if self._link is not None:
                self._link.close()
            self._link = None


class Reader:
    """Asks on a new connection each time."""

    def __init__(self, address: str, password: str, name: str) -> None:
        self._address = address
        self._password = password
        self._name = name

    def attempt(self, _number: int) -> str | None:
        """Read, and return the server's address."""
        link = Link(self._address, self._password, SECONDS)
        try:
            return link.ask("select host(inet_server_addr()), max(n) from chaos", SECONDS)[0][0]
        finally:
            link.close()


Kinds = Mapping[str, tuple[Callable[[str, str, str], Client], float]]
"""By what a client does: how it is made, of an address, a password and a name, and its interval in
seconds."""

KINDS: Final[Kinds] = {
    "write": (Writer, WRITE_INTERVAL),
    "anew": (AnewWriter, ANEW_INTERVAL),
    "read": (Reader, READ_INTERVAL),
}


def play(
    name: str,
    attempt: Callable[[int], str | None],
    interval: float,
    log: TextIO,
    stopping: threading.Event,
) -> None:
    """Try in this interval (seconds); after a long try the next comes at once."""
    number, due = 0, time.monotonic()
    while not stopping.wait(max(0.0, due - time.monotonic())):
        began = time.monotonic()
        by, error = None, ""
        try:
            by = attempt(number)
        except LinkError as failure:
            error = str(failure)[:120]
        except WrongAnswerError as wrong:
            by, error = wrong.by, str(wrong)
        ended = time.monotonic()
        print(json.dumps(asdict(Attempt(name, number, began, ended, by, error))), file=log)
        number += 1
        due = max(due + interval, ended)


def main(kinds: Kinds) -> int:
    """Play until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=kinds)
    parser.add_argument("name")
    parser.add_argument("address")
    parser.add_argument("log")
    chosen = parser.parse_args()
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    # Ctrl-C is the runner's: it ends its clients after the healing.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    kind, interval = kinds[chosen.what]
    client = kind(chosen.address, os.environ["PGPASSWORD"], chosen.name)
    with open(chosen.log, "w", buffering=1) as log:  # noqa: PTH123 - by line, as it comes
        play(chosen.name, client.attempt, interval, log, stopping)
    return 0


if __name__ == "__main__":
    sys.exit(main(KINDS))
