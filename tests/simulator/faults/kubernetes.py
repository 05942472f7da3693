"""Faults of the API server and of the watches, and what is done to objects against the rules."""

import copy
from dataclasses import replace

from tests.simulator.faults.node import kill_sidecar
from tests.simulator.faults.strike import Strike
from tests.simulator.world import API, CLIENT


def api_outage(strike: Strike) -> None:
    api, world, detail = strike.cluster.api, strike.world, strike.fault.detail
    strike.excuse_by_the_api()
    api.outage = detail.split(",")[0]
    api.lands_late = "late" in detail
    for agent in strike.cluster.agents:
        agent.watch.missed = True

    def nothing_lands_any_more() -> None:
        api.lands_late = False

    def end() -> None:
        strike.judge.reach.returns()
        api.outage = ""
        world.after(10.0, nothing_lands_any_more)
        strike.cluster.network_changed()

    strike.at_its_end(end)


def slow_api(strike: Strike) -> None:
    api = strike.cluster.api
    low, high = map(float, strike.fault.detail.split("-"))
    strike.excuse_by_the_api()
    api.latency = (low, high)

    def end() -> None:
        api.latency = None

    strike.at_its_end(end)


def refuse_writes(strike: Strike) -> None:
    api = strike.cluster.api
    strike.excuse_by_the_api()
    api.refuses_writes = True

    def end() -> None:
        api.refuses_writes = False

    strike.at_its_end(end)


def refuse_labels(strike: Strike) -> None:
    """No excuse for anything but wrong labels: nobody's data or Lease depends on them."""
    api = strike.cluster.api
    api.refuses_labels = strike.fault.detail

    def end() -> None:
        api.refuses_labels = ""

    strike.at_its_end(end)


def break_watch(strike: Strike) -> None:
    life, seconds = strike.life(), strike.fault.seconds
    if life is not None and life.agent is not None:
        # To a sidecar that starts meanwhile it is as if the API server were away.
        strike.judge.excuses.api(strike.world.now + seconds + strike.settings.ttl)
        life.agent.watch.break_for(min(seconds, 75.0))


def slow_watch(strike: Strike) -> None:
    life = strike.life()
    if life is None or life.agent is None:
        return
    agent = life.agent
    agent.watch.lag = float(strike.fault.detail)

    def end() -> None:
        agent.watch.lag = 0.0

    strike.at_its_end(end)


def delete_lease(strike: Strike) -> None:
    strike.judge.excuses.any_fault(strike.world.now + 60)
    strike.cluster.api.delete_lease()


def restore_lease(strike: Strike) -> None:
    """By the end of an outage, the Lease is as it was before somebody else was made primary."""
    api, detail = strike.cluster.api, strike.fault.detail
    present = api.lease
    if present is None or api.outage:
        return
    older = [it for it in api.earlier if it.transitions < present.transitions]
    if detail == "of the same primary":
        older = [it for it in api.earlier if it.transitions == present.transitions]
    elif detail != "given up":
        older = [it for it in older if it.holder]
    if not older:
        return
    api_outage(replace(strike, fault=replace(strike.fault, detail="refuse")))

    def restore() -> None:
        api.restore_lease(older[-1])
        if older[-1].switchover_to is not None:
            # What was asked for then, and refused, is asked for again.
            strike.excuse([older[-1].holder_pod], 60.0)
        strike.world.note("FAULT", f"the Lease names {older[-1].holder or 'nobody'} again")
        for agent in strike.cluster.agents if detail == "watches stay silent" else ():
            agent.watch.break_for(20.0)

    # Just before it ends.
    strike.world.after(strike.fault.seconds - 0.0001, restore)


def force_delete_pod(strike: Strike) -> None:
    life, cluster = strike.hit(), strike.cluster
    if life is None:
        return
    strike.excuse([life.name], 30.0)
    network = strike.world.network
    cut_off = not network.passes(API, life.node.place) and not life.node.frozen
    if life.node.down or cut_off:
        cluster.force_delete_pod(life.name)
    else:
        # Kubernetes' documentation says when it may be done: where the kubelet is away.
        cluster.delete_pod(life.name)


def delete_all_pods(strike: Strike) -> None:
    strike.excuse_all(60.0)
    for name in list(strike.cluster.pods):
        strike.cluster.delete_pod(name)


def evict(strike: Strike) -> None:
    """A node is not heard: after a while its pods are out of their Services, and then evicted,
    which no kubelet carries out before it is back."""
    life, cluster, world = strike.hit(), strike.cluster, strike.world
    if life is None or life.node.kubelet_stopped:
        return
    node, seconds = life.node, strike.fault.seconds
    node.kubelet_stopped = True

    def evict() -> None:
        for other in list(cluster.pods.values()):
            if other.node is node:
                cluster.delete_pod(other.name)

    def end() -> None:
        node.kubelet_stopped = False
        cluster.take_out(node, taken_out=False)
        for other in cluster.lives:
            if other.node is node and (other.agent is None or other.agent.cannot_act):
                strike.judge.was_helpless(other)

    world.after(0.4 * seconds, lambda: cluster.take_out(node, taken_out=True))
    world.after(0.8 * seconds, evict)
    strike.at_its_end(end)


def keep_pending(strike: Strike) -> None:
    """A pod is deleted, and its node has no room for the next one."""
    life, cluster = strike.hit(), strike.cluster
    if life is None:
        return
    node = life.node
    node.takes_no_pods = True
    cluster.delete_pod(life.name)

    def end() -> None:
        node.takes_no_pods = False

    strike.at_its_end(end)


def hide_set(strike: Strike) -> None:
    """A sidecar starts that may not read the StatefulSet."""
    cluster = strike.cluster
    cluster.hidden = True
    kill_sidecar(strike)

    def end() -> None:
        cluster.hidden = False
        cluster.set_changed()

    strike.at_its_end(end)


def cancel_waits(strike: Strike) -> None:
    """Clients that have waited for too long cancel that: the commit stays, on one disk perhaps."""
    cluster = strike.cluster
    cluster.waits_are_cancelled = True

    def end() -> None:
        cluster.waits_are_cancelled = False

    strike.at_its_end(end)


def replace_cut_off(strike: Strike) -> None:
    """All nodes are cut off from everything but each other, and then a replica is replaced on
    another, with a copy of its volume: its former life runs on and hears nothing of it."""
    cluster, world, network = strike.cluster, strike.world, strike.world.network
    holder = strike.judge.newest
    others = [life for life in cluster.pods.values() if holder and life.name != holder.pod.name]
    life = strike.life()
    replica = life if life in others else next(iter(others), None)
    if replica is None:
        return
    strike.excuse_all(strike.fault.seconds)
    inside = [life.node.place for life in cluster.lives]
    # Where replacements come up, see `Cluster.force_delete_pod`.
    new = range(10 + len(cluster.nodes), 30 + len(cluster.nodes))
    outside = [API, CLIENT, *new]
    cuts = [network.cut(inside, outside), network.cut(outside, inside)]
    cluster.network_changed()

    def replace_it() -> None:
        newest, lease = strike.judge.newest, cluster.api.lease
        leads = newest is not None and newest.pod is replica
        if leads or (lease is not None and lease.holder_pod == replica.name):
            return  # it has become the primary
        if cluster.pods.get(replica.name) is replica and replica.node.place in inside:
            volume = copy.copy(replica.directory)
            volume.running = volume.owner = None
            volume.beat, volume.clean = None, False
            # Whatever is wrong with the volume itself ends where that is.
            volume.full = volume.slow = volume.unseen = False
            cluster.directories[replica.ordinal] = volume
            cluster.force_delete_pod(replica.name)

    def end() -> None:
        strike.judge.reach.returns()
        for cut in cuts:
            network.heal(cut)
        cluster.network_changed()

    world.after(strike.fault.seconds / 4, replace_it)
    strike.at_its_end(end)
