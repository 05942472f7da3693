"""How much WAL slots may hold back on a primary: more than usual while a member replays its clone.

A standby replays all that came with its copy before it asks for more, and so long its slot is idle.
Of a large database that is written to all the time, that takes longer than the usual bound holds
out; the member would then be cloned again, with the same end. PostgreSQL has one bound for all
slots. So it is raised for that time, to what the volume has room for.
"""

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sidecar.contract import REPLICATION_ROLE
from sidecar.observation import ServerState
from sidecar.postgres.background import Background
from sidecar.postgres.checkpoints import Checkpoints
from sidecar.postgres.commands import MAX_SLOT_WAL_KEEP_MB, MEGABYTE, set_parameter, setting
from sidecar.postgres.connection import Connection
from sidecar.postgres.refused import marked

LOOK_SECONDS: Final = 10.0
"""Between two looks; a copy that takes less has next to nothing to replay."""

HOLD_SECONDS: Final = 24 * 3600.0
"""For so long after its copy: a member may never come up."""

_FREE_SHARE: Final = 0.2
"""Of the volume, which stays free. Where that is a folder on the node's disk, the kubelet evicts
pods when a tenth of it is left; and many alerts come at 85 %."""

_STEP_MB: Final = 512
"""What is free changes all the time, and not every change is worth another setting."""

_NAME: Final = "max_slot_wal_keep_size"

_RAISED: Final = re.compile("0x[0-9a-f]{8}")
"""How it is written where it is raised; bootstrap takes it away again (`sidecar.postgres.refused`)
from a primary that was lost meanwhile, and from what was copied."""

_SLOTS: Final = """
SELECT slot_name::text AS name, active,
       pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), restart_lsn)::bigint > %s::bigint
           AS beyond,
       EXISTS (SELECT FROM pg_stat_activity
               WHERE pid = active_pid AND usename = %s::name
                     AND application_name = 'pgset-clone') AS copies
FROM pg_replication_slots
WHERE slot_type = 'physical' AND pg_catalog.starts_with(slot_name::text, 'pgset_'::text)
      AND wal_status IS DISTINCT FROM 'lost'
"""


@dataclass(frozen=True, slots=True)
class Volume:
    """The one that has pg_wal, in MB."""

    size: int
    free: int


def bound_mb(held: int, volume: Volume, max_wal_size: int) -> int:
    """Return how far behind a slot may be, in MB, `held` being how far one is now.

    Between two checkpoints, at which slots are judged, some `max_wal_size` is written.
    """
    floor = max(int(volume.size * _FREE_SHARE), 2 * max_wal_size)
    return max(MAX_SLOT_WAL_KEEP_MB, held + volume.free - floor)


class CloneSlots:
    """Remembers by which slots this primary was copied, until their members stream."""

    def __init__(
        self, orders: Background, checkpoints: Checkpoints, *, clock: Callable[[], float]
    ) -> None:
        """`orders`: change the bound. `checkpoints`: remove WAL that it keeps no more."""
        self._orders = orders
        self._checkpoints = checkpoints
        self._clock = clock
        self._copied: dict[str, float] = {}
        """When each was last seen to be used by a copy."""
        self._looked_at = -math.inf
        self._raised: bool | None = None
        """Whether the bound is raised; None: not looked at in this leadership."""

    def look(self, connection: Connection, state: ServerState) -> None:
        """Look now and then who copies, on a primary. Raises psycopg.Error."""
        if state is not ServerState.WRITABLE:
            self._copied, self._looked_at, self._raised = {}, -math.inf, None
            return
        now = self._clock()
        if now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        least = MAX_SLOT_WAL_KEEP_MB * MEGABYTE
        self._see(connection.execute(_SLOTS, [least, REPLICATION_ROLE]).fetchall(), now)
        hold = bool(self._copied)
        if hold or self._raised is not False:
            self._orders.order(("bound-slots", hold), lambda it: self._bound(it, hold=hold))

    def _see(self, slots: list[dict[str, Any]], now: float) -> None:
        # A sidecar that has just begun missed who copied; by the usual bound none would be there.
        first = self._raised is None
        copied = {}
        for slot in slots:
            name, active = slot["name"], slot["active"]
            if slot["copies"] or (first and slot["beyond"] and not active):
                copied[name] = now
            elif not active and now - self._copied.get(name, -math.inf) < HOLD_SECONDS:
                copied[name] = self._copied[name]
        self._copied = copied

    def _bound(self, connection: Connection, *, hold: bool) -> None:
        """Raise the bound, or set it back, unless it is an operator's."""
        present = _ours(connection)
        if present is None:
            self._raised = False
            return
        wanted, held = MAX_SLOT_WAL_KEEP_MB, _held(connection)
        volume = _volume(Path(setting(connection, "data_directory"))) if hold else None
        if volume is not None:
            wanted = bound_mb(held, volume, int(setting(connection, "max_wal_size")))
        raised = wanted > MAX_SLOT_WAL_KEEP_MB
        if wanted != present and (not raised or abs(wanted - present) >= _STEP_MB):
            set_parameter(connection, _NAME, marked(str(wanted)) if raised else f"{wanted}MB")
            connection.execute("SELECT pg_catalog.pg_reload_conf()")
        self._raised = raised
        kept_anyway = int(setting(connection, "wal_keep_size"))
        if volume is not None and held > max(wanted, kept_anyway):
            self._checkpoints.ask()


def _ours(connection: Connection) -> int | None:
    """Return the bound in MB if it is one that a sidecar has set; None: an operator has."""
    filed = connection.execute(
        "SELECT setting, sourcefile FROM pg_file_settings "
        "WHERE lower(name) = %s ORDER BY seqno DESC LIMIT 1",
        [_NAME],
    ).fetchone()
    given = connection.execute(
        "SELECT setting, source FROM pg_settings WHERE name = %s", [_NAME]
    ).fetchone()
    if filed is None or given is None or given["source"] != "configuration file":
        return None
    text = str(filed["setting"])
    known = text == f"{MAX_SLOT_WAL_KEEP_MB}MB" or _RAISED.fullmatch(text)
    is_there = str(filed["sourcefile"]).endswith("/postgresql.auto.conf")
    return int(given["setting"]) if known and is_there else None


def _held(connection: Connection) -> int:
    """Return how far behind the last of all slots is, in MB."""
    row = connection.execute(
        "SELECT (max(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), restart_lsn)) "
        "/ 1048576)::bigint AS held FROM pg_replication_slots"
    ).fetchone()
    return int(row["held"] or 0) if row else 0


def _volume(data_directory: Path) -> Volume | None:
    """Return None where WAL is on a volume of its own, which the sidecar does not have."""
    folder = data_directory / "pg_wal"
    try:
        if folder.is_symlink():
            return None
        found = os.statvfs(folder)
    except OSError:
        return None
    block = found.f_frsize
    return Volume(found.f_blocks * block // MEGABYTE, found.f_bavail * block // MEGABYTE)
