"""What a data directory's control file tells: by `pg_controldata` (in the C locale), for a server
that is stopped, or by its first bytes."""

import os
import re
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sidecar import small_files
from sidecar.observation import ServerState

_HEAD: Final = struct.Struct("=QIIi4xqQQI")
"""ControlFileData's first members, the same in PostgreSQL 11 to 18: system_identifier,
pg_control_version, catalog_version_no, state, time, checkPoint, and of checkPointCopy: redo,
ThisTimeLineID."""
_STATES: Final = {5: ServerState.RECOVERY, 6: ServerState.WRITABLE}
"""DBState: DB_IN_ARCHIVE_RECOVERY, DB_IN_PRODUCTION. In no other a server lets anybody in."""
_WAL_NAME: Final = re.compile(r"([0-9A-F]{8})[0-9A-F]{16}")


@dataclass(frozen=True, slots=True)
class ControlData:
    """The part of pg_control that matters between members."""

    system_identifier: str
    timeline: int
    position: int
    """The newest WAL position that the control file knows of, in bytes."""
    can_rewind: bool
    """The data has checksums or wal_log_hints, one of which pg_rewind insists on."""


def parse_control_data(output: str) -> ControlData | None:
    """Return None where the output is not that of a readable control file."""
    fields = {
        name.strip(): value.strip()
        for name, separator, value in (line.partition(":") for line in output.splitlines())
        if separator
    }
    try:
        timelines = (
            fields["Latest checkpoint's TimeLineID"],
            fields["Min recovery ending loc's timeline"],
        )
        positions = (
            fields["Latest checkpoint location"],
            fields["Minimum recovery ending location"],
        )
        checksums = fields["Data page checksum version"] != "0"
        return ControlData(
            system_identifier=fields["Database system identifier"],
            timeline=max(int(timeline) for timeline in timelines),
            position=max(parse_lsn(position) for position in positions),
            can_rewind=checksums or fields["wal_log_hints setting"] == "on",
        )
    except (KeyError, ValueError):
        return None


def parse_system_identifier(control_file: bytes) -> str | None:
    """Return what the file itself begins with, on a machine like the one that wrote it; None where
    it is too short. (A uint64, the first member of PostgreSQL's ControlFileData.)"""
    first = control_file[:8]
    return str(int.from_bytes(first, sys.byteorder)) if len(first) == 8 else None  # noqa: PLR2004


@dataclass(frozen=True, slots=True)
class RunningServer:
    """What the files of a server that lets nobody look tell of it."""

    state: ServerState
    system_identifier: str
    timeline: int
    position: int
    """Where its last checkpoint was, in bytes: a lower bound."""


def read_running_server(data_directory: Path) -> RunningServer | None:
    """Return what the control file and the names of the WAL files tell of a server that answers.

    None where it is not one that lets clients in. Raises OSError.
    """
    head = small_files.read(data_directory / "global/pg_control", _HEAD.size)
    if len(head) < _HEAD.size:
        return None
    identifier, _, _, code, _, checkpoint, _, timeline = _HEAD.unpack(head)
    state = _STATES.get(code)
    if state is None:
        return None
    # A timeline that was just begun is in the control file only after its first checkpoint.
    names = (_WAL_NAME.fullmatch(entry.name) for entry in os.scandir(data_directory / "pg_wal"))
    timelines = [int(match[1], 16) for match in names if match]
    return RunningServer(state, str(identifier), max([timeline, *timelines]), checkpoint)


def read_major_version(data_directory: Path) -> int | None:
    """Return the major version that the data is of; None where that can't be told."""
    try:
        return int(small_files.read(data_directory / "PG_VERSION"))
    except (OSError, ValueError):
        return None


def parse_lsn(text: str) -> int:
    """Return PostgreSQL's "16/B374D848" as a number of bytes."""
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)
