"""What a storm's story says: lost transfers, wrong sums, times without a writer. All pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Final

from tests.chaos import measure
from tests.chaos.measure import Interval
from tests.chaos.record import READ_ONLY, WRITABLE, Attempt, Look, Record
from tests.storm.story import PRIMARY_READER, REPLICA_READER, WRITER, Story, Struck

WITHOUT: Final = 0.3
"""Four writers that are acknowledged nothing for longer than this are without a primary; seconds.
On a set at rest one of them is some 80 times a second."""

LOSSLESS: Final = ("sync", "sync-strict", "quorum")


@dataclass(frozen=True)
class Reads:
    """The checks of the sum by one Service."""

    answered: int
    failed: int
    wrong: int
    first_wrong: str
    """What the first wrong one said; "" where there is none."""


@dataclass(frozen=True)
class Return:
    """A member was away, and came back `seconds` after the last fault that kept it from it."""

    member: str
    seconds: float


@dataclass(frozen=True)
class Numbers:
    """What is told of a storm; times in seconds."""

    seconds: float
    struck: int
    left_out: int
    acknowledged: int
    lost: dict[str, list[int]]
    """The acknowledged transfers that were not there in the end, by writer."""
    by_primary: Reads
    by_replica: Reads
    without: list[float]
    """How long each time without a writer was, the shortest first."""
    resumed: bool
    """Whether the last one ended."""
    ticks: int
    double_ticks: int
    """At how many of them two members were writable."""
    returns: int
    longest: Return | None
    """None where no member was ever away, or came back."""
    never: list[str]
    """The members that were away in the end."""
    books: list[str]
    """The members whose tables were wrong in the end, and how."""
    stays: list[str]
    """The faults that could not be taken away, and why."""
    trouble: str


def judge(story: Story) -> Numbers:
    """Return a storm's numbers."""
    record = story.record
    transfers = replace(record, attempts=[it for it in record.attempts if _is(it, WRITER)])
    without, resumed = times_without(record)
    double, ticks = measure.double_writable(record)
    returned = returns(record, story.blows)
    return Numbers(
        seconds=record.moments.ended - record.moments.began,
        struck=sum(not it.left_out for it in story.blows),
        left_out=sum(it.left_out != "" for it in story.blows),
        acknowledged=sum(len(it) for it in measure.acknowledged(transfers).values()),
        lost={name: rows for name, rows in measure.lost_rows(transfers).items() if rows},
        by_primary=_reads(record, PRIMARY_READER),
        by_replica=_reads(record, REPLICA_READER),
        without=sorted(without),
        resumed=resumed,
        ticks=ticks,
        double_ticks=double,
        returns=len(returned),
        longest=max(returned, key=lambda it: it.seconds, default=None),
        never=never_back(record),
        books=[f"{member}: {wrong}" for member, wrong in story.books.items() if wrong],
        stays=[f"{it.fault} on {it.member}: {it.stays}" for it in story.blows if it.stays],
        trouble=record.trouble,
    )


def breaches(numbers: Numbers, durability: str) -> list[str]:
    """Return a sentence for each promise that was broken; none where all were kept."""
    lost = sum(len(it) for it in numbers.lost.values())
    wrong = [
        f"{it.wrong} wrong sums by the {role}, first: {it.first_wrong}"
        for role, it in (("primary", numbers.by_primary), ("replicas", numbers.by_replica))
        if it.wrong
    ]
    found = [
        (numbers.trouble != "", numbers.trouble),
        (
            durability in LOSSLESS and lost > 0,
            f"{lost} acknowledged transfers are lost: {numbers.lost}",
        ),
        (
            numbers.double_ticks > 0,
            f"two members were writable at once in {numbers.double_ticks} samples",
        ),
        (not numbers.resumed, "writes did not resume"),
        (bool(numbers.never), f"never came back: {', '.join(numbers.never)}"),
    ]
    told = [sentence for broken, sentence in found if broken]
    return [*told, *wrong, *numbers.books, *numbers.stays]


def times_without(record: Record) -> tuple[list[float], bool]:
    """Return how long no writer was acknowledged anything, each time; and if the last one ended."""
    moments = record.moments
    times = sorted(it.ended for it in record.attempts if _is(it, WRITER) and it.by is not None)
    gaps = [b - a for a, b in pairwise([moments.began, *times]) if b - a > WITHOUT]
    since_last = moments.ended - (times[-1] if times else moments.began)
    if since_last > max(WITHOUT, 1.0):
        return [*gaps, since_last], False
    return gaps, True


def returns(record: Record, blows: Sequence[Struck]) -> list[Return]:
    """Return how long each return took, from when nothing kept the member from it any more."""
    found = []
    for member, away in _away(record.looks):
        kept = [it.ended for it in blows if member in it.hits and not it.left_out]
        since = max([away.start, *(at for at in kept if away.start <= at <= away.end)])
        found.append(Return(member, away.end - since))
    return found


def never_back(record: Record) -> list[str]:
    """Return the members that neither led nor streamed in the end; none where all did at once, and
    some may have been silent for a moment since."""
    if record.moments.whole is not None:
        return []
    last = {look.member: look for look in record.looks}
    return [name for name in record.members if name not in last or not _takes_part(last[name])]


def _away(looks: Iterable[Look]) -> Iterator[tuple[str, Interval]]:
    """Yield each time that a member was away and came back."""
    by_member: dict[str, list[Look]] = {}
    for look in looks:
        by_member.setdefault(look.member, []).append(look)
    for member, some in by_member.items():
        start = None
        for takes_part, group in groupby(some, key=_takes_part):
            first = next(group)
            if not takes_part:
                start = first.asked
            elif start is not None:
                yield member, Interval(start, first.answered)


def _takes_part(look: Look) -> bool:
    return look.state == WRITABLE or (look.state == READ_ONLY and look.receiving)


def _reads(record: Record, client: str) -> Reads:
    asked = [it for it in record.attempts if _is(it, client)]
    answers = [it for it in asked if it.by is not None]
    wrong = [f"{it.by}: {it.error}" for it in answers if it.error]
    return Reads(len(answers), len(asked) - len(answers), len(wrong), wrong[0] if wrong else "")


def _is(attempt: Attempt, kind: str) -> bool:
    return attempt.client.startswith(kind)
