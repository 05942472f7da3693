"""What the load generator's numbers come to: medians, the table and the targets. All pure."""

import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final

from tests.bench.columns import aligned
from tests.bench.cost import NotMeasuredError

OURS: Final = "ours"
DIFF: Final = "Go, diff"
HAND_BUILT: Final = "Go, hand-built"
CONNECTIONS: Final = (1, 8, 50)


@dataclass(frozen=True)
class Load:
    """One run of the load generator. Times in milliseconds."""

    answered: float
    errors: float
    per_second: float
    p50: float
    p99: float


@dataclass(frozen=True)
class Round:
    """One server under each of the loads, once; or the medians of several rounds."""

    loads: Mapping[int, Load]
    """By their number of connections."""
    cpu: float
    """Microseconds of all the server's processes for a review."""
    pss: float
    """MiB of all the server's processes, after the loads."""


@dataclass(frozen=True)
class Footprint:
    """Our server's memory, after so many reviews. In MiB."""

    answered: float
    pss: float
    rss: float


@dataclass(frozen=True)
class Target:
    """A ratio to be reached between our number and another's (issue 5, §2)."""

    what: str
    number: Callable[[Round], float]
    other: str
    limit: float
    at_least: bool = False

    def line(self, medians: Mapping[str, Round]) -> str:
        """Say what was reached and whether it is enough."""
        ratio = self.number(medians[OURS]) / self.number(medians[self.other])
        met = ratio >= self.limit if self.at_least else ratio <= self.limit
        target = f"(target {'≥' if self.at_least else '≤'} {self.limit:.1f})"
        return f"{self.what:22} {ratio:5.2f} x {self.other:14} {target}  {_VERDICTS[met]}"


_VERDICTS: Final = {True: "met", False: "MISSED"}


def _throughput(connections: int, other: str, limit: float) -> Target:
    name = f"{connections} connections, req/s"
    return Target(name, lambda it: it.loads[connections].per_second, other, limit, at_least=True)


def _p99(connections: int, name: str) -> Target:
    return Target(f"{name}, p99", lambda it: it.loads[connections].p99, HAND_BUILT, 1.0)


TARGETS: Final = (
    Target("1 connection, p50", lambda it: it.loads[1].p50, HAND_BUILT, 0.9),
    _p99(1, "1 connection"),
    _throughput(8, HAND_BUILT, 1.0),
    _throughput(8, DIFF, 2.0),
    _p99(8, "8 connections"),
    _throughput(50, HAND_BUILT, 1.0),
    _throughput(50, DIFF, 2.0),
    _p99(50, "50 connections"),
    Target("PSS", lambda it: it.pss, HAND_BUILT, 1.3),
    Target("PSS", lambda it: it.pss, DIFF, 1.3),
)


def parse_load(output: str) -> Load:
    """Read the load generator's line; NotMeasuredError where nothing was answered."""
    told = json.loads(output)
    if not told["answered"]:
        raise NotMeasuredError(f"none of {told['errors']} connections got an answer")
    return Load(**{field.name: float(told[field.name]) for field in fields(Load)})


def median(rounds: Sequence[Round]) -> Round:
    """Return the median of each number; errors are added up."""
    return Round(
        loads={
            connections: _median_load([it.loads[connections] for it in rounds])
            for connections in rounds[0].loads
        },
        cpu=statistics.median(it.cpu for it in rounds),
        pss=statistics.median(it.pss for it in rounds),
    )


def _median_load(loads: Sequence[Load]) -> Load:
    numbers = {
        field.name: statistics.median(getattr(it, field.name) for it in loads)
        for field in fields(Load)
    }
    return Load(**{**numbers, "errors": sum(it.errors for it in loads)})


_HEAD: Final = (
    "",
    "1 connection p50 / p99 ms",
    "8: req/s, p99 ms",
    "50: req/s, p99 ms",
    "CPU µs a review",
    "PSS MiB",
    "errors",
)


def table(medians: Mapping[str, Round]) -> str:
    """Return one line a server, in the order in which they come."""
    return aligned([_HEAD, *(_row(name, it) for name, it in medians.items())])


def _row(name: str, it: Round) -> tuple[str, ...]:
    one, *several = (it.loads[connections] for connections in CONNECTIONS)
    return (
        name,
        f"{one.p50:.2f} / {one.p99:.2f}",
        *(f"{load.per_second:.0f}, {load.p99:.1f}" for load in several),
        f"{it.cpu:.0f}",
        f"{it.pss:.1f}",
        f"{sum(load.errors for load in it.loads.values()):.0f}",
    )


def ratios(medians: Mapping[str, Round]) -> str:
    """Return one line a target."""
    return "\n".join(target.line(medians) for target in TARGETS)


def footprints(found: Iterable[Footprint]) -> str:
    """Return one line a look; NotMeasuredError where there was none."""
    looks = list(found)
    if not looks:
        raise NotMeasuredError("nothing was answered")
    rows = [(f"{it.answered:.0f}", f"{it.pss:.1f}", f"{it.rss:.1f}") for it in looks]
    growth = looks[-1].rss - looks[0].rss
    told = f"RSS grew by {growth:+.1f} MiB from the first look to the last"
    return f"{aligned([('reviews', 'PSS MiB', 'RSS MiB'), *rows], words=())}\n{told}"
