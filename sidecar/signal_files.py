"""The files by which PostgreSQL starts read-only, or not at all.

A promotion removes `standby.signal`, and the sidecar puts it back a moment later. If the sidecar
stood still just then, the kubelet would stop PostgreSQL, and start it again writable, beside the
next primary. So there is a `recovery.signal` before the promotion is asked for. PostgreSQL looks
for both files at its start alone, and removes what it has found there. With both it starts as a
standby. With `recovery.signal` alone and no `restore_command` it ends at once: tried with 15, 17
and 18.
"""

from pathlib import Path
from typing import Final

from sidecar import small_files

_STANDBY: Final = "standby.signal"
_RECOVERY: Final = "recovery.signal"
_OURS: Final = "pgset"
"""The first line of ours: bootstrap looks for it, too. PostgreSQL does not read the file."""
_WHY: Final = "This server was promoted, and must not start before there is a standby.signal again."


def start_is_read_only(directory: Path) -> bool:
    """Return whether the next start is a standby's."""
    return small_files.is_there(directory / _STANDBY)


def has_reached_data(directory: Path) -> bool:
    """Return whether a postmaster has got to its data since bootstrap put `standby.signal`.

    It writes postmaster.opts when settings, libraries and shared memory are behind it, right before
    it starts the recovery. Both times are the volume's own.
    """
    try:
        begun = (directory / "postmaster.opts").stat().st_mtime_ns
        return begun >= (directory / _STANDBY).stat().st_mtime_ns
    except OSError:
        return False


def hold_the_next_start(directory: Path) -> None:
    """Keep PostgreSQL from starting where `standby.signal` is not there, until `put_standby`.

    Only where it has no `restore_command`: it would recover by that, and then be writable. Raises
    OSError.
    """
    path = directory / _RECOVERY
    if not small_files.is_there(path):
        # An empty one, after a crash of the node, would pass for somebody else's.
        small_files.replace(path, f"{_OURS}\n{_WHY}\n", mode=0o600, durable=True)


def put_standby(directory: Path) -> None:
    """Make the next start a standby's. Raises OSError."""
    small_files.put_empty(directory / _STANDBY)
    drop_hold(directory)


def remove_standby(directory: Path) -> None:
    """Make the next start writable. Raises OSError."""
    _drop(directory)
    (directory / _STANDBY).unlink(missing_ok=True)


def drop_hold(directory: Path) -> None:
    """Take away what `hold_the_next_start` has left, where `standby.signal` is there without it.
    Raises OSError."""
    if start_is_read_only(directory):
        _drop(directory)


def _drop(directory: Path) -> None:
    """Not somebody else's: that asks for a recovery."""
    path = directory / _RECOVERY
    if small_files.read_line(path) == _OURS:
        path.unlink(missing_ok=True)
