"""The invariants, checked on the true state of everything, which no sidecar sees.

I1  Labels follow truth. The primary label is not put on a pod that answers read-only without the
    Lease; no pod takes traffic by the label of its admission once the set has led; and with a
    sidecar and an API server that work, no wrong label stays for `LABEL_SECONDS` or
    `REPLICA_SECONDS`: on a read-only pod beside a writable one, on a writable one that carries
    the replica label, on a replica that does not stream. A promise holds for readers, too: for
    `SETTLING_SECONDS` after a promotion no label is put on a server with rows that others may
    lead without.
I2  Never two servers of a set that could both acknowledge a commit. But for a whole machine that
    stood still, which may take `WAKING_SECONDS` after it wakes, since nothing on it could act
    before (a ttl, for the kubelet, where its sidecar does not wake or may not signal PostgreSQL),
    and where nobody is left to act: with neither kubelet nor sidecar, or without the sidecar in a
    pod that is being deleted, until its grace period ends. Who was made writable by hand beside a
    holder is no primary: it is stopped within `FENCING_SECONDS`, or a ttl later by the kubelet
    where its sidecar can't, and what it has of its own is nobody's.
I3  No commit that a client was told of is missing on a server that becomes writable, and none is
    acknowledged that the newest primary lacks (unless every volume that had it was destroyed):
    always with `sync`, `sync-strict` and `quorum`; with `async` where a primary handed the Lease to
    a named heir, and in schedules of wishes alone; else what is lost must lie beyond the position
    on record, less max-lag: nobody leads who is further behind what the primary last told. What
    a member lacks that takes the Lease because an operator wants it to lead may be lost (I9 too).
I4  initdb ends once; neither it nor a clone begins on data; no two servers on one directory, but
    for `KILL_SECONDS` where the kubelet of a pod that was deleted by force starts one.
I5  (I8 of issue 11, return, is this one.) Once faults have stopped, and without anybody's help,
    within a bound: one writable server, which has the Lease and the label, takes
    commits, and every other wanted member streams from it; in the time that settling.py gives.
    Unless, by the record, volumes that were destroyed or scaled away may have been all that had
    some commit, or that had followed the last primary.
I6  A primary to which nothing happened stays: no fault on its pod, machine or server, and no wish.
    The API server's outage is none, as long as nothing else is wrong. One whose pod is not
    ready for long, although its server is well, may hand over to one whose pod is.
I7  While most members are well, reach each other and the API server, and one of them may lead by
    the record and has everything, somebody is writable through the Service again within the ttl
    and `ELECTION_SECONDS`. A record that has gone back to an older one lets nobody lead before its
    primary has claimed it or all members are well.
I9  What a new session was shown, with a promise (`sync`, `sync-strict`, `quorum`), is there on each
    server that becomes writable later. Through the primary's Service always, unless every volume
    that had it was destroyed. Through the replicas' as long as the standby that has shown it is
    there and in reach: it may have had what no other had yet. What a server in recovery shows while
    nobody can take its label away is not counted: the API server does not hear its sidecar, or that
    stands still, or a policy refuses changes of labels. Nor is what a standby shows of a primary
    that writes on beside another holder, where I2 lets it.
"""

from typing import Final

from sidecar.observation import DataState
from sidecar.situation.timing import UNREADY_PATIENCE
from tests.simulator.bootstrap import Initialized, OverwritingBegins
from tests.simulator.client import CommitAcknowledged
from tests.simulator.judge.commits import Commits
from tests.simulator.judge.excuses import Excuses
from tests.simulator.judge.labels import Labels
from tests.simulator.judge.reach import Reach
from tests.simulator.judge.reads import Reads
from tests.simulator.judge.service import Service
from tests.simulator.judge.settling import Settling
from tests.simulator.judge.violation import fail
from tests.simulator.kubernetes.api_server import LeaseChanged
from tests.simulator.kubernetes.cluster import PodCreated
from tests.simulator.kubernetes.pod import PodLife, ServerChanged, ServerStarts
from tests.simulator.postgres.directory import Directory
from tests.simulator.postgres.phase import Phase
from tests.simulator.postgres.server import Server
from tests.simulator.sidecar_process import RulesFailed
from tests.simulator.simulation import Simulation

LOOK_SECONDS: Final = 2.0
"""Between two looks at all labels."""

KILL_SECONDS: Final = 1.5
"""In which a sidecar kills a server that must not run in its directory; it looks ten times a second
in reality, and once in the fake."""

FENCING_SECONDS: Final = 5.0
"""In which a member that somebody makes writable is stopped; a look takes two."""

WAKING_SECONDS: Final = 2.5
"""A look after the wake (a second at the most), and what a request in flight may take."""


class Judge:
    """Sees everything of one run, by the events of its world."""

    def __init__(self, simulation: Simulation, *, only_wishes: bool) -> None:
        self._world = simulation.world
        self._cluster = simulation.cluster
        self._settings = simulation.settings
        self.excuses = Excuses()
        self.commits = Commits(simulation, only_wishes=only_wishes)
        self.labels = Labels(simulation)
        self.reach = Reach(simulation)
        self.reads = Reads(simulation, self.reach)
        self.service = Service(simulation, self.commits)
        self.settling = Settling(simulation, self.commits)
        self.newest: Server | None = None
        """The server that became writable last."""
        self._newest_life: PodLife | None = None
        self.promotions = 0
        self._initdbs = 0
        self._found: list[Directory] = []
        """With a database from before pgset."""
        self._helpless: dict[str, float] = {}
        """By pod: when nobody was last left to act for it."""
        subscribe = self._world.subscribe
        subscribe(CommitAcknowledged, self._commit_acknowledged)
        subscribe(OverwritingBegins, self._overwriting_begins)
        subscribe(Initialized, self._initialized)
        subscribe(ServerStarts, self._server_starts)
        subscribe(ServerChanged, self._server_changed)
        subscribe(PodCreated, self._pod_created)
        subscribe(LeaseChanged, self._lease_changed)
        subscribe(RulesFailed, self._rules_failed)

    def start(self) -> None:
        """Begin to look at the labels."""
        self._world.after(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self.labels.look(self.newest, self._newest_life)
        self.service.look()
        self._world.after(LOOK_SECONDS, self._look)

    def _pod_created(self, event: PodCreated) -> None:
        if event.role == self._settings.primary_value and self.commits.acknowledged:
            self.labels.admitted_as_primary(event.life)

    def _commit_acknowledged(self, event: CommitAcknowledged) -> None:
        if not self._is_of_this_set(event.server):
            name = event.server.pod.name
            self._fail("I3", f"{name} acknowledges a commit in a database that is not this set's")
        self.commits.was_acknowledged(event, self.newest)

    def _rules_failed(self, event: RulesFailed) -> None:
        error = event.error
        self._fail("I5", f"the rules of {event.pod} raise {type(error).__name__}: {error}")

    def _fail(self, invariant: str, sentence: str) -> None:
        fail(self._world, invariant, sentence)

    # ── servers ───────────────────────────────────────────────────────────────────────────

    def _server_changed(self, event: ServerChanged) -> None:
        life, server = event.life, event.server
        self.labels.check_admission(life, server)
        if not self._is_of_this_set(server):
            return
        if server.phase is Phase.WRITABLE:
            if server.by_hand and not self._holds_the_lease(life):
                self._must_be_fenced(life, server)
            else:
                self._leads(life, server)
        elif server is self.newest and server.phase in (Phase.STOPPING, Phase.DEAD):
            self._check_need(server)

    def _leads(self, life: PodLife, server: Server) -> None:
        server.by_hand = False
        self.promotions += 1
        before, self.newest, self._newest_life = self.newest, server, life
        self.check_writers()
        self.commits.check(server)
        self.reads.check(server)
        if before is not None and before is not server and before.phase is Phase.WRITABLE:
            self._check_need(before)

    def _lease_changed(self, _: LeaseChanged) -> None:
        """What somebody else has made writable is the set's primary once it has the Lease."""
        for life in self._cluster.lives:
            server = life.server
            by_hand = server is not None and server.by_hand and server.phase is Phase.WRITABLE
            if server is not None and by_hand and self._holds_the_lease(life):
                self._leads(life, server)

    def _holds_the_lease(self, life: PodLife) -> bool:
        lease = self._cluster.api.lease
        return lease is not None and lease.holder == f"{life.name}_{life.uid}"

    def _is_of_this_set(self, server: Server) -> bool:
        """And not the empty one that took the place of a database that has vanished."""
        return self._system_identifier() in (None, server.directory.system_identifier)

    def _system_identifier(self) -> str | None:
        """The set's, by its Lease."""
        lease = self._cluster.api.lease
        return lease.system_identifier if lease is not None else None

    def check_writers(self) -> None:
        """I2; for who lets a server go on, too."""
        writers = [
            life.server
            for life in self._cluster.lives
            if life.server is not None
            and life.server.could_write
            and not life.server.by_hand
            and self._is_of_this_set(life.server)
            and not self._waking(life)
        ]
        if len(writers) > 1:
            names = " and ".join(f"{s.pod.name} ({s.pod.uid})" for s in writers)
            self._fail("I2", f"{names} can both acknowledge commits")

    def _must_be_fenced(self, life: PodLife, server: Server) -> None:
        """I2: who may write by somebody else's doing is soon stopped."""
        now = self._world.now
        self._world.after(FENCING_SECONDS, self._check_fenced, life, server, now, False)

    def _check_fenced(self, life: PodLife, server: Server, since: float, waits: bool) -> None:
        """`waits`: at the last look its sidecar could not stop it, and the kubelet has to."""
        if life.server is not server or server.phase is not Phase.WRITABLE or not server.by_hand:
            return
        agent = life.agent
        hangs = agent is not None and agent.is_impaired and not agent.stands_still
        if server.stuck or life.node.kubelet_stopped or hangs:
            # It writes nothing, or nobody is left to act for it. (A loop that hangs fails its
            # probe after a while, which the fake does not know.)
            self._must_be_fenced(life, server)
            return
        impaired = agent is None or agent.stands_still or life.takes_no_signals
        if (impaired or waits) and self._world.now - since < self._settings.ttl + FENCING_SECONDS:
            again = self._check_fenced
            self._world.after(FENCING_SECONDS, again, life, server, since, impaired)
        else:
            self._fail("I2", f"{life.name} was made writable by hand, and nobody stops it")

    def _waking(self, life: PodLife) -> bool:
        node = life.node
        now = self._world.now
        helpless = life.agent is None or life.agent.cannot_act
        # Where PostgreSQL takes no signals from it, the kubelet has to stop it.
        slow = helpless or life.takes_no_signals
        if now - node.woke_at < (self._settings.ttl if slow else WAKING_SECONDS):
            return True
        if helpless and (node.kubelet_stopped or life.terminating):
            self.was_helpless(life)
        return now - self._helpless.get(life.name, -1e9) < self._settings.ttl

    def was_helpless(self, life: PodLife) -> None:
        """Up to now nobody could act for it: neither its sidecar nor its kubelet."""
        self._helpless[life.name] = self._world.now

    def _check_need(self, server: Server) -> None:
        """I6."""
        name = server.pod.name
        others = set(self._cluster.api.pods) - {name}
        if self._is_out_of_service(name) and not all(map(self._is_out_of_service, others)):
            # New clients don't reach it, and could reach another.
            return
        # A roll may wait for minutes before its last pod, long after what has begun it.
        if not server.pod.rolled and not self.excuses.explain(name, self._world.now):
            self._fail("I6", f"{name} stops leading, and nothing had happened to it")

    def _is_out_of_service(self, name: str) -> bool:
        shown, life = self._cluster.api.pods.get(name), self._cluster.pods.get(name)
        if shown is None or life is None or shown[1].unready_since is None:
            return False
        for_long = self._world.now - life.unready_at >= UNREADY_PATIENCE
        return for_long or shown[1].taken_out_since is not None

    # ── directories ───────────────────────────────────────────────────────────────────────

    def _overwriting_begins(self, event: OverwritingBegins) -> None:
        """I4."""
        if event.directory.data is DataState.PRESENT:
            self._fail("I4", f"{event.verb} begins on the data of {event.pod.name}")

    def _initialized(self, event: Initialized) -> None:
        """I4. Of a database that is gone with its volume, and that nobody has led with, no member
        and no record can know."""
        volumes = self._cluster.directories.values()
        found = any(it in volumes or self.newest is not None for it in self._found)
        if self._initdbs or found:
            self._fail("I4", f"a second initdb, on {event.pod.name}")
        self._initdbs += 1

    def data_was_found(self, directory: Directory) -> None:
        """There is a database from before pgset: none may be made."""
        self._found.append(directory)

    def promise_is_taken_back(self) -> None:
        """The operator wants `async` from here on."""
        self.commits.promises_nothing()
        self.reads.promises_nothing()

    def plain_pods_have_run(self) -> None:
        """I2 and I3: of an opted-out set, one database at the most was left writable, and whatever
        its plain pod has written is kept."""
        cluster = self._cluster
        there = {life.ordinal for life in cluster.lives}
        left = {
            ordinal: directory
            for ordinal, directory in cluster.directories.items()
            if ordinal not in there
            and directory.data is DataState.PRESENT
            and not (directory.standby_signal or directory.held)
            and directory.system_identifier == self._system_identifier()
        }
        if len(left) > 1:
            names = " and ".join(f"pod {ordinal}" for ordinal in sorted(left))
            self._fail("I2", f"{names} were both left writable to plain pods")
        for directory in left.values():
            assert directory.branch is not None
            directory.position += 1_000_000
            self.commits.acknowledged[directory.branch] = directory.position

    def _server_starts(self, event: ServerStarts) -> None:
        life, running = event.life, event.life.directory.running
        if running is None or running.pod is life:
            return
        if life.removed:
            # Its kubelet does not know yet, so nothing keeps it from that.
            self._world.after(KILL_SECONDS, self._check_killed, life)
            return
        self._fail(
            "I4",
            f"{life.name} ({life.uid}) starts on a directory on which {running.pod.uid} runs",
        )

    def _check_killed(self, life: PodLife) -> None:
        """I4, for a pod that was deleted by force, and whose directory another one has."""
        if life.agent is None or life.agent.is_impaired or life.volume_hangs:
            self._world.after(KILL_SECONDS, self._check_killed, life)
        elif life.server is not None and life.server.phase is not Phase.DEAD:
            self._fail("I4", f"{life.name} ({life.uid}) runs on a directory that another pod has")
