"""Every name, address and port of the local cluster, in one place.

host ──loopback port──▶ forwarder ──▶ pgset-cp   10.90.0.1   etcd, API server, ...
                                        │ bridge
                  pgset-n1 10.90.0.11 ──┼── pgset-n2 10.90.0.12 ── pgset-n3 10.90.0.13
                  pods 10.91.1.0/24       pods 10.91.2.0/24      pods 10.91.3.0/24
"""

from dataclasses import dataclass

PREFIX = "pgset-"
CONTROL_PLANE_NAMESPACE = f"{PREFIX}cp"
BRIDGE = "pgset0"

CONTROL_PLANE_ADDRESS = "10.90.0.1"
NODE_NETWORK_PREFIX_LENGTH = 24
POD_NETWORK = "10.91.0.0/16"
SERVICE_NETWORK = "10.96.0.0/16"
API_SERVICE_ADDRESS = "10.96.0.1"
DNS_SERVICE_ADDRESS = "10.96.0.10"
CLUSTER_DOMAIN = "cluster.local"

API_PORT = 6443
ETCD_PORT = 2379
ETCD_PEER_PORT = 2380
PREFERRED_HOST_PORT = 16443
"""The loopback port of the host that leads to the API server, where it is free."""


@dataclass(frozen=True)
class NodePlan:
    """Where one node lives; `index` counts from 1."""

    index: int

    @property
    def name(self) -> str:
        """The node's name in Kubernetes."""
        return f"n{self.index}"

    @property
    def namespace(self) -> str:
        """The node's network namespace."""
        return f"{PREFIX}{self.name}"

    @property
    def address(self) -> str:
        """The node's address on the bridge."""
        return f"10.90.0.{10 + self.index}"

    @property
    def pod_network(self) -> str:
        """The addresses of the node's pods, as a CIDR."""
        return f"10.91.{self.index}.0/24"

    @property
    def cgroup(self) -> str:
        """The name of the node's cgroup, directly under the root of each hierarchy."""
        return f"{PREFIX}{self.name}"


NODES = tuple(NodePlan(index) for index in (1, 2, 3))
NAMESPACES = (CONTROL_PLANE_NAMESPACE, *(node.namespace for node in NODES))


def node_plan(name: str) -> NodePlan:
    """The plan of the node called `name`; KeyError where there is none."""
    return {node.name: node for node in NODES}[name]
