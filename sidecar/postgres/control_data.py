"""What a data directory's control file tells: by `pg_controldata` (in the C locale), for a server
that is stopped, or by its first bytes."""

import sys
from dataclasses import dataclass


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


def parse_lsn(text: str) -> int:
    """Return PostgreSQL's "16/B374D848" as a number of bytes."""
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)
