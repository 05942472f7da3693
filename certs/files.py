"""Where the webhook reads its certificate: files that are replaced whole."""

import os
import tempfile
from pathlib import Path
from typing import Final

from certs.authority import Pair
from certs.renewal import Trust
from certs.rotation import Served

AUTHORITY_FILE: Final = "ca.crt"
CERTIFICATE_FILE: Final = "tls.crt"
KEY_FILE: Final = "tls.key"

PUBLIC, PRIVATE = 0o644, 0o600


class Files:
    """The directory that this replica's webhook serves from."""

    def __init__(self, directory: Path) -> None:
        """Take the directory."""
        self._directory = directory

    def read(self) -> Served | None:
        """Return what is served, None while there is no pair of certificate and key."""
        authority, certificate, key = (
            _content(self._directory / name)
            for name in (AUTHORITY_FILE, CERTIFICATE_FILE, KEY_FILE)
        )
        if certificate is None or key is None:
            return None
        # A first write that was cut off before its end leaves the webhook with a pair.
        return Served(authority or b"", Pair(certificate, key))

    def write(self, trust: Trust) -> list[str]:
        """Have the trust served; return the names of the files that were changed."""
        return write(self._directory, trust)


def write(directory: Path, trust: Trust) -> list[str]:
    """Make the directory hold the trust; return the names of the files that were changed.

    Between key and certificate the two don't match for a moment; the webhook then keeps the
    last pair. The CA comes last: until the pair is there, it is the old one that is served.
    """
    wanted = (
        (KEY_FILE, trust.leaf.key, PRIVATE),
        (CERTIFICATE_FILE, trust.leaf.certificate, PUBLIC),
        (AUTHORITY_FILE, trust.authority.certificate, PUBLIC),
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
