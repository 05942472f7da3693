"""The database container of a pod: which one it is, its uid, its command line."""

import dataclasses
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from sidecar import contract
from sidecar.settings import Settings
from webhook import port
from webhook.command_line import CommandLine, Environment, read
from webhook.errors import DeniedError
from webhook.json_patch import Json
from webhook.profile import Profile, of

API_ACCESS_VOLUME: Final = "kube-api-access-"
"""The beginning of the name of the volume that the ServiceAccount plugin adds to every pod."""


@dataclass(frozen=True)
class Database:
    """The database container in a pod's spec, with what follows from it."""

    index: int
    """Its place in `spec.containers`."""
    container: Json
    settings: Settings
    """The set's settings with container name, uid and port resolved."""
    gid: int
    profile: Profile
    """The facts of its image's family."""

    @property
    def mounts(self) -> list[Json]:
        """Its volumeMounts as the user wrote them: without the ServiceAccount plugin's."""
        return [
            mount
            for mount in self.container.get("volumeMounts") or []
            if not mount["name"].startswith(API_ACCESS_VOLUME)
        ]

    @cached_property
    def environment(self) -> Environment:
        """Its variables."""
        return Environment(self.container.get("env") or [])

    @cached_property
    def line(self) -> CommandLine:
        """What starts PostgreSQL in it."""
        return read(self.command_line, self.environment)

    @property
    def command_line(self) -> list[str]:
        """What the kubelet would run for it, with what pgset puts in place of a start script."""
        return command_line(self.container, self.profile)

    @cached_property
    def is_replaced(self) -> bool:
        """Whether the image's own start script would run, and pgset puts another in its place."""
        return _is_replaced(self.container, self.profile)


def find(spec: Json, settings: Settings, chosen: str | None = None) -> Database:
    """Find the database container in a pod's spec.

    `chosen`: the family of its image by the annotation, if there is one. Raises DeniedError if the
    settings name a container that does not exist, or if there are several and they name none.
    """
    containers: list[Json] = spec.get("containers") or []
    names = [str(container.get("name")) for container in containers]
    name = settings.container or _only(names)
    if name not in names:
        raise DeniedError(
            f'annotation {contract.CONTAINER}: "{name}" is not a container of the pod; '
            f"allowed: {_listed(names)}",
            "annotation",
        )
    index = names.index(name)
    profile = of(containers[index].get("image", ""), chosen)
    uid = _uid(spec, containers[index], settings, profile)
    found = Database(
        index=index,
        container=containers[index],
        settings=dataclasses.replace(settings, container=name, uid=uid),
        gid=_gid(spec, containers[index], uid),
        profile=profile,
    )
    resolved = port.resolved(settings.port, found.line, found.environment)
    return dataclasses.replace(found, settings=dataclasses.replace(found.settings, port=resolved))


def command_line(container: Json, profile: Profile) -> list[str]:
    """Return what the kubelet is to run for a container of such an image.

    `command` without `args` drops the image's CMD too:
    https://kubernetes.io/docs/tasks/inject-data-application/define-command-argument-container/
    """
    if _is_replaced(container, profile):
        return list(profile.replaced_by)
    return _as_written(container, profile)


def _as_written(container: Json, profile: Profile) -> list[str]:
    command = container.get("command")
    arguments = container.get("args")
    if command:
        return [*command, *(arguments or [])]
    return [*profile.entrypoint, *(arguments or profile.arguments)]


def _is_replaced(container: Json, profile: Profile) -> bool:
    if not profile.replaced_by:
        return False
    own = {posixpath.basename(word) for word in (*profile.entrypoint, *profile.arguments)}
    return all(posixpath.basename(word) in own for word in _as_written(container, profile))


def _only(names: list[str]) -> str:
    if len(names) != 1:
        raise DeniedError(
            f"annotation {contract.CONTAINER} is missing, and the pod has "
            f"{len(names)} containers; allowed: {_listed(names)}",
            "annotation",
        )
    return names[0]


def _listed(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _security_contexts(spec: Json, container: Json) -> Iterator[Json]:
    """Yield the container's security context, then the pod's, which it overrides."""
    yield container.get("securityContext") or {}
    yield spec.get("securityContext") or {}


def _security_field(spec: Json, container: Json, field: str) -> int | None:
    contexts = _security_contexts(spec, container)
    return next((context[field] for context in contexts if context.get(field) is not None), None)


def _uid(spec: Json, container: Json, settings: Settings, profile: Profile) -> int:
    """Return the uid of the server: an entrypoint started as root (0) drops to the image's own."""
    return _security_field(spec, container, "runAsUser") or settings.uid or profile.uid


def _gid(spec: Json, container: Json, uid: int) -> int:
    group = _security_field(spec, container, "runAsGroup")
    return uid if group is None else group
