"""The set's processes, found from the host: by their node's cgroup and their pod's name.

It needs no API server and no runtime, and so works during every fault. Only processes inside
the cgroups of the local cluster's nodes, in a pod of the set, are ever found.
"""

import os
import re
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.local import cgroups
from deploy.local.layout import NODES, NodePlan
from deploy.local.processes import start_time
from sidecar.contract import ENV_POD_NAMESPACE

_PROC: Final = Path("/proc")
_MARK: Final = "POSTGRES_CHAOS"
"""A variable of the database container and, since it begins like those that the sidecar reads, of
that as well."""

_BACKEND: Final = re.compile(r"postgres: .*(\[local\]|\(\d+\))")
"""The title of a process that serves a connection, with whom it talks to."""

MARK: Final = {"name": _MARK, "value": "this pod is there to be broken"}


@dataclass(frozen=True)
class Process:
    """One process of a member's pod; `started` in clock ticks since boot."""

    pid: int
    started: int
    words: tuple[str, ...]
    name: str
    parent: int
    in_sidecar: bool

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it is still this very process."""
        if start_time(self.pid) == self.started:
            os.kill(self.pid, number)

    @property
    def root(self) -> Path:
        """Its container's file system."""
        return _PROC / str(self.pid) / "root"

    @property
    def network(self) -> Path:
        """The file that stands for its network namespace."""
        return _PROC / str(self.pid) / "ns/net"


def node_of(member: str) -> NodePlan:
    """Return the node that a member's volume, and so its pod, is on."""
    return NODES[int(member.rpartition("-")[2]) % len(NODES)]


def of_member(member: str) -> list[Process]:
    """Return the processes of the member's containers, the oldest first."""
    found = [it for pid in _pids(node_of(member)) if (it := _process(pid, member)) is not None]
    return sorted(found, key=lambda it: it.started)


def postmaster(member: str) -> Process | None:
    """Return the member's postmaster."""
    servers = {it.pid: it for it in of_member(member) if it.name == "postgres"}
    masters = [it for it in servers.values() if it.parent not in servers]
    return masters[-1] if masters else None


def sidecar(member: str) -> Process | None:
    """Return the member's sidecar."""
    found = [it for it in of_member(member) if it.in_sidecar and "sidecar" in it.words]
    return found[-1] if found else None


def cloning(member: str) -> Process | None:
    """Return the member's pg_basebackup."""
    found = [it for it in of_member(member) if it.name == "pg_basebackup"]
    return found[0] if found else None


def backends(member: str) -> list[Process]:
    """Return the processes that serve one connection each, the oldest first.

    Their titles lie over their environment, so that only their parent tells whose they are.
    """
    master = postmaster(member)
    if master is None:
        return []
    found = [it for pid in _pids(node_of(member)) if (it := _read(pid, {})) is not None]
    served = [it for it in found if it.parent == master.pid and _BACKEND.match(it.words[0])]
    return sorted(served, key=lambda it: it.started)


def in_database_container(member: str) -> list[Process]:
    """Return all that runs in the member's database container, the oldest first."""
    ours = [it for it in of_member(member) if not it.in_sidecar]
    if not ours:
        return []
    container = _container(ours[0].pid)
    found = [it for pid in _pids(node_of(member)) if (it := _read(pid, {})) is not None]
    inside = [it for it in found if container and _container(it.pid) == container]
    return sorted(inside, key=lambda it: it.started)


def _container(pid: int) -> str:
    """Return the cgroups of a process, which it shares with its container; "" once it has ended."""
    try:
        return (_PROC / str(pid) / "cgroup").read_text()
    except OSError:
        return ""


def _pids(node: NodePlan) -> set[int]:
    # Each hierarchy holds the same pods, so one of them is enough, and many times quicker.
    tops = [top for top in cgroups.existing() if top.name == node.cgroup]
    return cgroups.pids_below(tops[0]) if tops else set()


def _process(pid: int, member: str) -> Process | None:
    try:
        environment = dict(_pairs((_PROC / str(pid) / "environ").read_bytes()))
    except OSError:  # it has ended
        return None
    if environment.get("HOSTNAME") != member or _MARK not in environment:
        return None
    return _read(pid, environment)


def _read(pid: int, environment: Mapping[str, str]) -> Process | None:
    folder = _PROC / str(pid)
    try:
        words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        name = (folder / "comm").read_text().strip()
        parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:  # it has ended
        return None
    started = start_time(pid)
    if started is None:
        return None
    return Process(pid, started, tuple(words), name, parent, ENV_POD_NAMESPACE in environment)


def _pairs(environment: bytes) -> Iterator[tuple[str, str]]:
    for entry in environment.decode(errors="replace").split("\0"):
        name, _, value = entry.partition("=")
        yield name, value
