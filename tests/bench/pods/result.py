"""What the answers come to: percentiles, the added time and how sure it is, the table. All pure."""

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from random import Random
from typing import Final

from tests.bench.columns import aligned
from tests.bench.cost import NotMeasuredError
from tests.bench.pods.creations import Kind

TARGET: Final = 4.0
"""Milliseconds that a pod of a set may take longer, at the median."""

DRAWS: Final = 1000
SEED: Final = 0
"""Of the draws for the interval, so that the same answers give the same one."""

NO_ANSWER: Final = 0
"""In place of a status where the connection failed."""

_HEAD: Final = ("", "pods", "p50 ms", "p90 ms", "p99 ms", "failed")


@dataclass(frozen=True)
class Answer:
    """What came of one pod's creation."""

    kind: Kind
    milliseconds: float
    """From the request's first byte to the answer's last one, at the client."""
    status: int
    injected: bool
    said: str = ""
    """The answer's beginning, or the fault, where the pod was not created."""

    @property
    def fault(self) -> str | None:
        """Return what went wrong, None where it is what was to be measured."""
        if self.status == NO_ANSWER:
            return "no answer"
        if self.status != HTTPStatus.CREATED:
            return f"status {self.status}"
        if self.injected == (self.kind is not Kind.PLAIN):
            return None
        return "a sidecar" if self.injected else "no sidecar"


def of_kind(answers: Iterable[Answer], kind: Kind) -> list[float]:
    """Return the times of one kind; NotMeasuredError where fewer than two pods were created."""
    found = [it.milliseconds for it in answers if it.kind is kind and it.fault is None]
    if len(found) < 2:
        raise NotMeasuredError(
            f"only {len(found)} pods ({kind}) were created; needed: 2. " + " ".join(faults(answers))
        )
    return found


def added(answers: Sequence[Answer], by: Kind = Kind.OPTED_IN, to: Kind = Kind.PLAIN) -> float:
    """Return how much longer a pod of a set takes, in ms: the difference of the medians."""
    return statistics.median(of_kind(answers, by)) - statistics.median(of_kind(answers, to))


def interval(answers: Sequence[Answer]) -> tuple[float, float]:
    """Return between what the added time is with 95 %: by the bootstrap, from its percentiles.

    https://en.wikipedia.org/wiki/Bootstrapping_(statistics)
    """
    random = Random(SEED)  # noqa: S311 - no secret

    def drawn(times: Sequence[float]) -> float:
        return statistics.median(random.choices(times, k=len(times)))

    with_set, plain = (of_kind(answers, kind) for kind in (Kind.OPTED_IN, Kind.PLAIN))
    fortieths = statistics.quantiles((drawn(with_set) - drawn(plain) for _ in range(DRAWS)), n=40)
    return fortieths[0], fortieths[-1]


def verdict(answers: Sequence[Answer]) -> str:
    """Say the added time, how sure it is, whether it is little enough, and what it goes into."""
    median, (low, high) = added(answers), interval(answers)
    met = "met" if median < TARGET else "MISSED"
    asking = added(answers, to=Kind.WRITTEN_OUT)
    larger = added(answers, by=Kind.WRITTEN_OUT)
    return (
        f"added time, p50: {median:.2f} ms (95 % interval {low:.2f} to {high:.2f}; "
        f"target < {TARGET:.1f})  {met}\n"
        f"  {asking:.2f} ms for asking the webhook, {larger:.2f} ms for the larger pod"
    )


def faults(answers: Iterable[Answer]) -> list[str]:
    """Return a line for each way in which a pod was not created, with one answer to it."""
    failed = [it for it in answers if it.fault is not None]
    said = {it.fault: it.said for it in reversed(failed)}
    return [
        f"{count} x {fault}: {said[fault]}".rstrip(": ")
        for fault, count in Counter(it.fault for it in failed).items()
    ]


def table(answers: Sequence[Answer]) -> str:
    """Return one line a kind of pod."""
    return aligned([_HEAD, *(_row(answers, kind) for kind in Kind)])


def _row(answers: Sequence[Answer], kind: Kind) -> tuple[str, ...]:
    times = of_kind(answers, kind)
    hundredths = statistics.quantiles(times, n=100, method="inclusive")
    failed = sum(it.kind is kind and it.fault is not None for it in answers)
    return (
        kind,
        str(len(times)),
        *(f"{hundredths[percent - 1]:.2f}" for percent in (50, 90, 99)),
        str(failed),
    )
