"""A connection to PostgreSQL on which nothing ever takes longer than it may.

psycopg's own connections allow no connect time-out under 2 s, and try to cancel a query that
timed out, which hangs where the network swallows packets; so this is libpq with deadlines.
"""

import contextlib
import select
import time

import psycopg
from psycopg import pq

Row = tuple[str | None, ...]


class LinkError(Exception):
    """The server refused, failed or did not answer in time; what it did is then not known."""


class Link:
    """One connection; after a LinkError it is of no use any more."""

    def __init__(self, address: str, password: str, seconds: float) -> None:
        """Connect within so many seconds."""
        conninfo = (
            f"hostaddr={address} port=5432 user=postgres password={password} dbname=postgres "
            "sslmode=disable gssencmode=disable application_name=pgset-chaos"
        )
        self._connection = pq.PGconn.connect_start(conninfo.encode())
        try:
            self._finish_connecting(time.monotonic() + seconds)
        except LinkError:
            self.close()
            raise
        except psycopg.Error as error:
            self.close()
            raise LinkError(_first_line(str(error))) from error

    def ask(self, statement: str, seconds: float) -> list[Row]:
        """Run one statement and return its rows as text; LinkError where that fails."""
        deadline = time.monotonic() + seconds
        try:
            self._connection.send_query(statement.encode())
            self._connection.flush()
            results = []
            while result := self._next_result(deadline):
                results.append(result)
        except psycopg.Error as error:
            raise LinkError(_first_line(str(error))) from error
        if not results:
            raise LinkError("the server has ended the connection")
        return _rows(results[-1])

    def close(self) -> None:
        """Close at once, without a word to the server that could block."""
        with contextlib.suppress(psycopg.Error):
            self._connection.finish()

    def _finish_connecting(self, deadline: float) -> None:
        while True:
            status = self._connection.connect_poll()
            if status == pq.PollingStatus.OK:
                return
            if status == pq.PollingStatus.FAILED:
                raise LinkError(_first_line(_text(self._connection.error_message)))
            self._wait(deadline, writing=status == pq.PollingStatus.WRITING)

    def _next_result(self, deadline: float) -> "pq.abc.PGresult | None":
        while self._connection.is_busy():
            self._wait(deadline, writing=False)
            self._connection.consume_input()
        return self._connection.get_result()

    def _wait(self, deadline: float, *, writing: bool) -> None:
        socket = self._connection.socket
        wanted = select.POLLOUT if writing else select.POLLIN
        poll = select.poll()
        poll.register(socket, wanted)
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise LinkError("timed out")


def _rows(result: "pq.abc.PGresult") -> list[Row]:
    if result.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
        state = result.error_field(pq.DiagnosticField.SQLSTATE) or b""
        message = _first_line(_text(result.error_message))
        raise LinkError(f"{state.decode()} {message}".strip())
    return [
        tuple(
            None if (value := result.get_value(row, column)) is None else value.decode()
            for column in range(result.nfields)
        )
        for row in range(result.ntuples)
    ]


def _text(message: bytes) -> str:
    return message.decode(errors="replace")


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
