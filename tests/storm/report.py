"""The lines that a storm prints. All pure."""

from collections.abc import Sequence

from tests.storm.judge import Numbers, Reads
from tests.storm.plan import Turn
from tests.storm.story import Struck

_WIDTH = 26


def plan(number: int, turn: Turn) -> str:
    """Return one line of a plan."""
    when = f"{turn.pause} s into the return" if turn.during_return else f"after {turn.pause} s"
    blows = " and ".join(
        f"{it.fault} on {f'replica {it.whom}' if it.whom else 'the primary'}"
        + (f" for {it.lasts} s" if it.lasts else "")
        for it in turn.blows
    )
    return f"{number}: {when} {blows}"


def blow(it: Struck, began: float) -> str:
    """Return the line of a fault that is over; times in seconds after the storm's beginning."""
    head = f"{it.struck - began:7.1f} s  {it.turn}: {it.fault} on {it.member}"
    if it.left_out:
        return f"{head}, left out: {it.left_out}"
    lasted = it.ended - it.struck
    told = [f"for {lasted:.1f} s"] if lasted >= 1 else []
    told += [text for text in (it.trouble, it.stays and f"STAYS: {it.stays}") if text]
    return ", ".join([head, *told])


def summary(numbers: Numbers) -> str:
    """Return what is told in the end."""
    lost = sum(len(it) for it in numbers.lost.values())
    longest = numbers.longest
    lines = [
        ("faults", f"{numbers.struck} in {numbers.seconds:.0f} s, {numbers.left_out} left out"),
        ("transfers acknowledged", str(numbers.acknowledged)),
        ("transfers lost", str(lost)),
        ("sums wrong", f"{_wrong(numbers.by_primary)} by the primary"),
        ("", f"{_wrong(numbers.by_replica)} by replicas"),
        ("seconds without a writer", _without(numbers)),
        ("two writable at once", f"{numbers.double_ticks} of {numbers.ticks} samples"),
        (
            "longest return",
            f"{longest.seconds:.1f} s, {longest.member}, of {numbers.returns}"
            if longest
            else "none was away",
        ),
        ("never returned", ", ".join(numbers.never) or "none"),
    ]
    return "\n".join(f"{name:{_WIDTH}}{value}" for name, value in lines)


def _wrong(reads: Reads) -> str:
    return f"{reads.wrong} of {reads.answered} read"


def _without(numbers: Numbers) -> str:
    times = numbers.without
    if not times:
        return "none"
    never = "" if numbers.resumed else ", and the last one did not end"
    return (
        f"p50 {percentile(times, 50):.2f}, p99 {percentile(times, 99):.2f}, "
        f"sum {sum(times):.1f}, {len(times)} times{never}"
    )


def percentile(ordered: Sequence[float], percent: int) -> float:
    """Return the smallest value that so many percent of them are at most."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]
