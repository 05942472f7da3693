"""One client of the bank: `python -m tests.storm.client transfer|check NAME ADDRESS LOG`.

    transfer  moves money between two accounts every 50 ms, on one connection as long as it lasts
    check     adds up all balances every 100 ms, each time on a new connection

Everything else is as in `tests.chaos.client`.
"""

import random
import sys
from typing import Final

from tests.chaos.client import READ_INTERVAL, SECONDS, Kinds, WrongAnswerError
from tests.chaos.client import main as play
from tests.chaos.link import Link, LinkError
from tests.storm import bank

TRANSFER_INTERVAL: Final = 0.05


class Transfers:
    """Moves money, on one connection as long as that lasts."""

    def __init__(self, address: str, password: str, name: str) -> None:
        self._address = address
        self._password = password
        self._name = name
        self._random = random.Random(name)  # noqa: S311 - which accounts is no secret
        self._link: Link | None = None
        self._server: str | None = None

    def attempt(self, number: int, /) -> str | None:
        """Commit one transfer; return the server's address, or LinkError if that is not known."""
        source, target = self._random.sample(range(1, bank.ACCOUNTS + 1), 2)
        amount = self._random.randint(1, 9)
        try:
            link = self._link or self._connect()
            link.ask(bank.transfer(self._name, number, source, target, amount), SECONDS)
        except LinkError:
            if self._link is not None:
                self._link.close()
            self._link = None
            raise
        return self._server

    def _connect(self) -> Link:
        self._link = Link(self._address, self._password, SECONDS)
        self._server = self._link.ask("select host(inet_server_addr())", SECONDS)[0][0]
        return self._link


class Checks:
    """Adds up all balances, on a new connection each time."""

    def __init__(self, address: str, password: str, _name: str) -> None:
        self._address = address
        self._password = password

    def attempt(self, _number: int, /) -> str | None:
        """Read the sum and return the server's address; WrongAnswerError if it is another sum."""
        link = Link(self._address, self._password, SECONDS)
        try:
            by, total = link.ask(bank.READ, SECONDS)[0]
        finally:
            link.close()
        if total != str(bank.TOTAL):
            raise WrongAnswerError(by, f"the sum is {total}, and not {bank.TOTAL}")
        return by


KINDS: Final[Kinds] = {
    "transfer": (Transfers, TRANSFER_INTERVAL),
    "check": (Checks, READ_INTERVAL),
}

if __name__ == "__main__":
    sys.exit(play(KINDS))
