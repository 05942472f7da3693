"""The heartbeat in the data directory: whether another pod writes there, and the volume takes ours.

Two pods meet in one directory where a volume can be mounted by several nodes, or where a node that
was given up comes back.
"""

import time
from pathlib import Path
from typing import Final

from sidecar import small_files
from sidecar.situation.patience import SLOW_WRITE

_FILE: Final = ".pgset-heartbeat"


class Heartbeat:
    """This pod's heartbeat, and what was seen of another pod's."""

    def __init__(self, uid: str, silence: float) -> None:
        """`uid`: of this pod. `silence`: seconds after which another pod's heartbeat is dead."""
        self._uid = uid
        self._silence = silence
        self._beats = 0
        self._foreign: tuple[str, float] | None = None
        """The other pod's last heartbeat, and since when it has been the same."""
        self._stranger: str | None = None
        """The other pod whose heartbeat was last seen in the directory."""
        self._doubted_until = float("-inf")
        """Until when it counts as a writer after a stall, in which no heartbeat came through."""
        self.slow = False
        """Whether our last heartbeat took long to write."""

    @property
    def is_alone(self) -> bool:
        """Whether the last look found no other pod's heartbeat that may be alive."""
        return self._foreign is None

    def other_writer(
        self, directory: Path, now: float, *, started: bool, stalled: bool
    ) -> str | None:
        """Return the uid of the other pod that writes there.

        Its silence counts only while the volume answers: no heartbeat comes through a stall, and
        what has hung may still be written after it, a heartbeat of ours as well.
        """
        try:
            heartbeat = small_files.read(directory / _FILE).decode()
        except OSError:
            heartbeat = ""
        foreign = heartbeat if heartbeat and heartbeat.split()[0] != self._uid else None
        if foreign is not None:
            self._stranger = foreign.split()[0]
        if stalled and self._stranger is not None and not started:
            self._doubted_until = now + self._silence
        if foreign is None:
            self._foreign = None
        elif self._foreign is None or self._foreign[0] != foreign or stalled:
            self._foreign = (foreign, now)
        elif now - self._foreign[1] > self._silence:
            self._foreign = None
        if self._foreign is not None:
            return self._stranger
        return self._stranger if now < self._doubted_until else None

    def beat(self, directory: Path) -> str | None:
        """Write our heartbeat; return why the volume takes no writes, if it does not."""
        self._beats += 1
        began = time.monotonic()
        try:
            small_files.replace(directory / _FILE, f"{self._uid} {self._beats}\n")
        except OSError as error:
            # Full, read-only or broken: PostgreSQL may notice later, at its next commit.
            return f"{directory} takes no writes: {error.strerror}"
        finally:
            self.slow = time.monotonic() - began > SLOW_WRITE
        return None

    def remove(self, directory: Path) -> None:
        """Delete our heartbeat, so that a successor need not wait for its silence."""
        (directory / _FILE).unlink(missing_ok=True)
