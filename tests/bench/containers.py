"""The processes in the containers of the local cluster, as this machine sees them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.local import cgroups
from sidecar import contract

PROC: Final = Path("/proc")


@dataclass(frozen=True)
class Process:
    """One of them."""

    pid: int
    command: tuple[str, ...]
    environment: Mapping[str, str]


def running() -> Iterator[Process]:
    """Yield those of all nodes."""
    for pid in cgroups.pids():
        try:
            command, environment = (_words(pid, file) for file in ("cmdline", "environ"))
        except OSError:  # it has ended
            continue
        variables = dict(it.partition("=")[::2] for it in environment)
        yield Process(pid, tuple(command), variables)


def sidecars() -> dict[str, list[int]]:
    """Return the pids in the sidecars' containers by their pods' UIDs: of what starts the sidecar
    anew, and of the sidecar."""
    found = defaultdict(list)
    for it in running():
        if "sidecar" in it.command and contract.ENV_POD_UID in it.environment:
            found[it.environment[contract.ENV_POD_UID]].append(it.pid)
    return found


def _words(pid: int, file: str) -> list[str]:
    return (PROC / str(pid) / file).read_bytes().decode(errors="replace").split("\0")
