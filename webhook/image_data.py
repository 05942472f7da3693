"""Which files an image has its data and its passwords in, and which volumes these are on."""

import posixpath
from typing import Final

from sidecar import contract
from webhook.database import Database
from webhook.json_patch import Json
from webhook.profile import HOST, Profile
from webhook.refused_images import major_version

DATA_VARIABLE: Final = "PGDATA"

PASSWORD_VARIABLES: Final = ("POSTGRES_PASSWORD", "POSTGRES_PASSWORD_FILE")

SIDECARS_HOME: Final = "/opt/pgset"
SIDECARS_OWN: Final = (
    SIDECARS_HOME,
    "/usr/local/lib/python3",
    "/lib64",
    *(f"{lib}/{arch}-linux-gnu" for lib in ("/lib", "/usr/lib") for arch in ("x86_64", "aarch64")),
)
"""What the sidecar's image runs by, in deploy/Dockerfile and its base."""

NOBODY_WRITES: Final = ("configMap", "csi", "downwardAPI", "image", "projected", "secret")
"""Volume sources that no init container writes a file to: what is there is there at once."""

SECRET_FILES: Final = ("POSTGRES_PASSWORD_FILE", "POSTGRES_USER_FILE", "POSTGRES_DB_FILE")


def data_directory(database: Database) -> str | None:
    """Return the data directory, normalized; None if the fields of the pod do not tell it."""
    container = database.container
    if _ignores_pgdata(database):
        return _in_place_of_pgdata(database)
    environment = container.get("env") or []
    if any(variable["name"] == DATA_VARIABLE for variable in environment):
        given = database.environment.literal(DATA_VARIABLE)
        return posixpath.normpath(given) if given and given.startswith("/") else None
    if container.get("envFrom"):
        return None
    return _of_image(container.get("image", ""), database.profile)


def _of_image(image: str, profile: Profile) -> str | None:
    version = major_version(image)
    directory = profile.data_directory
    if profile.since and version is not None and version >= profile.since[0]:
        directory = profile.since[1]
    if directory is None or profile.ignores_pgdata:
        return None
    if version is None and (profile.since or "{major}" in directory):
        return None
    return directory.format(major=version)


def _ignores_pgdata(database: Database) -> bool:
    return database.profile.ignores_pgdata and database.is_replaced


def _in_place_of_pgdata(database: Database) -> str:
    """Return what PGDATA is set to, so that it is where the image's own script has the data."""
    directory, folder = database.profile.data_directory or "", database.profile.folder_variable
    if any(variable["name"] == folder for variable in database.container.get("env") or []):
        directory = directory.replace(HOST, database.environment.literal(folder) or f"$({folder})")
    return posixpath.normpath(directory)


def added_variables(database: Database) -> list[Json]:
    """Return the variables that the database container has to have more, in this order."""
    if not _ignores_pgdata(database):
        return []
    name = {"valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}
    return [
        {"name": contract.ENV_POD_NAME, **name},
        {"name": DATA_VARIABLE, "value": _in_place_of_pgdata(database)},
    ]


def environment(database: Database) -> list[Json]:
    """Return the database container's variables with the added ones: where PGDATA stands, as others
    may refer to it, and behind the one that it may refer to itself."""
    present: list[Json] = database.container.get("env") or []
    added = added_variables(database)
    names = {variable["name"] for variable in added}
    place = next((i for i, it in enumerate(present) if it["name"] == DATA_VARIABLE), len(present))
    folder = [i for i, it in enumerate(present) if it["name"] == database.profile.folder_variable]
    place = max([place, *(i + 1 for i in folder)])
    before, after = (
        [it for it in part if it["name"] not in names]
        for part in (present[:place], present[place:])
    )
    return [*before, *added, *after]


def may_be_elsewhere(database: Database, spec: Json) -> str | None:
    """Return which field of a pod's spec keeps us from telling in which folder the image's own
    script has the data; None if there is none."""
    if not _ignores_pgdata(database) or not database.profile.folder_variable:
        return None
    fields = {
        "envFrom": database.container.get("envFrom"),
        "hostNetwork": spec.get("hostNetwork"),
        "setHostnameAsFQDN": spec.get("setHostnameAsFQDN"),
    }
    given = database.environment.literal(database.profile.folder_variable)
    return None if given else next((name for name, value in fields.items() if value), None)


def official_variables(database: Database) -> list[Json]:
    """Return what sidecar and bootstrap are told by the official image's variables, where this
    image's have other names."""
    present = {variable["name"] for variable in database.container.get("env") or []}
    told = {
        ours: f"$({theirs})"
        for ours, theirs in database.profile.renamed.items()
        if theirs in present
    }
    if path := _password_file(database):
        told.pop(PASSWORD_VARIABLES[0], None)
        told[PASSWORD_VARIABLES[1]] = path
    return [{"name": name, "value": value} for name, value in told.items()]


def superuser_password_is_told(database: Database) -> bool:
    """Return whether the sidecar learns the superuser's password of an image that has names of its
    own for it; True for all others, whose environment it has itself."""
    told = {variable["name"] for variable in official_variables(database)}
    return not database.profile.renamed or not told.isdisjoint(PASSWORD_VARIABLES)


def _password_file(database: Database) -> str | None:
    path = database.profile.password_file
    return path if path and mount_of(database, path) is not None else None


def secret_files(database: Database) -> dict[str, str]:
    """Return the files from which the sidecar, too, learns who the superuser is, by variable."""
    paths = {name: database.environment.literal(name) for name in SECRET_FILES}
    paths |= {"the password's file": _password_file(database)}
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


def hides_the_sidecar(mount: Json) -> bool:
    """Return whether the sidecar's own programs would be behind it in its container."""
    path = mount["mountPath"]
    return any(is_under(it, path) for it in SIDECARS_OWN) or is_under(path, SIDECARS_HOME)


def is_under(directory: str, mount_path: str) -> bool:
    """Return whether a directory is the mount's or below it."""
    path = _resolved(posixpath.normpath(mount_path).rstrip("/"))
    return f"{_resolved(directory)}/".startswith(f"{path}/")


def _resolved(path: str) -> str:
    # A link in all images: https://wiki.debian.org/ReleaseGoals/RunDirectory
    return path.removeprefix("/var") if f"{path}/".startswith("/var/run/") else path
