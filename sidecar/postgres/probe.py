"""Whether a client that comes now can write: asked on a new connection, again and again."""

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Final

import psycopg
from psycopg import pq

from sidecar.memory.probe import Verdict
from sidecar.postgres import libpq
from sidecar.postgres.connection import CONNECT_SECONDS, Address

_log = logging.getLogger(__name__)

_PROBE_SECONDS: Final = 3.0
"""A new session costs PostgreSQL 8 ms of CPU (measured on 15), 10 s in an hour."""
_PROBE_SECONDS_PASSWORD: Final = 5.0
"""SCRAM costs the client 3.5 ms of CPU for each connection, all else together 0.7 ms; the official
image trusts loopback."""
_OPTIONS: Final = (
    "-c work_mem=64kB -c log_temp_files=-1 -c synchronous_commit=local -c statement_timeout=3s "
    # What it writes is to tell of the data's volume, and of nothing else.
    "-c temp_tablespaces="
)

_MIN_SECONDS: Final = 0.1
"""What a statement gets where connecting took all of the time and did succeed."""

_NO_PLACE_OR_TIME: Final = ("53", "57", "58")
"""Classes of SQLSTATE: no resources, a time limit or a shutdown, a system error. Anything else is
an answer that another member would give as well."""

_WRITE_A_FILE: Final = b"""
SELECT pg_snapshot_xmax(pg_current_snapshot()),
       (SELECT count(*) FROM generate_series(1, 5000))
"""
"""The rows do not fit into 64 kB and go to a temporary file. Also on a volume that is full WAL can
be written for long, since its files are made in advance."""
_COMMIT: Final = b"""
SELECT pg_current_xact_id(), pg_logical_emit_message(true, 'pgset', '')
"""
"""A message to nobody: about 100 bytes of WAL, flushed."""


class WriteProbe:
    """Probes for as long as this PostgreSQL is writable, in a thread of its own.

    It commits only where somebody else has since the last probe: in an idle database each commit
    would let archive_timeout end another WAL file.
    """

    def __init__(
        self,
        address: Address,
        *,
        clock: Callable[[], float],
        is_writable: Callable[[], bool],
        on_change: Callable[[], None],
    ) -> None:
        """`clock`: monotonic seconds. `on_change`: called when it begins or ceases to fail."""
        self._address = address
        self._clock = clock
        self._is_writable = is_writable
        self._on_change = on_change
        self._next_transaction: int | None = None
        self._period = _PROBE_SECONDS
        self._verdict = Verdict()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="probe", daemon=True)

    @property
    def unwell_since(self) -> float | None:
        """Return since when probes have failed, as it stands in a PostgresView."""
        return self._verdict.unwell_since

    def start(self) -> None:
        """Begin to probe."""
        self._thread.start()

    def stop(self) -> None:
        """End after the probe that is under way."""
        self._stopped.set()

    def _run(self) -> None:
        pause = self._period
        while not self._stopped.wait(pause):
            try:
                pause = self._probe()
            except Exception:
                # A fault of ours says nothing of the server; and without this thread nothing would.
                _log.exception("a probe could not be made")
                pause = self._period

    def _probe(self) -> float:
        """Probe once, and return the seconds until the next time."""
        began, before = self._clock(), self.unwell_since
        if self._is_writable():
            well = self._is_well(began + CONNECT_SECONDS)
            self._verdict.note(well=well, began=began, ended=self._clock())
        else:
            self._verdict.leads_not()
        if (before is None) != (self.unwell_since is None):
            self._on_change()
        return self._verdict.pause(self._period, self._clock() - began)

    def _is_well(self, deadline: float) -> bool:
        try:
            connection = self._address.connect_plainly(deadline - self._clock(), _OPTIONS)
        except libpq.NoAnswerError:
            return False
        except psycopg.Error:
            # Out of connections, or a changed password: a server that says so is well.
            return self._address.answers()
        self._period = _PROBE_SECONDS_PASSWORD if connection.used_password else _PROBE_SECONDS
        try:
            self._write(connection, deadline)
        except psycopg.Error as error:
            self._next_transaction = None
            return error.sqlstate is not None and error.sqlstate[:2] not in _NO_PLACE_OR_TIME
        finally:
            connection.finish()
        return True

    def _write(self, connection: pq.abc.PGconn, deadline: float) -> None:
        def ask(question: bytes) -> int:
            seconds = max(_MIN_SECONDS, deadline - self._clock())
            row = libpq.ask(connection, partial(connection.send_query, question), seconds)
            return int(row[0] or 0)

        if ask(_WRITE_A_FILE) != self._next_transaction:
            self._next_transaction = ask(_COMMIT) + 1
