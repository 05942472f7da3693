"""What one look at the world gives: values only, all times on `sidecar.clock`.

Positions are WAL positions (LSNs) in bytes, timelines numbers, system identifiers decimal text.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from sidecar.failures import Failures
from sidecar.refused_setting import RefusedSetting


@dataclass(frozen=True, slots=True)
class Identity:
    """One incarnation of a pod: a re-created pod keeps its name but not its UID."""

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
class Follower:
    """A standby that streams from this primary; `seconds`: how late it is with what it replays."""

    name: str
    position: int
    """The newest WAL that it has flushed to disk."""
    replayed: int | None = field(default=None, compare=False)
    seconds: float | None = field(default=None, compare=False)


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
    position: int | None = None
    """The primary's newest WAL when it renewed last."""
    voters: tuple[str, ...] = ()
    """Every acknowledged commit is on at least `copies` of these members; empty with `async`."""
    copies: int = 0
    heir: str | None = None
    """The member that the holder hands over to; only it may take the Lease for a moment."""
    switchover_to: str | None = None
    """The pod that an operator wants to lead."""
    lives: tuple[str, ...] = ()
    """`str(Identity)` of each member's pod, as the holder knew them; empty: it told of none."""
    logical_slots: tuple[str, ...] = ()
    physical_slots: tuple[str, ...] = ()
    """The slots that the primary had when it renewed last; physical ones that are no member's."""
    followers: tuple[Follower, ...] = ()
    """The members that streamed from the primary when it renewed last."""

    @property
    def holder_pod(self) -> str:
        """The holder's pod name; empty if there is no holder."""
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
    """When this sidecar saw it taken, renewed, released or deleted last: expiry counts from it."""
    renewed_at: float | None = None
    """Just before this sidecar sent its last renewal that has landed; fencing counts from here."""
    lapsed: bool = False
    """Whether its time, as far as is known, was over when that one was sent: another member may
    have led in between."""
    renewal_seen: bool = False
    """Whether the present holder was seen to renew. False after a start into a dead set."""
    taken_expired: bool = False
    """Whether this sidecar took the Lease from a holder that had not released it."""
    handed_over_by: str | None = None
    """The last holder, as `holderIdentity`, if it was seen to leave the Lease to this member."""
    heard_at: float = float("-inf")
    """When the API server last said anything about the Lease; shows whether it can be reached."""
    heard_again_at: float = float("-inf")
    """When that was the first word after a silence longer than a renewal's; never, at first."""
    excused_at: float | None = None
    """Just before all members last said yes, asked whether it may go on without the API server."""
    possible_members: tuple[str, ...] = ()
    """Members that an unanswered renewal may have added."""
    possible_promises: tuple[tuple[tuple[str, ...], int], ...] = ()
    """Voters and copies that such a renewal may have recorded."""
    uncertain_take: bool = False
    """Whether this sidecar has tried to take the present record, and got no answer."""
    taken_late: bool = False
    """Whether it holds the Lease by such a take, the first since somebody else has held it."""
    released_after_fall: tuple[float, str] | None = None
    """When its version was seen to fall (etcd was restored), and who has released it since."""
    went_back: bool = False
    """Whether the record is older than one that was seen here, and nobody has led by it since."""


class DataState(enum.Enum):
    """What the bootstrap container found in the data directory."""

    EMPTY = "empty"
    INTERRUPTED = "interrupted"  # an initdb or a clone that did not finish
    PRESENT = "present"
    NOT_OURS = "not-ours"  # files, but no PostgreSQL data directory
    BROKEN = "broken"  # a rewind that did not finish, or data marked to be cloned again


@dataclass(frozen=True, slots=True)
class BootstrapView:
    """What the bootstrap container reports; it waits for orders until one tells it to start."""

    data: DataState | None
    """None: it has not reported yet."""
    running: bool = False
    """It still waits for an order or carries one out; False once PostgreSQL may start."""
    busy: str | None = None
    """The order that it is carrying out."""
    write_failure: str | None = None
    """Why the volume takes no writes, as a clause."""
    silent_since: float | None = None
    """Since when the data volume has not answered at all, not even a read; None: it does."""
    slow_ago: float = float("inf")
    """Seconds since a write to the volume, which had taken longer than SLOW_WRITE, has ended."""
    refusal: str | None = None
    """Why it refuses every order until somebody fixes it, as a sentence."""
    objection: str | None = None
    """Why this data, which pgset has never had started, can't become a set's, as a sentence."""
    follows: str | None = None
    """The host that this data, which pgset has never had started, follows as a standby."""
    left_alone: bool = False
    """PostgreSQL was let start as if there were no pgset."""
    failure: str | None = None
    """How the last order failed, as a sentence; it may be given again."""
    failures: Failures | None = None
    """What has failed since something succeeded last, as far as this sidecar knows."""
    system_identifier: str | None = None
    timeline: int | None = None
    position: int | None = None
    other_writer: str | None = None
    """UID of a pod whose heartbeat here is not silent yet, or which has taken the directory."""
    can_rewind: bool | None = None
    """The data has checksums or wal_log_hints, without which pg_rewind misses changed pages."""
    rewind_failed: bool = False
    """The last order was a rewind that failed, or the data is marked to be cloned again."""
    promoting_from: int | None = None
    """A promotion from this timeline was asked for, and its new timeline is not yet recorded."""
    promoted_by_hand_at: int | None = None
    """It was somebody's pg_promote, while another member led: where that left `promoting_from`."""
    rewound: bool = False
    copied: bool = False
    """A rewind, or a clone, has succeeded since this bootstrap container started."""
    reached_data: bool = False
    """Told to start, PostgreSQL has got to its data: no setting or library is amiss."""
    returns: int | None = None
    """How often its pod was deleted for not coming up; 0: only to be back sooner. None: never."""
    refused: tuple[RefusedSetting, ...] = ()
    """Settings that a standby's start on this data would refuse."""
    started_writable: bool = False
    """PostgreSQL was told to start without `standby.signal`, once."""
    found_standby: bool = False
    """The data was a standby's before pgset had it started for the first time."""
    vanished: bool = False
    """PostgreSQL was started here; its files are gone for several looks, or another database's."""


class ServerState(enum.Enum):
    """PostgreSQL as its sidecar sees it."""

    DOWN = "down"  # no connection to be had
    RECOVERY = "recovery"  # read-only: a standby, or a primary before its promotion
    WRITABLE = "writable"


@dataclass(frozen=True, slots=True)
class PostgresView:
    """What PostgreSQL says of itself, at most a second old."""

    state: ServerState
    since: float
    """When this state was first seen."""
    blind: bool = False
    """It answers, but the sidecar may not look: all is from its control file, or from before."""
    alive: bool = True
    """A process of it runs: one that shuts down still sends WAL, and a backend may still commit."""
    orphaned: bool = False
    """Such processes run, but no postmaster."""
    has_written: bool = False
    """This postmaster was seen writable or asked to be promoted: it may be so, whatever it says."""
    promoting_since: float | None = None
    """When this server, still read-only, was first asked to be promoted; None: not that we know."""
    promoted_from: int | None = None
    """Writable, and nobody here has asked for it: the timeline on which it streamed before."""
    last_timeline: int | None = None
    """The timeline that it was seen on last, also where it is down now; None: on none since
    bootstrap has reported."""
    progress_at: float | None = None
    """Only where it answers nobody yet, in its recovery: when that was last seen to get on."""
    problem: str | None = None
    """Why there is no connection, or what an order met, in somebody else's words."""
    system_identifier: str | None = None
    timeline: int | None = None
    position: int | None = None
    """The newest WAL received or written."""
    streaming: bool = False
    streamed_at: float | None = None
    """Whether a standby's WAL receiver streams, and when it was last seen to."""
    lag: int | None = None
    """Bytes between the newest WAL that its upstream has announced and what it has replayed."""
    to_replay: int | None = None
    """Bytes that a standby has received and not replayed yet, which comes before its promotion."""
    followers: tuple[Follower, ...] = ()
    """On a primary: the members that stream from it."""
    followers_heard_at: float | None = None
    """On a primary: when a follower was last heard; each sends something every second."""
    waits_for: tuple[str, ...] = ()
    waits_for_number: int = 0
    """Of which standbys how many each commit waits for; none where that setting is not ours."""
    waits_from: int | None = None
    """A WAL position from which on every commit has waited so; None: not known yet."""
    ordered: tuple[tuple[str, ...], int] | None = None
    """As the two above, what it was ordered to wait for and may do at any moment; None: nothing."""
    detached: bool = False
    """A standby whose last order was to receive WAL from nobody."""
    upstream: str | None = None
    """The host that a standby is to follow; empty: none, also if none was ever set."""
    primary_slot_name: str | None = None
    """A standby's setting: the replication slot of its primary that it uses; empty: none."""
    slots: tuple[str, ...] = ()
    physical_slots: tuple[str, ...] = ()
    """Physical replication slots: members', which are ours to drop, and all others."""
    logical_slots: tuple[str, ...] = ()
    """Logical replication slots; on a standby: failover slots that it had as a primary itself."""
    checkpointed_at: float | None = None
    """When the last checkpoint that was asked for had ended."""
    unwell_since: float | None = None
    """On a primary: since when new connections could not write, although this one answers; two of
    them have tried. Where that took longer than UNWELL_PATIENCE, no longer ago than that."""
    oldest_wal: int | None = None
    """On a primary: where the WAL begins that it still has."""
    standby_signal: bool = True
    """Whether a restart would come up read-only (rule 1)."""
    may_signal: bool = True
    """Whether this sidecar may signal the postmaster, and so could stop it."""
    unsafe: tuple[str, ...] = ()
    """Parameters by which a node's crash may damage the data, or commits wait for strangers."""
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
    revision: str | None = None
    """The StatefulSet's revision that it was made from."""
    taken_out_since: float | None = None
    """When Kubernetes took it out of its Services for its node: its containers are ready."""
    unready_since: float | None = None
    """When it was seen not to be ready, for whatever reason."""
    backs_off: bool = False
    """Its kubelet waits before it starts the database container again (CrashLoopBackOff)."""
    fenced_since: float | None = None
    """When it was seen to be fenced by an operator; None while it is not."""
    reinit: str | None = None
    """An operator's wish that it is cloned again, which was not answered yet."""
    failover: str | None = None
    """The version of the Lease on which an operator wants it to lead, if that was not answered."""
    nofailover: bool = False
    """An operator does not want it to take over from others."""
    failover_priority: int = 1
    """Of members with the same data, the one with the greater takes over."""
    problem: str | None = None
    """Which annotation of its pod counts as if it were not there, and why, as a sentence."""
    signs: bool = True
    """Its sidecar signs all that it says, by the slow key: none does up to version 0.2.0."""

    @property
    def identity(self) -> str:
        """This very pod, as `str(Identity)`."""
        return f"{self.name}_{self.uid}"


@dataclass(frozen=True, slots=True)
class Peer:
    """What a peer's sidecar answered."""

    name: str
    has_data: bool | None
    """None: its bootstrap has not reported."""
    system_identifier: str | None = None
    timeline: int | None = None
    position: int | None = None
    running: bool = False
    """Its PostgreSQL answers."""
    writable: bool = False
    """Its PostgreSQL accepts writes."""
    broken: bool = False
    """Its data can only be cloned again, and so it leads nobody, whatever it has."""
    reaches_api: bool = True
    """It hears from the API server, and so could take the Lease."""
    detached: bool = False
    """A standby that receives WAL from nobody: what it says of its WAL stays true."""
    well: bool = True
    """Its volume takes writes, and its sidecar could stop its PostgreSQL."""
    to_replay: int | None = None
    """Bytes that it would have to replay before it is writable; None: not known."""
    slow_ago: float = float("inf")
    """Seconds since it was sick or its volume slow: no primary that is sick hands over to it."""
    oldest_wal: int | None = None
    """On a primary: where the WAL begins that it still has."""
    gives_wal: bool = False
    """A standby that has nothing but the set's WAL: another one may receive it from there."""


@dataclass(frozen=True, slots=True)
class Fork:
    """Where the primary's history left the timeline that this member is on."""

    timeline: int
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Everything that `decide` may know."""

    now: float
    started_at: float
    me: Identity
    lease: LeaseView | None
    """None: the API server has not been reached yet."""
    pods: tuple[Pod, ...] | None  # None: likewise
    wanted: int | None
    """Replicas that the StatefulSet wants; None: not known."""
    bootstrap: BootstrapView
    postgres: PostgresView
    ordered: bool = False
    """The StatefulSet creates a pod only when all before it are ready (OrderedReady)."""
    peers: Mapping[str, Peer] | None = None
    """Answers by pod name; None: not asked. They are asked where `Decision.asks_peers` says so."""
    complete_peers: frozenset[str] = frozenset()
    """Those peers that have all WAL of the PostgreSQL that has stopped here."""
    paused: bool = False
    """The operator wants no failover now."""
    opted_out: bool = False
    """The annotation was taken away from the StatefulSet: its pods will be rolled to plain ones."""
    leaving_since: float | None = None
    """When this pod was seen to be deleted."""
    unfenced_at: float | None = None
    """When this pod was seen to be fenced no more; None: it is, or this sidecar has not seen it."""
    pledged_until: float | None = None
    """Until when this member has pledged to its holder not to take the Lease."""
    members_heard_at: float = float("-inf")
    """When another member last said anything: over replication or from sidecar to sidecar."""
    renewal_failed_at: float | None = None
    """When the last renewal was refused, or not answered; None: it landed, or another holds it."""
    api_failed_at: float = float("-inf")
    """When a renewal failed last, however long ago that is."""
    question_failed_at: float | None = None
    """When the last question whether to stay was given up; None: a member answered."""
    fork: Fork | None = None
    """Known only where this member follows on an older timeline than its primary's."""
    wal_matches: bool | None = None
    """Whether the end of its WAL is the primary's; known only of data that is new to the set."""
