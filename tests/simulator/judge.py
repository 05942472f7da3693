"""The invariants, checked on the true state of everything, which no sidecar sees.

I1  Labels follow truth. The primary label is not put on a pod that answers read-only without the
    Lease; no pod takes traffic by the label of its admission once the set has led; and with a
    sidecar and an API server that work, no wrong label stays for `LABEL_SECONDS` or
    `REPLICA_SECONDS`: on a read-only pod beside a writable one, on a writable one that carries
    the replica label, on a replica that does not stream.
I2  Never two servers of a set that could both acknowledge a commit. But for a whole machine that
    stood still, which may take `WAKING_SECONDS` after it wakes, since nothing on it could act
    before (a ttl, for the watchdog, where its sidecar does not wake), and where nobody is left to
    act: with neither kubelet nor sidecar, or without the sidecar in a pod that is being deleted,
    until its grace period ends.
I3  No commit that a client was told of is missing on a server that becomes writable, and none is
    acknowledged that the newest primary lacks (unless every volume that had it was destroyed):
    always with `sync`, `sync-strict` and `quorum`; with `async` where the Lease was handed to a
    named heir, and in schedules of wishes alone; else what is lost must lie beyond the position
    on record, less max-lag: nobody leads who is further behind what the primary last told.
I4  initdb ends once; neither it nor a clone begins on data; no two servers on one directory.
I5  Once faults have stopped: one writable server, which has the Lease and the label, takes
    commits, and every other wanted member streams from it; within `Run.settled_by`. Unless, by
    the record, volumes that were destroyed or scaled away may have been all that had some commit,
    or that had followed the last primary.
I6  A primary to which nothing happened stays: no fault on its pod, machine or server, and no wish.
    The API server's outage is none, as long as nothing else is wrong.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sidecar.observation import DataState, LeaseRecord
from tests.simulator.postgres import Branch, Phase, Server

if TYPE_CHECKING:
    from tests.simulator.kubernetes import PodLife
    from tests.simulator.runner import Run

LABEL_SECONDS: Final = 6.0
REPLICA_SECONDS: Final = 20.0
"""The keepalives' 5 s, what a standby needs to find a new primary, and a look."""

WAKING_SECONDS: Final = 2.5
"""A look after the wake (a second at the most), and what a request in flight may take."""


class ViolationError(Exception):
    """An invariant does not hold."""

    def __init__(self, invariant: str, sentence: str) -> None:
        super().__init__(f"{invariant}: {sentence}")
        self.invariant = invariant
        self.sentence = sentence


@dataclass(slots=True)
class Taking:
    """How a pod came by the Lease."""

    heir: bool
    position: int | None
    timeline: int | None


@dataclass(slots=True)
class Judge:
    """Sees everything of one run."""

    run: "Run"
    initdbs: int = 0
    acknowledged: dict[Branch, int] = field(default_factory=dict)
    """The last acknowledged commit of each branch."""
    commits: int = 0
    last_commit_at: float = 0.0
    newest: Server | None = None
    """The server that became writable last."""
    promotions: int = 0
    excused_until: dict[str, float] = field(default_factory=dict)
    """By pod: until when something that happened to it explains that it stops leading."""
    fault_until: float = -1.0
    """Until when any fault but the API server's outage explains things."""
    api_fault_until: float = -1.0
    falsely_admitted: "list[PodLife]" = field(default_factory=list)
    _taken: dict[str, Taking] = field(default_factory=dict)
    _wrong: dict[str, tuple[str, float]] = field(default_factory=dict)
    """By pod: what is wrong with its label, and since when."""

    def rules_failed(self, pod: str, error: Exception) -> None:
        """The sidecar would die of that, again and again."""
        self._fail("I5", f"the rules of {pod} raise {type(error).__name__}: {error}")

    def _fail(self, invariant: str, sentence: str) -> None:
        self.run.world.note("VIOLATION", f"{invariant}: {sentence}")
        raise ViolationError(invariant, sentence)

    # ── commits ───────────────────────────────────────────────────────────────────────────

    def was_acknowledged(self, server: Server, branch: Branch, position: int) -> None:
        """A client was told that its commit is safe."""
        self.commits += 1
        self.last_commit_at = self.run.world.now
        if position > self.acknowledged.get(branch, 0):
            self.acknowledged[branch] = position
        newest = self.newest
        if newest is None or newest is server or self.run.durability == "async":
            return
        if not newest.directory.has(branch, position):
            self._fail(
                "I3",
                f"{server.pod.name} acknowledges a commit at {branch.number}/{position} that "
                f"{newest.pod.name}, which was promoted meanwhile, does not have",
            )

    def _exists(self, branch: Branch, position: int) -> bool:
        """Whether any volume still has it: what is destroyed everywhere cannot be kept."""
        directories = self.run.cluster.directories.values()
        return any(each.has(branch, position) for each in directories)

    def _check_commits(self, server: Server) -> None:
        directory = server.directory
        for branch, position in self.acknowledged.items():
            if directory.has(branch, position) or not self._exists(branch, position):
                continue
            taking = self._taken.get(f"{server.pod.name}_{server.pod.uid}")
            assert directory.branch is not None
            shared, end = directory.branch.common(branch)
            kept = directory.position if end is None else min(end, directory.position)
            words = (
                f"{server.pod.name} leads with {shared.number}/{kept}, a commit at "
                f"{branch.number}/{position} was acknowledged"
            )
            if self.run.durability != "async":
                self._fail("I3", words)
            if taking is not None and taking.heir:
                self._fail("I3", f"{words}, and it had been named as heir")
            if self.run.schedule.only_wishes:
                self._fail("I3", f"{words}, and nothing but wishes had happened")
            told = taking.position if taking and taking.timeline == branch.number else None
            if told is not None and kept < told - self.run.settings.max_lag:
                self._fail("I3", f"{words}, and the Lease told of {told}")
        self.acknowledged = {
            branch: position
            for branch, position in self.acknowledged.items()
            if directory.has(branch, position)
        }

    # ── servers ───────────────────────────────────────────────────────────────────────────

    def server_changed(self, server: Server) -> None:
        if server.pod in self.falsely_admitted and server.accepts:
            role = self.run.cluster.api.pods[server.pod.name][1].role
            if role == self.run.settings.primary_value:
                self._fail("I1", f"{server.pod.name} takes traffic by the label of its admission")
        if server.phase is Phase.WRITABLE:
            self.promotions += 1
            before, self.newest = self.newest, server
            self.check_writers()
            self._check_commits(server)
            self.run.promoted(server)
            if before is not None and before is not server and before.phase is Phase.WRITABLE:
                self._check_need(before)
        elif server is self.newest and server.phase in (Phase.STOPPING, Phase.DEAD):
            self._check_need(server)

    def check_writers(self) -> None:
        """I2."""
        writers = [
            life.server
            for life in self.run.cluster.lives
            if life.server is not None and life.server.could_write and not self._waking(life)
        ]
        if len(writers) > 1:
            names = " and ".join(f"{s.pod.name} ({s.pod.uid})" for s in writers)
            self._fail("I2", f"{names} can both acknowledge commits")

    def _waking(self, life: "PodLife") -> bool:
        node = life.node
        now = self.run.world.now
        awake_for = now - self.run.woke_at.get(node.place, -1e9)
        helpless = life.agent is None or life.agent.stands_still
        if awake_for < (self.run.settings.ttl if helpless else WAKING_SECONDS):
            return True
        if helpless and (node.kubelet_stopped or life.terminating):
            self.run.helpless[life.name] = now
        return now - self.run.helpless.get(life.name, -1e9) < self.run.settings.ttl

    def _check_need(self, server: Server) -> None:
        """I6."""
        now, name = self.run.world.now, server.pod.name
        if now < self.excused_until.get(name, -1.0):
            return
        shown = self.run.cluster.api.pods.get(name)
        if shown is not None and shown[1].taken_out_since is not None:
            # New clients don't reach it.
            return
        if now < self.api_fault_until and now < self.fault_until:
            return
        self._fail("I6", f"{name} stops leading, and nothing had happened to it")

    # ── directories ───────────────────────────────────────────────────────────────────────

    def overwritten(self, pod: "PodLife", verb: str) -> None:
        if pod.directory.data is DataState.PRESENT:
            self._fail("I4", f"{verb} begins on the data of {pod.name}")

    def initialized(self, pod: "PodLife") -> None:
        self.initdbs += 1
        if self.initdbs > 1:
            self._fail("I4", f"a second initdb, on {pod.name}")

    def server_starts(self, pod: "PodLife") -> None:
        running = pod.directory.running
        if running is not None and running.pod is not pod:
            self._fail(
                "I4",
                f"{pod.name} ({pod.uid}) starts on a directory on which {running.pod.uid} runs",
            )

    # ── labels ────────────────────────────────────────────────────────────────────────────

    def admitted(self, pod: "PodLife", role: str) -> None:
        """A pod takes no traffic before it is ready, and by then its label is to be right."""
        if role == self.run.settings.primary_value and self.acknowledged:
            self.falsely_admitted.append(pod)

    def role_set(self, name: str, uid: str, value: str | None) -> None:
        if value != self.run.settings.primary_value or self.run.cluster.api.lands_late:
            return
        life = self.run.cluster.pods[name]
        # From here on the label is its sidecar's own.
        self.falsely_admitted = [each for each in self.falsely_admitted if each is not life]
        server, lease = life.server, self.run.cluster.api.lease
        holds = lease is not None and lease.holder == f"{name}_{uid}"
        if server is not None and server.accepts and not server.could_write and not holds:
            self._fail("I1", f"{name} gets the primary label, is read-only and not the holder")

    def lease_changed(self, before: LeaseRecord | None, after: LeaseRecord) -> None:
        self.run.lease_changed(before, after)
        if after.holder and (before is None or before.holder != after.holder):
            self._taken[after.holder] = Taking(
                heir=before is not None and not before.holder and before.heir == after.holder_pod,
                position=before.position if before else None,
                timeline=before.timeline if before else None,
            )

    def look_at_labels(self) -> None:
        """I1, every other second."""
        cluster, settings = self.run.cluster, self.run.settings
        primary = self.newest
        healthy = primary is not None and primary.could_write and self._can_act(primary.pod)
        for name, life in cluster.pods.items():
            role = cluster.api.pods[name][1].role
            server = life.server
            wrong = ""
            seconds = LABEL_SECONDS
            if server is None or not server.accepts or life.deleting:
                pass
            elif role == settings.primary_value:
                if healthy and server is not primary and not server.could_write:
                    wrong = "answers read-only and carries the primary label"
            elif role == settings.replica_value:
                if server.could_write and self._can_act(life):
                    wrong = "is writable and carries the replica label"
                elif healthy and not server.streams and self._can_act(life):
                    wrong, seconds = (
                        "does not stream and carries the replica label",
                        REPLICA_SECONDS,
                    )
            self._stays_wrong(name, wrong, seconds + self.run.schedule.tick)

    def _stays_wrong(self, name: str, wrong: str, seconds: float) -> None:
        now = self.run.world.now
        before, since = self._wrong.get(name, ("", now))
        if wrong != before:
            since = now
            self._wrong[name] = (wrong, now)
        if wrong and now - since > seconds:
            self._fail("I1", f"{name} {wrong} for {seconds:.0f} s")

    def _can_act(self, life: "PodLife") -> bool:
        agent = life.agent
        return (
            agent is not None
            and agent.listed
            and not agent.stands_still
            and not agent.watch_missed
            and not agent.watch_broken
            and not agent.watch_lag
            and not self.run.cluster.api.loss
            and not self.run.cluster.api.latency
            and self.run.cluster.api.reaches(life.node.place)
        )

    # ── the end ───────────────────────────────────────────────────────────────────────────

    def unsettled(self) -> str | None:
        """I5: what is not yet as it should be; None: the set is well, or blocked by right."""
        if self._is_gone_for_good() or self._waits_for_an_order():
            return None
        return self._what_is_unsettled()

    def _waits_for_an_order(self) -> bool:
        """OrderedReady: a pod that needs a primary to copy from keeps that one from being made."""
        cluster = self.run.cluster
        if cluster.parallel or len(cluster.pods) == cluster.wanted:
            return False
        return any(life.bootstrap.reported and not life.bootstrap.done for life in cluster.lives)

    def _is_gone_for_good(self) -> bool:
        """By the record a commit may have been only on volumes that are lost, or were scaled
        away with their members, and nobody who is left can know."""
        cluster = self.run.cluster
        lease = cluster.api.lease
        directories = [
            directory
            if (directory := cluster.directories.get(n)) and not directory.spoiled
            else None
            for n in range(cluster.wanted)
        ]
        if not any(each is not None and each.branch is not None for each in directories):
            return True
        if lease is None or any(life.server and life.server.could_write for life in cluster.lives):
            return False
        branches = [
            each.branch.number
            for n, each in enumerate(directories)
            if each and each.branch and (not lease.voters or self._name(n) in lease.voters)
        ]
        if lease.timeline is not None and max(branches, default=0) < lease.timeline:
            # Nobody is left who may lead and was ever on the timeline that the last primary led on.
            return True
        set_name = self.run.settings.set_name
        with_data = {
            f"{set_name}-{n}" for n, each in enumerate(directories) if each and each.branch
        }
        if lease.members and not with_data & set(lease.members):
            return True
        wanted = {f"{set_name}-{n}" for n in range(cluster.wanted)}
        there = wanted - self.run.lost_volumes
        return 0 < lease.copies <= len(set(lease.voters) - there)

    def _name(self, ordinal: int) -> str:
        return f"{self.run.settings.set_name}-{ordinal}"

    def _what_is_unsettled(self) -> str | None:
        cluster = self.run.cluster
        writers = [
            life for life in cluster.lives if life.server is not None and life.server.could_write
        ]
        if len(writers) != 1:
            return f"{len(writers)} members are writable"
        primary = writers[0]
        lease = cluster.api.lease
        if lease is None or lease.holder != f"{primary.name}_{primary.uid}":
            return f"{primary.name} is writable without the Lease"
        for ordinal in range(cluster.wanted):
            why = self._unsettled_member(f"{self.run.settings.set_name}-{ordinal}", primary)
            if why is not None:
                return why
        if self.run.world.now - self.last_commit_at > 8.0:
            return "no commit has been acknowledged for 8 s"
        return None

    def _unsettled_member(self, name: str, primary: "PodLife") -> str | None:
        cluster, settings = self.run.cluster, self.run.settings
        life = cluster.pods.get(name)
        if life is None or life.deleting:
            return f"{name} is not there"
        role = cluster.api.pods[name][1].role
        if life is primary:
            return None if role == settings.primary_value else f"the primary {name} has role {role}"
        server = life.server
        faults = {
            "does not stream": server is None or server.upstream is None,
            "streams from another than the primary": server is not None
            and server.upstream is not None
            and server.upstream.primary is not primary.server,
            f"is a replica with the role {role}": role != settings.replica_value,
            "is of the old revision": life.revision != cluster.revision,
        }
        return next((f"{name} {why}" for why, holds in faults.items() if holds), None)
