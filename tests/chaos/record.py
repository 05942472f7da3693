"""What is seen during one round, as values; all times are seconds of CLOCK_MONOTONIC.

That clock is one and the same for every process of a machine, whatever namespaces it is in,
so that what clients, sampler and runner noted can be laid side by side.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

WRITABLE: Final = "writable"
READ_ONLY: Final = "read-only"
SILENT: Final = "silent"
"""No answer in time: frozen, stopped, starting or gone."""


@dataclass(frozen=True)
class Attempt:
    """One try of a client to commit a row, or to read."""

    client: str
    number: int
    began: float
    ended: float
    by: str | None
    """The address of the server that acknowledged; None where it is not known to have."""
    error: str = ""


@dataclass(frozen=True)
class Look:
    """One question to a member, put inside its own network namespace."""

    member: str
    asked: float
    answered: float
    state: str
    senders: int = 0
    """Replicas that stream from it."""
    receiving: bool = False
    """Whether it streams from somebody."""
    position: int = 0
    """The byte of the WAL that it has written, or as a replica replayed."""


@dataclass(frozen=True)
class PodSeen:
    """A pod of the set as the API server told of it."""

    at: float
    name: str
    uid: str
    role: str
    ready: bool
    terminating: bool
    address: str
    says: str
    """The sidecar's sentence about its member."""


@dataclass(frozen=True)
class LeaseSeen:
    """The Lease as the API server told of it; an absent Lease has no holder and no version."""

    at: float
    holder: str
    """The name of the pod that holds it; "" where it is released."""
    wish: str
    """The pod that a switchover is wanted to."""
    exists: bool = True


@dataclass(frozen=True)
class EndpointsSeen:
    """The addresses behind the primary's Service that take connections."""

    at: float
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class Moments:
    """When a round's turns were."""

    began: float
    fault: float
    healed: float | None
    """When the fault was taken away; None where there is nothing to take away."""
    whole: float | None
    """Since when one member was writable and all others streamed, to the end; None: never."""
    ended: float


@dataclass
class Record:
    """One round."""

    fault: str
    primary: str
    """The primary when the fault came."""
    members: tuple[str, ...]
    moments: Moments
    attempts: list[Attempt] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    pods: list[PodSeen] = field(default_factory=list)
    leases: list[LeaseSeen] = field(default_factory=list)
    endpoints: list[EndpointsSeen] = field(default_factory=list)
    present: dict[str, list[int]] = field(default_factory=dict)
    """The numbers that were found on the primary in the end, by writer."""
    trouble: str = ""
    """Why the round is not what it should be; "" where it is."""


def write(record: Record, path: Path) -> None:
    """Keep a record as JSON."""
    path.write_text(json.dumps(asdict(record)))


def read(path: Path) -> Record:
    """Return a record that `write` has kept."""
    content: dict[str, Any] = json.loads(path.read_text())
    for name, kind in (
        ("attempts", Attempt),
        ("looks", Look),
        ("pods", PodSeen),
        ("leases", LeaseSeen),
    ):
        content[name] = [kind(**item) for item in content[name]]
    content["endpoints"] = [
        EndpointsSeen(item["at"], tuple(item["addresses"])) for item in content["endpoints"]
    ]
    content["members"] = tuple(content["members"])
    content["moments"] = Moments(**content["moments"])
    return Record(**content)
