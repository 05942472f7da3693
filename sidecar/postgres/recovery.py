"""A server that answers nobody yet, since it replays WAL: does it get on?

Told by its startup process, which is there exactly while PostgreSQL is in recovery. Seen from
without, since nothing can be asked: whatever moves is progress, and what it means is not read.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sidecar import clock
from sidecar.observation import PostgresView, ServerState

_TITLE: Final = re.compile(rb"postgres: (?:.*: )?startup\b")
"""With `cluster_name` before it, where that is set. A backend that begins has its client's name
and address in that place."""

_SECONDS: Final = 0.5
"""Between two looks at /proc."""
_WINDOW: Final = 5.0
"""Seconds over which work is measured."""
_BUSY_SHARE: Final = 0.05
_BUSY_SWITCHES: Final = 50.0
"""What counts as work: so much of a CPU, or so many waits for something in a second, as those for a
slow disk are. One that only waits for WAL to come looks for it a few times a second at the most,
in less than a millisecond."""
_SLACK: Final = 2.0
"""Seconds: a startup process that is this much older than the last answer is still a new one, as
the end of a crashed server is noticed later than its children's. One that only hangs has answered
3 s before it counts as down."""
_TITLES: Final = 64
"""Titles to remember: one that waits for WAL goes back and forth between a few."""


@dataclass(slots=True)
class _Startup:
    """A startup process, and what has been seen of it."""

    pid: int
    born: int
    """When it started, in clock ticks since the machine did: a pid alone may be another's."""
    moved_at: float
    measured_at: float
    cpu: int
    """Clock ticks."""
    switches: int
    titles: dict[bytes, None] = field(default_factory=dict)


class RecoveryWatch:
    """Looks only where PostgreSQL does not answer; remembers from look to look."""

    def __init__(self, clock: Callable[[], float], proc: Path = Path("/proc")) -> None:
        """`clock`: monotonic seconds."""
        self._clock = clock
        self._proc = proc
        self._ticks = os.sysconf("SC_CLK_TCK")
        self._has_answered = False
        self._looked_at = float("-inf")
        self._startup: _Startup | None = None

    def look(self, view: PostgresView, postmaster: int | None) -> float | None:
        """Return when the recovery was last seen to move; None where there is none, or where the
        server has answered since that began. `postmaster`: the pid, None where none is alive."""
        if view.state is not ServerState.DOWN or postmaster is None:
            self._has_answered = self._has_answered or view.state is not ServerState.DOWN
            self._startup, self._looked_at = None, float("-inf")
            return None
        now = self._clock()
        if now - self._looked_at >= _SECONDS:
            self._looked_at = now
            self._startup = self._look(postmaster, now, now - view.since)
        return self._startup.moved_at if self._startup is not None else None

    def _look(self, postmaster: int, now: float, down_for: float) -> _Startup | None:
        before = self._startup
        seen = self._measure(before.pid, postmaster, now) if before is not None else None
        if seen is None:
            seen = self._find(postmaster, now)
        if seen is None:
            return None
        if before is None or (before.pid, before.born) != (seen.pid, seen.born):
            age = clock.now() - seen.born / self._ticks
            return None if self._has_answered and age > down_for + _SLACK else seen
        return _compared(before, seen, self._ticks)

    def _find(self, postmaster: int, now: float) -> _Startup | None:
        with os.scandir(self._proc) as entries:
            for entry in entries:
                if entry.name.isdecimal():
                    found = self._measure(int(entry.name), postmaster, now)
                    if found is not None:
                        return found
        return None

    def _measure(self, pid: int, postmaster: int, now: float) -> _Startup | None:
        """Return what is seen of this process; None where it is no startup process of that one."""
        folder = self._proc / str(pid)
        try:
            # "pid (name) state ppid …", see proc(5).
            words = (folder / "stat").read_bytes().rpartition(b") ")[2].split()
            if int(words[1]) != postmaster:
                return None
            title = (folder / "cmdline").read_bytes()
            if not _TITLE.match(title):
                return None
            status = (folder / "status").read_bytes()
        except (OSError, IndexError, ValueError):
            return None
        waits = re.search(rb"^voluntary_ctxt_switches:\s*(\d+)", status, re.MULTILINE)
        return _Startup(
            pid,
            born=int(words[19]),
            moved_at=now,
            measured_at=now,
            cpu=int(words[11]) + int(words[12]),
            switches=int(waits[1]) if waits else 0,
            titles={title: None},
        )


def _compared(before: _Startup, now: _Startup, ticks: int) -> _Startup:
    """Take in a new look at the same process."""
    (title,) = now.titles
    if title not in before.titles:
        before.titles[title] = None
        before.moved_at = now.moved_at
        if len(before.titles) > _TITLES:
            del before.titles[next(iter(before.titles))]
    seconds = now.measured_at - before.measured_at
    if seconds >= _WINDOW:
        cpu = (now.cpu - before.cpu) / ticks / seconds
        switches = (now.switches - before.switches) / seconds
        if cpu >= _BUSY_SHARE or switches >= _BUSY_SWITCHES:
            before.moved_at = now.moved_at
        before.measured_at, before.cpu, before.switches = now.measured_at, now.cpu, now.switches
    return before
