"""What was seen of many real sets, and the table that says so. All pure."""

import re
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from tests.bench.columns import aligned

PROGRAMS: Final = ("kube-apiserver", "etcd", "webhook", "caretaker", "sidecars", "postgres")
"""All that is measured. The last two are of the sets' own."""

_WRITES: Final = re.compile(r"^etcd_requests_total\{(.*)\} (\S+)$", re.MULTILINE)
_REQUESTS: Final = re.compile(r"^apiserver_request_total\{.*\} (\S+)$", re.MULTILINE)
_WRITING: Final = re.compile(r'operation="(?:create|update|delete)"')


@dataclass(frozen=True)
class Acknowledged:
    """One row that a set's client was told is committed."""

    set_name: str
    at: float
    """By the monotonic clock, which is one for all processes of a machine."""
    streaming: int
    """The replicas that the primary sent to then."""


def gaps(rows: Iterable[Acknowledged], since: float) -> dict[str, float]:
    """Return by set the longest time between two of its rows, the later of them after `since`."""
    times = defaultdict(list)
    for it in rows:
        times[it.set_name].append(it.at)
    return {
        name: max((b - a for a, b in pairwise(sorted(found)) if b > since), default=float("inf"))
        for name, found in times.items()
    }


@dataclass(frozen=True)
class Footprint:
    """What a program has worked, and what it holds."""

    cpu: float
    """Seconds."""
    pss: float
    """MiB."""


@dataclass(frozen=True)
class Look:
    """One look at all; times in seconds."""

    at: float
    programs: Mapping[str, Footprint]
    requests: float
    """That the API server has answered since it was started."""
    etcd_writes: float
    """That it has sent to etcd since."""
    busy: float
    """Seconds in which a core of the machine worked for anybody."""


def parse_requests(metrics: str) -> float:
    """Return how many requests an API server has answered, by its /metrics."""
    return sum(map(float, _REQUESTS.findall(metrics)))


def parse_etcd_writes(metrics: str) -> float:
    """Return how many writes it has sent to etcd."""
    return sum(float(many) for words, many in _WRITES.findall(metrics) if _WRITING.search(words))


@dataclass(frozen=True)
class Stage:
    """What was measured with so many sets."""

    sets: int
    whole: float
    """Seconds from applying those that came in this stage until all were whole."""
    first: Look
    last: Look

    @property
    def seconds(self) -> float:
        """How long the rest was."""
        return self.last.at - self.first.at

    def share(self, program: str) -> float:
        """Return how much of one core a program took at rest."""
        first, last = self.first.programs[program], self.last.programs[program]
        return (last.cpu - first.cpu) / self.seconds

    @property
    def requests(self) -> float:
        """Return what the API server answered in a minute."""
        return (self.last.requests - self.first.requests) / self.seconds * 60

    @property
    def etcd_writes(self) -> float:
        """Return what it wrote in a minute."""
        return (self.last.etcd_writes - self.first.etcd_writes) / self.seconds * 60


@dataclass(frozen=True)
class Loss:
    """A node was killed that had the primary of each of so many sets."""

    sets: int
    gaps: Sequence[float]
    """Seconds, one a set."""
    returned: float
    """Seconds from the node's start until all sets were whole."""

    def __str__(self) -> str:
        """Say it in a line."""
        found = sorted(self.gaps)
        p99 = found[min(len(found) - 1, round(0.99 * len(found)))]
        return (
            f"{self.sets} sets, the node of all primaries killed: no row acknowledged for "
            f"{statistics.median(found):.1f} s (p50), {p99:.1f} s (p99), {found[-1]:.1f} s (max); "
            f"all whole {self.returned:.0f} s after the node was started again"
        )


def table(empty: Stage, stages: Sequence[Stage], cores: int) -> str:
    """Return a column for each stage; all but times, what a set takes more than none at all."""

    def each(stage: Stage, value: float, without: float) -> str:
        return f"{(value - without) / stage.sets:.2f}"

    rows = [
        ("", *(f"{it.sets} sets" for it in stages)),
        ("those new ones are whole after, s", *(f"{it.whole:.0f}" for it in stages)),
        ("at rest, of one set:", *("" for _ in stages)),
        (
            "  API requests a minute",
            *(each(it, it.requests, empty.requests) for it in stages),
        ),
        (
            "  writes to etcd a minute",
            *(each(it, it.etcd_writes, empty.etcd_writes) for it in stages),
        ),
        *(
            (
                f"  CPU of {name}, % of a core",
                *(each(it, 100 * it.share(name), 100 * empty.share(name)) for it in stages),
            )
            for name in PROGRAMS
        ),
        *(
            (
                f"  memory of {name}, MiB",
                *(
                    each(it, it.last.programs[name].pss, empty.last.programs[name].pss)
                    for it in stages
                ),
            )
            for name in PROGRAMS
        ),
        ("the machine was busy, %", *(_busy(it, cores) for it in stages)),
    ]
    return aligned(rows)


def _busy(stage: Stage, cores: int) -> str:
    return f"{(stage.last.busy - stage.first.busy) / stage.seconds / cores * 100:.0f}"
