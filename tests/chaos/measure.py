"""What a record says: gaps, lost rows, two that were writable at once. All pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from tests.chaos.record import WRITABLE, Attempt, Look, PodSeen, Record

MAIN: Final = "main"
ANEW: Final = "anew"
CUT_OFF: Final = "cut-off"
READER: Final = "reader"

TICK: Final = 0.05
"""The grid on which members are counted that are writable at once; seconds."""

_TOGETHER: Final = 0.5
"""Two answers that are further apart do not vouch for the time in between."""

_BEFORE: Final = 1.0


@dataclass(frozen=True)
class Interval:
    """From `start` to `end`, in seconds of the record's clock."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start


@dataclass(frozen=True)
class Measures:
    """The numbers of one round; times in seconds."""

    gap: float
    resumed: bool
    """Whether the main writer was acknowledged anything after the gap."""
    acknowledged: int
    lost: int
    lost_cut_off: int
    """Of the lost ones, those of the client on the node that was cut off."""
    ticks: int
    double_ticks: int
    primary_labels: int
    """The most pods that were labelled primary at the same time."""
    takeovers: int
    """How often another pod took the Lease."""
    reads: int
    failed_reads: int
    healing: float | None
    """From the healing (or, without one, the fault) until all streamed; None: never."""
    gap_anew: float | None = None
    """As `gap`, of the writer that connects anew for each row; None where there was none."""


def measure(record: Record) -> Measures:
    """Return a round's numbers."""
    moments = record.moments
    gap, resumed = write_gap(record)
    lost = lost_rows(record)
    double, ticks = double_writable(record)
    reads = [it for it in record.attempts if it.client == READER]
    whole = moments.whole
    origin = moments.fault if moments.healed is None else moments.healed
    return Measures(
        gap=gap.seconds,
        resumed=resumed,
        acknowledged=sum(len(numbers) for numbers in acknowledged(record).values()),
        lost=sum(len(numbers) for numbers in lost.values()),
        lost_cut_off=len(lost.get(CUT_OFF, ())),
        ticks=ticks,
        double_ticks=double,
        primary_labels=most_primary_labels(record.pods),
        takeovers=takeovers(record),
        reads=len(reads),
        failed_reads=sum(it.by is None for it in reads),
        healing=None if whole is None else max(0.0, whole - origin),
        gap_anew=(
            write_gap(record, ANEW)[0].seconds
            if any(it.client == ANEW for it in record.attempts)
            else None
        ),
    )


def acknowledged(record: Record) -> dict[str, list[int]]:
    """Return the numbers that the server said yes to, by writer."""
    found: dict[str, list[int]] = {}
    for it in record.attempts:
        if it.client != READER and it.by is not None:
            found.setdefault(it.client, []).append(it.number)
    return found


def lost_rows(record: Record) -> dict[str, list[int]]:
    """Return the acknowledged numbers that were not there in the end, by writer."""
    return {
        writer: sorted(set(numbers).difference(record.present.get(writer, ())))
        for writer, numbers in acknowledged(record).items()
    }


def write_gap(record: Record, writer: str = MAIN) -> tuple[Interval, bool]:
    """Return a writer's longest time between two acknowledgements, from the fault on.

    The second value tells whether it ended: if not, the gap goes on to the record's end.
    """
    since = record.moments.fault - _BEFORE
    times = [it.ended for it in _successes(record.attempts, writer) if it.ended >= since]
    bounds = times or [since]
    gaps = [Interval(a, b) for a, b in pairwise(bounds)]
    last = Interval(bounds[-1], record.moments.ended)
    if last.seconds > max([_BEFORE, *(gap.seconds for gap in gaps)]):
        return last, False
    return max(gaps, key=lambda gap: gap.seconds, default=last), True


def _successes(attempts: Iterable[Attempt], client: str) -> list[Attempt]:
    return [it for it in attempts if it.client == client and it.by is not None]


def surely_writable(looks: Iterable[Look]) -> dict[str, list[Interval]]:
    """Return when each member was writable for sure: from a yes to the last yes in a row.

    A yes was true at some point between question and answer. So the time that is sure begins
    with the first answer and ends with the last question: two members whose times overlap
    were both writable, and no exact hand-over is ever taken for that.
    """
    found: dict[str, list[Interval]] = {}
    last: dict[str, Look] = {}
    for look in sorted(looks, key=lambda it: it.answered):
        before = last.get(look.member)
        last[look.member] = look
        if look.state != WRITABLE:
            continue
        intervals = found.setdefault(look.member, [])
        if (
            before is not None
            and before.state == WRITABLE
            and look.answered - before.asked <= _TOGETHER
        ):
            intervals[-1] = Interval(intervals[-1].start, max(intervals[-1].end, look.asked))
        else:
            intervals.append(Interval(look.answered, look.answered))
    return found


def double_writable(record: Record) -> tuple[int, int]:
    """Return at how many ticks two members were writable for sure, and how many ticks there are."""
    sure = surely_writable(record.looks)
    start, end = record.moments.began, record.moments.ended
    ticks = max(0, int((end - start) / TICK))
    double = sum(_writable_at(sure, start + number * TICK) > 1 for number in range(ticks))
    if double == 0 and _overlap(sure):
        double = 1  # shorter than a tick, and yet seen
    return double, ticks


def _writable_at(sure: dict[str, list[Interval]], at: float) -> int:
    return sum(any(it.start <= at <= it.end for it in some) for some in sure.values())


def _overlap(sure: dict[str, list[Interval]]) -> bool:
    edges = [
        edge for some in sure.values() for it in some for edge in ((it.start, 1), (it.end, -1))
    ]
    count = 0
    for _, step in sorted(edges, key=lambda edge: (edge[0], edge[1])):
        count += step
        if count > 1:
            return True
    return False


def most_primary_labels(pods: Sequence[PodSeen]) -> int:
    """Return the most pods that had the primary's label at the same time."""
    roles: dict[str, str] = {}
    most = 0
    for pod in pods:
        roles[pod.name] = pod.role
        most = max(most, sum(role == "primary" for role in roles.values()))
    return most


def takeovers(record: Record) -> int:
    """Return how often the Lease went to another pod, however long nobody held it."""
    holders = [it.holder for it in record.leases if it.holder]
    return sum(a != b for a, b in pairwise(holders))
