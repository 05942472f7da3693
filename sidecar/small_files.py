"""Small files, read and replaced by few system calls: it happens at every look and heartbeat."""

import os
from pathlib import Path
from typing import Final

_KEPT: Final = "surrogateescape"
"""How bytes that are no UTF-8 are read, so that they can be written again."""


def read(path: Path | str, size: int = 4096) -> bytes:
    """Return the file's first `size` bytes at most, without what open() adds. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, size)
    finally:
        os.close(descriptor)


def read_text(path: Path) -> str:
    """Return the text of a file that others write too, in whatever encoding; none if there is no
    such file. Raises OSError."""
    try:
        return path.read_bytes().decode(errors=_KEPT)
    except FileNotFoundError:
        return ""


def read_line(path: Path, line: int = 1) -> str | None:
    """Return one of a file's first lines, without blanks around it; None if there is none."""
    try:
        return read(path).decode(errors="replace").splitlines()[line - 1].strip()
    except (OSError, IndexError):
        return None


def read_number(path: Path, line: int = 1) -> int | None:
    """Return the number in a line of a file; None if there is none."""
    try:
        return int(read_line(path, line) or "")
    except ValueError:
        return None


def replace(path: Path, text: str, mode: int = 0o644, *, durable: bool = False) -> None:
    """Replace a file at once: a reader sees the old content or the new. Raises OSError.

    `durable`: after a crash of the node, too; it could be empty then. What `read_text` has kept is
    written as it was.
    """
    new = path.with_name(f"{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        os.fchmod(descriptor, mode)
        content = text.encode(errors=_KEPT)
        while content:
            content = content[os.write(descriptor, content) :]
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    new.replace(path)
    if durable:
        sync(path.parent)


def overwrite(path: Path, text: str) -> None:
    """Write over a file's beginning; no name comes or goes in its directory. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.pwrite(descriptor, text.encode(errors=_KEPT), 0)
    finally:
        os.close(descriptor)


def sync(*paths: Path) -> None:
    """Make these files and directories survive a crash of the node. Raises OSError."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
