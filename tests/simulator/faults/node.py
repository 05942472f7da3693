"""Faults of a pod's sidecar, of its kubelet, and of the whole machine."""

from typing import Final

from tests.simulator.faults.strike import Strike
from tests.simulator.kubernetes.pod import PodLife, ServerChanged
from tests.simulator.node import Node
from tests.simulator.postgres.phase import Phase

UNTIL_ANOTHER_LEADS: Final = ", until another leads"
AT_MOST: Final = 100.0
"""Seconds that one is frozen that waits for another to lead."""


def kill_sidecar(strike: Strike) -> None:
    life = strike.life()
    if life is not None and life.agent is not None:
        if life.sidecar_restarts:
            # The kubelet's back-off is longer than the watchdog waits.
            strike.hit()
        # It has forgotten the Lease, and can ask nobody while the API server is away, too.
        strike.judge.excuses.any_fault(strike.world.now + 3 * strike.settings.ttl)
        life.sidecar_died()


def freeze_sidecar(strike: Strike) -> None:
    """At once, or when it is about to do something."""
    life, fault = strike.hit(), strike.fault
    if life is None or life.agent is None:
        return
    if not fault.detail:
        life.agent.freeze(fault.seconds)
        return
    strike.excuse([life.name], AT_MOST)
    before, until, _ = fault.detail.partition(UNTIL_ANOTHER_LEADS)
    life.agent.freeze_before = (before, AT_MOST if until else fault.seconds)
    if until:
        _wake_when_another_leads(strike, life)


def hang_thread(strike: Strike) -> None:
    """One of the sidecar's threads hangs by itself, and goes on."""
    life = strike.hit()
    if life is not None and life.agent is not None:
        life.agent.hang(strike.fault.detail, strike.fault.seconds)


def _wake_when_another_leads(strike: Strike, life: PodLife) -> None:
    """Then it would be worst to go on where it stopped."""
    agent, world, waits = life.agent, strike.world, True

    def look(event: ServerChanged) -> None:
        nonlocal waits
        leads = event.server.phase is Phase.WRITABLE and event.life is not life
        if waits and leads and agent is not None and agent.frozen:
            waits = False
            world.after(world.chance.uniform(0.0, 0.3), agent.thaw)

    world.subscribe(ServerChanged, look)


def freeze_node(strike: Strike) -> None:
    life, world, cluster = strike.hit(), strike.world, strike.cluster
    if life is None or life.node.frozen:
        return
    node, began = life.node, world.now
    node.frozen = True
    cluster.network_changed()

    def end() -> None:
        node.frozen = False
        node.woke_at = world.now
        node.slept += world.now - began
        for other in cluster.lives:
            if other.node is node:
                other.probe_soon()
                if other.agent is not None:
                    other.agent.wakes()
        cluster.network_changed()
        world.after(3.0, strike.judge.check_writers)

    strike.at_its_end(end)


def stop_kubelet(strike: Strike) -> None:
    life = strike.hit()
    if life is None:
        return
    node = life.node
    node.kubelet_stopped = True

    def end() -> None:
        node.kubelet_stopped = False
        for other in strike.cluster.lives:
            if other.node is node and (other.agent is None or other.agent.cannot_act):
                # Only now can anybody stop what a dead or frozen sidecar has left running.
                strike.judge.was_helpless(other)

    strike.at_its_end(end)


def reboot_node(strike: Strike) -> None:
    life, cluster = strike.hit(), strike.cluster
    if life is None or life.node.down:
        return
    node = life.node
    node.down = True
    lives = [other for other in cluster.lives if other.node is node and not other.gone]
    for other in lives:
        other.kill_everything()

    def end() -> None:
        node.down = False
        for other in lives:
            if other in cluster.lives and not other.gone:
                other.reboot()

    strike.at_its_end(end)


OTHER_CONTAINER: Final = "another container"


def take_out(strike: Strike) -> None:
    """The pods of one node; or those of all nodes, one shortly after the other, which is no reason
    to move a primary; or one pod, for the sake of another container of it."""
    if strike.fault.detail == OTHER_CONTAINER:
        _make_another_container_unready(strike)
        return
    all_of_them, cluster, world = bool(strike.fault.detail), strike.cluster, strike.world
    life = strike.life() if all_of_them else strike.hit()
    if life is None:
        return
    ended = False

    def take_out(node: Node) -> None:
        if not ended:
            cluster.take_out(node, taken_out=True)

    take_out(life.node)
    others = [node for node in cluster.nodes.values() if all_of_them and node is not life.node]
    for node in others:
        world.after(world.chance.uniform(0.0, 1.5), take_out, node)

    def end() -> None:
        nonlocal ended
        ended = True
        for node in (life.node, *others):
            cluster.take_out(node, taken_out=False)

    strike.at_its_end(end)


def _make_another_container_unready(strike: Strike) -> None:
    life = strike.life()
    if life is None:
        return
    life.other_is_unready = True
    life.probe_soon()

    def end() -> None:
        life.other_is_unready = False
        life.probe_soon()

    strike.at_its_end(end)
