"""What `decide` may ask for. Each action is a value; `sidecar.act` carries it out."""

import enum
import signal
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from sidecar.observation import Follower


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
    """What remains of the operator's request; None clears it."""
    lives: tuple[str, ...] = field(default=(), repr=False, compare=False)
    """`str(Identity)` of each member's pod; pods change often, and a renewal for that can wait."""
    logical_slots: tuple[str, ...] = field(default=(), repr=False, compare=False)
    """The primary's, which a copy of a table makes and drops; likewise."""
    physical_slots: tuple[str, ...] = field(default=(), repr=False, compare=False)
    """The primary's, those that are no member's; likewise."""
    followers: tuple[Follower, ...] = field(default=(), repr=False, compare=False)
    """Where they are changes all the time; likewise."""


@dataclass(frozen=True, slots=True)
class ReleaseLease:
    """Give the Lease up; PostgreSQL here is read-only, stopped or without data."""

    heir: str | None = None
    """The member that is to take it, which has everything that was promised."""
    lives: tuple[str, ...] = field(default=(), repr=False, compare=False)
    """`str(Identity)` of each member's pod, where it has to be this pod of the heir's."""


@dataclass(frozen=True, slots=True)
class AskToStay:
    """Ask these members whether the holder may go on while the API server is away."""

    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refuse:
    """Record an Event that what an operator asked for is refused, and why."""

    reason: str
    """CamelCase; the reason of the Event."""
    sentence: str


@dataclass(frozen=True, slots=True)
class RefuseReinit:
    """Record an Event that this pod is not cloned again, and why; the wish is answered by that."""

    value: str
    """What asked for it."""
    sentence: str


@dataclass(frozen=True, slots=True)
class AnswerFailover:
    """The wish that this pod leads is answered: it holds the Lease, or an Event says why not."""

    value: str
    """What asked for it."""
    refusal: str | None
    """None: it holds the Lease."""


@dataclass(frozen=True, slots=True)
class TellSet:
    """Record a warning on the StatefulSet as well, for who looks at no pod."""

    reason: str
    """CamelCase; the reason of the Event."""
    sentence: str


@dataclass(frozen=True, slots=True)
class RunInitdb:
    """Have bootstrap run initdb: the set's first data directory."""


@dataclass(frozen=True, slots=True)
class Clone:
    """Have bootstrap copy the primary, which has this system identifier."""

    system_identifier: str


@dataclass(frozen=True, slots=True)
class Rewind:
    """Have bootstrap turn a diverged data directory into a standby again, with pg_rewind."""

    system_identifier: str


@dataclass(frozen=True, slots=True)
class Reclone:
    """Have bootstrap copy the primary again and keep the old data directory."""

    system_identifier: str


@dataclass(frozen=True, slots=True)
class DeleteOwnPod:
    """Go back through bootstrap, the only place where a data directory can be rewound or cloned."""

    reclone: bool
    """Only a new clone helps; bootstrap is told so by a mark in the data directory."""
    wish: str | None = None
    """The value by which an operator wants that, and which is answered by it. The mark is made when
    the pod is on its way: until then this member is as good as any, and may come to lead with what
    is there."""
    returns: int | None = None
    """How many times in a row the reason was that PostgreSQL did not come up, this time included;
    noted in the data directory. 0: it may well come up, and is only to come back sooner. None: the
    reason is another."""


@dataclass(frozen=True, slots=True)
class MarkForReclone:
    """Make that mark in a pod that is being deleted: whether our own request to delete it came
    through was not known. The wish is answered by it."""

    value: str
    """What asked for it."""


@dataclass(frozen=True, slots=True)
class ForgetReturns:
    """Delete the note of such deletions: PostgreSQL has come up and streams."""


@dataclass(frozen=True, slots=True)
class StartPostgres:
    """Have bootstrap put `standby.signal` in place and exit: PostgreSQL then starts, read-only."""

    raised: tuple[tuple[str, str], ...] = ()
    """(parameter, value) for postgresql.auto.conf, for this start alone."""
    writable: bool = False
    """Without `standby.signal`, which goes back as soon as PostgreSQL has come up: only ever
    decided for the holder of the Lease, while no other pod may take it."""
    detached: bool = False
    """It receives WAL from nobody: what it has is to be compared first."""


@dataclass(frozen=True, slots=True)
class LeaveAlone:
    """Have bootstrap exit without a change: PostgreSQL then starts as if there were no pgset."""


@dataclass(frozen=True, slots=True)
class Promote:
    """Make PostgreSQL writable; only ever decided for the holder of the Lease.

    Noted in the data directory before, until `ForgetPromotion`.
    """

    from_timeline: int


@dataclass(frozen=True, slots=True)
class ForgetPromotion:
    """Delete the note that `Promote` left: its timeline is recorded, or never began."""


@dataclass(frozen=True, slots=True)
class NotePromotedByHand:
    """Note in the data directory that somebody else has promoted this standby, and where: what it
    has from there on is none of the set's."""

    from_timeline: int
    timeline: int
    """The one that it has begun; the same where it was started writable on it: then nothing tells
    what it has written there from what the set has."""


@dataclass(frozen=True, slots=True)
class PutStandbySignal:
    """Make the next start of PostgreSQL come up read-only."""


@dataclass(frozen=True, slots=True)
class RemoveStandbySignal:
    """Let the stopped server start writable: the next pod has no sidecar to promote it."""


@dataclass(frozen=True, slots=True)
class PreparePrimary:
    """Create the replication role, its pg_hba line and the settings that replicas need."""


@dataclass(frozen=True, slots=True)
class SetSynchronous:
    """Make each commit wait until this many of these members have it on disk."""

    members: tuple[str, ...]
    number: int


@dataclass(frozen=True, slots=True)
class Detach:
    """Make this standby receive WAL from nobody, so that no commit counts on it any more."""


@dataclass(frozen=True, slots=True)
class Attach:
    """Make this standby follow the server at this address, and nobody else."""

    address: str
    by_slot: bool = True
    """By its own slot, which a primary has for it, and another standby has not."""


@dataclass(frozen=True, slots=True)
class KeepSlots:
    """Keep replication slots for exactly these members."""

    members: tuple[str, ...]
    replaced: tuple[str, ...] = ()
    """Logical slots that this standby had as a primary, and that the primary of now has."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Write a checkpoint now, so that the shutdown's own one is short."""


@dataclass(frozen=True, slots=True)
class StopPostgres:
    """Send the postmaster this signal: SIGINT fast, SIGQUIT immediate, SIGKILL at once."""

    signal: signal.Signals


@dataclass(frozen=True, slots=True)
class SetRole:
    """Give a pod this value of the role label; None takes the label away."""

    pod: str
    uid: str
    """Only the pod with this UID: a re-created pod of the same name is left alone."""
    value: str | None


Action = (
    TakeLease
    | RenewLease
    | ReleaseLease
    | AskToStay
    | Refuse
    | RefuseReinit
    | AnswerFailover
    | TellSet
    | RunInitdb
    | Clone
    | Rewind
    | Reclone
    | DeleteOwnPod
    | MarkForReclone
    | ForgetReturns
    | StartPostgres
    | LeaveAlone
    | Promote
    | ForgetPromotion
    | NotePromotedByHand
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


_NEEDS_NO_ANSWER: Final = (Promote, Attach, PreparePrimary, KeepSlots, MarkForReclone)
"""What is done although the API server has not answered to a label: without any of these there
would be no primary, or nobody who can follow it, or a wish would be lost with its pod."""


def is_left_undone(action: Action, *, refused: bool, unheard: bool) -> bool:
    """Whether it must not be done after a signal that was refused, or a label without an answer."""
    if refused and isinstance(action, ReleaseLease | Promote):
        return True
    if isinstance(action, DeleteOwnPod):
        # Whoever has rows that are none of the set's would go on showing them. But the mark of a
        # re-clone that nobody wished for is made first, and who bears it can lead no more.
        return unheard and action.reclone and action.wish is None
    return unheard and not isinstance(action, _NEEDS_NO_ANSWER)


class Attention(enum.Enum):
    """Whether entering a situation is worth an Event, and of which type."""

    NONE = ""
    NORMAL = "Normal"
    WARNING = "Warning"


class Role(enum.Enum):
    """As what a member serves clients; what load balancers are told."""

    NONE = "none"
    PRIMARY = "primary"
    """It holds the Lease and is writable."""
    REPLICA = "replica"
    """It follows the Lease holder, within max-lag."""


class Decision(NamedTuple):
    """What to do now: the fields in the order in which they are to be obeyed. Times are in seconds
    from the observation's `now`."""

    asks_peers: bool
    """First ask the peers, and decide again on their answers: nothing else in here counts."""
    fence_in: float | None
    """When this member may have to stop PostgreSQL, unless it renews before; None: never. Whatever
    carries out a decision must return by then, no matter what it is waiting for."""
    probe_fails_in: float | None
    """Seconds after which the kubelet's probe fails; None: never. PostgreSQL can then have written
    for so long without a renewal that the kubelet may have to stop it in this sidecar's place."""
    authority_for: float | None
    """For how long a holder may still act on this decision; None: no limit, since the
    compare-and-swap on the Lease guards everything."""
    actions: tuple[Action, ...]
    """Carried out in this order; the first that fails ends the turn, except for signals."""
    situation: str
    """CamelCase; the reason of the Event."""
    sentence: str
    """For the operator: in the log, the pod's status annotation and, by `attention`, an Event."""
    attention: Attention
    role: Role
    """What load balancers are told."""
    look_in: float
    """When to look again at the latest, if nothing happens before."""
