"""A data directory on a volume, with its WAL.

WAL is a position on a branch. Branches form a tree: a promotion makes a new one, with the
next timeline number, and two promotions from the same timeline make two of the same number,
as they do in PostgreSQL.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sidecar.memory.heartbeat import Beat
from sidecar.observation import DataState
from sidecar.postgres.timeline_history import TimelineHistory, fork_point, leads_on_from
from sidecar.refused_setting import Origin
from tests.simulator.node import Host


@dataclass(eq=False, slots=True)
class Branch:
    """One timeline that was really written; its number need not be unique."""

    number: int
    parent: "Branch | None" = None
    fork: int = 0
    """Where it left its parent."""
    shutdowns: set[int] = field(default_factory=set)
    """Where the record ends that a primary's shutdown has written."""

    def chain(self) -> list["Branch"]:
        """This branch and its ancestors, the newest first."""
        found: list[Branch] = []
        branch: Branch | None = self
        while branch is not None:
            found.append(branch)
            branch = branch.parent
        return found

    @property
    def history(self) -> TimelineHistory:
        """What its history file says."""
        chain = reversed(self.chain())
        return tuple((it.parent.number, it.fork) for it in chain if it.parent is not None)

    def reaches(self, other: "Branch", position: int) -> bool:
        """Whether what `other` wrote before `position` is part of this branch's history."""
        branch, end = self, None
        while branch is not other:
            if branch.parent is None:
                return False
            end = branch.fork if end is None else min(end, branch.fork)
            branch = branch.parent
        return end is None or position <= end

    def common(self, other: "Branch") -> tuple["Branch", int | None]:
        """The last branch that both have, and where the first of them left it (None: never)."""
        mine = self.chain()
        theirs = other.chain()
        shared = next(branch for branch in mine if branch in theirs)
        ends = [chain[i - 1].fork for chain in (mine, theirs) if (i := chain.index(shared)) > 0]
        return shared, min(ends) if ends else None


class Writer(Protocol):
    """The sidecar whose heart beats in a directory."""

    @property
    def beats(self) -> bool:
        """Whether it goes on beating."""


class Occupant(Protocol):
    """The server that runs on a directory."""

    unwell_since: float | None

    @property
    def pod(self) -> Host: ...


@dataclass(frozen=True, slots=True)
class Configured:
    """max_connections, as a pod's server gets it: PostgreSQL starts no standby with less than its
    data was written with."""

    value: int = 100
    origin: Origin = Origin.FILE


@dataclass(eq=False, slots=True)
class Directory:
    """A data directory on a volume; it outlives its pods."""

    data: DataState = DataState.EMPTY
    system_identifier: str | None = None
    branch: Branch | None = None
    position: int = 0
    histories: Mapping[int, Branch] = field(default_factory=dict)
    """By number, the timelines of others whose history files are in pg_wal. Those of its own branch
    are there anyway."""
    checkpoint: tuple[int, int] = (0, 0)
    """Timeline and position that pg_controldata tells."""
    clean: bool = True
    standby_signal: bool = False
    held: bool = False
    """A sidecar has left `recovery.signal`: without `standby_signal` no server comes up."""
    synchronous: tuple[tuple[str, ...], int] = ((), 0)
    """synchronous_standby_names, which stand in postgresql.auto.conf."""
    prepared: bool = False
    """The replication role and its pg_hba line are there."""
    slots: tuple[str, ...] = ()
    """Members that have a replication slot here."""
    broken: bool = False
    """Nothing but a new clone helps."""
    beat: Beat | None = None
    """The heartbeat file."""
    upstream: str | None = None
    """The host in primary_conninfo: an address, None for the Service, empty for nobody."""
    uses_slot: bool = True
    """Whether primary_slot_name is this member's own slot; else it is empty."""
    promoting_from: int | None = None
    """The note of a promotion that was asked for."""
    promoted_by_hand_at: int | None = None
    """The same of one that somebody else has asked for."""
    owner: Writer | None = None
    """Whose heart beats here."""
    full: bool = False
    slow_recovery: float = 0.0
    """Seconds that the next start after a crash takes."""
    starts_by_hand: bool = False
    """Somebody deletes standby.signal right before the next start."""
    spoiled: bool = False
    """No server comes up on it, until it is rewound or cloned anew."""
    unseen: bool = False
    """Storage stumbles: each file is said not to be there."""
    returns: int | None = None
    """The note of how often PostgreSQL did not come up."""
    slow: bool = False
    """Writes to the volume take so long that its member says so."""
    running: Occupant | None = None
    found: str = ""
    """The note of what the data was before the first start: `writable` or `standby`."""
    refusal: str | None = None
    """Why bootstrap does nothing here until somebody has mended the volume."""
    objection: str | None = None
    """Why this data can't become a set's, until somebody has changed that."""
    written_with: int = 100
    """The max_connections of the primary that wrote this data."""
    raised: int = 0
    """The max_connections that the sidecar has put into postgresql.auto.conf for one start."""

    def make_database(self, system_identifier: str, *, standby: bool) -> None:
        """Become a new database, as initdb makes it."""
        self.data = DataState.PRESENT
        self.system_identifier = system_identifier
        self.branch, self.position = Branch(1), 1000
        self.checkpoint = (1, 1000)
        self.clean = True
        self.standby_signal = standby

    def has(self, branch: Branch, position: int) -> bool:
        """Whether what was written there is here, too."""
        return (
            self.data is DataState.PRESENT
            and self.branch is not None
            and (
                self.position >= position
                if self.branch is branch
                else self.position >= position and self.branch.reaches(branch, position)
            )
        )

    def left_at(self, timeline: int) -> int | None:
        """Where this directory's history left the timeline of that number, if it did."""
        return None if self.branch is None else fork_point(self.branch.history, timeline)

    def leads_on(self, standby: "Directory") -> bool:
        """Whether a standby comes from its timeline to this one, as far as its sidecar sees."""
        mine, theirs = self.branch, standby.branch
        if mine is None or theirs is None:
            return False
        kept = standby.histories.get(mine.number)
        return leads_on_from(mine.history, kept.history if kept else (), theirs.number)

    def has_wal_of(self, primary: "Directory") -> bool | None:
        """Whether this WAL is the primary's, up to its end or to where that has left its timeline;
        None where the primary has less of it, or is none of this database."""
        mine, theirs = self.branch, primary.branch
        if mine is None or theirs is None or self.system_identifier != primary.system_identifier:
            return None
        left_at = self.position if mine.number == theirs.number else primary.left_at(mine.number)
        end = min(self.position, left_at or 0)
        if end and mine is theirs and end > primary.position:
            return None
        return bool(end) and theirs.reaches(mine, end)

    @property
    def newest_timeline(self) -> Branch:
        """The one that PostgreSQL goes for at a start: number by number, the last with a file."""
        found = self.branch
        assert found is not None
        while (newer := self.histories.get(found.number + 1)) is not None:
            found = newer
        return found

    @property
    def recovery_target(self) -> Branch:
        """The one that a running standby goes for: it passes one over that this data is not in."""
        newest, mine = self.newest_timeline, self.branch
        assert mine is not None
        return newest if newest.reaches(mine, self.position) else mine

    @property
    def is_stranded(self) -> bool:
        """Whether a standby that starts here ends at once: this data is not in the history of the
        timeline that it goes for. Where WAL has not come up to that point in what pg_controldata
        tells, PostgreSQL would start and lose it."""
        return (
            self.standby_signal
            and bool(self.histories)
            and self.branch is not None
            and self.recovery_target is not self.newest_timeline
        )

    def fetch_histories(self, primary: "Directory") -> None:
        """As a WAL receiver does before it asks for WAL: of the timelines after its own, up to the
        primary's. What it has it keeps, whosever that is."""
        mine, theirs = self.branch, primary.branch
        if mine is None or theirs is None or theirs.number <= mine.number:
            return
        there = {**primary.histories, **{branch.number: branch for branch in theirs.chain()}}
        newer = {n: it for n, it in there.items() if mine.number < n <= theirs.number}
        self.histories = {**newer, **self.histories}

    def delete_others_histories(self) -> None:
        """As bootstrap does before a start."""
        mine = self.branch
        if self.histories and mine is not None:
            self.histories = {
                number: branch
                for number, branch in self.histories.items()
                if number <= mine.number or branch.reaches(mine, self.position)
            }

    def begin_timeline(self) -> None:
        """As a promotion does: with a number of which there is no history file here."""
        number = self.newest_timeline.number + 1
        self.branch = Branch(number, self.recovery_target, self.position)

    def max_connections(self, configured: Configured) -> int:
        """Return what a server has here: a file is overridden by postgresql.auto.conf."""
        from_a_file = configured.origin is Origin.FILE
        return (from_a_file and self.raised) or configured.value

    def refuses_standby(self, configured: Configured) -> bool:
        """Whether a server that is to start as a standby ends at once."""
        return self.standby_signal and self.max_connections(configured) < self.written_with

    def drop_hold(self) -> None:
        """As `sidecar.signal_files` does, where the next start is read-only without it."""
        self.held = self.held and not self.standby_signal

    def admits(self, standby: "Directory") -> bool:
        """Whether a primary here lets this one in, and has its history."""
        assert standby.branch is not None
        return (
            self.answers(standby)
            and self.has(standby.branch, standby.position)
            and self.has_been_on_all_since(standby.branch)
        )

    def has_been_on_all_since(self, branch: Branch) -> bool:
        """Whether none of its timelines was left before it began: of such a one a server has had
        the history alone, when it was promoted, and no WAL to send."""
        assert self.branch is not None
        chain = self.branch.chain()
        forks = [it.fork for it in chain[: chain.index(branch)]]
        return forks == sorted(forks, reverse=True)

    def answers(self, standby: "Directory") -> bool:
        """Whether a server here lets this one in, and tells it the timeline that it is on."""
        return self.system_identifier == standby.system_identifier and self.prepared

    def copy_of(self, source: "Directory") -> None:
        """Become what a clone or a rewind makes."""
        self.data = DataState.PRESENT
        self.system_identifier = source.system_identifier
        self.branch, self.position = source.branch, source.position
        self.histories = {}
        assert source.branch is not None
        self.checkpoint = (source.branch.number, source.position)
        self.clean = False
        self.standby_signal, self.held = True, False
        self.synchronous = source.synchronous
        self.prepared = source.prepared
        self.slots = ()
        self.uses_slot = True
        self.promoting_from = self.promoted_by_hand_at = None
        self.broken = self.spoiled = False
        self.found = ""
        self.written_with, self.raised = source.written_with, 0
