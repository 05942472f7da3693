"""Which files an image has its data and its passwords in, and which volumes these are on."""

import posixpath
from typing import Final

from webhook.database import Database
from webhook.json_patch import Json
from webhook.refused_images import major_version

DATA_VARIABLE: Final = "PGDATA"

SECRET_FILES: Final = ("POSTGRES_PASSWORD_FILE", "POSTGRES_USER_FILE", "POSTGRES_DB_FILE")

VERSIONED_SINCE: Final = 18
"""From this version on PGDATA has the version's number in it: docker-library/postgres#1259."""


def data_directory(database: Database) -> str | None:
    """Return the data directory, normalized; None if the fields of the pod do not tell it."""
    container = database.container
    environment = container.get("env") or []
    if any(variable["name"] == DATA_VARIABLE for variable in environment):
        given = database.environment.literal(DATA_VARIABLE)
        return posixpath.normpath(given) if given and given.startswith("/") else None
    if container.get("envFrom"):
        return None
    return _of_image(container.get("image", ""))


def _of_image(image: str) -> str | None:
    version = major_version(image)
    if version is None:
        return None
    if version < VERSIONED_SINCE:
        return "/var/lib/postgresql/data"
    return f"/var/lib/postgresql/{version}/docker"


def secret_files(database: Database) -> dict[str, str]:
    """Return the files from which the sidecar, too, learns who the superuser is, by variable."""
    paths = {name: database.environment.literal(name) for name in SECRET_FILES}
    return {
        name: posixpath.normpath(path)
        for name, path in paths.items()
        if path and path.startswith("/")
    }


def mount_of(database: Database, directory: str) -> Json | None:
    """Return the volumeMount that the directory is on; None if it is in the image's own layer."""
    covering = [m for m in database.mounts if is_under(directory, m["mountPath"])]
    return max(
        covering,
        key=lambda mount: len(_resolved(posixpath.normpath(mount["mountPath"]))),
        default=None,
    )


def mounts_in(database: Database, directory: str) -> list[Json]:
    """Return the volumeMounts below the directory."""
    return [
        mount
        for mount in database.mounts
        if is_under(posixpath.dirname(posixpath.normpath(mount["mountPath"])), directory)
    ]


def is_under(directory: str, mount_path: str) -> bool:
    """Return whether a directory is the mount's or below it."""
    path = _resolved(posixpath.normpath(mount_path).rstrip("/"))
    return f"{_resolved(directory)}/".startswith(f"{path}/")


def _resolved(path: str) -> str:
    # A link in all images: https://wiki.debian.org/ReleaseGoals/RunDirectory
    return path.removeprefix("/var") if f"{path}/".startswith("/var/run/") else path
