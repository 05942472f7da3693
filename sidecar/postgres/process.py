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
