"""Makes a failing schedule small: fewer faults, shorter ones, fewer members, nothing special."""

from collections.abc import Iterator
from dataclasses import replace

from tests.simulator.member.parts import Parts
from tests.simulator.runner import Result, run
from tests.simulator.schedule import Fault, Schedule

_OTHER_CHANCES = 6
"""What a run makes of a smaller schedule depends on chance: so many others are tried."""


def shrink(
    schedule: Schedule, invariant: str, parts: Parts, *, most_runs: int = 600
) -> tuple[Schedule, Result]:
    """Return the smallest schedule found that breaks the same invariant, and its recorded run."""
    runs = 0
    progress = True
    while progress and runs < most_runs:
        progress = False
        for candidate in _smaller(schedule):
            for number in range(_OTHER_CHANCES):
                runs += 1
                tried = replace(candidate, seed=schedule.seed + 1_000_003 * number)
                violation = run(tried, parts).violation
                if violation is not None and violation.invariant == invariant:
                    schedule, progress = tried, True
                    break
                if runs >= most_runs:
                    break
            if progress or runs >= most_runs:
                break
    return schedule, run(schedule, parts, recording=True)


def _smaller(schedule: Schedule) -> Iterator[Schedule]:
    faults = schedule.faults
    if len(faults) > 3:
        half = len(faults) // 2
        yield replace(schedule, faults=faults[:half])
        yield replace(schedule, faults=faults[half:])
    for i in range(len(faults)):
        yield replace(schedule, faults=faults[:i] + faults[i + 1 :])
    if schedule.second_writer is not None:
        yield replace(schedule, second_writer=None)
    if schedule.members > 2:
        fewer = schedule.members - 1
        yield replace(
            schedule,
            members=fewer,
            faults=tuple(
                fault for fault in faults if fault.target < fewer or fault.kind == "scale"
            ),
            second_writer=None,
        )
    for change in (
        {"parallel": True},
        {"tick": 1.0},
        {"ttl": 10, "renew_interval": 2},
        {"commit_size": 1000},
        {"commit_every": 1.0},
    ):
        changed = replace(schedule, **change)
        if changed != schedule:
            yield changed
    for i, fault in enumerate(faults):
        for shorter in _simpler(fault):
            yield replace(schedule, faults=(*faults[:i], shorter, *faults[i + 1 :]))


def _simpler(fault: Fault) -> Iterator[Fault]:
    if fault.seconds > 4 and fault.kind != "kill_postmaster":
        yield replace(fault, seconds=float(round(fault.seconds / 2)))
    if fault.target > 0 and fault.kind not in ("scale", "switchover"):
        yield replace(fault, target=0)
    if fault.at != round(fault.at):
        yield replace(fault, at=float(round(fault.at)))
