"""What one look at the world gives: values only, all times on the sidecar's monotonic clock.

Positions are WAL positions in bytes (PostgreSQL's LSN as a number), timelines are numbers,
system identifiers are PostgreSQL's, as decimal text.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Identity:
    """A pod in one of its lives: a re-created pod has the name of the old one, not its UID."""

    name: str
    uid: str

    def __str__(self) -> str:
        """Return what stands as `holderIdentity` in the Lease."""
        return f"{self.name}_{self.uid}"


@dataclass(frozen=True, slots=True)
class Leadership:
    """One entry of the Lease's history: who led on which timeline."""

    timeline: int
    pod: str
    since: str
    """RFC 3339, for people; nothing is decided by it."""


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """The content of a set's Lease."""

    holder: str
    """`str(Identity)`; empty after a release."""
    ttl: int
    resource_version: str
    system_identifier: str | None = None
    timeline: int | None = None
    members: tuple[str, ...] = ()
    history: tuple[Leadership, ...] = ()
    transitions: int = 0

    @property
    def holder_pod(self) -> str:
        """The holder's pod name; empty where nobody holds."""
        return self.holder.partition("_")[0]

    @property
    def last_leader(self) -> str | None:
        """The pod that was the last to be primary."""
        return self.history[-1].pod if self.history else None


@dataclass(frozen=True, slots=True)
class LeaseView:
    """The Lease as this sidecar has watched it."""

    record: LeaseRecord | None
    """None: the API server says that there is no Lease."""
    changed_at: float
    """When this sidecar saw the record change last; expiry counts from here."""
    renewed_at: float | None = None
    """Just before this sidecar sent its last successful renewal; fencing counts from here."""
    renewal_seen: bool = False
    """Whether the present holder was seen to renew. False after a start into a dead set."""
    taken_expired: bool = False
    """Whether this sidecar took the Lease from a holder that had not released it."""


class DataState(enum.Enum):
    """What the bootstrap container found in the data directory."""

    EMPTY = "empty"
    INTERRUPTED = "interrupted"
    """An initdb or a clone that did not finish."""
    PRESENT = "present"
    NOT_OURS = "not-ours"
    """Files, but no PostgreSQL data directory."""


@dataclass(frozen=True, slots=True)
class BootstrapView:
    """What the bootstrap container says; it waits for orders until it is told to start."""

    data: DataState | None
    """None: it has not reported yet."""
    running: bool = False
    """It still waits for an order or carries one out; False once PostgreSQL may start."""
    busy: str | None = None
    """The order that it is carrying out."""
    refusal: str | None = None
    """A sentence: why it obeys no order until a person has changed something."""
    failure: str | None = None
    """A sentence: how the last order failed; it may be given again."""
    system_identifier: str | None = None
    timeline: int | None = None
    position: int | None = None
    other_writer: str | None = None
    """UID of another pod whose heartbeat in this data directory is not yet silent."""


class ServerState(enum.Enum):
    """PostgreSQL as its sidecar sees it."""

    DOWN = "down"
    """No connection to be had."""
    RECOVERY = "recovery"
    """Read-only: a standby, or a primary before its promotion."""
    WRITABLE = "writable"


@dataclass(frozen=True, slots=True)
class PostgresView:
    """PostgreSQL's own account, at most a second old."""

    state: ServerState
    since: float
    """When this state was first seen."""
    alive: bool = True
    """A postmaster runs. One that shuts down refuses connections and still sends its last WAL."""
    has_written: bool = False
    """This postmaster was seen writable: it may still be, where it answers nobody any more."""
    problem: str | None = None
    """Why there is no connection, in the server's or the driver's words."""
    system_identifier: str | None = None
    timeline: int | None = None
    position: int | None = None
    """The newest WAL received or written."""
    streaming: bool = False
    """A standby whose WAL receiver streams."""
    lag: int | None = None
    """Bytes between the newest WAL its upstream told of and what it has replayed."""
    followers: tuple[str, ...] = ()
    """On a primary: the members that stream from it."""
    standby_signal: bool = True
    """Whether a restart would come up read-only (rule 1)."""
    prepared: bool = False
    """On a primary: the replication role and its pg_hba line were made in this leadership."""


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of the set, as the API server shows it."""

    name: str
    uid: str
    ip: str | None
    role: str | None
    """The role label's value."""
    deleting: bool = False
    """It was deleted and is being stopped; its PostgreSQL will not be started again."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer's sidecar's answer."""

    name: str
    has_data: bool | None
    """None: its bootstrap has not reported."""
    system_identifier: str | None = None
    timeline: int | None = None
    position: int | None = None
    running: bool = False
    """Its PostgreSQL answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Everything that `decide` may know."""

    now: float
    started_at: float
    """When this sidecar started."""
    me: Identity
    lease: LeaseView | None
    """None: the API server has not been reached yet."""
    pods: tuple[Pod, ...] | None
    """None: likewise."""
    wanted: int | None
    """Members that the StatefulSet wants; None where that is not known."""
    bootstrap: BootstrapView
    postgres: PostgresView
    peers: Mapping[str, Peer] = field(default_factory=dict)
    """Answers by pod name. Asked only while somebody has to be chosen."""
