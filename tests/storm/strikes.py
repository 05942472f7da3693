"""What a storm does to the set, beside what `tests.chaos.strikes` has."""

import signal

from deploy.local import cluster, processes
from tests.chaos import api, pod_processes
from tests.chaos.strikes import FaultError, Strike, recorded
from tests.chaos.subject import PODS


def kill_backend(strike: Strike) -> None:
    """Kill one process that serves a connection, which makes PostgreSQL restart all of them."""
    found = pod_processes.backends(strike.primary)
    if not found:
        raise FaultError(f"{strike.primary} serves no connection")
    found[strike.round % len(found)].send(signal.SIGKILL)


def kill_container(strike: Strike) -> None:
    """Kill everything in the database container."""
    found = pod_processes.in_database_container(strike.primary)
    if not found:
        raise FaultError(f"{strike.primary} has no database container that runs")
    for process in found:
        process.send(signal.SIGKILL)


def delete_by_force(strike: Strike) -> None:
    """Delete the pod as `kubectl delete --force` does: its processes may outlive it."""
    api.request("DELETE", f"{PODS}/{strike.primary}", {"gracePeriodSeconds": 0})


def take_kubelet_away(strike: Strike) -> None:
    """Kill the node's kubelet; a new one is started when the fault is taken away."""
    name = f"{strike.node.name}-kubelet"
    process = recorded(name)
    node = cluster.node(strike.node.name)
    strike.undo.callback(node.start_kubelet)
    process.send(signal.SIGKILL)
    processes.forget(name)
