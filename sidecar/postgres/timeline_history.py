"""What a timeline's history file tells, and what it means to a standby on an older timeline."""

from sidecar.postgres.control_data import parse_lsn

TimelineHistory = tuple[tuple[int, int], ...]
"""(Timeline, position in bytes), the oldest first: each was left for the next, the last for the
timeline whose history it is, at that position."""


def parse_history(text: str) -> TimelineHistory:
    """Return what is in a timeline history file.

    Raises ValueError if it is not one.
    """
    # Timeline, position and, for people, a reason. PostgreSQL, too, takes # for a comment.
    words = [line.split() for line in text.splitlines() if line.strip() and line[0] != "#"]
    if any(len(line) < len(("timeline", "position")) for line in words):
        raise ValueError(text)
    return tuple((int(line[0]), parse_lsn(line[1])) for line in words)


def fork_point(history: TimelineHistory, timeline: int) -> int | None:
    """Return the position, in bytes, at which that history left `timeline`; None if never on it.

    A member on `timeline` with WAL beyond that position has what the primary never had.
    """
    left_at = dict(history).get(timeline)
    return None if left_at is None else min(at for number, at in history if number >= timeline)


def leads_on_from(history: TimelineHistory, kept: TimelineHistory, timeline: int) -> bool:
    """Return whether a standby on `timeline` comes to the timeline with that history.

    `kept`: the history of the same number that the standby has already; PostgreSQL keeps to it.
    Nor does it come there where a history goes back. That is of a server that had fetched the
    history of a timeline, and was promoted before it had come to where that began: it has none of
    that timeline's WAL to send.
    """
    ends = [at for number, at in history if number >= timeline]
    return kept in ((), history) and ends == sorted(ends)
