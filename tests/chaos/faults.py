"""The faults by their names: what each does, how long it lasts, and what it must not cost."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from tests.chaos import ailments, cut, strikes
from tests.chaos.strikes import FaultError, Strike


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong, or is wanted."""

    name: str
    sentence: str
    strike: Callable[[Strike], None]
    lasts: float = 0.0
    """Seconds until it is taken away; 0 where there is nothing to take away."""
    lossless: bool = False
    """Whether not one acknowledged row may be lost, even where replication is asynchronous."""
    takeovers: int | None = None
    """The most takeovers that are called for; None where their number is left open."""
    backs_off: bool = False
    """Whether the kubelet puts the next start off where it is played again on the same pods."""
    cuts: bool = False
    """Whether the primary's node has clients of its own that are cut off with it."""
    anew: bool = False
    """Whether there is also a writer that connects anew for each row."""
    alone: bool = False
    """Whether no other set is played beside it: it strikes a node or the control plane, or what it
    must not cost would be the price of a busy machine."""


ALL: Final[dict[str, Fault]] = {
    fault.name: fault
    for fault in (
        Fault("pod-deleted", "the primary's pod is deleted", strikes.delete_primary, lossless=True),
        Fault("postmaster-killed", "kill -9 of the postmaster", strikes.kill_postmaster),
        Fault(
            "sidecar-killed",
            "kill -9 of the primary's sidecar",
            strikes.kill_sidecar,
            lossless=True,
            # It has to answer again before the watchdog's third probe, some 3 s.
            takeovers=0,
            backs_off=True,
            alone=True,
        ),
        Fault(
            "sidecar-stopped", "SIGSTOP to the primary's sidecar", strikes.stop_sidecar, lasts=20
        ),
        Fault("postmaster-stopped", "SIGSTOP to the postmaster", strikes.stop_postmaster, lasts=20),
        Fault(
            "node-cut",
            "the primary's node is cut off",
            strikes.cut_node(strikes.everybody),
            lasts=25,
            cuts=True,
            alone=True,
        ),
        Fault(
            "node-cut-from-api",
            "the primary's node does not reach the API server",
            strikes.cut_node(strikes.control_plane),
            lasts=25,
            cuts=True,
            alone=True,
        ),
        Fault(
            "node-cut-from-peers",
            "the primary's node reaches the API server, but no other node",
            strikes.cut_node(cut.peers),
            lasts=25,
            cuts=True,
            alone=True,
        ),
        Fault(
            "node-cut-incoming",
            "nothing comes in to the primary's node",
            strikes.cut_node(strikes.everybody, outgoing=False),
            lasts=25,
            cuts=True,
            alone=True,
        ),
        Fault(
            "node-cut-outgoing",
            "nothing goes out from the primary's node",
            strikes.cut_node(strikes.everybody, incoming=False),
            lasts=25,
            cuts=True,
            alone=True,
        ),
        Fault(
            "kubelet-stopped",
            "SIGSTOP to the kubelet of the primary's node",
            strikes.stop_kubelet,
            lasts=25,
            lossless=True,
            takeovers=0,
            alone=True,
        ),
        Fault(
            "kubelet-stopped-100s",
            "the same, for longer than the node may be silent before its pods are taken out",
            strikes.stop_kubelet,
            lasts=100,
            lossless=True,
            takeovers=1,
            anew=True,
            alone=True,
        ),
        Fault(
            "node-cut-from-api-100s",
            "the primary's node does not reach the API server, for as long",
            strikes.cut_node(strikes.control_plane),
            lasts=100,
            cuts=True,
            takeovers=1,
            anew=True,
            alone=True,
        ),
        Fault(
            "node-killed",
            "every process of the primary's node is killed",
            strikes.kill_node,
            lasts=20,
            alone=True,
        ),
        Fault(
            "api-stopped",
            "the API server hangs for 60 s",
            strikes.stop_api_server,
            lasts=60,
            lossless=True,
            takeovers=0,
            alone=True,
        ),
        Fault(
            "etcd-stopped",
            "etcd hangs for 60 s",
            strikes.stop_etcd,
            lasts=60,
            lossless=True,
            takeovers=0,
            alone=True,
        ),
        Fault(
            "api-slow",
            "the API server takes up to a second longer for each answer",
            ailments.slow_api_server,
            lasts=60,
            lossless=True,
            takeovers=0,
            anew=True,
            alone=True,
        ),
        Fault(
            "api-refuses",
            "the sidecars' rights are taken away: the API server refuses all that they ask (403)",
            ailments.take_rights_away,
            lasts=40,
            lossless=True,
            takeovers=0,
            anew=True,
        ),
        Fault(
            "storage-stalls",
            "nothing can be written to any member's volume",
            ailments.stall_storage,
            lasts=20,
            lossless=True,
            takeovers=0,
            anew=True,
        ),
        Fault("volume-full", "the primary's volume is full", strikes.fill_volume, lasts=25),
        Fault("lease-deleted", "the Lease is deleted", strikes.delete_lease, lossless=True),
        Fault(
            "all-pods-deleted",
            "all pods are deleted at once",
            strikes.delete_all_pods,
            lossless=True,
        ),
        Fault("rolled", "kubectl rollout restart", strikes.roll, lossless=True, takeovers=2),
        Fault(
            "drained",
            "kubectl drain of each node in turn",
            strikes.drain_each_node,
            lossless=True,
            takeovers=3,
        ),
        Fault("evicted", "the kubelet evicts the primary's pod, without grace", strikes.evict),
        Fault(
            "switchover",
            "a switchover is asked for",
            strikes.switch_over,
            lossless=True,
            takeovers=1,
        ),
        Fault(
            "switchover-refused",
            "a switchover is asked for to a pod that there is not",
            strikes.refused_switchover,
            lossless=True,
            takeovers=0,
        ),
        Fault(
            "paused",
            "kill -9 of the postmaster of a paused set",
            strikes.pause_and_kill_postmaster,
            lasts=15,
            lossless=True,
            takeovers=0,
        ),
        Fault(
            "scaled-down",
            "the primary is scaled away, and after a while back",
            strikes.scale_primary_away,
            lasts=15,
            lossless=True,
            takeovers=2,
        ),
        Fault(
            "volume-lost",
            "all that is on the primary's volume is removed, and its postmaster killed",
            strikes.lose_volume,
        ),
    )
}

DURING: Final[dict[str, Callable[[Callable[[Strike], None]], Callable[[Strike], None]]]] = {
    "clone": strikes.during_clone,
    "switchover": strikes.during_switchover,
}
"""What may be under way when a fault strikes: any of them, as FAULT=pod-deleted-during-clone."""

AGAIN: Final = (
    "pod-deleted-during-clone",
    "postmaster-killed-during-clone",
    "node-cut-during-clone",
    "postmaster-killed-during-switchover",
    "sidecar-killed-during-switchover",
    "node-cut-during-switchover",
)
"""Of those, the ones that are tried each time."""

_AT_LEAST: Final = 5.0


def named(name: str) -> list[Fault]:
    """Return the fault of that name, or all for "all"; FaultError tells what there is."""
    if name == "all":
        return [*ALL.values(), *(_again(it) for it in AGAIN)]
    if name in ALL:
        return [ALL[name]]
    return [_again(name)]


def _again(name: str) -> Fault:
    which, _, meanwhile = name.partition("-during-")
    if which not in ALL or meanwhile not in DURING:
        endings = ", ".join(f"-during-{it}" for it in DURING)
        raise FaultError(
            f'FAULT is "{name}"; allowed: all, {", ".join(ALL)}, and each of them with {endings}'
        )
    fault = ALL[which]
    return replace(
        fault,
        name=name,
        sentence=f"{fault.sentence}, during a {meanwhile}",
        strike=DURING[meanwhile](fault.strike),
        lasts=max(fault.lasts, _AT_LEAST),
        takeovers=None,
    )
