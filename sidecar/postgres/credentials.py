"""Who the sidecar is to PostgreSQL: the superuser of the database container's own environment."""

import errno
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sidecar import contract

_DEFAULT_USER = "postgres"
_TOKEN_DIRECTORY: Final = Path(contract.TOKEN_DIRECTORY)
_MAX_BYTES: Final = 65536
_UNRESOLVED: Final = re.compile(r"\$\([A-Za-z0-9_.-]+\)")


@dataclass(frozen=True, slots=True)
class Credentials:
    """The superuser, and the password that the set's secrets are made of (`sidecar.keys`)."""

    user: str
    password: str
    database: str = ""
    """The one that the image makes for the application; empty: named as the user."""


def from_environment(environment: Mapping[str, str]) -> Credentials:
    """Read POSTGRES_USER and POSTGRES_PASSWORD, or their _FILE forms, as the official image does.

    Raises OSError where a named file cannot be read.
    """
    return Credentials(
        user=_value(environment, "POSTGRES_USER") or _DEFAULT_USER,
        password=_value(environment, "POSTGRES_PASSWORD"),
        database=_value(environment, "POSTGRES_DB"),
    )


def _value(environment: Mapping[str, str], name: str) -> str:
    if path := environment.get(f"{name}_FILE"):
        try:
            # The shell that reads it in the image drops trailing newlines, and nothing else.
            return _content(path).decode().rstrip("\n")
        except UnicodeDecodeError as error:
            raise OSError(errno.EILSEQ, "it is not UTF-8", path) from error
    value = environment.get(name, "")
    # The kubelet leaves it so where the secret that it names is optional, and not there.
    return "" if _UNRESOLVED.fullmatch(value) else value


def _content(path: str) -> bytes:
    """Return what is in the file. Raises OSError, also where that is the sidecar's own token: on a
    volume that PostgreSQL may write to, somebody may have put a link to it in the file's place, and
    a server can be set up to pass on the password that it is given. Nor would a pipe there ever
    end, or a file of gigabytes fit."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        found = Path(f"/proc/self/fd/{file.fileno()}").readlink()
        if found.is_relative_to(_TOKEN_DIRECTORY.resolve()):
            raise OSError(errno.EPERM, "it leads to the sidecar's own token", path)
        content = file.read(_MAX_BYTES + 1) or b""
    if len(content) > _MAX_BYTES:
        raise OSError(errno.EFBIG, f"it has more than {_MAX_BYTES} bytes", path)
    return content
