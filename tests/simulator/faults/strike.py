"""What a kind of fault is, and what it is given when it strikes."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from sidecar.settings import Settings
from tests.simulator.judge.judge import Judge
from tests.simulator.kubernetes.cluster import Cluster
from tests.simulator.kubernetes.pod import PodLife
from tests.simulator.postgres.phase import Phase
from tests.simulator.postgres.server import Server
from tests.simulator.schedule import SET_NAME, Fault
from tests.simulator.world import World

MOST_MEMBERS: Final = 6


def is_well_again(life: PodLife, server: Server) -> None:
    """What was wrong is over; something else may still be."""
    directory = life.directory
    still = server.refuses or server.hung or life.volume_hangs or directory.full or directory.slow
    if not still:
        server.unwell_since = None


@dataclass(frozen=True, slots=True)
class Kind:
    """Something that can happen, or that an operator can wish."""

    name: str
    sentence: str
    strike: "Callable[[Strike], None]"
    weight: float = 1.0
    """How often it is drawn, among the others that are drawn with it."""
    world: bool = False
    """Drawn for `--world` alone, apart from the others."""
    wish: bool = False
    """An operator wants it: nothing goes wrong."""
    aimed: bool = True
    """Whether it happens to a pod."""
    details: tuple[str, ...] = ()
    """What it is like: one of these is drawn."""
    draw: Callable[[random.Random, Fault, int], Fault] | None = None
    """For what is drawn in its own way: the fault as others have it and the number of members."""

    def words(self, fault: Fault) -> str:
        """Return a fault of this kind as transcripts have it."""
        words = [self.name.replace("_", " ")]
        if self.name == "scale":
            words.append(f"to {fault.target}")
        elif self.aimed:
            words.append("the primary" if fault.target < 0 else f"{SET_NAME}-{fault.target}")
        if fault.detail:
            words.append(f"({fault.detail})")
        if fault.seconds:
            words.append(f"for {fault.seconds:.1f} s")
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault that strikes, and all that it may strike."""

    kind: Kind
    fault: Fault
    cluster: Cluster
    judge: Judge

    @property
    def world(self) -> World:
        return self.cluster.world

    @property
    def settings(self) -> Settings:
        return self.cluster.settings

    def begin(self) -> None:
        self.world.note("FAULT", self.kind.words(self.fault))
        self.kind.strike(self)

    def at_its_end(self, end: Callable[[], None]) -> None:
        """Call this when the fault's time is over."""

        def ends() -> None:
            self.world.note("FAULT", f"ends: {self.kind.words(self.fault)}")
            end()

        self.world.after(self.fault.seconds, ends)

    def without_detail(self) -> "Strike":
        return replace(self, fault=replace(self.fault, detail=""))

    # ── what it strikes ───────────────────────────────────────────────────────────────────

    def life(self) -> PodLife | None:
        """The pod with this ordinal; -1 means who leads."""
        if self.fault.target < 0:
            newest = self.judge.newest
            return self.cluster.pods.get(newest.pod.name) if newest is not None else None
        return self.cluster.pods.get(f"{self.settings.set_name}-{self.fault.target}")

    def hit(self) -> PodLife | None:
        """The same, where that something happens to it explains that it stops leading."""
        life = self.life()
        if life is not None:
            self.excuse([life.name], self.fault.seconds)
        return life

    def hit_server(self) -> tuple[PodLife, Server] | None:
        """The same, where a server runs."""
        life = self.hit()
        if life is None or life.server is None or life.server.phase is Phase.DEAD:
            return None
        return life, life.server

    # ── what it explains ──────────────────────────────────────────────────────────────────

    def excuse(self, names: Iterable[str], seconds: float) -> None:
        """What happens to these pods explains things until it has worn off."""
        until = self.world.now + seconds + 3 * self.settings.ttl + 20.0
        self.judge.excuses.any_fault(until)
        self.judge.excuses.pods(names, until)

    def excuse_all(self, seconds: float) -> None:
        self.excuse([f"{self.settings.set_name}-{n}" for n in range(MOST_MEMBERS)], seconds)

    def excuse_by_the_api(self) -> None:
        """Not on the whole an excuse: with all members there, a primary stays."""
        until = self.world.now + self.fault.seconds + 3 * self.settings.ttl + 20
        self.judge.excuses.api(until)
