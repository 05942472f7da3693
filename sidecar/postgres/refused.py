"""Settings that a standby's start refuses: as bootstrap tells them, and raised for one start.

PostgreSQL compares five of them and `wal_level` with the control file (see "Parameter settings of
the standby" in its documentation on hot standby) where it starts with `standby.signal`, and ends
where one is too low. A start without it takes them all.
"""

import re
from collections.abc import Mapping
from typing import Final

from sidecar.postgres.hba_file import OWN_HBA_FILE
from sidecar.refused_setting import Origin, RefusedSetting

_RAISED: Final = re.compile(
    r"(max_[a-z_]+ = '0x[0-9a-f]{8}'|wal_level = 'Replica'"
    r"|(hot_standby_feedback|sync_replication_slots) = 'oN'"
    rf"|hba_file = '.*{re.escape(OWN_HBA_FILE)}')"
)
"""Ours in postgresql.auto.conf. PostgreSQL reads hexadecimal numbers and names in any case, and
keeps them as they are written; a person writes neither, nor that name of a file. So they are known
after ALTER SYSTEM has rewritten the file, and in a copy of it. `bootstrap.sh` takes them away
before it looks at what is configured."""


def read_refused(words: str) -> tuple[RefusedSetting, ...]:
    """Return what the report of `bootstrap.sh` tells; ValueError where it tells something else."""
    return tuple(
        RefusedSetting(name, value, needed, Origin(origin))
        for name, value, needed, origin in (word.split(":") for word in words.split())
    )


def with_raised(auto_conf: str, raised: Mapping[str, str]) -> str:
    """Return postgresql.auto.conf with these parameters raised, and no others that we had raised.

    A line of its own, and the last: of two PostgreSQL takes the later one, so that what an operator
    has set by ALTER SYSTEM stays, and comes back when ours goes.
    """
    lines = auto_conf.removesuffix("\n").split("\n") if auto_conf else []
    kept = [line for line in lines if not _RAISED.fullmatch(line)]
    ours = [f"{name} = '{marked(value)}'" for name, value in raised.items()]
    return "".join(f"{line}\n" for line in (*kept, *ours))


def marked(value: str) -> str:
    """Return a value as we write it, and nobody else does."""
    if value.startswith("/"):
        return value.replace("\\", "\\\\").replace("'", "\\'")
    if value == "on":
        return "oN"  # rarer than "On", which a person may well write
    return f"0x{int(value):08x}" if value.isdecimal() else value.capitalize()
