"""Small files, read and replaced by few system calls: it happens at every look and heartbeat.

Where one is a link, it is not followed. In the data directory a superuser of the database may put
some, and the sidecar has files that PostgreSQL has not, such as its token: what it reads there it
tells, or writes back. Where one is a pipe, nobody waits for its other end, and of a large one no
more is read than the sidecar has memory for.
"""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

_KEPT: Final = "surrogateescape"
"""How bytes that are no UTF-8 are read, so that they can be written again."""


_AS_A_FILE: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_MAX_TEXT: Final = 4 * 2**20
"""Bytes: many times what PostgreSQL's own configuration has."""


def read(path: Path | str, size: int = 4096) -> bytes:
    """Return the file's first `size` bytes at most, without what open() adds. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | _AS_A_FILE)
    try:
        return os.read(descriptor, size)
    finally:
        os.close(descriptor)


def opened(path: Path) -> BinaryIO:
    """Return the file, to be read piece by piece. Raises OSError."""
    return os.fdopen(os.open(path, os.O_RDONLY | _AS_A_FILE), "rb")


def is_there(path: Path) -> bool:
    """Return whether there is such a file: a link, a pipe or a directory is none. Raises OSError
    where that cannot be told."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def put_empty(path: Path) -> None:
    """Make an empty file, or make the one that is there as new as one; whatever else has its place,
    a link, say, goes. Raises OSError, as where that is a directory."""
    if not is_there(path):
        path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | _AS_A_FILE, 0o644)
    try:
        os.utime(descriptor)
    finally:
        os.close(descriptor)


def may_be_there(path: Path) -> bool:
    """Return False only where it certainly is not."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except OSError:
        pass
    return True


def read_text(path: Path) -> str:
    """Return the text of a file that others write too, in whatever encoding; none if there is no
    such file. Raises OSError."""
    try:
        with opened(path) as file:
            content = file.read(_MAX_TEXT + 1)
    except FileNotFoundError:
        return ""
    if len(content) > _MAX_TEXT:
        raise OSError(errno.EFBIG, f"it has more than {_MAX_TEXT >> 20} MB", str(path))
    return content.decode(errors=_KEPT)


def read_line(path: Path | str, line: int = 1) -> str | None:
    """Return one of a file's first lines, without blanks around it; None if there is none."""
    try:
        return read(path).decode(errors="replace").splitlines()[line - 1].strip()
    except (OSError, IndexError):
        return None


def read_number(path: Path | str, line: int = 1) -> int | None:
    """Return the number in a line of a file; None if there is none."""
    try:
        return int(read_line(path, line) or "")
    except ValueError:
        return None


def replace(path: Path | str, text: str, mode: int = 0o644, *, durable: bool = False) -> None:
    """Replace a file at once: a reader sees the old content or the new. Raises OSError.

    `durable`: after a crash of the node, too; it could be empty then. What `read_text` has kept is
    written as it was.
    """
    new = f"{path}.new"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _AS_A_FILE, mode)
    try:
        os.fchmod(descriptor, mode)
        content = text.encode(errors=_KEPT)
        while content:
            content = content[os.write(descriptor, content) :]
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    # Neither name is taken apart: the heartbeat is written every second.
    os.replace(new, path)  # noqa: PTH105
    if durable:
        sync(Path(path).parent)


def overwrite(path: Path | str, text: str) -> None:
    """Write over a file's beginning; no name comes or goes in its directory. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | _AS_A_FILE, 0o644)
    try:
        os.pwrite(descriptor, text.encode(errors=_KEPT), 0)
    finally:
        os.close(descriptor)


def sync(*paths: Path) -> None:
    """Make these files and directories survive a crash of the node. Raises OSError."""
    for path in paths:
        # The data directory itself may be a link, and is somebody's wish.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
