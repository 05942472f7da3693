"""What `decide` may ask for. Each action is a value; `sidecar.act` carries it out."""

import enum
import signal
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class TakeLease:
    """Become the holder, by compare-and-swap on the record that was observed."""

    expired: bool
    """The former holder did not release it."""
    voters: tuple[str, ...] = ()
    copies: int = 0
    """What is promised of commits from now on; no more than what is on record."""


@dataclass(frozen=True, slots=True)
class RenewLease:
    """Stay the holder and record what is now known of the set."""

    system_identifier: str | None
    timeline: int | None
    members: tuple[str, ...]
    position: int | None = None
    voters: tuple[str, ...] = ()
    copies: int = 0
    heir: str | None = None
    switchover_to: str | None = None
    """What remains of the operator's wish: None clears it."""


@dataclass(frozen=True, slots=True)
class ReleaseLease:
    """Give the Lease up; PostgreSQL here is read-only, stopped or without data."""

    heir: str | None = None
    """Who is to take it; it has everything that was promised."""


@dataclass(frozen=True, slots=True)
class AskToStay:
    """Ask these members whether the holder may go on while the API server is away."""

    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refuse:
    """Tell the operator, by an Event, that a wish is not carried out, and why."""

    reason: str
    """CamelCase; the reason of the Event."""
    sentence: str


@dataclass(frozen=True, slots=True)
class RunInitdb:
    """Let bootstrap make the set's first data directory."""


@dataclass(frozen=True, slots=True)
class Clone:
    """Let bootstrap copy the primary, which has this system identifier."""

    system_identifier: str


@dataclass(frozen=True, slots=True)
class Rewind:
    """Let bootstrap make a diverged directory a follower again, by pg_rewind."""

    system_identifier: str


@dataclass(frozen=True, slots=True)
class Reclone:
    """Let bootstrap copy the primary anew and keep the old directory aside."""

    system_identifier: str


@dataclass(frozen=True, slots=True)
class DeleteOwnPod:
    """Get to bootstrap again: only there can a data directory be rewound or cloned."""

    reclone: bool
    """This directory can't be caught up with; nothing but a new clone helps."""
    returns: int | None = None
    """PostgreSQL did not come up: how often that was the reason, with this time. To be noted."""


@dataclass(frozen=True, slots=True)
class ForgetReturns:
    """PostgreSQL has come up and streams: the note of those that were in vain is done with."""


@dataclass(frozen=True, slots=True)
class StartPostgres:
    """Let bootstrap put `standby.signal` and end, so that PostgreSQL starts, read-only."""

    raised: tuple[tuple[str, str], ...] = ()
    """(parameter, value) for postgresql.auto.conf, for this start alone."""
    writable: bool = False
    """Without `standby.signal`, which goes back as soon as PostgreSQL has come up: only ever
    decided for the holder of the Lease, while no other pod may take it."""


@dataclass(frozen=True, slots=True)
class Promote:
    """Make PostgreSQL writable; only ever decided for the holder of the Lease.

    Noted in the data directory before, until `ForgetPromotion`.
    """

    from_timeline: int


@dataclass(frozen=True, slots=True)
class ForgetPromotion:
    """The new timeline is on record, or there is none: the note is done with."""


@dataclass(frozen=True, slots=True)
class PutStandbySignal:
    """Make the next start of PostgreSQL come up read-only."""


@dataclass(frozen=True, slots=True)
class RemoveStandbySignal:
    """Let the stopped server start writable, where nobody will be there to promote it."""


@dataclass(frozen=True, slots=True)
class PreparePrimary:
    """Make the replication role, its pg_hba line and the settings that replicas need."""


@dataclass(frozen=True, slots=True)
class SetSynchronous:
    """Let each commit wait until this many of these members have it on disk."""

    members: tuple[str, ...]
    number: int


@dataclass(frozen=True, slots=True)
class Detach:
    """Let this standby receive WAL from nobody, so that no commit counts on it any more."""


@dataclass(frozen=True, slots=True)
class Attach:
    """Let this standby follow the primary at this address, and nobody else."""

    address: str


@dataclass(frozen=True, slots=True)
class KeepSlots:
    """Have replication slots for exactly these members."""

    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Write out what is dirty now, so that stopping has little left to write."""


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
    | AskToStay
    | Refuse
    | RunInitdb
    | Clone
    | Rewind
    | Reclone
    | DeleteOwnPod
    | ForgetReturns
    | StartPostgres
    | Promote
    | ForgetPromotion
    | PutStandbySignal
    | RemoveStandbySignal
    | PreparePrimary
    | SetSynchronous
    | Detach
    | Attach
    | KeepSlots
    | Checkpoint
    | StopPostgres
    | SetRole
)


NEED_AUTHORITY: Final = (Promote, SetRole)
"""Nothing but its own clock keeps a member from these once another may hold the Lease: the API
server checks neither."""


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
