"""The postmaster as a process of the shared process namespace."""

import contextlib
import os
import signal
from pathlib import Path


def postmaster_pid(data_directory: Path) -> int | None:
    """Return the pid of the postmaster of this directory; None where none is alive."""
    try:
        pid = int((data_directory / "postmaster.pid").read_text().splitlines()[0])
        command = Path(f"/proc/{pid}/comm").read_text().strip()
    except (OSError, ValueError, IndexError):
        return None
    # A pid left over from a crash may belong to another process by now.
    return pid if command.startswith("postgres") else None


def send(data_directory: Path, which: signal.Signals) -> None:
    """Signal the postmaster, if there is one."""
    pid = postmaster_pid(data_directory)
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, which)


class WriterMemory:
    """Which postmaster was seen writable last; a restarted sidecar has to know it, too.

    In a file beside the hand-shake, which lives as long as the pod's process namespace, and so as
    long as a pid means what it meant.
    """

    def __init__(self, folder: Path) -> None:
        """`folder` is the hand-shake's."""
        self._file = folder / "writer"
        self._pid: int | None = None
        with contextlib.suppress(FileNotFoundError, ValueError):
            self._pid = int(self._file.read_text())

    def remember(self, pid: int) -> None:
        """Note that this postmaster is writable."""
        if pid != self._pid:
            self._file.write_text(str(pid))
            self._pid = pid

    def last(self) -> int | None:
        """Return the pid that was noted last."""
        return self._pid
