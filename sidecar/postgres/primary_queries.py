"""Questions that another member's sidecar asks the primary, by the replication protocol.

By that protocol and as the replication role, so that whatever would stop a clone or a standby shows
up here, where the operator can be told, and not in the log of an init container.
"""

import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from typing import Final

import psycopg
from psycopg.pq import DiagnosticField, ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from sidecar.postgres import libpq
from sidecar.postgres.configuration import conninfo
from sidecar.postgres.timeline_history import TimelineHistory, parse_history

_SYSTEM_IDENTIFIER_COLUMN: Final = 0
_TIMELINE_COLUMN: Final = 1
_HISTORY_COLUMN: Final = 1
_FIRST_TIMELINE: Final = 1

_NEVER_IN_CLEAR: Final = {"require_auth": "scram-sha-256,none"}
"""Whoever answers for the primary is not told the password. "none" is for a pg_hba.conf that trusts
the members' addresses: then none is sent."""

_ANSWER_SECONDS: Final = 3.0
"""As long as a connection may take. A walsender ignores statement_timeout."""

_NO_SUCH_FILE: Final = b"58P01"
"""SQLSTATE undefined_file: by it a walsender refuses a WAL file that was removed."""
_WAL: Final = b"w"
_WAL_HEADER: Final = 25
"""Bytes: the letter, where this WAL begins, where the primary's ends, and when it was sent."""


class UpstreamError(Exception):
    """The primary cannot be followed or cloned now; the message says why, in its own words."""


class WalRemovedError(UpstreamError):
    """The primary has no longer the WAL that it was asked for."""


class PasswordRefusedError(UpstreamError):
    """The primary asked for a password and did not let this one in.

    Mostly since it has another; but what it refuses after that, such as a role that may not log in,
    looks the same by libpq.
    """


def identify(parameters: dict[str, str], password: str, seconds: float = _ANSWER_SECONDS) -> str:
    """Return the system identifier of the server behind these libpq parameters.

    `seconds`: for the answer. Raises UpstreamError.
    """
    return identify_with_timeline(parameters, password, seconds)[0]


def identify_with_timeline(
    parameters: dict[str, str], password: str, seconds: float = _ANSWER_SECONDS
) -> tuple[str, int]:
    """Return that system identifier, and the timeline that the server is on. Raises likewise."""
    result = _ask(parameters, password, "IDENTIFY_SYSTEM", seconds)
    return _value(result, _SYSTEM_IDENTIFIER_COLUMN).decode(), int(_value(result, _TIMELINE_COLUMN))


def history(
    parameters: dict[str, str], password: str, timeline: int, seconds: float = _ANSWER_SECONDS
) -> TimelineHistory:
    """Return how the server's `timeline` came about.

    Raises UpstreamError, also where the server has never been on that timeline.
    """
    if timeline == _FIRST_TIMELINE:
        return ()
    result = _ask(parameters, password, f"TIMELINE_HISTORY {timeline:d}", seconds)
    try:
        return parse_history(_value(result, _HISTORY_COLUMN).decode(errors="replace"))
    except ValueError as error:
        raise UpstreamError(f"the history of timeline {timeline} cannot be read") from error


def wal(
    parameters: dict[str, str],
    password: str,
    timeline: int,
    position: int,
    seconds: float = _ANSWER_SECONDS,
) -> Generator[bytes]:
    """Yield the server's WAL of that timeline, from this position in bytes on, piece by piece.

    `seconds`: for each piece. Raises UpstreamError, also where there is no more for so long.
    """
    command = f"START_REPLICATION PHYSICAL {position >> 32:X}/{position & 0xFFFFFFFF:X}"
    with _connected(parameters, password) as connection:
        begun = _answer(connection, f"{command} TIMELINE {timeline:d}", seconds)
        if begun.status != ExecStatus.COPY_BOTH:
            raise _refusal(begun)
        while True:
            deadline = time.monotonic() + seconds
            while (found := connection.get_copy_data(1))[0] == 0:
                _wait(connection, deadline, seconds)
            length, piece = found
            if length < 0:
                break
            if bytes(piece[:1]) == _WAL:
                yield bytes(piece[_WAL_HEADER:])
        ended = connection.get_result()
        raise _refusal(ended) if ended else UpstreamError("the primary has ended the connection")


@contextmanager
def _connected(parameters: dict[str, str], password: str) -> Iterator[PGconn]:
    own = {"password": password, "replication": "true"}
    target = conninfo(parameters | own | _NEVER_IN_CLEAR)
    try:
        with closing(psycopg.connect(target, autocommit=True)) as connection:
            yield connection.pgconn
    except psycopg.Error as error:
        # By libpq, a refused connection does not tell the error's code.
        refused = error.pgconn is not None and error.pgconn.used_password
        kind = PasswordRefusedError if refused else UpstreamError
        raise kind(str(error).strip()) from error


def _ask(parameters: dict[str, str], password: str, command: str, seconds: float) -> PGresult:
    with _connected(parameters, password) as connection:
        result = _answer(connection, command, seconds)
    if result.status != ExecStatus.TUPLES_OK:
        raise _refusal(result)
    return result


def _refusal(result: PGresult) -> UpstreamError:
    removed = result.error_field(DiagnosticField.SQLSTATE) == _NO_SUCH_FILE
    return (WalRemovedError if removed else UpstreamError)(result.get_error_message().strip())


def _wait(connection: PGconn, deadline: float, seconds: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0 or not libpq.ready([connection.socket], left):
        raise UpstreamError(f"the primary has not answered for {seconds:.0f} s")
    connection.consume_input()


def _answer(connection: PGconn, command: str, seconds: float) -> PGresult:
    deadline = time.monotonic() + seconds
    connection.send_query(command.encode())
    while connection.is_busy():
        # What is sent here is far less than a socket's buffer takes.
        _wait(connection, deadline, seconds)
    result = connection.get_result()
    if result is None:
        raise UpstreamError("the primary gave an empty answer")
    return result


def _value(result: PGresult, column: int) -> bytes:
    value = result.get_value(0, column)
    assert value is not None  # noqa: S101 - the protocol gives every column a value
    return value
