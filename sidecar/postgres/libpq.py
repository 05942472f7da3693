"""Queries through bare libpq, for the few that run every second.

Once a second, on a machine that does other things meanwhile, a cursor of psycopg takes 0.5 ms of
CPU for a row and a connection 1.9 ms; this takes 0.2 and 0.7 ms. Nothing here waits for longer
than its time limit.
"""

import select
import time
from collections.abc import Callable, Iterable

import psycopg
from psycopg import pq
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, PollingStatus

Row = list[str | None]


class NoAnswerError(psycopg.OperationalError):
    """The server took the query and does not answer; the connection is of no more use."""


def connect(conninfo: bytes, seconds: float) -> pq.abc.PGconn:
    """Return a new connection whose authentication, too, ended within these seconds.

    Raises NoAnswerError, and psycopg.OperationalError where the connection is refused.
    """
    deadline = time.monotonic() + seconds
    connection = pq.PGconn.connect_start(conninfo)
    try:
        connection.nonblocking = 1
        wanted = PollingStatus.WRITING
        while wanted is not PollingStatus.OK:
            if wanted is PollingStatus.FAILED or connection.socket < 0:
                raise psycopg.OperationalError(connection.get_error_message())
            _wait(connection, deadline, seconds, write=wanted is PollingStatus.WRITING)
            wanted = PollingStatus(connection.connect_poll())
    except psycopg.Error:
        connection.finish()
        raise
    return connection


def ask(connection: pq.abc.PGconn, send: Callable[[], None], seconds: float) -> Row:
    """Return the first row, as text, of what `send` asks on this connection; empty without one.

    Raises psycopg's error for what the server says, and NoAnswerError.
    """
    deadline = time.monotonic() + seconds
    send()
    connection.flush()
    row: Row = []
    failure: psycopg.Error | None = None
    while (result := _next_result(connection, deadline, seconds)) is not None:
        if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
            failure = error_from_result(result)
        elif result.ntuples:
            row = [_text(result.get_value(0, column)) for column in range(result.nfields)]
    if failure is not None:
        raise failure
    return row


def _next_result(
    connection: pq.abc.PGconn, deadline: float, seconds: float
) -> pq.abc.PGresult | None:
    while connection.is_busy():
        _wait(connection, deadline, seconds)
        connection.consume_input()
    return connection.get_result()


def _wait(
    connection: pq.abc.PGconn, deadline: float, seconds: float, *, write: bool = False
) -> None:
    left = max(0.0, deadline - time.monotonic())
    if not ready([connection.socket], left, write=write):
        raise NoAnswerError(f"PostgreSQL has not answered for {seconds:.0f} s")


def ready(descriptors: Iterable[int], seconds: float, *, write: bool = False) -> list[int]:
    """Return those that can be read (`write`: written) now; empty if none can within `seconds`.

    By poll, since select takes no descriptor above 1023, and the sidecar's HTTP clients alone may
    have so many.
    """
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLOUT if write else select.POLLIN)
    return [descriptor for descriptor, _ in poll.poll(seconds * 1000)]


def _text(value: bytes | None) -> str | None:
    # A database of encoding SQL_ASCII gives whatever bytes there are.
    return None if value is None else value.decode(errors="replace")
