"""The note in a data directory that it may have begun a timeline that is not on record.

It outlives the pod, and goes with the data. Its first line is the timeline that was left. A second
one is there where no sidecar has asked for the promotion: the position, in bytes, at which somebody
else's has left it, while another member led.
"""

from pathlib import Path
from typing import Final

from sidecar import signal_files, small_files
from sidecar.postgres.timeline_history import fork_point, parse_history

_NAME: Final = ".pgset-promoting"


def read(directory: Path) -> tuple[int | None, int | None]:
    """Return both lines; None for what is not there."""
    note = f"{directory}/{_NAME}"
    from_timeline = small_files.read_number(note)
    if from_timeline is None:
        return None, None
    return from_timeline, small_files.read_number(note, line=2)


def write(directory: Path, from_timeline: int) -> None:
    """Note a promotion that is about to be asked for. Raises OSError."""
    note = directory / _NAME
    before, by_hand_at = read(directory)
    if by_hand_at is not None:
        # What somebody else has begun is to become the set's.
        from_timeline = from_timeline if before is None else before
    elif note.exists():
        # Asked again during the promotion, PostgreSQL may report the new timeline already.
        return
    _put(note, f"{from_timeline}\n")


def write_by_hand(directory: Path, from_timeline: int, timeline: int) -> None:
    """Note that somebody else has begun `timeline`, but where a sidecar has asked for a promotion.
    Raises OSError, also where its history does not tell where it left the other. With the same
    twice, that what was written on it is not what another member has written: as if a sidecar had
    begun a timeline of that number, too."""
    if from_timeline == timeline:
        _put(directory / _NAME, f"{timeline - 1}\n")
        return
    before, by_hand_at = read(directory)
    if before is not None and by_hand_at is None:
        # A volume that was silent when it was read last has not shown it.
        return
    history = small_files.read_text(directory / "pg_wal" / f"{timeline:08X}.history")
    try:
        left_at = fork_point(parse_history(history), from_timeline)
    except ValueError:
        left_at = None
    if left_at is None:
        raise OSError(f"the history of timeline {timeline} does not tell where it began")
    _put(directory / _NAME, f"{from_timeline}\n{left_at}\n")


def forget(directory: Path) -> None:
    """Delete it, and what may hold the server of that promotion. Raises OSError."""
    (directory / _NAME).unlink(missing_ok=True)
    signal_files.drop_hold(directory)


def _put(note: Path, text: str) -> None:
    small_files.replace(note, text, mode=0o600)
    small_files.sync(note, note.parent)
