"""What the webhook has to know about a database image."""

from dataclasses import dataclass
from typing import Final

from sidecar.settings import DEFAULT_UID


@dataclass(frozen=True, slots=True)
class Profile:
    """The facts of one family of images."""

    entrypoint: tuple[str, ...]
    """The image's ENTRYPOINT: what runs if the container has no `command`."""
    arguments: tuple[str, ...]
    """The image's CMD: its arguments if the container has neither `command` nor `args`."""
    uid: int
    """The uid that PostgreSQL runs as if nothing else sets it."""
    password_variables: tuple[str, ...]
    """The entrypoint refuses to create a database unless one of these is set."""


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
