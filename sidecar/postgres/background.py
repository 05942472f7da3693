"""Orders to PostgreSQL that may take their time: they must not delay the next look at it."""

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Final

import psycopg

from sidecar.memory.orders import FOLLOW, SET_SYNCHRONOUS, Order, Orders
from sidecar.postgres.commands import NeedsOperatorError
from sidecar.postgres.connection import Connection

_log = logging.getLogger(__name__)

_IN_WORDS: Final[dict[object, str]] = {
    SET_SYNCHRONOUS: "setting synchronous_standby_names",
    FOLLOW: "setting primary_conninfo and primary_slot_name",
    "promote": "the promotion",
    "prepare": "preparing for replicas",
    "keep-slots": "making replication slots",
    "checkpoint": "a checkpoint",
    "bound-slots": "bounding the WAL that slots keep",
    "raise-settings": "raising settings that are too low for a standby",
    "keep-hba": "copying pg_hba.conf",
    "end-receiver": "ending a walreceiver that computes",
}
"""For operators, who read it in the status and in the log."""


class Background:
    """Carries orders out, one after another, on a connection that is there only for them.

    `sidecar.memory.orders` with a lock and a thread.
    """

    def __init__(self, connect: Callable[[], Connection], on_done: Callable[[], None]) -> None:
        """`on_done`: called, by the thread, after each order."""
        self._connect = connect
        self._on_done = on_done
        self._lock = threading.Lock()
        self._orders = Orders()
        self._commands: dict[object, Callable[[Connection], None]] = {}
        """How the last order of each name is carried out."""
        self._otherwise: dict[object, Callable[[], None]] = {}
        self._problems: dict[object, str] = {}
        self._given = threading.Event()
        self._started = False
        self._thread = threading.Thread(target=self._run, name="orders", daemon=True)

    def start(self) -> None:
        """Start the thread, once: with the process, and not with the first order."""
        if not self._started:
            self._started = True
            self._thread.start()

    def order(
        self,
        order: Order,
        command: Callable[[Connection], None],
        otherwise: Callable[[], None] | None = None,
    ) -> None:
        """Let it be carried out soon; `otherwise` where PostgreSQL takes no such order from us."""
        with self._lock:
            self._orders.give(order)
            self._commands[order[0]] = command
            if otherwise is not None:
                self._otherwise[order[0]] = otherwise
        self._given.set()

    def problem(self) -> str | None:
        """Return one sentence about an order whose last attempt failed."""
        with self._lock:
            return next(iter(self._problems.values()), None)

    def outstanding(self, name: object) -> Order | None:
        """Return the last order of this name, if nobody has seen yet that it took effect."""
        with self._lock:
            return self._orders.outstanding(name)

    def carried_out(self) -> tuple[Order, ...]:
        """Return those that have ended well by now: from now on they may be seen."""
        with self._lock:
            return self._orders.carried_out()

    def was_seen(self, order: Order) -> bool:
        """Let an order of `carried_out` be outstanding no more; False if it was given again since.

        The look that saw it has to have begun after `carried_out` was asked.
        """
        with self._lock:
            return self._orders.was_seen(order)

    def forget_problems(self) -> None:
        """The server is in another state now: what was ordered before no longer counts."""
        with self._lock:
            self._problems.clear()

    def _run(self) -> None:
        while True:
            self._given.wait()
            self._given.clear()
            try:
                self._work()
            except Exception:
                # No order may end the thread, for all others as well.
                _log.exception("the sidecar could not carry out an order")

    def _work(self) -> None:
        """Carry out what has been ordered, on a connection that ends with it."""
        connection: Connection | None = None
        while (begun := self._begin_next()) is not None:
            order, command = begun
            problem = None
            try:
                if connection is None or connection.closed:
                    connection = self._connect()
                command(connection)
            except NeedsOperatorError as error:
                problem = str(error)
            except (psycopg.Error, OSError) as error:
                doing = _IN_WORDS.get(order[0], order[0])
                problem = f"{doing} failed in PostgreSQL: {str(error).strip()}"
                _close(connection)
                if (otherwise := self._otherwise.get(order[0])) is not None:
                    problem = _attempt(otherwise, problem)
            except Exception as error:
                problem = f"the sidecar could not carry out {order[0]}: {error!r}"
                _close(connection)
            self._note(order, problem)
            self._on_done()
        _close(connection)

    def _begin_next(self) -> tuple[Order, Callable[[Connection], None]] | None:
        with self._lock:
            order = self._orders.begin_next()
            if order is None:
                return None
            return order, self._commands[order[0]]

    def _note(self, order: Order, problem: str | None) -> None:
        name = order[0]
        with self._lock:
            self._orders.end(order, well=problem is None)
            known = self._problems.pop(name, None)
            if problem is not None:
                self._problems[name] = problem
        if problem is not None and problem != known:
            _log.warning(problem)


def _attempt(otherwise: Callable[[], None], problem: str) -> str:
    try:
        otherwise()
    except OSError as error:
        return f"{problem}; {error}"
    except Exception as error:
        return f"{problem}; {error!r}"
    return problem


def _close(connection: Connection | None) -> None:
    if connection is not None:
        with contextlib.suppress(psycopg.Error):
            connection.close()
