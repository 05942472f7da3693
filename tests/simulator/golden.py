"""Transcripts as files: the schedule as one line of JSON, then what happened."""

from pathlib import Path
from typing import Final

from tests.simulator.completeness import Spy
from tests.simulator.member.parts import Parts
from tests.simulator.runner import Result, run
from tests.simulator.schedule import Schedule

PATHS: Final = tuple(sorted(Path(__file__).with_name("golden").glob("*.txt")))


def unset() -> frozenset[str]:
    """Return the facts, as Kind.field, that no transcript sets."""
    spy = Spy()
    for path in PATHS:
        run(schedule_of(path.read_text()), Parts(decide=spy.decide))
    return spy.unset


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
