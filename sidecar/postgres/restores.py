"""Whether a standby has replayed all WAL on its disk and in an archive, by what it asks for.

For each file it runs restore_command. Where one takes longer than wal_retrieve_retry_interval, the
server never waits between two rounds, and nothing in PostgreSQL tells that it goes round.
"""

from typing import Final

from sidecar import small_files
from sidecar.postgres import process

_IN_VAIN: Final = 3
"""So many commands for one file, without any replay between them: for a file on the way it asks
once, and goes on with the one on its disk."""


class Restores:
    """What was seen of one life of a server, from look to look."""

    def __init__(self) -> None:
        self._replayed: str | None = None
        self._seen: dict[bytes, set[int]] = {}
        """Pids, by the command, which has the file's name in it."""

    def see(self, startup: int, replayed: str | None) -> bool:
        """Note what the startup process of this pid runs now, 0: there is none that looks for WAL;
        return whether it has asked for a file in vain."""
        if replayed != self._replayed:
            self._replayed, self._seen = replayed, {}
        for pid in process.children(startup) if startup else ():
            try:
                command = small_files.read(f"/proc/{pid}/cmdline", size=65536)
            except OSError:
                continue
            # Until it is the command, a process is a copy of its parent.
            if command and not process.is_child(pid):
                self._seen.setdefault(command, set()).add(pid)
        return any(len(pids) >= _IN_VAIN for pids in self._seen.values())
