"""Connections to this pod's PostgreSQL that never wait for longer than they were told to."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, dict_row

from sidecar.contract import POSTGRES_PORT
from sidecar.memory.server import ANSWER_SECONDS
from sidecar.postgres import libpq
from sidecar.postgres.credentials import Credentials
from sidecar.postgres.libpq import NoAnswerError

CONNECT_SECONDS: Final = 2
"""libpq's minimum; it holds for everything up to the end of the authentication."""


@dataclass(frozen=True)
class Limits:
    """For how many seconds PostgreSQL is waited for."""

    connect: int = CONNECT_SECONDS
    statement: int = 5
    """What PostgreSQL itself gives a statement of ours. Nothing that we ask takes long."""
    answer: float = 6.0
    """So long one answer may take: PostgreSQL ends its statement before, if it can do anything."""
    look: float = ANSWER_SECONDS


LIMITS: Final = Limits()

PINNED_PATH: Final = "-c search_path=pg_catalog,pg_temp"
"""Of every connection of ours: no function, operator or table of a user's is ever ours to call,
however well its argument types fit, and whatever a role or a database is set to. (A temporary
schema is searched first where it is not named.)"""

_OWN_SETTINGS: Final = (
    "-c role=none -c default_transaction_read_only=off -c idle_session_timeout=0 -c lock_timeout=0 "
    # A standby refuses serializable transactions.
    r"-c default_transaction_isolation=read\ committed "
    # One that is not there lets nobody in.
    "-c local_preload_libraries= -c session_preload_libraries= "
    # What we ask needs no file, which a limit or a full volume would refuse.
    "-c work_mem=4MB -c temp_file_limit=-1 "
    # To compile a look takes seconds, and by a low jit_above_cost each one would be.
    "-c jit=off"
)
"""What a role's or a database's own settings are not to make of a connection of ours."""

_TEMPLATE: Final = "template1"
"""It is there wherever CREATE DATABASE is to work, and no user owns it."""

APPLICATION_NAME: Final = "pgset-sidecar"

_HAS_LOGIN_TRIGGERS_AND_TRANSACTION_TIMEOUT: Final = 17
"""The major version from which on a login may start a trigger, and a transaction may have a time
limit of its own; before, nobody knows the settings."""

_Result = TypeVar("_Result")


class Connection(psycopg.Connection[DictRow]):
    """A connection on which each single answer has a time limit.

    A stopped or hung server keeps its sockets, so TCP itself would wait for ever.
    """

    seconds: float | None = Limits.answer
    """The limit; None waits for as long as it takes."""

    def wait(
        self, gen: PQGen[_Result], interval: float = 0.1, timeout: float | None = None
    ) -> _Result:
        """Wait as psycopg does, within the limit. Raises NoAnswerError beyond it."""
        limit = self.seconds if timeout is None else timeout
        try:
            return super().wait(gen, interval, limit)
        except psycopg.OperationalError as error:
            # Any answer, be it an error, and the end of the connection leave another status.
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                raise NoAnswerError(f"PostgreSQL has not answered for {limit:.0f} s") from error
            raise


class Address:
    """Where this pod's PostgreSQL is found, and as whom."""

    def __init__(
        self,
        credentials: Credentials,
        host: str = "127.0.0.1",
        port: Callable[[], int] = lambda: POSTGRES_PORT,
        *,
        major_version: Callable[[], int | None] = lambda: None,
        limits: Limits = LIMITS,
    ) -> None:
        """`major_version`: the server's, as far as it is known without a connection."""
        self._limits = limits
        self._major_version = major_version
        self._port = port
        self._major: int | None = None
        self.user = credentials.user
        self._usual_databases = tuple(
            dict.fromkeys(filter(None, ("postgres", credentials.database, credentials.user)))
        )
        self._database = self._usual_databases[0]
        """The one that let us in last."""
        self._silent: str | None = None
        """The one that did not answer last, where that is to be tried as the last one now."""
        self._probe_in_template = False
        self._parameters: dict[str, Any] = {
            "host": host,
            "user": credentials.user,
            "password": credentials.password,
            # In a database of encoding SQL_ASCII text would come as bytes.
            "client_encoding": "utf8",
            "connect_timeout": limits.connect,
            "gssencmode": "disable",
        }

    def connect(self, *, seconds: float | None) -> Connection:
        """Return a new connection in autocommit; `seconds` limits each answer on it, None does not.

        Where the usual databases are gone, or did not answer the time before, it is one to any
        other: who owns a database can lock its catalogs, and then nobody gets into that one.
        Raises psycopg.Error.
        """
        first: psycopg.Error | None = None
        silent, self._silent = self._silent, None
        for name in self._databases(silent):
            try:
                connection = self._connect_to(name, seconds)
            except psycopg.errors.ConnectionTimeout:
                self._silent = name if silent is None else None
                raise
            except psycopg.Error as error:
                # By libpq, a refused connection does not tell the error's code.
                first = first or error
                if not self.answers():
                    break
            else:
                self._database = name
                return connection
        assert first is not None  # noqa: S101 - there is at least one database to try
        raise first

    def _databases(self, silent: str | None) -> Iterator[str]:
        """Yield the names to try, the one that worked last first, and a silent one last.

        Raises ConnectionTimeout where another one is silent, too: it is the server then.
        """
        usual = list(dict.fromkeys((self._database, *self._usual_databases)))
        yield from (name for name in usual if name != silent)
        try:
            others = self._other_databases()
        except psycopg.Error as error:
            if silent is not None and isinstance(error, psycopg.errors.ConnectionTimeout):
                raise
            others = ()
        yield from (name for name in others if name not in (*usual, silent))
        if silent is not None:
            yield silent

    def _other_databases(self) -> tuple[str, ...]:
        """Ask in template1: not for long, as CREATE DATABASE copies it and waits for nobody.

        Raises psycopg.Error.
        """
        with (
            # Names are not in any one encoding.
            contextlib.suppress(UnicodeError),
            self._connect_to(_TEMPLATE, self._limits.answer) as connection,
        ):
            rows = connection.execute(
                "SELECT datname FROM pg_catalog.pg_database "
                "WHERE datallowconn AND NOT datistemplate ORDER BY oid LIMIT 3"
            )
            return tuple(row["datname"] for row in rows)
        return ()

    def _connect_to(self, database: str, seconds: float | None) -> Connection:
        statement_seconds = 0 if seconds is None else self._limits.statement
        connection = Connection.connect(
            **self._parameters,
            port=self._port(),
            dbname=database,
            application_name=APPLICATION_NAME,
            # Nothing of ours may wait for a replica.
            options=f"{self._options()} -c statement_timeout={statement_seconds}s "
            "-c synchronous_commit=local",
            autocommit=True,
            row_factory=dict_row,
        )
        connection.seconds = seconds
        return connection

    def connect_plainly(self, seconds: float, options: str) -> psycopg.pq.abc.PGconn:
        """Return a connection to be used by `libpq.ask`. Raises as `libpq.connect` does.

        It is one to template1 where the time before nobody answered, for the same reason.
        """
        name = _TEMPLATE if self._probe_in_template else self._database
        self._probe_in_template = False
        options = f"{self._options()} {options}"
        conninfo = self._conninfo(dbname=name, application_name="pgset-probe", options=options)
        try:
            return libpq.connect(conninfo, seconds)
        except libpq.NoAnswerError:
            self._probe_in_template = name != _TEMPLATE
            raise

    def answers(self) -> bool:
        """Return whether the server at least says why it lets nobody in (it may do: starting)."""
        return psycopg.pq.PGconn.ping(self._conninfo()) == psycopg.pq.Ping.OK

    def _options(self) -> str:
        """Return what holds for every connection of ours."""
        # Read until it is known, and never again: a volume may hang later.
        self._major = self._major or self._major_version()
        # A trigger that raises would lock us out, and none is to run with our rights.
        by_version = "-c session_replication_role=replica"
        if (self._major or 0) >= _HAS_LOGIN_TRIGGERS_AND_TRANSACTION_TIMEOUT:
            by_version = "-c event_triggers=off -c transaction_timeout=0"
        return f"{PINNED_PATH} {_OWN_SETTINGS} {by_version}"

    def _conninfo(self, **more: str) -> bytes:
        parameters = self._parameters | {"port": self._port(), "dbname": self._database} | more
        return _written(tuple(parameters.items()))


# Written for each probe: libpq checks it each time, for longer than the connection takes.
@lru_cache(maxsize=8)
def _written(parameters: tuple[tuple[str, Any], ...]) -> bytes:
    return psycopg.conninfo.make_conninfo("", **dict(parameters)).encode()
