"""The cluster's processes: started, remembered, found again, ended.

A pid alone says nothing after a crash or a reboot: the number may be another process by
then. A record therefore holds the boot's id and the process's start time as well, and only
a process that matches all three is ever touched.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.local import paths
from deploy.local.errors import LocalClusterError

_PROC = Path("/proc")
_BOOT_ID = _PROC / "sys/kernel/random/boot_id"
_ENDED = "ZX"
"""The states of a zombie and of what is no more even that."""
_FIELDS_BEFORE_START_TIME = 19  # of those after the command's name; proc(5), field 22


@dataclass(frozen=True)
class ProcessRecord:
    """What identifies one process for good; `start_time` in clock ticks since boot."""

    pid: int
    start_time: int
    boot_id: str

    def is_alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        return self.boot_id == boot_id() and self.start_time == start_time(self.pid)


def boot_id() -> str:
    """The kernel's name for the current boot."""
    return _BOOT_ID.read_text().strip()


def parse_stat(stat: str) -> tuple[str, int]:
    """The state letter and the start time from the text of /proc/<pid>/stat."""
    fields = stat.rpartition(")")[2].split()
    return fields[0], int(fields[_FIELDS_BEFORE_START_TIME])


def start_time(pid: int) -> int | None:
    """When the process started; None where there is none, or only a zombie.

    The first thread of one that was killed may be a zombie while others still end: until then its
    files are open, and its cgroup is in use.
    """
    folder = _PROC / str(pid)
    found = _stat(folder)
    if found is None:
        return None
    state, started = found
    return None if state in _ENDED and not _has_threads(folder) else started


def _has_threads(folder: Path) -> bool:
    try:
        threads = [_stat(it) for it in (folder / "task").iterdir()]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return any(it is not None and it[0] not in _ENDED for it in threads)


def _stat(folder: Path) -> tuple[str, int] | None:
    try:
        return parse_stat((folder / "stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return None


def record_of(pid: int) -> ProcessRecord:
    """The record of a process that runs now."""
    started = start_time(pid)
    if started is None:
        raise LocalClusterError(f"process {pid} ended as soon as it was started")
    return ProcessRecord(pid, started, boot_id())


def _folder() -> Path:
    return paths.state() / "processes"


def start(
    name: str, command: Sequence[str | Path], environment: dict[str, str] | None = None
) -> int:
    """Start a long-lived process with a log and a record called `name`; returns its pid."""
    paths.logs().mkdir(parents=True, exist_ok=True)
    _folder().mkdir(parents=True, exist_ok=True)
    with (paths.logs() / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd="/",
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    # It outlives this Python on purpose; without this, the interpreter warns at its end.
    process.returncode = 0
    (_folder() / f"{name}.json").write_text(json.dumps(asdict(record_of(process.pid))))
    return process.pid


def recorded() -> dict[str, ProcessRecord]:
    """Every process that was started and not forgotten, by name, alive or not."""
    if not _folder().is_dir():
        return {}
    return {
        file.stem: ProcessRecord(**json.loads(file.read_text()))
        for file in sorted(_folder().glob("*.json"))
        if file.stat().st_size
    }


def forget(name: str) -> None:
    """Drop the record called `name`."""
    (_folder() / f"{name}.json").unlink(missing_ok=True)


def alive(names: Iterable[str] | None = None) -> dict[str, ProcessRecord]:
    """The recorded processes (or those of `names`) that still run."""
    found = {name: record for name, record in recorded().items() if record.is_alive()}
    return found if names is None else {name: found[name] for name in names if name in found}


def in_network_namespaces(namespaces: Iterable[Path]) -> set[int]:
    """The pids in any of the network namespaces mounted at these paths."""
    wanted = {(stat.st_dev, stat.st_ino) for stat in map(Path.stat, namespaces)}
    if not wanted:
        return set()
    return {pid for pid in _all_pids() if _network_namespace(pid) in wanted}


def _all_pids() -> list[int]:
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]


def _network_namespace(pid: int) -> tuple[int, int] | None:
    try:
        stat = (_PROC / str(pid) / "ns/net").stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino


def kill_until_gone(
    find: Callable[[], set[int]], thaw: Callable[[], None], seconds: float = 120.0
) -> None:
    """SIGKILL whatever `find` finds, again and again, until it finds nothing.

    `thaw`: lets what is frozen end; called each time, since what is killed may have frozen it.
    """
    deadline = time.monotonic() + seconds
    while pids := {pid for pid in find() if start_time(pid) is not None}:
        thaw()
        for pid in pids:
            _kill(pid)
        if time.monotonic() > deadline:
            raise LocalClusterError(
                f"processes {sorted(pids)} of the cluster do not end: see `ps`, then try again"
            )
        time.sleep(0.05)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
