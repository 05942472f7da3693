"""What pg_control says of a data directory: by `pg_controldata` (in the C locale), or itself."""

import struct
from dataclasses import dataclass
from typing import Final

_STATE_OFFSET: Final = 16
_IN_PRODUCTION: Final = 6
"""ControlFileData in PostgreSQL's catalog/pg_control.h, the same from 14 to 18: the system
identifier (8 bytes), two version numbers (4 each), then DBState."""


@dataclass(frozen=True, slots=True)
class ControlData:
    """The part of pg_control that matters between members."""

    system_identifier: str
    timeline: int
    position: int
    """The newest WAL position that the control file knows of, in bytes."""


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
        return ControlData(
            system_identifier=fields["Database system identifier"],
            timeline=max(int(timeline) for timeline in timelines),
            position=max(parse_lsn(position) for position in positions),
        )
    except (KeyError, ValueError):
        return None


def parse_lsn(text: str) -> int:
    """Return PostgreSQL's "16/B374D848" as a number of bytes."""
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def is_in_production(pg_control: bytes) -> bool:
    """Tell whether the server that last wrote this file had ended recovery and not shut down."""
    (state,) = struct.unpack_from("=i", pg_control, _STATE_OFFSET)
    return bool(state == _IN_PRODUCTION)
