"""What the newest takeover has brought that nobody would see otherwise. No I/O.

The primary tells it once, on the StatefulSet, and nothing that is read here shows whether somebody
has mended it since: so each is told with its time, and for as long as its Event is there.
"""

from __future__ import annotations

import datetime
import shlex
from collections.abc import Iterator
from typing import Final

from cli.cause import Cause
from cli.password import SUPERUSER
from cli.seen import Seen
from cli.times import parse_time
from cli.view import port_of
from sidecar import contract

SLACK: Final = datetime.timedelta(minutes=1)
"""What is told as the takeover is recorded may have a time that is a little earlier."""

SLOTS: Final = "select slot_name, slot_type, active, wal_status from pg_replication_slots"

STATEMENTS: Final = {
    "LogicalSlotsLost": (SLOTS,),
    "PhysicalSlotsLost": (SLOTS,),
    # Where it is set is where it is to be changed: ALTER SYSTEM holds on one member alone.
    "UnsafeSettings": (
        "select name, setting, source, sourcefile, sourceline from pg_settings "
        "where name in ('fsync', 'full_page_writes')",
    ),
    "CommitsMayHang": (
        "alter system reset synchronous_standby_names",
        "select pg_reload_conf()",
    ),
}
"""What is asked or changed on the primary, by the Event's reason."""


def causes(seen: Seen) -> Iterator[Cause]:
    """Yield what the present primary has told of its takeover."""
    primary, workload = seen.primary, seen.workload
    if primary is None:
        return
    history = seen.lease.history if seen.lease else ()
    since = parse_time(history[-1].since) if history else None
    for reason, statements in STATEMENTS.items():
        event = seen.newest("StatefulSet", workload.name, contract.SIDECAR_CONTAINER, reason)
        if event is None or event.time is None or (since and event.time < since - SLACK):
            continue
        options = " ".join(f"-c {shlex.quote(it)}" for it in statements)
        port = port_of(workload, seen.there)
        script = f'{SUPERUSER}; psql -X -U "$user" -p {port} -d postgres {options}'
        yield seen.cause(
            f"told at {event.time:%H:%M} UTC, as {primary.name} began to lead: {event.message}",
            f"exec {primary.name} -c {shlex.quote(workload.container)} -- "
            f"sh -c {shlex.quote(script)}",
        )
