"""PostgreSQL as processes of the shared process namespace."""

import contextlib
import os
import signal
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_CHILD_TITLE: Final = b"postgres: "
"""What the command line of every child of a postmaster begins with, and of no postmaster."""


def postmaster_pid(data_directory: Path) -> int | None:
    """Return the pid of the postmaster of this directory; None where none is alive."""
    try:
        pid = int(_read(f"{data_directory}/postmaster.pid").splitlines()[0])
    except (OSError, ValueError, IndexError):
        return None
    # A pid left over from a crash may belong to another process by now.
    return pid if _is_postgres(pid) else None


def processes(data_directory: Path) -> tuple[int, ...]:
    """Return the pids of every process of this directory's server, the postmaster first.

    PostgreSQL works with its data directory as current directory, which tells its processes from
    another server's even where the postmaster is dead. Looks at all of /proc.
    """
    postmaster = postmaster_pid(data_directory)
    try:
        directory = data_directory.stat()
    except OSError:
        directory = None
    owner = os.getuid() if directory is None else directory.st_uid
    others = [
        int(entry.name)
        for entry in os.scandir(_PROC)
        if entry.name.isdecimal()
        and _owner(entry) == owner
        and _is_postgres(int(entry.name))
        and _works_in(int(entry.name), data_directory, directory)
        and int(entry.name) != postmaster
    ]
    return tuple(others) if postmaster is None else (postmaster, *others)


def orphans(data_directory: Path) -> tuple[int, ...]:
    """Return the pids of children that have outlived their postmaster; cheap while that lives.

    One that is at work goes on until it next waits for something, and may commit meanwhile.
    A postmaster that has not yet written its pid file is none.
    """
    if postmaster_pid(data_directory) is not None:
        return ()
    return tuple(pid for pid in processes(data_directory) if _is_child(pid))


def send(data_directory: Path, which: signal.Signals) -> None:
    """Signal the postmaster, if there is one; SIGKILL goes to every process of the server."""
    postmaster = postmaster_pid(data_directory)
    if postmaster is not None:
        _kill(postmaster, which)
    if which is signal.SIGKILL:
        # Looked for only now: a dead postmaster starts no more of them.
        for pid in processes(data_directory):
            _kill(pid, which)


def _kill(pid: int, which: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, which)


def _is_postgres(pid: int) -> bool:
    try:
        line = _read(f"{_PROC}/{pid}/stat")
    except OSError:
        return False
    # "pid (name) state …", see proc(5); what is dead and not yet waited for does no more harm.
    name, _, rest = line.partition(b"(")[2].rpartition(b") ")
    return name.startswith(b"postgres") and rest[:1] not in (b"Z", b"X")


def _read(path: str) -> bytes:
    """Return the beginning of a small file: asked at every look, without what open() adds."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 4096)
    finally:
        os.close(descriptor)


def _is_child(pid: int) -> bool:
    try:
        return (_PROC / str(pid) / "cmdline").read_bytes().startswith(_CHILD_TITLE)
    except OSError:
        return False


def _owner(entry: os.DirEntry[str]) -> int | None:
    try:
        return entry.stat().st_uid
    except OSError:
        return None


def _works_in(pid: int, path: Path, directory: os.stat_result | None) -> bool:
    """Tell whether this is the current directory of the process; True where that is hidden.

    `directory` is None where it is gone, and there may still be processes in it.
    """
    link = _PROC / str(pid) / "cwd"
    try:
        # Through the link itself: its text is a path of the other container.
        if directory is not None and os.path.samestat(link.stat(), directory):
            return True
        return str(link.readlink()) in (str(path), f"{path} (deleted)")
    except PermissionError:
        return True
    except OSError:
        return False


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
