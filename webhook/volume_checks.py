"""What keeps a server from being a member, as far as the volumes of its pod tell.

As `server_checks`: said before a running database is rolled.
"""

import posixpath
from collections.abc import Iterator
from typing import Final

from sidecar import contract
from webhook import image_data
from webhook.database import Database
from webhook.json_patch import Json
from webhook.server_checks import Fault, Server

OTHERS_READ: Final = 0o004
ROOTS_GROUP_READS: Final = 0o044
"""The kubelet's files belong to root and, without fsGroup, to its group."""

VOLATILE_VOLUMES: Final = (
    "configMap",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "projected",
    "secret",
)
"""Volume sources without data, or whose data goes with the pod."""

OF_EACH_POD: Final = (*VOLATILE_VOLUMES, "csi", "flexVolume", "hostPath")
"""Volume sources that are, or may be, another storage in each pod or on each node. All others name
one, whichever pod has it."""

OURS: Final = (contract.TOKEN_DIRECTORY, contract.HANDSHAKE_DIRECTORY)


def unseen_files(server: Server, spec: Json) -> Iterator[Fault]:
    """Yield the files with the superuser's name or password that the sidecar would not find: it
    starts before all containers that are no init containers."""
    emptied = {it["name"] for it in spec.get("volumes") or [] if "emptyDir" in it}
    filled = {
        mount["name"]
        for container in spec.get("initContainers") or []
        for mount in container.get("volumeMounts") or []
    }
    for name, path in image_data.secret_files(server.database).items():
        mount = image_data.mount_of(server.database, path)
        if mount is None:
            yield Fault(
                f'{server.name}: {name} is "{path}", which is on no volume of the template, so '
                "that the sidecar cannot read it; allowed: a file under a volumeMount"
            )
        elif mount["name"] in emptied - filled:
            yield Fault(
                f'{server.name}: {name} is "{path}" on emptyDir "{mount["name"]}", which no init '
                "container mounts, so that the file is not there when the sidecar starts; allowed: "
                "an init container that writes it, or a volume of a secret"
            )


def unreadable_files(server: Server, spec: Json) -> Iterator[Fault]:
    """Yield the files with the superuser's name or password that only root may read.

    The image's entrypoint reads them while it is root; the sidecar never is.
    """
    context = spec.get("securityContext") or {}
    if context.get("fsGroup") is not None:
        return  # by which the kubelet lets the group read them
    readable = ROOTS_GROUP_READS if server.database.gid == 0 else OTHERS_READ
    volumes = {it["name"]: it for it in spec.get("volumes") or []}
    for name, path in image_data.secret_files(server.database).items():
        mount = image_data.mount_of(server.database, path) or {"name": ""}
        mode = _mode(volumes.get(mount["name"], {}), mount, path)
        if mode is not None and not mode & readable:
            yield Fault(
                f"{server.name}: {name} is a file of mode {mode:04o} of a secret, which the "
                "sidecar, as it is not root, cannot read; allowed: fsGroup in the pod's "
                "securityContext, or a mode (or defaultMode) of 0444"
            )


def _mode(volume: Json, mount: Json, path: str) -> int | None:
    """Return the mode that the kubelet gives a file of a secret; None if the volume is none, or
    does not say it."""
    mounted = posixpath.relpath(path, mount.get("mountPath", "/"))
    inside = posixpath.normpath(posixpath.join(mount.get("subPath") or "", mounted))
    projected = volume.get("projected") or {}
    default = (volume.get("secret") or projected).get("defaultMode")
    sources = [volume.get("secret"), *(it.get("secret") for it in projected.get("sources") or [])]
    items = [item for source in sources if source for item in source.get("items") or []]
    of_item = next((it.get("mode") for it in items if it.get("path") == inside), None)
    found: int | None = default if of_item is None else of_item
    return found


def folders_of_another_name(server: Server, spec: Json) -> Iterator[Fault]:
    """Yield what may make the image's own script have the data in another folder than pgset."""
    database = server.database
    if what := image_data.may_be_elsewhere(database, spec):
        yield Fault(
            f"{server.name}: with {what} the image's own script may have the data in another "
            f"folder than the pod's name, and pgset would make a new database beside it; "
            f"allowed: env {database.profile.folder_variable} with the folder's name"
        )


def read_only_above(server: Server, spec: Json) -> Iterator[Fault]:
    """Yield the mounts in which no directory can be made for what pgset mounts below them."""
    fixed = {
        it["name"]
        for it in spec.get("volumes") or []
        if not it.keys().isdisjoint(image_data.NOBODY_WRITES)
    }
    for mount in server.database.mounts:
        path = mount["mountPath"]
        below = [it for it in OURS if image_data.is_under(it, path) and it != path.rstrip("/")]
        if below and (mount["name"] in fixed or mount.get("readOnly")):
            yield Fault(
                f'{server.name}: mountPath "{path}" is read-only, and pgset\'s containers have '
                f"{below[0]} below it, which cannot be made there; allowed: a mountPath further "
                "down, such as that of the file itself with its subPath"
            )


def shared_directory(server: Server, statefulset: Json) -> Iterator[Fault]:
    """Yield what gives all pods the same data directory: only one of them can ever use it."""
    if server.replicas > 1 and (volume := shared_volume(statefulset, server.database)):
        yield Fault(
            f'{server.name}: volume "{volume}" is the same for all pods, and the data directory '
            f"{server.directory} on it can be used by one of them alone; allowed: a volume of "
            "volumeClaimTemplates, a subPathExpr with the pod's name, or one replica"
        )


def shared_volume(statefulset: Json, database: Database) -> str | None:
    """Return the volume on which all pods would have the same data directory; None if there is
    none, as far as is known."""
    volume = _of_template(statefulset, database)
    directory = image_data.data_directory(database) or ""
    mount = image_data.mount_of(database, directory) or {}
    # A folder by a variable, of PGDATA or of the mount, is each pod's own.
    own = "$(" in f"{directory}{mount.get('subPathExpr') or ''}"
    if own or volume is None or not volume.keys().isdisjoint(OF_EACH_POD):
        return None
    return str(volume["name"])


def has_no_persistent_volume(statefulset: Json, database: Database) -> bool:
    """Return whether the data is on no volume that outlives the pod."""
    claims = statefulset["spec"].get("volumeClaimTemplates") or []
    volumes = statefulset["spec"]["template"]["spec"].get("volumes") or []
    persistent = {claim["metadata"]["name"] for claim in claims}
    persistent.update(
        volume["name"]
        for volume in volumes
        if not any(source in volume for source in VOLATILE_VOLUMES)
    )
    directory = image_data.data_directory(database)
    mount = directory and image_data.mount_of(database, directory)
    on = [mount] if mount else database.mounts
    return persistent.isdisjoint(it["name"] for it in on)


def is_on_the_node(statefulset: Json, database: Database) -> bool:
    """Return whether the data is in a directory of whatever node the pod is on."""
    return "hostPath" in (_of_template(statefulset, database) or {})


def _of_template(statefulset: Json, database: Database) -> Json | None:
    """Return the volume of the pod template that the data directory is on, if it is known and no
    claim of each pod's own takes its place."""
    directory = image_data.data_directory(database)
    mount = directory and image_data.mount_of(database, directory)
    spec = statefulset["spec"]
    claimed = {it["metadata"]["name"] for it in spec.get("volumeClaimTemplates") or []}
    if not mount or mount["name"] in claimed:
        return None
    volumes: list[Json] = spec["template"]["spec"].get("volumes") or []
    return next((it for it in volumes if it["name"] == mount["name"]), None)
