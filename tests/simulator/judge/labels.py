"""I1: labels follow truth, and nobody is led to rows that may be gone yet."""

from typing import Final

from tests.simulator.judge.violation import fail
from tests.simulator.kubernetes.api_server import LeaseChanged, RoleChanged
from tests.simulator.kubernetes.pod import PodLife, ServerChanged
from tests.simulator.postgres.phase import Phase
from tests.simulator.postgres.server import Server
from tests.simulator.simulation import Simulation

LABEL_SECONDS: Final = 6.0
SETTLING_SECONDS: Final = 9.0
"""So long nobody need read what others may lead without; a member's clock may be fast."""
REPLICA_SECONDS: Final = 20.0
"""The keepalives' 5 s, what a standby needs to find a new primary, and a look."""


class Labels:
    """Looks at the role labels when they change, and every other second."""

    def __init__(self, simulation: Simulation) -> None:
        self._world = simulation.world
        self._cluster = simulation.cluster
        self._settings = simulation.settings
        self._tick = simulation.schedule.tick
        self._falsely_admitted: list[PodLife] = []
        self._wrong: dict[str, tuple[str, float]] = {}
        """By pod: what is wrong with its label, and since when."""
        self._promoted: tuple[Server | None, float, int] = (None, 0.0, 0)
        """The server that was promoted last, when, and where its WAL ended then."""
        self._labelled_last: tuple[str, Server | None] = ("", None)
        """Who got the primary label last, and its server then."""
        self._was_released = False
        """The Lease was taken last from a holder that had given it up."""
        self._world.subscribe(LeaseChanged, self._lease_changed)
        self._world.subscribe(RoleChanged, self._role_changed)
        self._world.subscribe(ServerChanged, self._server_changed)

    def admitted_as_primary(self, life: PodLife) -> None:
        """It takes no traffic before it is ready, and by then its label is to be right."""
        self._falsely_admitted.append(life)

    def check_admission(self, life: PodLife, server: Server) -> None:
        if life in self._falsely_admitted and server.accepts:
            role = self._cluster.api.pods[life.name][1].role
            if role == self._settings.primary_value:
                sentence = f"{life.name} takes traffic by the label of its admission"
                fail(self._world, "I1", sentence)

    def _role_changed(self, event: RoleChanged) -> None:
        if event.role != self._settings.primary_value or self._cluster.api.lands_late:
            return
        name = event.name
        life = self._cluster.pods[name]
        # From here on the label is its sidecar's own.
        self._falsely_admitted = [each for each in self._falsely_admitted if each is not life]
        server, lease = life.server, self._cluster.api.lease
        holds = lease is not None and lease.holder == f"{name}_{event.uid}"
        if server is not None and server.accepts and not server.could_write and not holds:
            sentence = f"{name} gets the primary label, is read-only and not the holder"
            fail(self._world, "I1", sentence)
        self._labelled_last = (name, server)
        if server is not None and server is self._promoted[0] and holds:
            self._check_settled(name, server)

    def _lease_changed(self, event: LeaseChanged) -> None:
        before, after = event.before, event.after
        if after.holder and (before is None or before.holder != after.holder):
            self._was_released = before is not None and not before.holder

    def _server_changed(self, event: ServerChanged) -> None:
        server = event.server
        if server.phase is not Phase.WRITABLE:
            return
        self._promoted = (server, self._world.now, server.directory.position)
        name, labelled = self._labelled_last
        shown = self._cluster.api.pods.get(name)
        if labelled is server and shown and shown[1].role == self._settings.primary_value:
            self._check_settled(name, server)

    def _check_settled(self, name: str, server: Server) -> None:
        """By what is promised now, nobody may lead without what this server came up with; where
        the Lease was released to it, the last primary's disk is enough. Who has no data does not
        lead: its volume was lost, or is just being cloned to."""
        _, since, position = self._promoted
        lease, mine = self._cluster.api.lease, server.directory.branch
        if lease is None or mine is None or self._world.now - since > SETTLING_SECONDS:
            return
        if self._cluster.pods[name].directory is not server.directory:
            return  # its files were deleted under it
        before = mine.parent if self._was_released else None
        voters = [
            directory
            for ordinal, directory in self._cluster.directories.items()
            if f"{self._settings.set_name}-{ordinal}" in lease.voters
        ]
        have = sum(
            (directory.branch is mine and directory.position >= position)
            or (before is not None and directory.has(before, mine.fork))
            for directory in voters
        )
        needed = min(lease.copies, 2) if self._was_released else lease.copies
        needed = min(needed, sum(directory.branch is not None for directory in voters))
        if server.could_write and have < needed:
            sentence = f"{name} gets the primary label, and {have} of {needed} have its rows"
            fail(self._world, "I1", sentence)

    def look(self, primary: Server | None, primary_life: PodLife | None) -> None:
        """Look at all, beside the server that became writable last."""
        cluster, settings = self._cluster, self._settings
        healthy = (
            primary is not None
            and primary_life is not None
            and primary.could_write
            and self._can_act(primary_life)
        )
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
            self._stays_wrong(name, wrong, seconds + self._tick)

    def _stays_wrong(self, name: str, wrong: str, seconds: float) -> None:
        now = self._world.now
        before, since = self._wrong.get(name, ("", now))
        if wrong != before:
            since = now
            self._wrong[name] = (wrong, now)
        if wrong and now - since > seconds:
            fail(self._world, "I1", f"{name} {wrong} for {seconds:.0f} s")

    def _can_act(self, life: PodLife) -> bool:
        agent, api = life.agent, self._cluster.api
        return (
            agent is not None
            and agent.watch.listed
            and not agent.is_impaired
            and not agent.watch.missed
            and not agent.watch.broken
            and not agent.watch.lag
            and not api.loss
            and not api.latency
            and not api.refuses_labels
            and api.reaches(life.node.place)
        )
