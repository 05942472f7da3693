"""A PostgreSQL with state: the server that runs on a data directory."""

import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from sidecar.observation import DataState
from tests.simulator.node import Host
from tests.simulator.postgres.directory import Branch, Configured, Directory
from tests.simulator.postgres.phase import Phase
from tests.simulator.postgres.wal_sender import KEEPALIVE_SECONDS, SENDER_TIMEOUT, Link, WalSender
from tests.simulator.world import World

RETRY_SECONDS: Final = 0.4
"""wal_retrieve_retry_interval."""

SHUTDOWN_RECORD: Final = 120
"""Bytes of the shutdown checkpoint."""


class ServerPod(Host, Protocol):
    """What a server needs of the pod that it runs in."""

    @property
    def configured(self) -> Configured: ...

    @property
    def volume_hangs(self) -> bool:
        """Each look at the volume, and each write, waits until that is over."""

    def new_identifier(self) -> str: ...

    def upstream(self, address: str | None) -> "Server | None":
        """Return the server that primary_conninfo leads to, if it can be reached."""

    def streaming_changed(self) -> None: ...


@dataclass(eq=False, slots=True)
class Server:
    """One postmaster and its children, from start to death."""

    world: World
    pod: ServerPod
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
    to_replay: int = 0
    """As a standby: bytes of WAL that are replayed before a promotion."""
    hang_at_stop: bool = False
    slow_flush: float = 0.0
    """As a standby: seconds until WAL that came is on disk."""
    locks_out: bool = False
    """It answers, and gives the sidecar no connection."""
    by_hand: bool = False
    """Its promotion was asked for by somebody who has no part in the set."""
    sender: WalSender = field(init=False)
    links: dict[str, Link] = field(init=False)
    """As a primary: the standbys that stream from it."""
    upstream: Link | None = None
    oldest_wal: int = 0
    checkpointed: float | None = None
    """True time of the end of the last checkpoint that was asked for."""
    unwell_since: float | None = None
    connecting: bool = False
    lag_told: int = 0

    def __post_init__(self) -> None:
        self.sender = WalSender(self.world, self)
        self.links = self.sender.links

    # ── life ──────────────────────────────────────────────────────────────────────────────

    @property
    def frozen(self) -> bool:
        """No process of it runs."""
        return self.hung or self.pod.node.frozen

    @property
    def stuck(self) -> bool:
        """As a standby: it neither flushes WAL nor says anything, whatever for."""
        return self.hung or self.pod.node.frozen or self.pod.volume_hangs

    @property
    def could_write(self) -> bool:
        """Whether a client could get a commit acknowledged here, as far as this server goes."""
        if self.stuck:
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

    @property
    def shown(self) -> int:
        """Up to which position of its branch a new session sees what was committed."""
        if self.phase is Phase.WRITABLE:
            return self.sender.shown
        return max(0, self.directory.position - self.to_replay)

    @property
    def comes_up_never(self) -> bool:
        """It ends as soon as it has looked at its data."""
        directory = self.directory
        is_held = directory.held and not (directory.standby_signal or directory.starts_by_hand)
        if is_held or directory.spoiled or directory.refuses_standby(self.pod.configured):
            return True
        return directory.is_stranded and not directory.starts_by_hand

    def start(self) -> None:
        directory = self.directory
        if directory.running is None:
            directory.running = self
        if self.comes_up_never:
            self.world.after(0.3, self._fail_to_start)
            return
        if directory.data is DataState.EMPTY:
            # The image's entrypoint knows nothing of a set, and runs initdb, which refuses a
            # directory with a heartbeat in it.
            if directory.beat is not None:
                self.world.after(0.3, self._fail_to_start)
                return
            self.world.after(self.world.chance.uniform(2.0, 5.0), self._make_database)
            return
        unclean = not directory.clean
        seconds = self.world.chance.uniform(0.3, 3.0) if unclean else 0.15
        if unclean:
            seconds += directory.slow_recovery
        self.world.after(seconds, self._started)

    def _make_database(self) -> None:
        if self.phase is Phase.STARTING:
            self.world.note(self.pod.title, "the image's entrypoint has made a new database")
            self.directory.make_database(self.pod.new_identifier(), standby=False)
            self._started()

    def _fail_to_start(self) -> None:
        if self.phase is Phase.STARTING:
            self._end(clean=False)

    def _started(self) -> None:
        if self.phase is not Phase.STARTING:
            return
        if self.stuck:
            self.world.after(1.0, self._started)
            return
        directory = self.directory
        if directory.full:
            self._end(clean=False)
            return
        directory.clean, directory.slow_recovery = False, 0.0
        self.sender.synchronous_since = self.world.now - 2.0
        if directory.starts_by_hand:
            self._start_by_hand()
        elif directory.standby_signal:
            self._enter(Phase.RECOVERY)
            self._retry()
        else:
            self._enter(Phase.WRITABLE)

    def _start_by_hand(self) -> None:
        """It writes on its timeline, and so does the primary."""
        directory = self.directory
        assert directory.branch is not None
        directory.starts_by_hand = directory.standby_signal = False
        directory.branch = Branch(directory.branch.number, directory.branch, directory.position)
        directory.position += SHUTDOWN_RECORD
        self.by_hand = True
        self._enter(Phase.WRITABLE)

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        if phase is Phase.WRITABLE:
            self.directory.written_with = self.directory.max_connections(self.pod.configured)
            # Nothing that was there before waits for anybody any more.
            self.sender.shown = self.directory.position
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
        if self.stuck:
            self.world.after(0.2, self._promoted)
            return
        directory = self.directory
        assert directory.branch is not None
        directory.begin_timeline()
        directory.position += SHUTDOWN_RECORD
        directory.checkpoint = (directory.branch.number, directory.position)
        directory.standby_signal = False
        self.oldest_wal = max(0, self.oldest_wal)
        self._enter(Phase.WRITABLE)

    def stop(self, which: signal.Signals) -> None:
        """Take a signal, as the postmaster does (and, for SIGKILL, all of its children)."""
        if which is signal.SIGKILL:
            self._kill()
            return
        if self.phase is Phase.DEAD:
            if which is signal.SIGQUIT and self.orphans and not self.pod.volume_hangs:
                self.orphans = self.orphans_write = False
                self.on_phase(self)
            return
        if self.hung or self.refuses or self.pod.node.frozen:
            return
        if which is signal.SIGQUIT:
            if not (self.hang_at_stop and self.phase is Phase.STOPPING):
                self._kill()
            return
        if self.phase is not Phase.STOPPING:
            writable = self.phase is Phase.WRITABLE
            self.sender.waiting.clear()
            self._enter(Phase.STOPPING)
            recently = self.checkpointed is not None and self.world.now - self.checkpointed < 10
            seconds = 0.1 if recently or not writable else self.world.chance.uniform(0.1, 1.0)
            self.world.after(seconds, self._stopping, writable)

    def _kill(self) -> None:
        """What waits for the volume dies when that answers; until then it does nothing more."""
        waits = self.pod.volume_hangs
        had_orphans = self.orphans
        self.orphans = waits and (had_orphans or self.phase is not Phase.DEAD)
        self.orphans_write = False
        if self.phase is not Phase.DEAD:
            self._end(clean=False)
        elif had_orphans and not waits:
            self.on_phase(self)
        if waits and self.directory.running is self:
            self.directory.running = None

    def volume_answers(self) -> None:
        """After it has hung."""
        if self.phase is Phase.DEAD and self.orphans and not self.orphans_write:
            self._orphans_end()

    def _stopping(self, writable: bool) -> None:
        if self.phase is not Phase.STOPPING:
            return
        if self.hang_at_stop or self.stuck:
            self.world.after(0.5, self._stopping, writable)
            return
        if writable:
            self.sender.ship()
            if not self.sender.all_have(self.directory.position):
                self.world.after(0.1, self._stopping, writable)
                return
            self.directory.position += SHUTDOWN_RECORD
            if self.directory.branch is not None:
                self.directory.branch.shutdowns.add(self.directory.position)
            self.sender.ship()
        directory = self.directory
        if directory.branch is not None:  # else the image's entrypoint had no database yet
            directory.checkpoint = (directory.branch.number, directory.position)
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
        self._close_links()
        self.phase = Phase.DEAD
        self.hung = False
        self.on_phase(self)

    def _close_links(self) -> None:
        self.sender.waiting.clear()
        self._disconnect()
        self.sender.close()

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
            if primary.sender.links.get(self.pod.name) is link:
                # A closed connection is noticed at once, where the network tells of it.
                if self.world.network.passes(self.pod.node.place, primary.pod.node.place):
                    del primary.sender.links[self.pod.name]
                else:
                    self.world.after(SENDER_TIMEOUT, primary.sender.drop, link)

    def lost(self, link: Link) -> None:
        """The upstream has closed the connection."""
        if self.frozen:
            self.world.after(0.5, self.lost, link)
        elif self.upstream is link:
            self.upstream = None
            self.pod.streaming_changed()
            self._retry()

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
        primary = self.pod.upstream(self.directory.upstream)
        if primary is not None and primary.directory.answers(self.directory):
            self.directory.fetch_histories(primary.directory)
        if primary is None or not self._may_follow(primary):
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
            self.directory.written_with = primary.directory.written_with
            primary.links[self.pod.name] = link
            primary.sender.ship_soon()
        else:
            # A cascade: what its upstream has now, and nothing more before that is promoted.
            self.world.after(max(0.05, self.slow_flush), self._cascaded, link)
            self.world.after(2.0, self._end_cascade, link)
        self.pod.streaming_changed()

    def follow(self, address: str, by_slot: bool) -> None:
        """Follow whoever is there; empty: nobody, and the slot stays as it is."""
        directory = self.directory
        uses_slot = by_slot if address else directory.uses_slot
        if (directory.upstream, directory.uses_slot) != (address, uses_slot):
            self.reload(address, uses_slot=uses_slot)

    def reload(self, address: str | None, *, uses_slot: bool) -> None:
        """Replicate as these settings say; one that changes nothing leaves the receiver alone."""
        if self.phase is Phase.DEAD or self.frozen:
            return
        self.directory.upstream, self.directory.uses_slot = address, uses_slot
        self._disconnect()
        self.pod.streaming_changed()
        self._retry()

    def _cascaded(self, link: Link) -> None:
        """The WAL that the upstream had is on disk."""
        mine, theirs = self.directory, link.primary.directory
        if self.upstream is link and link.open and not self.stuck and mine.branch is theirs.branch:
            mine.position = max(mine.position, theirs.position)

    def _end_cascade(self, link: Link) -> None:
        if self.upstream is link:
            link.open = False
            self.lost(link)

    def _may_follow(self, primary: "Server") -> bool:
        mine, theirs = self.directory, primary.directory
        if primary.phase is not Phase.WRITABLE:
            return mine.branch is theirs.branch and mine.position <= theirs.position
        if mine.recovery_target is not theirs.branch:
            return False
        admitted = self.pod.name in theirs.slots or not mine.uses_slot
        if mine.uses_slot and self._slot_is_in_use(primary):
            return False
        return admitted and mine.position >= primary.oldest_wal and theirs.admits(mine)

    def _slot_is_in_use(self, primary: "Server") -> bool:
        """By another life of this pod."""
        link = primary.links.get(self.pod.name)
        return link is not None and link.open and link.standby is not self

    def network_changed(self) -> None:
        """A silent connection shows in that nothing is heard."""
        if self.links:
            self.sender.ship_soon()
        if self.upstream is not None:
            self.world.after(KEEPALIVE_SECONDS, self.notice_silence, self.upstream)

    def notice_silence(self, link: Link) -> None:
        """The keepalives have ended a silent connection."""
        if self.upstream is not link or not link.open:
            return
        there = link.primary.pod.node
        if there.frozen or not self.world.network.both_ways(self.pod.node.place, there.place):
            self._disconnect()
            self.pod.streaming_changed()
            self._retry()

    # ── as a primary ──────────────────────────────────────────────────────────────────────

    def commit(self, size: int, done: Callable[[int], None]) -> bool:
        """Write a commit; `done` is called when it is acknowledged. False: it failed."""
        if self.pod.volume_hangs and self.phase is Phase.WRITABLE:
            # It waits for its own flush; who has asked for it does not wait so long.
            return True
        if not self.could_write or self.directory.full:
            return False
        self.directory.position += size
        self.sender.commit(self.directory.position, done)
        return True

    def remove_old_wal(self) -> None:
        self.oldest_wal = self.directory.position
        for name in self.directory.slots:
            link = self.links.get(name)
            if link is not None and link.standby.directory.uses_slot:
                self.oldest_wal = min(self.oldest_wal, link.acknowledged)
