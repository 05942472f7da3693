"""Orders to PostgreSQL that may take their time: they must not delay the next look at it."""

import contextlib
import logging
import threading
from collections.abc import Callable

import psycopg

from sidecar.postgres.commands import NeedsOperatorError
from sidecar.postgres.connection import Connection

_log = logging.getLogger(__name__)

Key = tuple[object, ...]
"""The order's name and its arguments."""


class Background:
    """Carries orders out, one after another, on a connection that is there only for them.

    An order takes the place of a waiting one of the same name; one that is just being carried out
    with the same arguments is not repeated. What failed is forgotten: it is ordered again.

    Forgotten as work, that is. An order may fail when half of it is done, and the other half come
    about by itself; so the last one of each name counts as outstanding until its success was seen.
    """

    def __init__(self, connect: Callable[[], Connection], on_done: Callable[[], None]) -> None:
        """`on_done`: called, by the thread, after each order."""
        self._connect = connect
        self._on_done = on_done
        self._lock = threading.Lock()
        self._waiting: dict[object, tuple[Key, Callable[[Connection], None]]] = {}
        self._otherwise: dict[object, Callable[[], None]] = {}
        self._current: Key | None = None
        self._working = False
        self._problems: dict[object, str] = {}
        self._unseen: dict[object, Key] = {}
        """The last order of each name, until it was seen to have taken effect."""
        self._carried_out: set[object] = set()
        """The names of those that have ended well, with no other of their name after them."""

    def order(
        self,
        key: Key,
        command: Callable[[Connection], None],
        otherwise: Callable[[], None] | None = None,
    ) -> None:
        """Let it be carried out soon; `otherwise` where PostgreSQL takes no such order from us."""
        with self._lock:
            self._unseen[key[0]] = key
            self._carried_out.discard(key[0])
            if otherwise is not None:
                self._otherwise[key[0]] = otherwise
            if key != self._current:
                self._waiting[key[0]] = (key, command)
            else:
                # The last word counts: one that waits would take it back.
                self._waiting.pop(key[0], None)
            if not self._working:
                self._working = self._start_working()

    def _start_working(self) -> bool:
        try:
            threading.Thread(target=self._work, name="orders", daemon=True).start()
        except RuntimeError:
            # The pod has as many threads as it may have; ordered again, it is tried again.
            return False
        return True

    def problem(self) -> str | None:
        """Return one sentence about an order whose last attempt failed."""
        with self._lock:
            return next(iter(self._problems.values()), None)

    def outstanding(self, name: object) -> Key | None:
        """Return the last order of this name, if nobody has seen yet that it took effect."""
        with self._lock:
            return self._unseen.get(name)

    def carried_out(self) -> tuple[Key, ...]:
        """Return those that have ended well by now: from now on they may be seen."""
        with self._lock:
            return tuple(self._unseen[name] for name in self._carried_out)

    def was_seen(self, key: Key) -> bool:
        """Let an order of `carried_out` be outstanding no more; False if it was given anew since.

        The look that saw it has to have begun after `carried_out` was asked.
        """
        with self._lock:
            if key[0] not in self._carried_out or self._unseen.get(key[0]) != key:
                return False
            self._carried_out.discard(key[0])
            del self._unseen[key[0]]
            return True

    def forget_problems(self) -> None:
        """The server is in another state now: what was ordered before no longer counts."""
        with self._lock:
            self._problems.clear()

    def _work(self) -> None:
        connection: Connection | None = None
        while (order := self._next()) is not None:
            key, command = order
            problem = None
            try:
                if connection is None or connection.closed:
                    connection = self._connect()
                command(connection)
            except NeedsOperatorError as error:
                problem = str(error)
            except (psycopg.Error, OSError) as error:
                problem = f"PostgreSQL did not carry out {key[0]}: {str(error).strip()}"
                _close(connection)
                if (otherwise := self._otherwise.get(key[0])) is not None:
                    problem = _attempt(otherwise, problem)
            except Exception as error:
                # No order may end the thread, for all others as well.
                problem = f"the sidecar could not carry out {key[0]}: {error!r}"
                _close(connection)
            self._note(key, problem)
            self._on_done()
        _close(connection)

    def _next(self) -> tuple[Key, Callable[[Connection], None]] | None:
        with self._lock:
            if not self._waiting:
                self._current, self._working = None, False
                return None
            order = self._waiting.pop(next(iter(self._waiting)))
            self._current = order[0]
            return order

    def _note(self, key: Key, problem: str | None) -> None:
        name = key[0]
        with self._lock:
            if problem is None and self._unseen.get(name) == key and name not in self._waiting:
                self._carried_out.add(name)
            known = self._problems.pop(name, None)
            if problem is not None:
                self._problems[name] = problem
            self._current = None
        if problem is not None and problem != known:
            _log.warning(problem)


def _attempt(otherwise: Callable[[], None], problem: str) -> str:
    try:
        otherwise()
    except OSError as error:
        return f"{problem}; {error}"
    return problem


def _close(connection: Connection | None) -> None:
    if connection is not None:
        with contextlib.suppress(psycopg.Error):
            connection.close()
