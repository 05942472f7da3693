"""What a member costs, from two looks at its sidecar, and the table that says so. All pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.bench.columns import aligned

PSS_MEGABYTES: Final = 40
CPU_SECONDS: Final = 12
REQUESTS: Final = {"primary": 40, "replica": 6}
"""The budgets (issue 4, §7): a sidecar's memory, its CPU time in an hour, and API requests in a
minute by role, with the Lease renewed every 2 s."""

_PATRONI: Final = ("Patroni 4.1.5", "", "70", "", "11 to 13", "60 primary, 30 replica")
"""On this very cluster with ttl 20, loop 2, retry 5: two processes (issue 4, §7)."""

_METRIC: Final = re.compile(r'^pgset_api_requests_total\{.*verb="(\w+)".*\} (\S+)$', re.MULTILINE)
_HEAD: Final = ("member", "role", "PSS MB", "RSS MB", "CPU s/h", "API requests/min")


class NotMeasuredError(Exception):
    """The cost could not be told; the message says why."""


@dataclass(frozen=True)
class Look:
    """One look at a member's sidecar. Times in seconds, memory in bytes."""

    role: str
    pid: int
    looked_at: float
    """By a monotonic clock."""
    cpu: float
    """User and system time of all its threads since it started, those included that have ended."""
    pss: int
    """Its memory, where each page that several processes share is divided among them."""
    rss: int
    """Its memory with the shared pages in full, as where no other sidecar runs on the node."""
    requests: Mapping[str, float]
    """Sent to the API server since it started, by verb."""


@dataclass(frozen=True)
class Cost:
    """What one member costs at rest."""

    member: str
    role: str
    pss: float
    """Megabytes (10⁶ bytes)."""
    rss: float
    cpu: float
    """Seconds in an hour."""
    requests: Mapping[str, float]
    """In a minute, by verb."""

    @property
    def all_requests(self) -> float:
        """Requests of any verb in a minute."""
        return sum(self.requests.values())


def cost(member: str, first: Look, last: Look) -> Cost:
    """Return the cost between two looks; NotMeasuredError where something has happened."""
    if last.pid != first.pid:
        raise NotMeasuredError(f"{member} was not at rest: its sidecar was started again")
    if last.role != first.role:
        raise NotMeasuredError(f"{member} was not at rest: {first.role} first, then {last.role}")
    seconds = last.looked_at - first.looked_at
    return Cost(
        member=member,
        role=last.role,
        pss=last.pss / 1e6,
        rss=last.rss / 1e6,
        cpu=(last.cpu - first.cpu) / seconds * 3600,
        requests={
            verb: (number - first.requests[verb]) / seconds * 60
            for verb, number in last.requests.items()
        },
    )


def parse_cpu(stat: str, ticks: int) -> float:
    """Return a process's CPU seconds from /proc/PID/stat, with `ticks` a second; see proc(5)."""
    # The name may hold spaces and brackets; after it come the fields from the third on.
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / ticks


def parse_memory(smaps_rollup: str) -> tuple[int, int]:
    """Return PSS and RSS in bytes from /proc/PID/smaps_rollup."""
    lines = (line.split() for line in smaps_rollup.splitlines()[1:])
    kilobytes = {words[0]: int(words[1]) for words in lines}
    return kilobytes["Pss:"] * 1024, kilobytes["Rss:"] * 1024


def parse_requests(metrics: str) -> dict[str, float]:
    """Return the API requests by verb from a sidecar's /metrics."""
    return {verb: float(number) for verb, number in _METRIC.findall(metrics)}


def parse_busy(stat: str) -> tuple[int, int]:
    """Return the clock ticks in which the machine worked, and all ticks, from /proc/stat."""
    # user nice system idle iowait irq softirq steal; see proc(5). Guests are in user and nice.
    ticks = [int(word) for word in stat.splitlines()[0].split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def table(costs: Sequence[Cost]) -> str:
    """Return one line a member, the primary first, then the budgets and Patroni's numbers."""
    ordered = sorted(costs, key=lambda it: (it.role != "primary", it.member))
    budgets = ", ".join(f"{number} {role}" for role, number in REQUESTS.items())
    rows = [
        _HEAD,
        *(_row(it) for it in ordered),
        ("budget", "", str(PSS_MEGABYTES), "", str(CPU_SECONDS), budgets),
        _PATRONI,
    ]
    # What the last column adds to its number is text.
    return aligned(rows, words=(0, 1, len(_HEAD) - 1))


def _row(it: Cost) -> tuple[str, ...]:
    verbs = ", ".join(f"{verb} {number:.1f}" for verb, number in it.requests.items() if number)
    return (
        it.member,
        it.role,
        f"{it.pss:.1f}",
        f"{it.rss:.1f}",
        f"{it.cpu:.1f}",
        f"{it.all_requests:.1f}" + (f" ({verbs})" if verbs else ""),
    )
