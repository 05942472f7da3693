"""Cutting a node off: its packets vanish, in its own network namespace only.

What comes in is dropped before any NAT, what goes out after it; so addresses are those of nodes
and pods, never those of Services. Pods of the node still reach each other.
"""

from collections.abc import Iterable
from typing import Final

from deploy.local import cluster
from deploy.local.layout import CONTROL_PLANE_ADDRESS, NODES, NodePlan
from deploy.local.shell import run

_CHAIN: Final = "PGSET-CHAOS"
_LINK: Final = "eth0"
_INCOMING: Final = ("raw", "PREROUTING", "-i", "-s")
_OUTGOING: Final = ("mangle", "POSTROUTING", "-o", "-d")

EVERYBODY: Final = ("0.0.0.0/0",)
CONTROL_PLANE: Final = (CONTROL_PLANE_ADDRESS,)


def peers(node: NodePlan) -> tuple[str, ...]:
    """Return the addresses of the other nodes and of their pods."""
    others = [other for other in NODES if other != node]
    return tuple(it for other in others for it in (other.address, other.pod_network))


def cut(
    node: NodePlan, addresses: Iterable[str], *, incoming: bool = True, outgoing: bool = True
) -> None:
    """Drop the node's packets from and to these addresses."""
    for wanted, (table, hook, interface, side) in ((incoming, _INCOMING), (outgoing, _OUTGOING)):
        if wanted:
            _tables(node, table, "-N", _CHAIN)
            for address in addresses:
                _tables(node, table, "-A", _CHAIN, side, address, "-j", "DROP")
            _tables(node, table, "-I", hook, interface, _LINK, "-j", _CHAIN)


def join(node: NodePlan) -> None:
    """Take every cut away; nothing where there is none."""
    for table, hook, interface, _ in (_INCOMING, _OUTGOING):
        if f"-N {_CHAIN}" in _tables(node, table, "-S").splitlines():
            _tables(node, table, "-D", hook, interface, _LINK, "-j", _CHAIN, check=False)
            _tables(node, table, "-F", _CHAIN)
            _tables(node, table, "-X", _CHAIN)


def _tables(node: NodePlan, table: str, *words: str, check: bool = True) -> str:
    enter = cluster.node(node.name).enter()
    return run([*enter, "iptables", "-w", "-t", table, *words], check=check)
