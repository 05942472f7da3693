"""A setting that a standby's start refuses."""

import enum
from dataclasses import dataclass


class Origin(enum.Enum):
    """Where a setting comes from that a standby's start would refuse."""

    FILE = "file"
    """A file, or PostgreSQL's default: postgresql.auto.conf overrides it."""
    COMMAND_LINE = "command-line"
    """An argument of the server, which nothing overrides."""
    DATA = "data"
    """The data was written with it; no setting makes a standby take that."""


@dataclass(frozen=True, slots=True)
class RefusedSetting:
    """A parameter with which PostgreSQL starts writable, and not as a standby."""

    name: str
    value: str
    """What is configured or, for `Origin.DATA`, what the data was written with."""
    needed: str
    """The least with which a standby would start."""
    origin: Origin
