"""What looks and logs come to, and the table that says so. All pure."""

import functools
import json
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from tests.bench.columns import aligned
from tests.bench.scale.sets import MEMBERS

KUBELET_LEASE_SECONDS: Final = 10.0
"""How often a kubelet renews its node's Lease: a quarter of nodeLeaseDurationSeconds, 40 s.
https://kubernetes.io/docs/concepts/architecture/nodes/#node-heartbeats"""

MEMBERS_ON_NODE: Final = 10
"""Members that share a node, where kubelets' writes are told beside sidecars'."""


@dataclass(frozen=True)
class Asked:
    """One request to the API server, by its audit log."""

    at: float
    """In seconds since the epoch, as it came in."""
    who: str
    verb: str
    resource: str
    everywhere: bool
    """Whether it was about all namespaces at once."""


def asked(audit_log: Iterable[str]) -> list[Asked]:
    """Return the requests: a watch once it is open, all others once they are answered."""
    return [_asked(it) for it in map(json.loads, audit_log) if _is_counted(it)]


def _is_counted(event: Mapping[str, Any]) -> bool:
    return (event["stage"] == "ResponseStarted") == (event["verb"] == "watch")


def _asked(event: Mapping[str, Any]) -> Asked:
    about = event.get("objectRef") or {}
    return Asked(
        at=datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp(),
        who=event["user"]["username"],
        verb=event["verb"],
        resource=about.get("resource", ""),
        everywhere=not about.get("namespace"),
    )


@dataclass(frozen=True)
class Footprint:
    """One program at one moment."""

    cpu: float
    """Seconds that it has worked."""
    pss: float
    """MiB."""


@dataclass(frozen=True)
class Rest:
    """A time in which nothing was asked of the sets."""

    seconds: float
    first: Mapping[str, Footprint]
    """By the program's name."""
    last: Mapping[str, Footprint]
    requests: Mapping[str, Counter[str]]
    """By whose they were, and by verb and resource."""

    def share(self, program: str) -> float:
        """Return how much of one core a program took."""
        return (self.last[program].cpu - self.first[program].cpu) / self.seconds

    def a_minute(self, who: str) -> float:
        """Return somebody's requests in a minute."""
        return self.requests[who].total() / self.seconds * 60


@dataclass(frozen=True)
class Renewals:
    """A time in which nothing but Leases was written."""

    writes: int
    rest: Rest

    def cost(self, program: str, at_rest: Rest) -> float:
        """Return the milliseconds of CPU for one write, beside what it takes at rest."""
        more = self.rest.share(program) - at_rest.share(program)
        return more * self.rest.seconds / self.writes * 1000


@dataclass(frozen=True)
class Stage:
    """What was measured with so many sets."""

    sets: int
    pods: int
    """In all, with those that are of no set."""
    whole: float
    """Seconds from the first set's creation until all have their pods and Services; of those that
    came in this stage."""
    served: float
    """Seconds from one more set's creation until it has its Services."""
    admissions: Sequence[float]
    """Milliseconds, each."""
    admitted_in: float
    """Seconds, all."""
    admission_cpu: float
    """Milliseconds of the webhook's, each."""
    rest: Rest
    renewals: Renewals
    webhook_ready: float
    """Seconds from its start."""
    caretaker_done: float
    """Seconds from its start until it has looked at all sets."""
    caretaker_peak: float
    """MiB, in its whole life."""
    objects: Mapping[str, int]
    """Of ours, by resource."""


PROGRAMS: Final = ("webhook", "caretaker", "kube-apiserver", "etcd")
_BY_LEASES: Final = ("webhook", "kube-apiserver", "etcd")
"""Those that have work by a Lease that is renewed."""

_Row = tuple[str, Callable[[Stage], str]]


def table(stages: Sequence[Stage]) -> str:
    """Return a column for each stage."""
    rows = [("", *(f"{it.sets} sets, {it.pods} pods" for it in stages))]
    rows += [(name, *(told(it) for it in stages)) for name, told in _ROWS]
    return aligned(rows)


def _percentile(stage: Stage, percent: int) -> str:
    hundredths = statistics.quantiles(stage.admissions, n=100, method="inclusive")
    return f"{hundredths[percent - 1]:.1f}"


def _each(told: Callable[[Stage, str], str], programs: Iterable[str]) -> list[_Row]:
    return [(f"  {name}", functools.partial(told, program=name)) for name in programs]


_ROWS: Final[Sequence[_Row]] = (
    ("those new ones are whole after, s", lambda it: f"{it.whole:.1f}"),
    ("one more set has its Services after, s", lambda it: f"{it.served:.2f}"),
    ("admissions a second", lambda it: f"{len(it.admissions) / it.admitted_in:.0f}"),
    ("  p50, ms", lambda it: _percentile(it, 50)),
    ("  p99, ms", lambda it: _percentile(it, 99)),
    ("  CPU of the webhook, ms", lambda it: f"{it.admission_cpu:.2f}"),
    ("at rest, CPU, % of a core", lambda _: ""),
    *_each(lambda it, program: f"{it.rest.share(program) * 100:.2f}", PROGRAMS),
    ("at rest, memory, MiB", lambda _: ""),
    *_each(lambda it, program: f"{it.rest.last[program].pss:.0f}", PROGRAMS),
    ("  caretaker at its highest", lambda it: f"{it.caretaker_peak:.0f}"),
    ("at rest, requests a minute", lambda _: ""),
    *_each(lambda it, program: f"{it.rest.a_minute(program):.1f}", ("webhook", "caretaker")),
    ("a Lease renewed, CPU, ms", lambda _: ""),
    *_each(lambda it, program: f"{it.renewals.cost(program, it.rest):.2f}", _BY_LEASES),
    ("restarted webhook knows all after, s", lambda it: f"{it.webhook_ready:.2f}"),
    ("restarted caretaker has seen all after, s", lambda it: f"{it.caretaker_done:.2f}"),
    ("objects of ours a set", lambda it: f"{sum(it.objects.values()) / it.sets:.2f}"),
)


def leases(stage: Stage, number: int, interval: float) -> str:
    """Return what the Leases of so many sets cost, by calculation, beside those of kubelets."""
    nodes = number * MEMBERS / MEMBERS_ON_NODE
    costs = {it: stage.renewals.cost(it, stage.rest) for it in _BY_LEASES}
    by_kubelets = nodes / KUBELET_LEASE_SECONDS
    return (
        f"{number} sets, by calculation: {_written(number / interval, costs)}.\n"
        f"The kubelets of their nodes, {MEMBERS_ON_NODE} members each: "
        # The webhook watches the Leases of sets alone.
        f"{_written(by_kubelets, {it: costs[it] for it in ('kube-apiserver', 'etcd')})}."
    )


def _written(writes: float, costs: Mapping[str, float]) -> str:
    shares = ", ".join(f"{name} {cost * writes / 1000:.2f}" for name, cost in costs.items())
    return f"{writes:.0f} Lease writes a second to etcd; in cores: {shares}"


def requests(stage: Stage) -> str:
    """Return what each asks for in a minute at rest, by verb and resource."""
    return "\n".join(
        f"{who} at rest, requests a minute: "
        + ", ".join(
            f"{what} {count / stage.rest.seconds * 60:.1f}" for what, count in found.most_common()
        )
        for who, found in stage.rest.requests.items()
    )
