"""What is noted of a storm, as values; all times are seconds of CLOCK_MONOTONIC."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from tests.chaos import record
from tests.chaos.record import Record

WRITER: Final = "writer"
PRIMARY_READER: Final = "reader-primary"
REPLICA_READER: Final = "reader-replica"
"""How clients' names begin, and whose Service they ask; a number comes after it."""


@dataclass(frozen=True)
class Struck:
    """One fault that was to strike."""

    turn: int
    fault: str
    member: str
    hits: tuple[str, ...]
    """The members that it keeps from coming back."""
    struck: float
    ended: float
    """When it was taken away, or had struck where there is nothing to take away."""
    left_out: str = ""
    """Why it did not strike; "" where it did."""
    trouble: str = ""
    """What did not go as it does on a set that nothing else happens to; "" where all did."""
    stays: str = ""
    """Why it could not be taken away; "" where it was."""


@dataclass
class Story:
    """One storm."""

    record: Record
    blows: list[Struck] = field(default_factory=list)
    books: dict[str, str] = field(default_factory=dict)
    """What is wrong with each member's tables in the end; "" where nothing is."""


def write(story: Story, folder: Path) -> None:
    """Keep a story as JSON, in two files."""
    record.write(story.record, folder / "record.json")
    rest = {"blows": [asdict(it) for it in story.blows], "books": story.books}
    (folder / "storm.json").write_text(json.dumps(rest, indent=1))


def read(folder: Path) -> Story:
    """Return a story that `write` has kept."""
    rest = json.loads((folder / "storm.json").read_text())
    blows = [Struck(**{**it, "hits": tuple(it["hits"])}) for it in rest["blows"]]
    return Story(record.read(folder / "record.json"), blows, rest["books"])
