"""The cluster's network: a bridge and one namespace a node, nothing in the host's own.

Pods are routed, not bridged: a node's pod network is a route through the node, in every
other namespace. So a pod's packet to a Service passes the node's NAT even when the answer
comes from the same node, and the API server reaches webhook pods directly.
"""

from pathlib import Path

from deploy.local.layout import (
    BRIDGE,
    CONTROL_PLANE_ADDRESS,
    CONTROL_PLANE_NAMESPACE,
    NAMESPACES,
    NODE_NETWORK_PREFIX_LENGTH,
    NODES,
    SERVICE_NETWORK,
    NodePlan,
)
from deploy.local.shell import run

NAMESPACE_FOLDER = Path("/run/netns")


def namespace_path(namespace: str) -> Path:
    """The file that stands for a network namespace."""
    return NAMESPACE_FOLDER / namespace


def existing_namespaces() -> list[Path]:
    """The files of those of the cluster's namespaces that are there."""
    return [path for path in map(namespace_path, NAMESPACES) if path.exists()]


def enter(namespace: str) -> list[str]:
    """The words to put before a command so that it runs in that network namespace.

    Not `ip netns exec`: that mounts /sys anew, and the cgroup mounts below it are gone.
    """
    return ["nsenter", f"--net={namespace_path(namespace)}", "--"]


def create() -> None:
    """Make all namespaces, links and routes."""
    for namespace in NAMESPACES:
        run(["ip", "netns", "add", namespace])
        _in_namespace(namespace, "link set lo up")
        _forward_packets(namespace)
    _create_bridge()
    for node in NODES:
        _connect(node)
        _add_routes(node)


def remove() -> None:
    """Remove all namespaces that are there, and with them the links and routes inside."""
    for path in existing_namespaces():
        run(["ip", "netns", "delete", path.name])


def _create_bridge() -> None:
    address = f"{CONTROL_PLANE_ADDRESS}/{NODE_NETWORK_PREFIX_LENGTH}"
    _in_namespace(CONTROL_PLANE_NAMESPACE, f"link add {BRIDGE} type bridge")
    _in_namespace(CONTROL_PLANE_NAMESPACE, f"address add {address} dev {BRIDGE}")
    _in_namespace(CONTROL_PLANE_NAMESPACE, f"link set {BRIDGE} up")


def _connect(node: NodePlan) -> None:
    link = f"to-{node.name}"
    # Made inside the control plane's namespace: the host never sees an interface.
    _in_namespace(
        CONTROL_PLANE_NAMESPACE,
        f"link add {link} type veth peer name eth0 netns {node.namespace}",
    )
    _in_namespace(CONTROL_PLANE_NAMESPACE, f"link set {link} master {BRIDGE} up")
    _in_namespace(
        node.namespace, f"address add {node.address}/{NODE_NETWORK_PREFIX_LENGTH} dev eth0"
    )
    _in_namespace(node.namespace, "link set eth0 up")
    _in_namespace(node.namespace, f"route add default via {CONTROL_PLANE_ADDRESS}")
    # A Service's packet that slips past the NAT while kube-proxy swaps its tables: refused at
    # once, where it would otherwise vanish and cost its client a second. By a rule and not by an
    # unreachable route, since the kernel sends no more than one of those answers a second.
    for chain in ("OUTPUT", "FORWARD"):
        refuse = f"-A {chain} -d {SERVICE_NETWORK} -p tcp -j REJECT --reject-with tcp-reset"
        run([*enter(node.namespace), "iptables", *refuse.split()])


def _add_routes(node: NodePlan) -> None:
    others = [other.namespace for other in NODES if other != node and other.index < node.index]
    _in_namespace(CONTROL_PLANE_NAMESPACE, f"route add {node.pod_network} via {node.address}")
    for namespace in others:
        _in_namespace(namespace, f"route add {node.pod_network} via {node.address}")
    for other in NODES[: node.index - 1]:
        _in_namespace(node.namespace, f"route add {other.pod_network} via {other.address}")


def _forward_packets(namespace: str) -> None:
    run([*enter(namespace), "sysctl", "-qw", "net.ipv4.ip_forward=1"])


def _in_namespace(namespace: str, command: str) -> None:
    run(["ip", "-n", namespace, *command.split()])
