"""Where the webhook reads its certificate: files that are replaced whole."""

import os
import tempfile
from pathlib import Path
from typing import Final

from certs.renewal import Trust

AUTHORITY_FILE: Final = "ca.crt"
CERTIFICATE_FILE: Final = "tls.crt"
KEY_FILE: Final = "tls.key"

PUBLIC, PRIVATE = 0o644, 0o600


def write(directory: Path, trust: Trust) -> list[str]:
    """Make the directory hold the trust; return the names of the files that were changed.

    The certificate comes last, since its presence says that the pair is complete. Between
    key and certificate the two don't match for a moment; the webhook then keeps the last pair.
    """
    wanted = (
        (AUTHORITY_FILE, trust.authority.certificate, PUBLIC),
        (KEY_FILE, trust.leaf.key, PRIVATE),
        (CERTIFICATE_FILE, trust.leaf.certificate, PUBLIC),
    )
    changed = [entry for entry in wanted if _content(directory / entry[0]) != entry[1]]
    for name, content, mode in changed:
        _replace(directory / name, content, mode)
    return [name for name, _, _ in changed]


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _replace(path: Path, content: bytes, mode: int) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise
