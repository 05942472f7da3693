"""The sidecar as a native sidecar: an init container that restarts always.

It sees the database container's credentials (by reference) and its mounts, at the same paths, runs
as the same uid and meets Pod Security `restricted`.
"""

import re
from collections.abc import Iterable
from typing import Final

from sidecar import contract
from sidecar.settings import watchdog
from webhook import image_data
from webhook.database import Database
from webhook.json_patch import Json
from webhook.settings import SidecarImage

COMMAND: Final = ("/opt/pgset/bin/python", "-I", "-m", "sidecar")
"""-I: no variable that begins with PYTHON counts, whoever sets it."""

WITHOUT: Final = (
    "GLIBC_TUNABLES",
    "LD_AUDIT",
    "LD_DEBUG",
    "LD_DEBUG_OUTPUT",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "LD_PROFILE",
    "LOCPATH",
)
"""Variables that act on a program before its first line: those for the database are not meant for
the sidecar. Where envFrom may have them, they are set to nothing, which is what env wins over it
for; the sidecar drops all others itself. (LD_TRACE_LOADED_OBJECTS and LD_ORIGIN_PATH act even
empty, see rtld.c; with the first, no program of the database's container would run either.)"""

_REFERENCE: Final = re.compile(r"\$\(([^)]+)\)")

STARTUP_SECONDS: Final = 60

SLOWER: Final = 2
"""How much longer the sidecar's own probe waits than the watchdog on the database container: that
one has to come first, and the first of three failures may come at once."""


def build(database: Database, image: SidecarImage, resources: Json) -> Json:
    """Build the init container that comes first and stays."""
    times = watchdog(database.settings)
    container: Json = {
        "name": contract.SIDECAR_CONTAINER,
        "image": image.name,
        "imagePullPolicy": image.pull_policy,
        "restartPolicy": "Always",
        "command": list(COMMAND),
        "ports": [{"name": "pgset", "containerPort": contract.SIDECAR_PORT, "protocol": "TCP"}],
        "env": [*_environment(database)],
        "volumeMounts": _mounts(database),
        "securityContext": _security_context(database),
        "resources": resources,
        # One second is the finest grain that probes have.
        "startupProbe": probe("/healthz", period=1, timeout=1, failures=STARTUP_SECONDS),
        "livenessProbe": {
            **probe("/liveness", SLOWER * times.period, times.timeout, times.failures),
            "terminationGracePeriodSeconds": times.grace,
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    if "envFrom" in database.container:
        container["envFrom"] = database.container["envFrom"]
    return container


def probe(path: str, period: int, timeout: int, failures: int) -> Json:
    """Build a probe of the sidecar's port; times in seconds.

    The API server's defaults are written out, so that a second look finds what the first wrote.
    """
    return {
        "httpGet": {"path": path, "port": contract.SIDECAR_PORT, "scheme": "HTTP"},
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "successThreshold": 1,
        "failureThreshold": failures,
    }


def volumes_of_variables(database: Database) -> set[str]:
    """Return the volumes with files that the sidecar's variables are read from: by the kubelet,
    which makes no container for as long as such a file is not there."""
    files = ((it.get("valueFrom") or {}).get("fileKeyRef") or {} for it in _needed(database))
    return {file["volumeName"] for file in files if "volumeName" in file}


def _environment(database: Database) -> Iterable[Json]:
    """Yield what is needed of the database container's variables, then ours.

    Its env may have more, and so may its envFrom, that is meant for PostgreSQL alone.
    """
    ours = [
        *image_data.official_variables(database),
        *({"name": name, "value": v} for name, v in database.settings.to_environment().items()),
        _downward(contract.ENV_POD_NAME, "metadata.name"),
        _downward(contract.ENV_POD_UID, "metadata.uid"),
        _downward(contract.ENV_POD_NAMESPACE, "metadata.namespace"),
        _downward(contract.ENV_POD_IP, "status.podIP"),
    ]
    if "envFrom" in database.container:
        ours += [{"name": name, "value": ""} for name in WITHOUT]
    replaced = {*WITHOUT, *(variable["name"] for variable in ours)}
    for variable in _needed(database):
        if variable["name"] not in replaced:
            yield _of_container(variable, database)
    yield from ours


def _needed(database: Database) -> list[Json]:
    """Return the variables that the sidecar reads, those that paths of its mounts are made of, and
    whatever these are made of, in their order: a variable may refer to those before it."""
    mounts = [str(mount.get("subPathExpr") or "") for mount in database.mounts]
    names = {name for path in mounts for name in _references(path)}
    names.update(database.profile.renamed.values())
    chosen: list[Json] = []
    for variable in reversed(database.container.get("env") or []):
        if variable["name"].startswith(contract.CREDENTIALS) or variable["name"] in names:
            names.update(_references(str(variable.get("value") or "")))
            chosen.append(variable)
    return chosen[::-1]


def _references(text: str) -> list[str]:
    # Without the rest, in which each beginning would be followed to the end of the text.
    return _REFERENCE.findall(text[: text.rfind(")") + 1])


def _downward(name: str, field: str) -> Json:
    field_ref = {"apiVersion": "v1", "fieldPath": field}
    return {"name": name, "valueFrom": {"fieldRef": field_ref}}


def _of_container(variable: Json, database: Database) -> Json:
    """Keep a reference to the container's own resources pointing at the database container."""
    reference = (variable.get("valueFrom") or {}).get("resourceFieldRef")
    if reference is None or "containerName" in reference:
        return variable
    named = {**reference, "containerName": database.settings.container}
    return {**variable, "valueFrom": {**variable["valueFrom"], "resourceFieldRef": named}}


def _mounts(database: Database) -> list[Json]:
    return [
        # A token that the user mounted for the database gives way to the sidecar's own.
        *(
            _not_passed_on(mount)
            for mount in database.mounts
            if mount["mountPath"].rstrip("/") != contract.TOKEN_DIRECTORY
            and not image_data.hides_the_sidecar(mount)
        ),
        {"name": contract.HANDSHAKE_VOLUME, "mountPath": contract.HANDSHAKE_DIRECTORY},
        {
            "name": contract.TOKEN_VOLUME,
            "mountPath": contract.TOKEN_DIRECTORY,
            "readOnly": True,
        },
    ]


def _not_passed_on(mount: Json) -> Json:
    """What is mounted in a Bidirectional one reaches the node, as only a privileged container may
    have it."""
    if mount.get("mountPropagation") != "Bidirectional":
        return mount
    return {**mount, "mountPropagation": "HostToContainer"}


def _security_context(database: Database) -> Json:
    context: Json = {
        "runAsUser": database.settings.uid,
        "runAsGroup": database.gid,
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    theirs = database.container.get("securityContext") or {}
    # Another SELinux label could not read the data directory, and another AppArmor profile, such as
    # the runtime's default one, not signal PostgreSQL.
    taken = ("seLinuxOptions", "appArmorProfile")
    return context | {name: theirs[name] for name in taken if name in theirs}
