"""Cache keys: the digest of everything that a cached thing is made from."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

_KEY_LENGTH = 16


def key_of(*parts: str | bytes) -> str:
    """A short key that changes with any of the parts, and with their order."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:_KEY_LENGTH]


def key_of_files(paths: Iterable[Path], base: Path) -> str:
    """A key of these files and all files below these folders: names relative to `base`,
    contents, and whether they are executable. Compiled Python is left out."""
    parts: list[str | bytes] = []
    for file in sorted(_files(paths)):
        executable = "x" if file.stat().st_mode & 0o100 else "-"
        parts += [file.relative_to(base).as_posix() + executable, file.read_bytes()]
    return key_of(*parts)


def _files(paths: Iterable[Path]) -> set[Path]:
    found: set[Path] = set()
    for path in paths:
        found.update(path.rglob("*") if path.is_dir() else [path])
    return {it for it in found if it.is_file() and "__pycache__" not in it.parts}
