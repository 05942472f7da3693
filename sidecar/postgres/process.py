"""PostgreSQL's processes, in the pod's shared process namespace.

The data directory says which of them is the postmaster. It is remembered, because the volume may
not answer when PostgreSQL has to be stopped: /proc always does.
"""

import os
import signal
from pathlib import Path
from typing import Final

from sidecar import small_files
from sidecar.patiently import Patiently

_PROC: Final = Path("/proc")
_CHILD_TITLE: Final = b"postgres: "
"""How the command line of every child of a postmaster begins, and of no postmaster."""


_known: Final[dict[Path, tuple[int, bytes]]] = {}
"""The postmaster that was last found for a directory: its pid, and when it was started, which
distinguishes it from a later process with that pid."""

_refused: Final[set[tuple[int, bytes | None]]] = set()
"""The postmasters, each with its start, that a signal was refused for. A security module may allow
the empty one, by which `may_signal` asks, and no other."""

_volume: Final = Patiently()
"""For signals alone: the loop's own looks at the volume may hang at the same time."""


def start() -> None:
    """Start the thread by which signals are sent, once: with the process, before it is needed."""
    _volume.start()


def remembered_pid(data_directory: Path) -> int | None:
    """Return the pid of the postmaster that was found last, if it is alive; reads /proc alone."""
    known = _known.get(data_directory)
    return known[0] if known is not None and _start_of(known[0]) == known[1] else None


def postmaster_pid(data_directory: Path) -> int | None:
    """Return the pid of the postmaster of this directory; None if none is alive.

    Reads the directory only if none is known to be alive.
    """
    pid = remembered_pid(data_directory)
    if pid is not None:
        return pid
    try:
        pid = int(small_files.read(f"{data_directory}/postmaster.pid").splitlines()[0])
    except (OSError, ValueError, IndexError):
        return None
    # A pid left over from a crash may belong to another process by now.
    start = _start_of(pid)
    if start is None:
        return None
    _known[data_directory] = (pid, start)
    return pid


def processes(data_directory: Path) -> tuple[int, ...]:
    """Return the pids of every process of this directory's server, the postmaster first.

    PostgreSQL works with its data directory as current directory, which distinguishes its processes
    from another server's even if the postmaster is dead. Reads all of /proc.
    """
    postmaster = postmaster_pid(data_directory)
    try:
        directory = data_directory.stat()
    except OSError:
        directory = None
    others = [pid for pid in _in_folder(data_directory, directory) if pid != postmaster]
    return tuple(others) if postmaster is None else (postmaster, *others)


def named_processes(data_directory: Path) -> tuple[int, ...]:
    """Return the same as far as /proc shows it without a look at the volume, the postmaster first
    if it is known: by the path of their current directory, as it is mounted for them."""
    postmaster = remembered_pid(data_directory)
    others = [pid for pid in _in_folder(data_directory, None) if pid != postmaster]
    return tuple(others) if postmaster is None else (postmaster, *others)


def _in_folder(data_directory: Path, directory: os.stat_result | None) -> list[int]:
    owner = os.getuid() if directory is None else directory.st_uid
    return [
        int(entry.name)
        for entry in os.scandir(_PROC)
        if entry.name.isdecimal()
        and _owner(entry) == owner
        and _start_of(int(entry.name)) is not None
        and _works_in(int(entry.name), data_directory, directory)
    ]


def orphans(data_directory: Path) -> tuple[int, ...]:
    """Return the pids of children that have outlived their postmaster; cheap while it lives.

    A backend at work goes on until it next waits for something, and may commit meanwhile.
    A postmaster that has not yet written its pid file does not count.
    """
    if postmaster_pid(data_directory) is not None:
        return ()
    return tuple(pid for pid in processes(data_directory) if is_child(pid))


def may_signal(pid: int) -> bool:
    """Return whether this process can be signalled from here: not if it has another uid, nor if
    AppArmor or SELinux forbids it, as far as is known. True of one that has ended."""
    if _refused and (pid, _start_of(pid)) in _refused:
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return False
    except ProcessLookupError:
        pass
    return True


def send(data_directory: Path, which: signal.Signals) -> None:
    """Signal the postmaster, if there is one; SIGKILL goes to every process of the server.

    First by what is known without the volume, which is not waited for: if it hangs, that is all.
    Every process is tried; then the first refusal is raised, as an OSError.
    """
    refusals: list[OSError] = []
    postmaster = remembered_pid(data_directory)
    if which is signal.SIGKILL:
        # Before the postmaster dies: after that nothing shows whose children they were.
        theirs = children(postmaster) if postmaster is not None else ()
        for pid in (*named_processes(data_directory), *theirs):
            _kill(pid, which, refusals)
    elif postmaster is not None:
        _kill(postmaster, which, refusals)
    try:
        _volume.run(lambda: _send_to_rest(data_directory, which, postmaster, refusals))
    except TimeoutError:
        if postmaster is None and which is not signal.SIGKILL:
            raise
    if refusals:
        raise refusals[0]


def _send_to_rest(
    data_directory: Path, which: signal.Signals, known: int | None, refusals: list[OSError]
) -> None:
    """Signal the processes that only a look at the volume finds."""
    postmaster = postmaster_pid(data_directory)
    if postmaster is not None and postmaster != known:
        _kill(postmaster, which, refusals)
    if which is signal.SIGKILL:
        # Looked for only now: a dead postmaster starts no new ones.
        for pid in processes(data_directory):
            _kill(pid, which, refusals)


def _kill(pid: int, which: signal.Signals, refusals: list[OSError]) -> None:
    try:
        os.kill(pid, which)
    except ProcessLookupError:
        pass
    except OSError as error:
        refusals.append(error)
        if not is_child(pid):
            _refused.add((pid, _start_of(pid)))
    else:
        _refused.discard((pid, _start_of(pid)))


def children(parent: int) -> tuple[int, ...]:
    """Return the pids of this process' children; empty where that can't be told."""
    try:
        tasks = small_files.read(f"{_PROC}/{parent}/task/{parent}/children", size=65536)
    except OSError:
        return ()
    return tuple(int(pid) for pid in tasks.split())


def _start_of(pid: int) -> bytes | None:
    """Return when this process was started, in ticks (proc(5)), if it is one of PostgreSQL's and
    alive."""
    try:
        line = small_files.read(f"{_PROC}/{pid}/stat")
    except OSError:
        return None
    # "pid (name) state …", see proc(5); a zombie can do no harm.
    name, _, rest = line.partition(b"(")[2].rpartition(b") ")
    if not name.startswith(b"postgres") or rest[:1] in (b"Z", b"X"):
        return None
    return rest.split(b" ", 20)[19]


def is_child(pid: int) -> bool:
    """Return whether this process is a postmaster's child, by its title."""
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
    """Return whether this is the current directory of the process; True if that is hidden.

    `directory` is None if it is gone, and there may still be processes in it.
    """
    link = _PROC / str(pid) / "cwd"
    try:
        if str(link.readlink()) in (str(path), f"{path} (deleted)"):
            return True
        # Through the link itself: its text is a path of the other container.
        return directory is not None and os.path.samestat(link.stat(), directory)
    except PermissionError:
        return True
    except OSError:
        return False


class WriterMemory:
    """Which postmaster was seen writable last; a restarted sidecar has to know it, too.

    In a file beside the hand-shake, which lives as long as the pod's process namespace, and so as
    long as a pid keeps its meaning.
    """

    def __init__(self, folder: Path) -> None:
        """`folder` is the hand-shake's."""
        self._file = folder / "writer"
        self._pid = self._kept = small_files.read_number(self._file)

    def remember(self, pid: int) -> None:
        """Note that this postmaster is writable. Raises OSError where only this process knows it
        then; the next time the file is tried again."""
        self._pid = pid
        if pid != self._kept:
            small_files.replace(self._file, f"{pid}\n")
            self._kept = pid

    def last(self) -> int | None:
        """Return the pid that was noted last."""
        return self._pid
