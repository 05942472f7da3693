"""Transcripts as files: the schedule as one line of JSON, then what happened."""

import functools
from pathlib import Path
from typing import Final

from tests.simulator.completeness import Spy
from tests.simulator.member.parts import Parts
from tests.simulator.runner import Result, run
from tests.simulator.schedule import Schedule

PATHS: Final = tuple(sorted(Path(__file__).with_name("golden").glob("*.txt")))
_spy: Final = Spy()


@functools.cache
def played(path: Path) -> tuple[Schedule, Result]:
    """Return what a file says is to be done, and what comes of it now.

    More than one test asks, and to play all of them takes seconds.
    """
    schedule = schedule_of(path.read_text())
    return schedule, run(schedule, Parts(decide=_spy.decide), recording=True)


def unset() -> frozenset[str]:
    """Return the facts, as Kind.field, that no transcript sets."""
    for path in PATHS:
        played(path)
    return _spy.unset


def render(schedule: Schedule, result: Result) -> str:
    """Return a run as its file has it."""
    s = schedule
    head = (
        f"{s.members} members, {s.durability}, ttl {s.ttl} s, "
        f"{'Parallel' if s.parallel else 'OrderedReady'}"
    )
    outcome = str(result.violation) if result.violation else "every invariant holds"
    return "\n".join((s.to_json(), head, "", *result.transcript, "", outcome, ""))


def schedule_of(text: str) -> Schedule:
    """Return the schedule of such a file."""
    return Schedule.from_json(text.partition("\n")[0])
