"""The heartbeat file in the data directory: whether another pod writes there, and the volume takes
ours.

Two pods meet in one directory where a volume can be mounted by several nodes, or where a node that
was given up comes back. What was seen of the other's is in `sidecar.memory.heartbeat`.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sidecar import small_files
from sidecar.memory.heartbeat import Beat, HeartbeatMemory
from sidecar.settings import MAX_TTL
from sidecar.situation.timing import SLOW_WRITE

_FILE: Final = ".pgset-heartbeat"
_WIDTH: Final = 120
"""Characters: more than there are in the longest, of which nothing may stay behind."""


class Heartbeat:
    """This pod's heartbeat, and what was seen of another pod's."""

    def __init__(self, uid: str, ttl: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`uid`: of this pod. `ttl`: seconds after which another pod's heartbeat is dead, unless
        its own ttl is longer."""
        self._uid = uid
        self._ttl = ttl
        self._memory = HeartbeatMemory(uid, ttl)
        self._beats = 0
        self._clock = clock
        self._slow_at = float("-inf")

    @property
    def slow_ago(self) -> float:
        """Seconds since a heartbeat of ours that took long to write was written."""
        return self._clock() - self._slow_at

    @property
    def is_alone(self) -> bool:
        """Whether the last look found no other pod's heartbeat that may be alive."""
        return not self._memory.is_foreign

    def other_writer(
        self, directory: Path, now: float, *, started: bool, stalled: bool
    ) -> str | None:
        """Return the uid of another pod that may still write there; as the memory has it."""
        try:
            beat = _parse(small_files.read(f"{directory}/{_FILE}").decode(errors="replace"))
        except OSError:
            beat = None
        return self._memory.look(beat, now, started=started, stalled=stalled)

    def beat(self, directory: Path, *, is_listed: bool = False) -> str | None:
        """Write our heartbeat, if no other pod may write there; return why the volume takes no
        writes, if it does not.

        `is_listed`: a program goes through the directory. pg_rewind ends by a file whose name is
        gone before it has looked at it.
        """
        self._beats += 1
        path = f"{directory}/{_FILE}"
        began = self._clock()
        try:
            text = f"{self._uid} {self._beats} {self._memory.generation} {self._ttl}\n"
            if is_listed:
                small_files.overwrite(path, f"{text.rstrip():<{_WIDTH}}\n")
            else:
                small_files.replace(path, text)
        except OSError as error:
            # Full, read-only or broken: PostgreSQL may notice later, at its next commit.
            return f"{directory} takes no writes: {error.strerror}"
        finally:
            ended = self._clock()
            if ended - began > SLOW_WRITE:
                self._slow_at = ended
        return None

    def remove(self, directory: Path) -> None:
        """Delete our heartbeat, so that a successor need not wait for its silence."""
        (directory / _FILE).unlink(missing_ok=True)


def _parse(text: str) -> Beat | None:
    """Read a file of this version or of an older one, which ends after the count."""
    uid, count, generation, ttl, *_ = (*text.split(), "", "", "", "")
    # Whatever is written there, nobody waits for longer than for a pod that there can be.
    seconds = min(_number(ttl) or 0, MAX_TTL)
    return Beat(uid, count, _number(generation), seconds) if uid else None


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None
