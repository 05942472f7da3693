"""What `decide` may ask for. Each action is a value; `sidecar.act` carries it out."""

import enum
import signal
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TakeLease:
    """Become the holder, by compare-and-swap on the record that was observed."""

    expired: bool
    """The former holder did not release it."""


@dataclass(frozen=True, slots=True)
class RenewLease:
    """Stay the holder and record what is now known of the set."""

    system_identifier: str | None
    timeline: int | None
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReleaseLease:
    """Give the Lease up; PostgreSQL here is read-only, stopped or without data."""


@dataclass(frozen=True, slots=True)
class RunInitdb:
    """Let bootstrap make the set's first data directory."""


@dataclass(frozen=True, slots=True)
class Clone:
    """Let bootstrap copy the primary, which has this system identifier."""

    system_identifier: str


@dataclass(frozen=True, slots=True)
class StartPostgres:
    """Let bootstrap put `standby.signal` and end, so that PostgreSQL starts, read-only."""


@dataclass(frozen=True, slots=True)
class Promote:
    """Make PostgreSQL writable; only ever decided for the holder of the Lease."""


@dataclass(frozen=True, slots=True)
class PutStandbySignal:
    """Make the next start of PostgreSQL come up read-only."""


@dataclass(frozen=True, slots=True)
class PreparePrimary:
    """Make the replication role, its pg_hba line and the settings that replicas need."""


@dataclass(frozen=True, slots=True)
class StopPostgres:
    """Send the postmaster this signal: SIGINT fast, SIGQUIT immediate, SIGKILL at once."""

    signal: signal.Signals


@dataclass(frozen=True, slots=True)
class SetRole:
    """Give a pod this value of the role label; None takes the label away."""

    pod: str
    uid: str
    """Only that life of the pod: a re-created pod of the same name is left alone."""
    value: str | None


Action = (
    TakeLease
    | RenewLease
    | ReleaseLease
    | RunInitdb
    | Clone
    | StartPostgres
    | Promote
    | PutStandbySignal
    | PreparePrimary
    | StopPostgres
    | SetRole
)


class Attention(enum.Enum):
    """Whether entering a situation is worth an Event, and of which type."""

    NONE = ""
    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now, in this order, and what to tell the operator."""

    situation: str
    """CamelCase; the reason of the Event."""
    sentence: str
    attention: Attention
    actions: tuple[Action, ...]
