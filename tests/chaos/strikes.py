"""What is done to the set: each is a function of whom it strikes.

What takes a fault away again is pushed on a stack, which is unwound whatever happens.
"""

import contextlib
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from deploy.local import cluster, processes
from deploy.local.layout import NodePlan
from sidecar import contract
from tests.chaos import api, cut, pod_processes, volumes
from tests.chaos.record import PodSeen
from tests.chaos.sampler import Sampler
from tests.chaos.subject import (
    BUDGETS,
    EVENTS,
    LEASE,
    NAMESPACE,
    SCRATCH,
    SET,
    STATEFULSET,
    SWITCHOVER,
    Subject,
    delete_pod,
)

_STEP_SECONDS: Final = 0.02
_DRAIN: Final = ("--ignore-daemonsets", "--delete-emptydir-data", "--timeout=600s")
_TOO_MUCH: Final = 4 << 20
_DONE_SECONDS: Final = 240.0
"""What takes a second or a few has so long on a busy machine; the times are told elsewhere."""
_NOTICED_SECONDS: Final = 5.0
"""After so long everybody has seen what was written to the API server, and has settled."""
_REFUSED_SECONDS: Final = 15.0
"""Who still leads so long after a request that has gone has refused it, or could not do it."""
_CLONES: Final = 5


class FaultError(Exception):
    """The fault could not be brought about, or what was asked for was not done."""


@dataclass(frozen=True)
class Strike:
    """Whom a fault strikes, and with what."""

    subject: Subject
    sampler: Sampler
    primary: str
    undo: ExitStack
    """What takes the fault away; unwound after the fault's time."""
    round: int
    """Counts from 0; faults that need a moment take another one in each round."""
    moments: list[float] = field(default_factory=list)
    """When it struck, where that was not at once."""

    @property
    def node(self) -> NodePlan:
        """The primary's node."""
        return pod_processes.node_of(self.primary)

    @property
    def replica(self) -> str:
        """One member that is not the primary."""
        members = self.subject.members
        return members[(members.index(self.primary) + 1) % len(members)]

    def wait(self, question: Callable[[], object], what: str, seconds: float) -> None:
        """Wait until something is true; FaultError where it does not become so."""
        deadline = time.monotonic() + seconds
        while not question():
            if time.monotonic() > deadline:
                raise FaultError(f"{what} not within {seconds:.0f} s")
            time.sleep(_STEP_SECONDS)


def delete_primary(strike: Strike) -> None:
    """Delete the primary's pod."""
    delete_pod(strike.primary)


def kill_postmaster(strike: Strike) -> None:
    _of(pod_processes.postmaster, strike.primary).send(signal.SIGKILL)


def kill_sidecar(strike: Strike) -> None:
    _of(pod_processes.sidecar, strike.primary).send(signal.SIGKILL)


def stop_sidecar(strike: Strike) -> None:
    _stop(strike, _of(pod_processes.sidecar, strike.primary))


def stop_postmaster(strike: Strike) -> None:
    _stop(strike, _of(pod_processes.postmaster, strike.primary))


def _of(find: Callable[[str], pod_processes.Process | None], member: str) -> pod_processes.Process:
    found = find(member)
    if found is None:
        raise FaultError(f"{member} has no {find.__name__} to strike")
    return found


def _stop(strike: Strike, process: pod_processes.Process) -> None:
    strike.undo.callback(process.send, signal.SIGCONT)
    process.send(signal.SIGSTOP)


def cut_node(
    addresses: Callable[[NodePlan], tuple[str, ...]],
    *,
    incoming: bool = True,
    outgoing: bool = True,
) -> Callable[[Strike], None]:
    def strike_node(strike: Strike) -> None:
        strike.undo.callback(cut.join, strike.node)
        cut.cut(strike.node, addresses(strike.node), incoming=incoming, outgoing=outgoing)

    return strike_node


def everybody(_: NodePlan) -> tuple[str, ...]:
    return cut.EVERYBODY


def control_plane(_: NodePlan) -> tuple[str, ...]:
    return cut.CONTROL_PLANE


def stop_kubelet(strike: Strike) -> None:
    _stop_recorded(strike, f"{strike.node.name}-kubelet")


def stop_api_server(strike: Strike) -> None:
    _stop_recorded(strike, "api-server")


def stop_etcd(strike: Strike) -> None:
    _stop_recorded(strike, "etcd")


def _stop_recorded(strike: Strike, name: str) -> None:
    """Stop a process of the cluster, which then neither answers nor refuses."""
    _stop(strike, recorded(name))


def recorded(name: str) -> pod_processes.Process:
    """Return a process of the cluster by the name that it was started under."""
    record = processes.alive([name]).get(name)
    if record is None:
        raise FaultError(f"{name} does not run")
    return pod_processes.Process(record.pid, record.start_time, (), name, 0, in_sidecar=False)


def kill_node(strike: Strike) -> None:
    node = cluster.node(strike.node.name)
    strike.undo.callback(node.start)
    node.stop()


def fill_volume(strike: Strike) -> None:
    strike.undo.callback(volumes.relieve, strike.primary)
    volumes.fill(strike.primary)


def delete_lease(_: Strike) -> None:
    api.request("DELETE", LEASE)


def delete_all_pods(strike: Strike) -> None:
    for member in strike.subject.members:
        delete_pod(member)


def roll(strike: Strike) -> None:
    ask = strike.subject.stage.ask
    ask("-n", NAMESPACE, "rollout", "restart", f"statefulset/{SET}")
    ask("-n", NAMESPACE, "rollout", "status", f"statefulset/{SET}", "--timeout=800s")


def drain_each_node(strike: Strike) -> None:
    """Drain and give back each node in turn, as an upgrade of them does, the primary's first.

    Nobody waits for the set in between but the drain itself: its PodDisruptionBudget keeps a member
    until the one before is back. Of other sets' pods none is evicted.
    """
    strike.wait(_has_budget, "a PodDisruptionBudget:", _DONE_SECONDS)
    strike.moments.append(time.monotonic())
    ask, members = strike.subject.stage.ask, strike.subject.members
    first = members.index(strike.primary)
    for member in (*members[first:], *members[:first]):
        node, began = pod_processes.node_of(member).name, time.monotonic()
        with ExitStack() as undo:
            undo.callback(ask, "uncordon", node)
            ask("drain", node, f"--pod-selector=app={SET}", *_DRAIN)
        if lacking := {*members} - {member} - _ready_when_it_went(strike, member, began):
            raise FaultError(f"{member} was evicted while {', '.join(lacking)} was not ready")


def _ready_when_it_went(strike: Strike, member: str, began: float) -> set[str]:
    """Return the members that were ready when this one was first seen to go, after `began`."""
    ready: dict[str, bool] = {}
    for seen in strike.sampler.pods.copy():
        if seen.name == member and seen.terminating and seen.at >= began:
            break
        ready[seen.name] = seen.ready
    return {name for name, is_ready in ready.items() if is_ready}


def evict(strike: Strike) -> None:
    """Have the kubelet evict the primary's pod, at once, as where its node is short of something.

    It looks about once a minute. It kills what runs there without a grace period.
    """
    scratch = _of(pod_processes.postmaster, strike.primary).root / SCRATCH.lstrip("/")
    (scratch / "full").write_bytes(bytes(_TOO_MUCH))
    strike.wait(lambda: strike.primary not in strike.sampler.writable(), "an eviction:", 300)
    strike.moments.append(time.monotonic())


def _has_budget() -> bool:
    return bool(api.request("GET", BUDGETS)["items"])


def switch_over(strike: Strike) -> None:
    _hand_over_to(strike, strike.replica)


def _hand_over_to(strike: Strike, member: str) -> None:
    """Ask for it, and again where it was refused: on a busy machine a replica lags now and then."""
    _wish(strike, member)
    asked = time.monotonic()

    def is_done() -> bool:
        nonlocal asked
        if _wished(strike):
            return False
        if _leads(strike, strike.primary) and time.monotonic() > asked + _REFUSED_SECONDS:
            _wish(strike, member)
            asked = time.monotonic()
        return _leads(strike, member)

    strike.wait(is_done, f"switchover to {member}:", _DONE_SECONDS)


def refused_switchover(strike: Strike) -> None:
    """Ask for a pod that there is not: the wish is cleared, and an Event says why."""
    _wish(strike, f"{SET}-99")
    strike.wait(
        lambda: "SwitchoverRefused" in _events(strike.primary), "an Event says so:", _DONE_SECONDS
    )
    strike.wait(lambda: not _wished(strike), "the wish is cleared:", _DONE_SECONDS)


def pause_and_kill_postmaster(strike: Strike) -> None:
    """While paused nobody takes over: the primary comes back in place."""
    strike.undo.callback(_annotate_set, {contract.PAUSED: None})
    _annotate_set({contract.PAUSED: "true"})
    time.sleep(_NOTICED_SECONDS)
    strike.moments.append(time.monotonic())
    kill_postmaster(strike)


def scale_primary_away(strike: Strike) -> None:
    """Let the last member lead, and then take it away."""
    last = strike.subject.members[-1]
    if strike.primary != last:
        _hand_over_to(strike, last)
        strike.wait(
            lambda: strike.sampler.missing() == "" and _leads(strike, last), last, _DONE_SECONDS
        )
        time.sleep(_NOTICED_SECONDS)
    strike.undo.callback(_scale, strike.subject.replicas)
    strike.moments.append(time.monotonic())
    _scale(strike.subject.replicas - 1)


def lose_volume(strike: Strike) -> None:
    """Remove what is on the primary's volume, under a PostgreSQL that dies at the same time."""
    postmaster = _of(pod_processes.postmaster, strike.primary)
    postmaster.send(signal.SIGSTOP)
    volumes.empty(strike.primary)
    postmaster.send(signal.SIGKILL)


def _leads(strike: Strike, member: str) -> bool:
    return strike.sampler.writable() == [member]


def _scale(replicas: int) -> None:
    api.merge(STATEFULSET, {"spec": {"replicas": replicas}})


def _annotate_set(notes: dict[str, str | None]) -> None:
    api.merge(STATEFULSET, {"metadata": {"annotations": notes}})


def _events(member: str) -> list[str]:
    events = api.request("GET", f"{EVENTS}?fieldSelector=involvedObject.name={member}")
    return [event["reason"] for event in events["items"]]


def _wish(strike: Strike, member: str) -> None:
    strike.undo.callback(_withdraw)
    api.merge(LEASE, {"metadata": {"annotations": {SWITCHOVER: member}}})


def _withdraw() -> None:
    """A wish that nobody has fulfilled must not hang over the next round."""
    with contextlib.suppress(api.ApiError):
        api.merge(LEASE, {"metadata": {"annotations": {SWITCHOVER: None}}})


def _wished(strike: Strike) -> str:
    lease = strike.sampler.lease()
    return lease.wish if lease else ""


def during_clone(what: Callable[[Strike], None]) -> Callable[[Strike], None]:
    """Let it strike while a replica is being cloned from the primary."""

    def strike_then(strike: Strike) -> None:
        _stop(strike, _begun_clone(strike))
        strike.moments.append(time.monotonic())
        what(strike)

    return strike_then


def _begun_clone(strike: Strike) -> pod_processes.Process:
    """Have the replica cloned anew, and return the clone; a busy machine may look only when it is
    over, and then there is another one."""
    for _ in range(_CLONES):
        found: list[pod_processes.Process] = []
        before = strike.sampler.pod(strike.replica)
        volumes.empty(strike.replica)
        delete_pod(strike.replica)

        def is_seen_or_over(
            found: list[pod_processes.Process] = found, before: PodSeen | None = before
        ) -> bool:
            clone, now = pod_processes.cloning(strike.replica), strike.sampler.pod(strike.replica)
            if clone is not None:
                found.append(clone)
            is_other = before is None or now is None or now.uid != before.uid
            return bool(found) or (is_other and now is not None and now.ready)

        strike.wait(is_seen_or_over, f"{strike.replica}: a clone", _DONE_SECONDS)
        if found:
            return found[0]
    raise FaultError(f"{strike.replica}: {_CLONES} clones were over before they were seen")


def during_switchover(what: Callable[[Strike], None]) -> Callable[[Strike], None]:
    """Let it strike at some point of a switchover."""

    def strike_then(strike: Strike) -> None:
        _wish(strike, strike.replica)
        # A switchover is a matter of half a second: each round strikes at another point of it.
        time.sleep(0.05 + 0.1 * (strike.round % 5))
        strike.moments.append(time.monotonic())
        # It may have come too late for the process that it looks for.
        with contextlib.suppress(FaultError):
            what(strike)

    return strike_then
