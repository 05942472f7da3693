"""The faults that a storm draws from: all of `make chaos`, and some of its own."""

from typing import Final

from tests.chaos import faults
from tests.chaos import strikes as chaos
from tests.chaos.faults import Fault
from tests.storm import strikes
from tests.storm.plan import Kind

CONTROL_PLANE: Final = "the control plane"

_OWN: Final = (
    Fault(
        "backend-killed",
        "kill -9 of a process that serves a connection",
        strikes.kill_backend,
    ),
    Fault(
        "container-killed",
        "kill -9 of everything in the database container",
        strikes.kill_container,
    ),
    Fault("force-deleted", "the pod is deleted by force", strikes.delete_by_force),
    Fault("replica-deleted", "a replica's pod is deleted", chaos.delete_primary),
    Fault(
        "kubelet-away",
        "the node's kubelet is killed, and started again",
        strikes.take_kubelet_away,
        lasts=90,
    ),
)

FAULTS: Final[dict[str, Fault]] = {it.name: it for it in (*faults.named("all"), *_OWN)}

_CUTS: Final = (
    "node-cut",
    "node-cut-from-api",
    "node-cut-from-peers",
    "node-cut-incoming",
    "node-cut-outgoing",
)
_CONTROL_PLANE: Final = ("api-stopped", "etcd-stopped", "api-slow")
_ON_NODES: Final = ("node-", "kubelet-")
"""How the names of faults begin that strike a node."""

_REPLICAS_TOO: Final = {
    *_CUTS,
    "pod-deleted",
    "postmaster-killed",
    "sidecar-killed",
    "sidecar-stopped",
    "postmaster-stopped",
    "kubelet-stopped",
    "kubelet-stopped-100s",
    "kubelet-away",
    "node-cut-from-api-100s",
    "node-killed",
    "volume-full",
    "volume-lost",
    "backend-killed",
    "container-killed",
    "force-deleted",
}
_DATA_IS_LOST: Final = "volume-lost"
_REPLICA_ONLY: Final = "replica-deleted"
_DURING_CLONE: Final = "-during-clone"

_SHORTEST: Final = {**dict.fromkeys(_CUTS, 2.0), "api-slow": 5.0}
_LONGEST: Final = dict.fromkeys(_CUTS, 60.0)
"""Seconds; the others last as long as in `make chaos`."""

_EVERYBODY: Final = {
    *_CONTROL_PLANE,
    "all-pods-deleted",
    "drained",
    "api-refuses",
    "lease-deleted",
    "paused",
    "rolled",
    "scaled-down",
    "storage-stalls",
}


def _kind(fault: Fault) -> Kind:
    return Kind(
        fault.name,
        _SHORTEST.get(fault.name, fault.lasts),
        _LONGEST.get(fault.name, fault.lasts),
        strikes_replicas=fault.name in _REPLICAS_TOO,
        strikes_primary=fault.name != _REPLICA_ONLY,
        removes_data=fault.name == _DATA_IS_LOST or fault.name.endswith(_DURING_CLONE),
    )


KINDS: Final[dict[str, Kind]] = {name: _kind(fault) for name, fault in FAULTS.items()}


def strikes_all(name: str) -> bool:
    """Tell whether a fault keeps any member from coming back, whomever it strikes."""
    return name in _EVERYBODY or "switchover" in name or name.endswith(_DURING_CLONE)


def held_by(name: str, node: str) -> str:
    """Return what can't be struck again until the fault is taken away: a node, or other; or ""."""
    if name in _CONTROL_PLANE:
        return CONTROL_PLANE
    return node if name.startswith(_ON_NODES) else ""
