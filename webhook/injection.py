"""The injection: a pod's spec in, the operations that make it a member of its set out.

Idempotent: what is already there is left alone, so that the API server may call again
after other webhooks. Lists grow by `add` at an index or at the end and are never rewritten,
since other webhooks' items may be in them.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sidecar import contract
from sidecar.settings import Settings, watchdog
from webhook import bootstrap_container, image_data, resources, sidecar_container
from webhook.database import API_ACCESS_VOLUME, Database, find
from webhook.initial_role import Role
from webhook.json_patch import Json, Patch, Path, add, append, remove, set_member, set_members
from webhook.neighbours import needs_token
from webhook.options import Options
from webhook.settings import SidecarImage

SPEC: Final[Path] = ("spec",)
METADATA: Final[Path] = ("metadata",)

TOKEN_EXPIRATION_SECONDS: Final = 3607
"""What the ServiceAccount admission plugin asks for; the kubelet renews it at 80 %."""

APP_ARMOR: Final = "container.apparmor.security.beta.kubernetes.io/"
"""An annotation with this and a container's name is its profile; since Kubernetes 1.30 a field of
its security context is."""

NOT_ALLOWED: Final = ("startupProbe", "restartPolicyRules", "restartPolicy")
"""Fields of the database container. Until a startup probe succeeds the kubelet runs no other: each
start would begin without a watchdog, and a primary would get no connections. And PostgreSQL has to
start anew whenever it has ended, as in a handover, and by whatever exit code."""

READY_WITHIN_SECONDS: Final = 2
"""A primary that is restarted in place is writable within a second; pgset's own probe sees that
within another."""

PRE_STOP_SECONDS: Final = 1
"""kube-proxy syncs at most once a second, and the deletion itself takes its first sync."""


def inject(pod: Json, settings: Settings, image: SidecarImage, role: Role) -> Patch:
    """Return the operations that make `pod` a member; none if it is one already.

    Raises DeniedError if it is not clear which container is the database's, InvalidSettingError for
    an annotation that can't be read.
    """
    spec = pod["spec"]
    options = Options.from_annotations(pod["metadata"].get("annotations") or {})
    database = find(spec, settings, options.profile)
    return [
        *_marks(pod["metadata"], database, role),
        *_without_api_access(pod),
        *_pod_settings(pod),
        *_volumes(spec),
        *_start(database),
        *_probes(database, options),
        *_pre_stop(database),
        *_init_containers(spec, database, image, options),
    ]


def _marks(metadata: Json, database: Database, role: Role) -> Iterator[Json]:
    settings = database.settings
    present = metadata.get("annotations") or {}
    profile = present.get(f"{APP_ARMOR}{settings.container}")
    ours = [f"{APP_ARMOR}{it}" for it in (contract.SIDECAR_CONTAINER, contract.BOOTSTRAP_CONTAINER)]
    profiles = {} if profile is None else {it: profile for it in ours if it not in present}
    yield from set_members(
        (*METADATA, "labels"),
        metadata.get("labels"),
        {settings.role_label: role.label_value(settings)},
    )
    yield from set_members(
        (*METADATA, "annotations"),
        metadata.get("annotations"),
        {contract.INJECTED: contract.VERSION, contract.SIGNS: contract.SIGNS_BY, **profiles},
    )


# ── The service account token ─────────────────────────────────────────────────────────────


def _leaves_tokens(pod: Json) -> bool:
    asked = pod["spec"].get("automountServiceAccountToken")
    return bool(asked or (asked is None and needs_token(pod["metadata"])))


def _without_api_access(pod: Json) -> Iterator[Json]:
    """Remove what the ServiceAccount plugin added before the webhooks were called."""
    spec = pod["spec"]
    if _leaves_tokens(pod):
        return
    for kind in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(kind) or []):
            mounts: Path = (*SPEC, kind, index, "volumeMounts")
            yield from _remove_api_access(mounts, container.get("volumeMounts"))
    yield from _remove_api_access((*SPEC, "volumes"), spec.get("volumes"))


def _remove_api_access(path: Path, items: list[Json] | None) -> Iterator[Json]:
    # From the back: each removal moves the items behind it.
    for index, item in reversed(list(enumerate(items or []))):
        if item["name"].startswith(API_ACCESS_VOLUME):
            yield remove((*path, index))


def _pod_settings(pod: Json) -> Iterator[Json]:
    spec = pod["spec"]
    if not _leaves_tokens(pod):
        # Without this the plugin puts the token back when it is called again.
        yield from set_member((*SPEC, "automountServiceAccountToken"), spec, value=False)
    yield from set_member((*SPEC, "shareProcessNamespace"), spec, value=True)


def _volumes(spec: Json) -> Patch:
    present = spec.get("volumes")
    names = {volume["name"] for volume in present or []}
    # In memory: whoever fences must not wait for a disk of the node.
    handshake = {"name": contract.HANDSHAKE_VOLUME, "emptyDir": {"medium": "Memory"}}
    wanted = [handshake, _token_volume()]
    return append(
        (*SPEC, "volumes"), present, [volume for volume in wanted if volume["name"] not in names]
    )


def _token_volume() -> Json:
    """Build the volume that the plugin would have added, to be mounted by the sidecar alone.

    The kubelet makes the token readable for the sidecar's uid: by fsGroup, by runAsUser where
    all containers share it, and mode 0644 otherwise.
    https://kubernetes.io/docs/concepts/storage/projected-volumes/#securitycontext-interactions
    """
    namespace = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    sources: list[Mapping[str, Any]] = [
        {
            "serviceAccountToken": {
                "path": "token",
                "expirationSeconds": TOKEN_EXPIRATION_SECONDS,
            }
        },
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": namespace}]}},
    ]
    return {"name": contract.TOKEN_VOLUME, "projected": {"sources": sources}}


# ── The database container ────────────────────────────────────────────────────────────────


def _start(database: Database) -> Iterator[Json]:
    """Start PostgreSQL itself where the image's own script is not to, and where its data is."""
    if not database.is_replaced:
        return
    path = _database_path(database)
    yield from set_member((*path, "command"), database.container, [*database.profile.replaced_by])
    if database.container.get("args"):
        yield remove((*path, "args"))
    if wanted := image_data.environment(database):
        yield from set_member((*path, "env"), database.container, wanted)


def _probes(database: Database, options: Options) -> Iterator[Json]:
    path = _database_path(database)
    times = watchdog(database.settings)
    for name in NOT_ALLOWED:
        if name in database.container:
            yield remove((*path, name))
    yield from set_member(
        (*path, "livenessProbe"),
        database.container,
        {
            **sidecar_container.probe("/liveness", times.period, times.timeout, times.failures),
            "terminationGracePeriodSeconds": times.grace,
        },
    )
    readiness = database.container.get("readinessProbe")
    if readiness is None or (is_late(readiness) and not options.keeps_readiness):
        yield from set_member(
            (*path, "readinessProbe"),
            database.container,
            sidecar_container.probe("/readyz", period=1, timeout=1, failures=3),
        )


def is_late(readiness: Json) -> bool:
    """Return whether a readinessProbe keeps clients from a primary that is back already.

    The kubelet's own defaults are 0, 10 and 1: a look that just missed PostgreSQL is repeated
    after ten seconds.
    """
    delay = readiness.get("initialDelaySeconds", 0)
    looks = readiness.get("periodSeconds", 10) * readiness.get("successThreshold", 1)
    return bool(delay + looks > READY_WITHIN_SECONDS)


def _pre_stop(database: Database) -> Iterator[Json]:
    lifecycle = database.container.get("lifecycle")
    if "preStop" not in (lifecycle or {}):
        yield from set_members(
            (*_database_path(database), "lifecycle"),
            lifecycle,
            {"preStop": {"sleep": {"seconds": PRE_STOP_SECONDS}}},
        )


def _database_path(database: Database) -> Path:
    return (*SPEC, "containers", database.index)


# ── Our containers ────────────────────────────────────────────────────────────────────────


def _init_containers(
    spec: Json, database: Database, image: SidecarImage, options: Options
) -> Patch:
    path: Path = (*SPEC, "initContainers")
    present = spec.get("initContainers")
    names = {container["name"] for container in present or []}
    wanted = resources.fitted(spec, resources.combined(image.resources, options.resources))
    first = (
        [sidecar_container.build(database, image, wanted)]
        if contract.SIDECAR_CONTAINER not in names
        else []
    )
    last = (
        [bootstrap_container.build(database)] if contract.BOOTSTRAP_CONTAINER not in names else []
    )
    if present is None:
        return append(path, None, [*first, *last])
    return [
        *(add((*path, _place(spec, database)), container) for container in first),
        *append(path, present, last),
    ]


def _place(spec: Json, database: Database) -> int:
    """Return where among the init containers the sidecar comes: first, but for those that may write
    a file with the password, without which it does not start."""
    files = image_data.secret_files(database).values()
    mounts = [mount for path in files if (mount := image_data.mount_of(database, path))]
    needed = {mount["name"] for mount in mounts} | sidecar_container.volumes_of_variables(database)
    volumes = spec.get("volumes") or []
    shared = needed & {
        it["name"] for it in volumes if it.keys().isdisjoint(image_data.NOBODY_WRITES)
    }
    writers = [
        place
        for place, container in enumerate(spec.get("initContainers") or [], 1)
        if container["name"] != contract.BOOTSTRAP_CONTAINER
        and any(
            mount["name"] in shared and not mount.get("readOnly")
            for mount in container.get("volumeMounts") or []
        )
    ]
    return max(writers, default=0)
