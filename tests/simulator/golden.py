"""Transcripts as files: the schedule as one line of JSON, then what happened."""

from pathlib import Path
from typing import Final

from tests.simulator.runner import Result
from tests.simulator.schedule import Schedule

FOLDER: Final = Path(__file__).with_name("golden")


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
