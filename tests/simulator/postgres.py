"""A PostgreSQL with state: a data directory with its WAL, and the server that runs on it.

WAL is a position on a branch. Branches form a tree: a promotion makes a new one, with the
next timeline number, and two promotions from the same timeline make two of the same number,
as they do in PostgreSQL.
"""

import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

from sidecar.observation import DataState
from tests.simulator.world import World

if TYPE_CHECKING:
    from tests.simulator.agent import Agent
    from tests.simulator.kubernetes import PodLife

KEEPALIVE_SECONDS: Final = 5.0
"""After which a standby notices that its primary is silent (primary_conninfo's keepalives)."""

SENDER_TIMEOUT: Final = 10.0
"""After which a primary drops a standby that is silent."""

RETRY_SECONDS: Final = 0.4
"""wal_retrieve_retry_interval."""

SHUTDOWN_RECORD: Final = 120
"""Bytes of the shutdown checkpoint."""


@dataclass(eq=False, slots=True)
class Branch:
    """One timeline that was really written; its number need not be unique."""

    number: int
    parent: "Branch | None" = None
    fork: int = 0
    """Where it left its parent."""

    def chain(self) -> list["Branch"]:
        """This branch and its ancestors, the newest first."""
        found: list[Branch] = []
        branch: Branch | None = self
        while branch is not None:
            found.append(branch)
            branch = branch.parent
        return found

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


@dataclass(eq=False, slots=True)
class Directory:
    """A data directory on a volume; it outlives its pods."""

    data: DataState = DataState.EMPTY
    system_identifier: str | None = None
    branch: Branch | None = None
    position: int = 0
    checkpoint: tuple[int, int] = (0, 0)
    """Timeline and position that pg_controldata tells."""
    clean: bool = True
    standby_signal: bool = False
    synchronous: tuple[tuple[str, ...], int] = ((), 0)
    """synchronous_standby_names, which stand in postgresql.auto.conf."""
    prepared: bool = False
    """The replication role and its pg_hba line are there."""
    slots: tuple[str, ...] = ()
    """Members that have a replication slot here."""
    broken: bool = False
    """Nothing but a new clone helps."""
    kept_aside: int = 0
    beat: tuple[str, int] = ("", 0)
    """The heartbeat file: the UID of the pod that writes here, and a number that grows."""
    upstream: str | None = None
    """The host in primary_conninfo: an address, None for the Service, empty for nobody."""
    promoting_from: int | None = None
    """The note of a promotion that was asked for."""
    owner: "Agent | None" = None
    """Whose heart beats here."""
    full: bool = False
    slow_recovery: float = 0.0
    """Seconds that the next start after a crash takes."""
    spoiled: bool = False
    """No server comes up on it, until it is rewound or cloned anew."""
    returns: int = 0
    """The note of how often PostgreSQL did not come up."""
    slow: bool = False
    """Writes to the volume take so long that its member says so."""
    running: "Server | None" = None

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

    def copy_of(self, source: "Directory") -> None:
        """Become what a clone or a rewind makes."""
        self.data = DataState.PRESENT
        self.system_identifier = source.system_identifier
        self.branch, self.position = source.branch, source.position
        assert source.branch is not None
        self.checkpoint = (source.branch.number, source.position)
        self.clean = False
        self.standby_signal = True
        self.synchronous = source.synchronous
        self.prepared = source.prepared
        self.slots = ()
        self.promoting_from = None
        self.broken = self.spoiled = False


class Phase(Enum):
    STARTING = "starting"
    RECOVERY = "in recovery"
    PROMOTING = "promoting"
    WRITABLE = "writable"
    STOPPING = "stopping"
    DEAD = "dead"


@dataclass(eq=False, slots=True)
class Link:
    """A standby's connection to its upstream."""

    standby: "Server"
    primary: "Server"
    acknowledged: int = 0
    heard_at: float = 0.0
    open: bool = True


@dataclass(eq=False, slots=True)
class Commit:
    position: int
    done: Callable[[int], None]


@dataclass(eq=False, slots=True)
class Server:
    """One postmaster and its children, from start to death."""

    world: World
    pod: "PodLife"
    directory: Directory
    number: int
    on_phase: Callable[["Server"], None]
    phase: Phase = Phase.STARTING
    hung: bool = False
    """Stopped by SIGSTOP, with all children."""
    hung_since: float = 0.0
    refuses: bool = False
    """Only the postmaster is stopped: what is connected works, nothing new connects."""
    orphans: bool = False
    """Backends outlive the postmaster; such may still commit."""
    orphans_write: bool = False
    slow_promotion: float = 0.0
    hang_at_stop: bool = False
    slow_flush: float = 0.0
    """As a standby: seconds until WAL that came is on disk."""
    links: dict[str, Link] = field(default_factory=dict)
    upstream: Link | None = None
    waiting: list[Commit] = field(default_factory=list)
    synchronous_since: float = -1e9
    waited_for_none: bool = False
    """By the setting before the present one."""
    oldest_wal: int = 0
    checkpointed: float | None = None
    """True time of the end of the last checkpoint that was asked for."""
    prepared: bool = False
    unwell_since: float | None = None
    writable_since: float = -1e9
    shipping: bool = False
    stop_ticket: int = 0
    connecting: bool = False
    lag_told: int = 0
    clean_end: tuple[int, int] | None = None

    # ── life ──────────────────────────────────────────────────────────────────────────────

    @property
    def frozen(self) -> bool:
        """No process of it runs."""
        return self.hung or self.pod.node.frozen

    @property
    def could_write(self) -> bool:
        """Whether a client could get a commit acknowledged here, as far as this server goes."""
        if self.pod.node.frozen or self.hung:
            return False
        return self.phase is Phase.WRITABLE or (self.orphans and self.orphans_write)

    @property
    def accepts(self) -> bool:
        """Whether a new connection is answered."""
        return (
            self.phase in (Phase.RECOVERY, Phase.PROMOTING, Phase.WRITABLE)
            and not self.frozen
            and not self.refuses
        )

    def start(self) -> None:
        self.directory.running = self
        if self.directory.spoiled:
            self.world.after(0.3, self._fail_to_start)
            return
        unclean = not self.directory.clean
        seconds = self.world.chance.uniform(0.3, 3.0) if unclean else 0.15
        if unclean:
            seconds += self.directory.slow_recovery
        self.world.after(seconds, self._started)

    def _fail_to_start(self) -> None:
        if self.phase is Phase.STARTING:
            self._end(clean=False)

    def _started(self) -> None:
        if self.phase is not Phase.STARTING:
            return
        if self.frozen:
            self.world.after(1.0, self._started)
            return
        directory = self.directory
        if directory.full:
            self._end(clean=False)
            return
        directory.clean, directory.slow_recovery = False, 0.0
        self.synchronous_since = self.world.now - 2.0
        if directory.standby_signal:
            self._enter(Phase.RECOVERY)
            self._retry()
        else:
            self._enter(Phase.WRITABLE)

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        if phase is Phase.WRITABLE:
            self.writable_since = self.world.now
        self.on_phase(self)

    def promote(self) -> None:
        """pg_promote: takes a moment, and makes a new timeline."""
        if self.phase is not Phase.RECOVERY or self.frozen:
            return
        self.phase = Phase.PROMOTING
        self._disconnect()
        seconds = self.slow_promotion or self.world.chance.uniform(0.05, 0.3)
        self.world.after(seconds, self._promoted)

    def _promoted(self) -> None:
        if self.phase is not Phase.PROMOTING:
            return
        if self.frozen:
            self.world.after(0.2, self._promoted)
            return
        directory = self.directory
        assert directory.branch is not None
        directory.branch = Branch(directory.branch.number + 1, directory.branch, directory.position)
        directory.position += SHUTDOWN_RECORD
        directory.checkpoint = (directory.branch.number, directory.position)
        directory.standby_signal = False
        self.oldest_wal = max(0, self.oldest_wal)
        self._enter(Phase.WRITABLE)

    def stop(self, which: signal.Signals) -> None:
        """Take a signal, as the postmaster does (and, for SIGKILL, all of its children)."""
        if which is signal.SIGKILL:
            self.orphans = self.orphans_write = False
            if self.phase is not Phase.DEAD:
                self._end(clean=False)
            else:
                self.on_phase(self)
            return
        if self.phase is Phase.DEAD:
            if which is signal.SIGQUIT and self.orphans:
                self.orphans = self.orphans_write = False
                self.on_phase(self)
            return
        if self.hung or self.refuses or self.pod.node.frozen:
            return
        if which is signal.SIGQUIT:
            if not (self.hang_at_stop and self.phase is Phase.STOPPING):
                self._end(clean=False)
            return
        if self.phase is not Phase.STOPPING:
            writable = self.phase is Phase.WRITABLE
            self.waiting.clear()
            self._enter(Phase.STOPPING)
            recently = self.checkpointed is not None and self.world.now - self.checkpointed < 10
            seconds = 0.1 if recently or not writable else self.world.chance.uniform(0.1, 1.0)
            self.world.after(seconds, self._stopping, writable)

    def _stopping(self, writable: bool) -> None:
        if self.phase is not Phase.STOPPING:
            return
        if self.hang_at_stop or self.frozen:
            self.world.after(0.5, self._stopping, writable)
            return
        if writable:
            self._ship()
            if any(link.acknowledged < self.directory.position for link in self.links.values()):
                self.world.after(0.1, self._stopping, writable)
                return
            self.directory.position += SHUTDOWN_RECORD
            self._ship()
        directory = self.directory
        assert directory.branch is not None
        directory.checkpoint = (directory.branch.number, directory.position)
        self.clean_end = directory.checkpoint
        self._end(clean=True)

    def crash(self, orphans_for: float) -> None:
        """The postmaster dies; its backends may live on for a while."""
        if self.phase is Phase.DEAD:
            return
        if orphans_for > 0 and self.phase in (Phase.WRITABLE, Phase.RECOVERY):
            self.orphans = True
            self.orphans_write = self.phase is Phase.WRITABLE
            self.world.after(orphans_for, self._orphans_end)
        self._end(clean=False)

    def _orphans_end(self) -> None:
        if self.orphans:
            self.orphans = self.orphans_write = False
            self.on_phase(self)

    def _end(self, *, clean: bool) -> None:
        self.directory.clean = clean
        # WAL senders end with their postmaster; it is backends that may live on.
        self._close_links()
        self.phase = Phase.DEAD
        self.hung = False
        self.on_phase(self)

    def _close_links(self) -> None:
        self.waiting.clear()
        self._disconnect()
        place, node = self.pod.node.place, self.pod.node
        for link in self.links.values():
            link.open = False
            told = not node.down and self.world.network.passes(place, link.standby.pod.node.place)
            self.world.after(0.01 if told else KEEPALIVE_SECONDS, link.standby.lost, link)
        self.links.clear()

    def gone(self) -> None:
        """No process of it is left."""
        self._close_links()
        if self.directory.running is self:
            self.directory.running = None

    # ── as a standby ──────────────────────────────────────────────────────────────────────

    @property
    def streams(self) -> bool:
        """As far as it knows itself."""
        return self.upstream is not None

    def _disconnect(self) -> None:
        link, self.upstream = self.upstream, None
        if link is not None and link.open:
            link.open = False
            primary = link.primary
            if primary.links.get(self.pod.name) is link:
                # A closed connection is noticed at once, where the network tells of it.
                if self.world.network.passes(self.pod.node.place, primary.pod.node.place):
                    del primary.links[self.pod.name]
                    primary.pod.follower_left()
                else:
                    self.world.after(SENDER_TIMEOUT, primary.drop, link)

    def lost(self, link: Link) -> None:
        """The upstream has closed the connection."""
        if self.frozen:
            self.world.after(0.5, self.lost, link)
        elif self.upstream is link:
            self.upstream = None
            self.pod.streaming_changed()
            self._retry()

    def drop(self, link: Link) -> None:
        """As a primary: end the connection to a silent standby."""
        if self.links.get(link.standby.pod.name) is link:
            del self.links[link.standby.pod.name]
            link.open = False
            self.pod.follower_left()
            self.world.after(1.0, link.standby.lost, link)

    def _retry(self) -> None:
        if not self.connecting and self.phase is Phase.RECOVERY:
            self.connecting = True
            self.world.after(RETRY_SECONDS, self._connect)

    def _connect(self) -> None:
        self.connecting = False
        if self.phase is not Phase.RECOVERY or self.upstream is not None:
            return
        if self.directory.upstream == "":
            return
        if self.frozen:
            self._retry()
            return
        primary = self.pod.cluster.upstream(self.directory.upstream, self.pod.node.place)
        if primary is None or not self._can_follow(primary):
            self.connecting = True
            self.world.after(2 * RETRY_SECONDS, self._connect)
            return
        link = Link(self, primary, self.directory.position, self.world.now)
        old = primary.links.get(self.pod.name)
        if old is not None:
            old.open = False
        self.upstream = link
        if primary.phase is Phase.WRITABLE:
            self.directory.branch = primary.directory.branch
            primary.links[self.pod.name] = link
            primary.ship_soon()
        else:
            # A cascade: what its upstream has now, and nothing more before that is promoted.
            self.world.after(2.0, self._end_cascade, link)
        self.pod.streaming_changed()

    def follow(self, address: str) -> None:
        """Follow whoever is there; empty: nobody."""
        if self.phase is Phase.DEAD or self.frozen or self.directory.upstream == address:
            # A reload that changes nothing leaves the WAL receiver alone.
            return
        self.directory.upstream = address
        self._disconnect()
        self.pod.streaming_changed()
        self._retry()

    def _end_cascade(self, link: Link) -> None:
        if self.upstream is link:
            link.open = False
            self.lost(link)

    def _can_follow(self, primary: "Server") -> bool:
        mine, theirs = self.directory, primary.directory
        assert mine.branch is not None
        assert theirs.branch is not None
        if primary.phase is not Phase.WRITABLE:
            return mine.branch is theirs.branch and mine.position <= theirs.position
        return (
            mine.system_identifier == theirs.system_identifier
            and theirs.prepared
            and self.pod.name in theirs.slots
            and mine.position >= primary.oldest_wal
            and theirs.has(mine.branch, mine.position)
        )

    # ── as a primary ──────────────────────────────────────────────────────────────────────

    def commit(self, size: int, done: Callable[[int], None]) -> bool:
        """Write a commit; `done` is called when it is acknowledged. False: it failed."""
        if not self.could_write or self.directory.full:
            return False
        self.directory.position += size
        position = self.directory.position
        if self._waits(self.world.chance.random() < 0.5):
            self.waiting.append(Commit(position, done))
        else:
            done(position)
        self.ship_soon()
        return True

    def _waits(self, late: bool) -> bool:
        """Whether commits wait at all is told to the backends by another process, a bit late."""
        if late and self.waited_for_none and self.world.now - self.synchronous_since < 1.0:
            return False
        return self.directory.synchronous[1] > 0

    def set_synchronous(self, members: tuple[str, ...], number: int) -> None:
        number = min(number, len(members))
        if (members, number) == self.directory.synchronous:
            return
        self.waited_for_none = self.directory.synchronous[1] == 0
        self.directory.synchronous = (members, number)
        self.synchronous_since = self.world.now
        self._release_waiting()

    def ship_soon(self) -> None:
        if not self.shipping and self.links:
            self.shipping = True
            self.world.after(0.005, self._ship_event)

    def _ship_event(self) -> None:
        self.shipping = False
        if self.frozen:
            self.shipping = True
            self.world.after(0.5, self._ship_event)
        elif self.phase is not Phase.DEAD:
            self._ship()

    def _ship(self) -> None:
        """Send WAL to the standbys and hear what they have on disk."""
        world, directory = self.world, self.directory
        network, place = world.network, self.pod.node.place
        again = False
        for link in list(self.links.values()):
            standby = link.standby
            there = standby.pod.node.place
            if not network.both_ways(place, there) or standby.frozen or standby.slow_flush:
                again = True
                self._ship_hardly(link)
                continue
            standby.directory.position = link.acknowledged = directory.position
            standby.lag_told = directory.position
            link.heard_at = world.now
        if self.waiting:
            self._release_waiting()
        if again and self.links and not self.shipping:
            self.shipping = True
            world.after(0.5, self._ship_event)

    def _ship_hardly(self, link: Link) -> None:
        world, standby = self.world, link.standby
        network, place, there = world.network, self.pod.node.place, standby.pod.node.place
        comes = network.passes(place, there) and not standby.frozen
        answers = network.passes(there, place) and not standby.frozen
        if comes:
            standby.lag_told = self.directory.position
            if standby.slow_flush:
                world.after(standby.slow_flush, self._flushed, link, self.directory.position)
            elif link.open:
                standby.directory.position = self.directory.position
        if answers:
            link.heard_at = world.now
        elif world.now - link.heard_at > SENDER_TIMEOUT:
            self.drop(link)
        if not (comes and answers) and not standby.frozen:
            world.after(KEEPALIVE_SECONDS, standby.notice_silence, link)

    def _flushed(self, link: Link, position: int) -> None:
        standby = link.standby
        if link.open and standby.upstream is link and not standby.frozen:
            standby.directory.position = max(standby.directory.position, position)
            if self.world.network.passes(standby.pod.node.place, self.pod.node.place):
                link.acknowledged = max(link.acknowledged, position)
                self._release_waiting()

    def notice_silence(self, link: Link) -> None:
        """As a standby: the keepalives have ended a silent connection."""
        if self.upstream is not link or not link.open:
            return
        there = link.primary.pod.node
        if there.frozen or not self.world.network.both_ways(self.pod.node.place, there.place):
            self._disconnect()
            self.pod.streaming_changed()
            self._retry()

    def _release_waiting(self) -> None:
        names, number = self.directory.synchronous
        if number == 0:
            upto = self.directory.position
        else:
            have = sorted(
                (self.links[name].acknowledged for name in names if name in self.links),
                reverse=True,
            )
            if len(have) < number:
                return
            upto = have[number - 1]
        if self.waiting and self.waiting[0].position <= upto and not self.frozen:
            done = [commit for commit in self.waiting if commit.position <= upto]
            self.waiting = [commit for commit in self.waiting if commit.position > upto]
            for commit in done:
                commit.done(commit.position)

    def network_changed(self) -> None:
        """A silent connection shows in that nothing is heard."""
        if self.links:
            self.ship_soon()
        if self.upstream is not None:
            self.world.after(KEEPALIVE_SECONDS, self.notice_silence, self.upstream)

    def remove_old_wal(self) -> None:
        self.oldest_wal = self.directory.position
        for name in self.directory.slots:
            link = self.links.get(name)
            if link is not None:
                self.oldest_wal = min(self.oldest_wal, link.acknowledged)
