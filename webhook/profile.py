"""What the webhook has to know about a database image, in one table."""

from dataclasses import dataclass
from typing import Final

from sidecar.settings import DEFAULT_UID


@dataclass(frozen=True, slots=True)
class Profile:
    """The facts of one family of images."""

    entrypoint: tuple[str, ...]
    """The image's ENTRYPOINT: what runs where the container has no `command`."""
    arguments: tuple[str, ...]
    """The image's CMD: its arguments where the container has neither `command` nor `args`."""
    uid: int
    """Whom PostgreSQL runs as where nothing else says so."""
    password_variables: tuple[str, ...]
    """The entrypoint refuses to make a database unless one of these is set."""


OFFICIAL: Final = Profile(
    entrypoint=("docker-entrypoint.sh",),
    arguments=("postgres",),
    uid=DEFAULT_UID,
    password_variables=(
        "POSTGRES_PASSWORD",
        "POSTGRES_PASSWORD_FILE",
        "POSTGRES_HOST_AUTH_METHOD",
    ),
)
"""https://github.com/docker-library/postgres: Dockerfile-debian.template, docker-entrypoint.sh"""
