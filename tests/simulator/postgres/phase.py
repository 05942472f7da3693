"""How far a PostgreSQL is in its life."""

from enum import Enum


class Phase(Enum):
    STARTING = "starting"
    RECOVERY = "in recovery"
    PROMOTING = "promoting"
    WRITABLE = "writable"
    STOPPING = "stopping"
    DEAD = "dead"
