"""A standby whose replay has paused, since the primary was started with a greater `max_connections`
or the like: it has as much from its next start on.

PostgreSQL pauses where it replays that change, and ends when it is promoted then. The container's
next start asks no bootstrap, which would have these settings raised; so they are raised here, and
after that start the member can be promoted.
"""

import math
import struct
from collections.abc import Callable
from typing import Final

from sidecar.postgres.background import Background
from sidecar.postgres.commands import NeedsOperatorError, set_parameter
from sidecar.postgres.connection import Connection
from sidecar.postgres.refused import marked

LOOK_SECONDS: Final = 10.0

_FLOAT_FORMAT: Final = struct.pack("=d", 1234567.0)
"""ControlFileData's floatFormat, always this. Where it is differs between versions; what comes
before it does not."""
_BEFORE: Final = struct.Struct("=5i?3xI")
"""MaxConnections, max_worker_processes, max_wal_senders, max_prepared_xacts, max_locks_per_xact,
track_commit_timestamp, maxAlign; the same in PostgreSQL 14 to 18."""
_MAX_ALIGN: Final = 8
_NAMES: Final = (
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
)


def needed_settings(control_file: bytes) -> dict[str, int]:
    """Return what a standby on this data must have at least; nothing where that can't be told."""
    end = control_file.find(_FLOAT_FORMAT)
    if end < _BEFORE.size:
        return {}
    *values, _, max_align = _BEFORE.unpack_from(control_file, end - _BEFORE.size)
    return dict(zip(_NAMES, values, strict=True)) if max_align == _MAX_ALIGN else {}


class PausedReplay:
    """Looks now and then, while replay has paused, whether settings are the reason."""

    def __init__(self, orders: Background, clock: Callable[[], float]) -> None:
        """`orders`: raise the settings."""
        self._orders = orders
        self._clock = clock
        self._looked_at = -math.inf

    def look(self, *, paused: bool) -> None:
        """Take in a look at the server."""
        if paused and self._clock() - self._looked_at >= LOOK_SECONDS:
            self._looked_at = self._clock()
            self._orders.order(("raise-settings",), raise_settings)


def raise_settings(connection: Connection) -> None:
    """Raise for the next start what is too low for this data. Raises NeedsOperatorError, which
    tells of it: this server shows no new rows until then."""
    read = connection.execute(
        "SELECT pg_catalog.pg_read_binary_file('global/pg_control'::text) AS content"
    ).fetchone()
    needed = needed_settings(bytes(read["content"])) if read else {}
    present = connection.execute(
        "SELECT name, setting, source FROM pg_settings WHERE name = ANY(%s::text[])",
        [list(needed)],
    ).fetchall()
    low = [row for row in present if int(row["setting"]) < needed[row["name"]]]
    if not low:
        return
    told = ", ".join(
        f"{row['name']} is {row['setting']} and was raised to {needed[row['name']]} there"
        for row in low
    )
    arguments = [row["name"] for row in low if row["source"] == "command line"]
    for row in low:
        value = marked(str(needed[row["name"]]))
        if row["name"] not in arguments and not _is_filed(connection, row["name"], value):
            set_parameter(connection, row["name"], value)
    what_to_do = (
        f"raise {', '.join(arguments)} in PostgreSQL's arguments"
        if arguments
        else "its next start has as much, so delete this pod"
    )
    raise NeedsOperatorError(
        "replay has paused, and this replica shows no new rows, since its primary was started with "
        f"more: {told}; {what_to_do}"
    )


def _is_filed(connection: Connection, name: str, value: str) -> bool:
    row = connection.execute(
        "SELECT setting FROM pg_file_settings WHERE lower(name) = %s ORDER BY seqno DESC LIMIT 1",
        [name],
    ).fetchone()
    return row is not None and row["setting"] == value
