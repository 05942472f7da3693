"""The running PostgreSQL of this pod, over one connection that a thread of its own keeps.

The loop never waits for PostgreSQL: it reads the last view and leaves requests, so that a hung
server cannot keep the sidecar from renewing or fencing.
"""

import contextlib
import logging
import os
import select
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import DictRow, dict_row

from sidecar.contract import POSTGRES_PORT
from sidecar.observation import PostgresView, ServerState
from sidecar.postgres.configuration import (
    HBA_LINE,
    MIN_WAL_KEEP_MB,
    REPLICATION_ROLE,
    with_hba_line,
)
from sidecar.postgres.credentials import Credentials

_log = logging.getLogger(__name__)

_POLL_SECONDS: Final = 1.0
_POLL_SECONDS_DOWN: Final = 0.2
"""A connection that is refused costs next to nothing, and somebody waits for the server."""
_POLL_SECONDS_PROMOTING: Final = 0.05
"""A promotion takes about 0.1 s, in which nobody can write."""
_CONNECT_SECONDS: Final = 2
"""libpq's minimum."""

_OBSERVE: Final[LiteralString] = """
SELECT system.system_identifier::text,
       CASE WHEN pg_is_in_recovery()
            THEN greatest(checkpoint.timeline_id, recovery.min_recovery_end_timeline,
                          receiver.received_tli)
            -- A WAL file's name begins with its timeline, in hexadecimal.
            ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int
       END AS timeline,
       pg_wal_lsn_diff(
           CASE WHEN pg_is_in_recovery()
                THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
                ELSE pg_current_wal_lsn()
           END, '0/0')::bigint AS position,
       pg_is_in_recovery() AS recovery,
       coalesce(receiver.status = 'streaming', false) AS streaming,
       greatest(0, pg_wal_lsn_diff(receiver.latest_end_lsn, pg_last_wal_replay_lsn()))::bigint
           AS lag,
       ARRAY(SELECT application_name FROM pg_stat_replication
             WHERE state = 'streaming' AND usename = %(role)s
             ORDER BY application_name) AS followers
FROM pg_control_system() AS system,
     pg_control_checkpoint() AS checkpoint,
     pg_control_recovery() AS recovery
     LEFT JOIN pg_stat_wal_receiver AS receiver ON true
"""


class NeedsOperatorError(Exception):
    """PostgreSQL is set up in a way that only a person can change; the message says how."""


class Server:
    """This pod's PostgreSQL, reached over loopback as the superuser."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        clock: Callable[[], float],
        on_change: Callable[[], None],
        host: str = "127.0.0.1",
        port: int = POSTGRES_PORT,
    ) -> None:
        """`clock`: monotonic seconds. `on_change`: called by the thread when the state changes."""
        self._credentials = credentials
        self._clock = clock
        self._on_change = on_change
        self._host = host
        self._port = port
        self._connection: psycopg.Connection[DictRow] | None = None
        self._view = PostgresView(ServerState.DOWN, since=clock())
        self._requests: dict[str, Callable[[psycopg.Connection[DictRow]], None]] = {}
        self._lock = threading.Lock()
        self._wake_read, self._wake_write = os.pipe()
        self._stopping = False
        self._promoting = False
        self._thread = threading.Thread(target=self._run, name="postgres", daemon=True)

    def start(self) -> None:
        """Begin to look for the server."""
        if not self._thread.is_alive():
            self._thread.start()

    def stop(self) -> None:
        """End the connection."""
        self._stopping = True
        self._wake()

    def view(self) -> PostgresView:
        """Return the last look, at most about a second old while the server answers."""
        return self._view

    def promote(self) -> None:
        """Ask for promotion; whether it is done shows in a later view."""

        def promote(connection: psycopg.Connection[DictRow]) -> None:
            # Asked again while an earlier promotion is being carried out, it may be done by now.
            connection.execute("SELECT pg_promote(wait => false) WHERE pg_is_in_recovery()")
            self._promoting = True

        self._request("promote", promote)

    def prepare(self, replication_password: str) -> None:
        """Make the replication role, its pg_hba line and what replicas need, on the primary."""

        def prepare(connection: psycopg.Connection[DictRow]) -> None:
            _make_replication_role(connection, replication_password)
            _admit_replication(connection)
            _keep_wal(connection)
            connection.execute("SELECT pg_reload_conf()")
            self._view = replace(self._view, prepared=True)

        self._request("prepare", prepare)

    def _request(self, name: str, command: Callable[[psycopg.Connection[DictRow]], None]) -> None:
        with self._lock:
            self._requests[name] = command
        self._wake()

    def _wake(self) -> None:
        os.write(self._wake_write, b".")

    def _run(self) -> None:
        while not self._stopping:
            view = self._look()
            changed = view.state != self._view.state or view.streaming != self._view.streaming
            self._view = view
            self._promoting = self._promoting and view.state is ServerState.RECOVERY
            if changed:
                self._on_change()
            self._wait()
        if self._connection is not None:
            self._connection.close()

    def _look(self) -> PostgresView:
        try:
            connection = self._connect()
            problem = self._carry_out_requests(connection)
            row = connection.execute(_OBSERVE, {"role": REPLICATION_ROLE}).fetchone()
        except psycopg.Error as error:
            if self._connection is not None:
                with contextlib.suppress(psycopg.Error):
                    self._connection.close()
                self._connection = None
            return self._changed(ServerState.DOWN, problem=str(error).strip(), fields={})
        assert row is not None  # noqa: S101 - three functions that return one row each
        state = ServerState.RECOVERY if row.pop("recovery") else ServerState.WRITABLE
        row["followers"] = tuple(row["followers"])
        return self._changed(state, problem=problem, fields=row)

    def _changed(
        self, state: ServerState, *, problem: str | None, fields: dict[str, Any]
    ) -> PostgresView:
        same = state == self._view.state
        return PostgresView(
            state,
            since=self._view.since if same else self._clock(),
            problem=problem,
            prepared=self._view.prepared and same,
            **fields,
        )

    def _connect(self) -> psycopg.Connection[DictRow]:
        if self._connection is None:
            self._connection = psycopg.connect(
                host=self._host,
                port=self._port,
                user=self._credentials.user,
                password=self._credentials.password,
                dbname="postgres",
                # In a database of encoding SQL_ASCII text would come as bytes.
                client_encoding="utf8",
                connect_timeout=_CONNECT_SECONDS,
                application_name="pgset-sidecar",
                # Nothing that we ask takes long; nothing of ours may wait for a replica.
                options="-c statement_timeout=5s -c synchronous_commit=local",
                autocommit=True,
                row_factory=dict_row,
            )
        return self._connection

    def _carry_out_requests(self, connection: psycopg.Connection[DictRow]) -> str | None:
        with self._lock:
            requests, self._requests = self._requests, {}
        problem = None
        for name, command in requests.items():
            try:
                command(connection)
            except NeedsOperatorError as error:
                problem = str(error)
            except psycopg.Error as error:
                problem = f"PostgreSQL refused to {name}: {str(error).strip()}"
            if problem is not None:
                _log.warning(problem)
        return problem

    def _wait(self) -> None:
        """Sleep until the next look, a request, or the end of the connection."""
        watched: list[Any] = [self._wake_read]
        if self._connection is not None:
            watched.append(self._connection.fileno())
        readable, _, _ = select.select(watched, [], [], self._poll_seconds())
        if self._wake_read in readable:
            os.read(self._wake_read, 4096)

    def _poll_seconds(self) -> float:
        if self._promoting:
            return _POLL_SECONDS_PROMOTING
        return _POLL_SECONDS_DOWN if self._connection is None else _POLL_SECONDS


def _make_replication_role(connection: psycopg.Connection[DictRow], password: str) -> None:
    """Create the role or give it the set's present password; only the verifier travels."""
    role = sql.Identifier(REPLICATION_ROLE)
    verifier = connection.pgconn.encrypt_password(
        password.encode(), REPLICATION_ROLE.encode(), b"scram-sha-256"
    ).decode()
    exists = connection.execute(
        "SELECT 1 FROM pg_roles WHERE rolname = %s", [REPLICATION_ROLE]
    ).fetchone()
    verb = sql.SQL("ALTER" if exists else "CREATE")
    connection.execute(
        sql.SQL("{} ROLE {} LOGIN REPLICATION PASSWORD {}").format(verb, role, verifier)
    )


def _admit_replication(connection: psycopg.Connection[DictRow]) -> None:
    path = Path(_setting(connection, "hba_file"))
    if not path.is_relative_to(_setting(connection, "data_directory")):
        raise NeedsOperatorError(
            f"pg_hba.conf is at {path}, outside of the data directory: "
            f'add the line "{HBA_LINE}" there, or replicas cannot connect'
        )
    present = path.read_text()
    wanted = with_hba_line(present)
    if wanted != present:
        new = path.with_name("pg_hba.conf.pgset-new")
        new.write_text(wanted)
        new.chmod(0o600)
        new.replace(path)


def _keep_wal(connection: psycopg.Connection[DictRow]) -> None:
    for name, lacking in (("wal_level", "minimal"), ("max_wal_senders", "0")):
        if _setting(connection, name) == lacking:
            raise NeedsOperatorError(
                f"{name} is {lacking}: take that setting away, or no replica can stream"
            )
    if int(_setting(connection, "wal_keep_size")) < MIN_WAL_KEEP_MB:
        connection.execute(
            sql.SQL("ALTER SYSTEM SET wal_keep_size = {}").format(f"{MIN_WAL_KEEP_MB}MB")
        )


def _setting(connection: psycopg.Connection[DictRow], name: str) -> str:
    row = connection.execute("SELECT setting FROM pg_settings WHERE name = %s", [name]).fetchone()
    assert row is not None  # noqa: S101 - every supported version has these parameters
    return str(row["setting"])
