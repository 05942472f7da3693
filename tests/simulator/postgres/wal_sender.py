"""The primary's side of replication: WAL goes to the standbys, and commits wait for them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from tests.simulator.node import Host
from tests.simulator.postgres.directory import Directory
from tests.simulator.world import World

KEEPALIVE_SECONDS: Final = 5.0
"""After which a standby notices that its primary is silent (primary_conninfo's keepalives)."""

SENDER_TIMEOUT: Final = 10.0
"""After which a primary drops a standby that is silent."""


class End(Protocol):
    """The server at either end of a connection."""

    directory: Directory
    slow_flush: float
    lag_told: int
    upstream: "Link | None"

    @property
    def pod(self) -> Host: ...

    @property
    def frozen(self) -> bool: ...

    @property
    def stuck(self) -> bool: ...

    @property
    def sender(self) -> "WalSender": ...

    def lost(self, link: "Link") -> None:
        """As a standby: the upstream has closed the connection."""

    def notice_silence(self, link: "Link") -> None:
        """As a standby: the keepalives have ended a silent connection."""


@dataclass(eq=False, slots=True)
class Link:
    """A standby's connection to its upstream."""

    standby: End
    primary: End
    acknowledged: int = 0
    heard_at: float = 0.0
    open: bool = True


@dataclass(eq=False, slots=True)
class Commit:
    position: int
    done: Callable[[int], None]


@dataclass(eq=False, slots=True)
class WalSender:
    """All of one server's WAL senders, and the commits that wait for what they hear."""

    world: World
    server: End
    links: dict[str, Link] = field(default_factory=dict)
    waiting: list[Commit] = field(default_factory=list)
    synchronous_since: float = -1e9
    waited_for_none: bool = False
    """By the setting before the present one."""
    shipping: bool = False
    shown: int = 0
    """As a primary: others see what was committed up to here; what waits for standbys is unseen."""

    # ── commits ───────────────────────────────────────────────────────────────────────────

    def commit(self, position: int, done: Callable[[int], None]) -> None:
        """Call `done` when the commit that ends there is acknowledged."""
        if self._waits(self.world.chance.random() < 0.5):
            self.waiting.append(Commit(position, done))
        else:
            self.shown = position
            done(position)
        self.ship_soon()

    def cancel(self, done: Callable[[int], None]) -> None:
        """Who has asked waits no more: the commit is here, and nobody was told that it is safe."""
        self.waiting = [commit for commit in self.waiting if commit.done != done]

    def _waits(self, late: bool) -> bool:
        """Whether commits wait at all is told to the backends by another process, a bit late."""
        if late and self.waited_for_none and self.world.now - self.synchronous_since < 1.0:
            return False
        return self.server.directory.synchronous[1] > 0

    def set_synchronous(self, members: tuple[str, ...], number: int) -> None:
        directory = self.server.directory
        number = min(number, len(members))
        if (members, number) == directory.synchronous:
            return
        self.waited_for_none = directory.synchronous[1] == 0
        directory.synchronous = (members, number)
        self.synchronous_since = self.world.now
        self._release_waiting()

    def _release_waiting(self) -> None:
        names, number = self.server.directory.synchronous
        if number == 0:
            upto = self.server.directory.position
        else:
            have = sorted(
                (self.links[name].acknowledged for name in names if name in self.links),
                reverse=True,
            )
            if len(have) < number:
                return
            upto = have[number - 1]
        if self.waiting and self.waiting[0].position <= upto and not self.server.frozen:
            done = [commit for commit in self.waiting if commit.position <= upto]
            self.waiting = [commit for commit in self.waiting if commit.position > upto]
            for commit in done:
                self.shown = max(self.shown, commit.position)
                commit.done(commit.position)

    # ── WAL ───────────────────────────────────────────────────────────────────────────────

    def ship_soon(self) -> None:
        if not self.shipping and self.links:
            self.shipping = True
            self.world.after(0.005, self._ship_event)

    def _ship_event(self) -> None:
        self.shipping = False
        if self.server.frozen:
            self.shipping = True
            self.world.after(0.5, self._ship_event)
        else:
            self.ship()

    def ship(self) -> None:
        """Send WAL to the standbys and hear what they have on disk."""
        world, directory = self.world, self.server.directory
        network, place = world.network, self.server.pod.node.place
        again = False
        for link in list(self.links.values()):
            standby = link.standby
            there = standby.pod.node.place
            if not network.both_ways(place, there) or standby.stuck or standby.slow_flush:
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
        world, standby, position = self.world, link.standby, self.server.directory.position
        network, place = world.network, self.server.pod.node.place
        there = standby.pod.node.place
        comes = network.passes(place, there) and not standby.stuck
        answers = network.passes(there, place) and not standby.stuck
        if comes:
            standby.lag_told = position
            if standby.slow_flush:
                world.after(standby.slow_flush, self._flushed, link, position)
            elif link.open:
                standby.directory.position = position
        if answers:
            link.heard_at = world.now
        elif world.now - link.heard_at > SENDER_TIMEOUT:
            self.drop(link)
        if not (comes and answers) and not standby.stuck:
            world.after(KEEPALIVE_SECONDS, standby.notice_silence, link)

    def _flushed(self, link: Link, position: int) -> None:
        standby = link.standby
        if link.open and standby.upstream is link and not standby.stuck:
            standby.directory.position = max(standby.directory.position, position)
            if self.world.network.passes(standby.pod.node.place, self.server.pod.node.place):
                link.acknowledged = max(link.acknowledged, position)
                self._release_waiting()

    def all_have(self, position: int) -> bool:
        """Whether every standby that is connected has said that it has this on disk."""
        return all(link.acknowledged >= position for link in self.links.values())

    # ── connections ───────────────────────────────────────────────────────────────────────

    def drop(self, link: Link) -> None:
        """End the connection to a silent standby."""
        if self.links.get(link.standby.pod.name) is link:
            del self.links[link.standby.pod.name]
            link.open = False
            self.world.after(1.0, link.standby.lost, link)

    def close(self) -> None:
        """End with the postmaster; it is backends that may live on."""
        place, node = self.server.pod.node.place, self.server.pod.node
        for link in self.links.values():
            link.open = False
            told = not node.down and self.world.network.passes(place, link.standby.pod.node.place)
            self.world.after(0.01 if told else KEEPALIVE_SECONDS, link.standby.lost, link)
        self.links.clear()
