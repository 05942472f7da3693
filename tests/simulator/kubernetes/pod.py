"""A pod in one of its lives, and the kubelet that starts, probes and stops its containers."""

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from sidecar.settings import KUBELET_MINIMUM, Settings, watchdog
from tests.simulator.bootstrap import Bootstrap
from tests.simulator.kubernetes.api_server import ApiServer
from tests.simulator.node import Node
from tests.simulator.postgres.directory import Configured, Directory
from tests.simulator.postgres.phase import Phase
from tests.simulator.postgres.server import Server
from tests.simulator.sidecar_process import SidecarProcess
from tests.simulator.world import World

GRACE_SECONDS: Final = 30.0
PRE_STOP_SECONDS: Final = 1.0
FIRST_RESTART: Final = 0.4
BACK_OFF: Final = 10.0
MAX_BACK_OFF: Final = 300.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all pods of a set share."""

    world: World
    api: ApiServer
    new_agent: "Callable[[PodLife], SidecarProcess]"
    upstream: Callable[[str | None, int], Server | None]
    """The server at this address, or behind the Service, for who is at this place."""
    identifiers: Iterator[int]
    """What each initdb takes the next of."""
    deletes_others_histories: bool
    """Whether bootstrap does, before a start."""


@dataclass(frozen=True, slots=True)
class ServerStarts:
    """A server is about to be started on the pod's directory."""

    life: "PodLife"


@dataclass(frozen=True, slots=True)
class ServerChanged:
    """A server is in another phase, or the last of its backends has ended."""

    life: "PodLife"
    server: Server


@dataclass(frozen=True, slots=True)
class ReadinessChanged:
    """The kubelet has found a pod ready, or no longer so."""

    pod: "PodLife"


@dataclass(frozen=True, slots=True)
class BackOffChanged:
    """The kubelet tells that it waits before it starts the database container, or no longer."""

    life: "PodLife"
    backs_off: bool


@dataclass(frozen=True, slots=True)
class PodEnded:
    """All containers of a pod have ended, and the API server is told so."""

    life: "PodLife"


class PodLife:
    """A pod in one of its lives, with the kubelet's care for it."""

    def __init__(
        self,
        surroundings: Surroundings,
        ordinal: int,
        uid: str,
        node: Node,
        directory: Directory,
        *,
        revision: str,
        settings: Settings,
        configured: Configured,
    ) -> None:
        self.surroundings = surroundings
        self.world = surroundings.world
        self.ordinal = ordinal
        self.settings = settings
        """As its sidecar got them when the pod was created."""
        self.name = f"{settings.set_name}-{ordinal}"
        self.uid = uid
        self.ip = f"10.0.0.{uid[1:]}"
        self.node = node
        self.directory = directory
        self.revision = revision
        self.configured = configured
        self.volume_hangs = False
        self.takes_no_signals = False
        """PostgreSQL takes none from the sidecar."""
        self.agent: SidecarProcess | None = None
        self.server: Server | None = None
        self.server_changed_at = 0.0
        """When the server was in another phase last."""
        self.bootstrap = self._new_bootstrap()
        self.writer: int | None = None
        """WriterMemory's file: the number of the postmaster seen writable last."""
        self.followed: int | None = None
        """FollowingFile's file."""
        self.restarts = 0
        self.sidecar_restarts = 0
        self.ready = False
        self.other_is_unready = False
        """Another container of the pod, such as an exporter."""
        self.unready_at = self.world.now
        """When the kubelet told last that it is not ready, if it is not."""
        self.deleting = False
        self.terminating = False
        self.rolled = False
        """A rolling update deletes it."""
        self.gone = False
        self.removed = False
        self._servers = 0
        self._watchdog_ticket = 0
        self._probe_fails = False
        self._watchdog = watchdog(settings)
        self.hang_at_stop = False
        self.slow_promotion = 0.0
        self.to_replay = 0
        self.slow_flush = 0.0
        self.locks_out = False

    @property
    def title(self) -> str:
        """Its name and, once another life of the pod may be there, which one it is."""
        return f"{self.name}/{self.uid}" if self.removed else self.name

    # ── start ─────────────────────────────────────────────────────────────────────────────

    def start(self) -> None:
        """Pull, mount, start: first the sidecar, then bootstrap."""
        self.world.after(self.world.chance.uniform(0.5, 1.5), self._start_sidecar, True)

    def _start_sidecar(self, first: bool = False) -> None:
        if self.gone or (self.agent is not None and not first) or self.terminating:
            return
        if self._kubelet_is_away():
            self.world.after(1.0, self._start_sidecar, first)
            return
        if self.agent is None:
            self.agent = self.surroundings.new_agent(self)
        self.agent_answers()
        if first:
            self.bootstrap.start()

    def bootstrap_died(self) -> None:
        """Its container is started again, after the init containers' own back-off."""
        if not self.bootstrap.done and self.bootstrap.reported and not self.terminating:
            self.bootstrap.end()
            self.bootstrap = self._new_bootstrap()
            self.bootstrap.start()

    def _new_bootstrap(self) -> Bootstrap:
        shared = self.surroundings
        return Bootstrap(
            self.world,
            self,
            self.directory,
            shared.identifiers,
            deletes_others_histories=shared.deletes_others_histories,
        )

    def bootstrap_changed(self) -> None:
        if self.agent is not None:
            self.world.after(self.world.chance.uniform(0.01, 0.1), self.agent.wake)

    def bootstrap_done(self) -> None:
        self.world.after(0.2, self._start_server)

    def _start_server(self) -> None:
        if self.gone or self.terminating:
            return
        if self._kubelet_is_away() or self.volume_hangs:
            self.world.after(1.0, self._start_server)
            return
        if self.server is not None and self.server.phase is not Phase.DEAD:
            return
        self.world.publish(ServerStarts(self))
        if self.directory.full:
            self._back_off()
            return
        self._servers += 1
        server = Server(self.world, self, self.directory, self._servers, self.server_changed)
        server.hang_at_stop = self.hang_at_stop
        server.slow_promotion = self.slow_promotion
        server.to_replay = self.to_replay
        server.slow_flush = self.slow_flush
        server.locks_out = self.locks_out
        self.server = server
        self.world.note(self.title, f"PostgreSQL is {server.phase.value}")
        server.start()
        self._tell_back_off(backs_off=False)
        # The probes of each start are counted anew.
        self._probe_fails = False
        if self.agent is None or not self.agent.answers.are_given:
            self.agent_is_silent()

    def _back_off(self) -> None:
        self.restarts += 1
        seconds = (
            FIRST_RESTART
            if self.restarts == 1
            else min(MAX_BACK_OFF, BACK_OFF * 2 ** (self.restarts - 2))
        )
        if self.restarts > 1:
            self._tell_back_off(backs_off=True)
        self.world.after(seconds, self._start_server)

    def _tell_back_off(self, *, backs_off: bool) -> None:
        reaches = self.surroundings.api.reaches(self.node.place)
        if reaches and not self._kubelet_is_away() and not self.removed:
            self.world.publish(BackOffChanged(self, backs_off))

    def _kubelet_is_away(self) -> bool:
        return self.node.kubelet_stopped or self.node.frozen or self.node.down

    # ── what happens to PostgreSQL ────────────────────────────────────────────────────────

    def server_changed(self, server: Server) -> None:
        self.server_changed_at = self.world.now
        self.world.publish(ServerChanged(self, server))
        world = self.world
        if world.transcript is not None:
            left = "processes that wait for the volume" if self.volume_hangs else "its backends"
            orphans = f", {left} live on" if server.orphans else ""
            world.note(self.title, f"PostgreSQL is {server.phase.value}{orphans}")
        agent = self.agent
        if agent is not None:
            world.after(world.chance.uniform(0.005, 0.1), agent.wake)
        self.probe_soon()
        if server.phase is Phase.DEAD and not server.orphans and server is self.server:
            server.gone()
            self.server_exited()

    def server_exited(self) -> None:
        if self.terminating:
            self._stop_sidecar()
        elif not self.gone and not self.node.down:
            self._back_off()

    def new_identifier(self) -> str:
        """Return the system identifier of a database that is made in this pod."""
        return str(next(self.surroundings.identifiers))

    def upstream(self, address: str | None) -> Server | None:
        """Return the server that primary_conninfo leads to, if it can be reached from here."""
        return self.surroundings.upstream(address, self.node.place)

    def streaming_changed(self) -> None:
        if self.agent is not None:
            self.agent.wake()

    # ── probes ────────────────────────────────────────────────────────────────────────────

    @property
    def _is_fit_for_clients(self) -> bool:
        return self.server is not None and self.server.accepts and not self.other_is_unready

    def probe_soon(self) -> None:
        accepts = self._is_fit_for_clients
        if accepts != self.ready:
            self.world.after(
                self.world.chance.uniform(0.1, 1.1) if accepts else 0.1, self._probed, accepts
            )

    def _probed(self, ready: bool) -> None:
        if self.gone or self.removed or ready == self.ready:
            return
        if self._kubelet_is_away() or not self.surroundings.api.reaches(self.node.place):
            self.world.after(1.0, self._probed, ready)
            return
        if self._is_fit_for_clients == ready:
            self.ready = ready
            self.unready_at = self.world.now
            self.world.publish(ReadinessChanged(self))

    def agent_is_silent(self) -> None:
        """The liveness probe fails, for want of an answer."""
        self.probe_fails(self._watchdog.timeout)

    def probe_fails(self, seconds: float = 0.0) -> None:
        """The liveness probe fails, each after so many seconds: count."""
        if self._probe_fails:
            return
        self._probe_fails = True
        self._watchdog_ticket += 1
        probe = self._watchdog
        until_the_last = self.world.chance.uniform(
            probe.period * (probe.failures - 1), probe.period * probe.failures
        )
        self.world.after(until_the_last + seconds, self._watchdog_fails, self._watchdog_ticket)

    def agent_answers(self) -> None:
        if self._probe_fails:
            self._probe_fails = False
            self._watchdog_ticket += 1

    def _watchdog_fails(self, ticket: int) -> None:
        if ticket != self._watchdog_ticket or self.gone or self.terminating:
            return
        if self._kubelet_is_away():
            self.world.after(1.0, self._watchdog_fails, ticket)
            return
        server = self.server
        if server is not None and server.phase is not Phase.DEAD:
            self.world.note(self.title, "the kubelet's watchdog stops PostgreSQL")
            self.world.after(PRE_STOP_SECONDS, self._signal, server, signal.SIGINT)
            killed_after = self._watchdog.grace + KUBELET_MINIMUM
            self.world.after(killed_after, self._signal, server, signal.SIGKILL)
            self.restarts = max(self.restarts, 1)

    def _signal(self, server: Server, which: signal.Signals) -> None:
        if self._kubelet_is_away():
            self.world.after(1.0, self._signal, server, which)
            return
        if self.server is server:
            server.stop(which)

    # ── the end ───────────────────────────────────────────────────────────────────────────

    def sidecar_died(self) -> None:
        """Its process ended: the kubelet starts it again."""
        agent, self.agent = self.agent, None
        if agent is not None:
            agent.end()
        self.agent_is_silent()
        if self.terminating or self.gone:
            return
        self.sidecar_restarts += 1
        again = self.sidecar_restarts
        seconds = FIRST_RESTART if again == 1 else min(MAX_BACK_OFF, BACK_OFF * 2 ** (again - 2))
        self.world.after(seconds, self._start_sidecar)

    def terminate(self) -> None:
        """The kubelet has seen that the pod was deleted."""
        if self.terminating or self.gone:
            return
        if self._kubelet_is_away() or not self.surroundings.api.reaches(self.node.place):
            self.world.after(1.0, self.terminate)
            return
        self.terminating = True
        self.bootstrap.end()
        server = self.server
        self.world.after(GRACE_SECONDS, self._kill)
        if server is not None and (server.phase is not Phase.DEAD or server.orphans):
            self.world.after(PRE_STOP_SECONDS, self._signal, server, signal.SIGINT)
        else:
            self._stop_sidecar()

    def _stop_sidecar(self) -> None:
        if self.agent is None:
            self.end()
        else:
            self.agent.leave()

    def agent_has_left(self) -> None:
        self.agent = None
        if self.terminating:
            self.end()

    def _kill(self) -> None:
        if self._kubelet_is_away() or self._waits_for_the_volume():
            self.world.after(1.0, self._kill)
        elif not self.gone:
            self.kill_everything()
            self.end()

    def _waits_for_the_volume(self) -> bool:
        """Killed it is, but the kubelet sees processes that do not end."""
        server = self.server
        if not self.volume_hangs or server is None:
            return False
        if server.phase is not Phase.DEAD:
            server.stop(signal.SIGKILL)
        return server.orphans

    def volume_answers(self) -> None:
        """After it has hung."""
        self.volume_hangs = False
        if self.server is not None:
            self.server.volume_answers()

    def kill_everything(self) -> None:
        """No process of the pod is left, and none was asked."""
        if self.agent is not None:
            self.agent.end()
            self.agent = None
        self.bootstrap.end()
        server, self.server = self.server, None
        if server is not None and (server.phase is not Phase.DEAD or server.orphans):
            server.stop(signal.SIGKILL)
            server.orphans = False
            server.gone()
        self.ready = False
        self.writer = None

    def end(self) -> None:
        """All containers have ended: the kubelet takes the pod from the API server."""
        if self.gone:
            return
        self.gone = True
        self.ready = False
        self.world.after(0.2, self._take_from_api)

    def _take_from_api(self) -> None:
        if not self.surroundings.api.reaches(self.node.place) or self._kubelet_is_away():
            self.world.after(1.0, self._take_from_api)
            return
        self.world.publish(PodEnded(self))

    def reboot(self) -> None:
        """The node is back: the same pod runs from its first init container again."""
        self.bootstrap = self._new_bootstrap()
        self.restarts = self.sidecar_restarts = 0
        if self.deleting or self.removed:
            self.terminating = True
            self.end()
        else:
            self.start()
