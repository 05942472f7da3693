"""The files that a webhook's pod has of its Secret, as a kubelet brings them there."""

from pathlib import Path
from typing import Final

from certs.renewal import Trust

AUTHORITY_FILE: Final = "ca.crt"
CERTIFICATE_FILE: Final = "tls.crt"
KEY_FILE: Final = "tls.key"


def write(directory: Path, trust: Trust) -> None:
    """Make the directory hold the trust."""
    content = {
        KEY_FILE: trust.leaf.key,
        CERTIFICATE_FILE: trust.leaf.certificate,
        AUTHORITY_FILE: trust.authority.certificate,
    }
    for name, value in content.items():
        replace(directory / name, value)


def replace(file: Path, content: bytes) -> None:
    """Put another file in its place: two of the same size that are written in one tick of the
    clock can't be told from each other by anything else."""
    new = file.with_name(f".{file.name}.new")
    new.write_bytes(content)
    new.replace(file)
