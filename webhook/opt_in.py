"""Opting in: a StatefulSet's annotations are checked, and its pod template is stamped.

The stamp is the label `pgset.dev/set`, by which the API server picks the pods that the
webhook sees, and the settings as annotations, which the pods' admission reads: so a pod is
injected without a request for its StatefulSet. A stamp changes the template, so
opting in (or out, or changing a setting) rolls the pods by the user's own updateStrategy.
"""

from collections.abc import Callable, Iterator
from typing import Final

from sidecar import contract
from sidecar.settings import Settings, parse_enabled, parse_network_policy, parse_paused
from webhook import database, image_data, neighbours, server_checks, volume_checks
from webhook.errors import DeniedError
from webhook.json_patch import Json, Patch, Path, add, remove, set_members
from webhook.options import Options

TEMPLATE: Final[Path] = ("spec", "template", "metadata")

SETTINGS: Final = tuple(
    name for name in contract.STATEFULSET_ANNOTATIONS if name not in contract.STATES
)
"""What the stamp passes on to the pods; a state in it would roll them with each change."""

STAMPED_ANNOTATIONS: Final = (*SETTINGS, contract.FIRST_ORDINAL)

CONTROLLER_LABELS: Final = (
    "controller-revision-hash",
    contract.POD_NAME,
    contract.POD_INDEX,
)
"""Labels that the StatefulSet controller gives to its pods and needs as they are."""


def opted_in(statefulset: Json) -> bool:
    """Return whether the StatefulSet opts in. Raises InvalidSettingError if that can't be read."""
    return parse_enabled(annotations_of(statefulset))


def check(statefulset: Json) -> database.Database:
    """Check everything that the injection will rely on, and return the database container.

    Raises InvalidSettingError or DeniedError for the first thing that the user has to change.
    """
    _check_annotations(statefulset)
    parse_paused(annotations_of(statefulset))
    parse_network_policy(annotations_of(statefulset))
    found = find(statefulset)
    for refusals in _CHECKS:
        for refusal in refusals(statefulset, found):
            raise DeniedError(refusal)
    return found


def find(statefulset: Json) -> database.Database:
    """Return the database container of the template.

    Raises InvalidSettingError or DeniedError if it is not clear which it is.
    """
    settings = Settings.from_annotations(_name(statefulset), annotations_of(statefulset))
    options = Options.from_annotations(annotations_of(statefulset))
    return database.find(_pod_spec(statefulset), settings, options.profile)


def server_of(statefulset: Json, found: database.Database) -> server_checks.Server:
    """Return what is known of the server that the template starts."""
    return server_checks.server_of(found, statefulset["spec"].get("replicas", 1))


def faults(statefulset: Json, found: database.Database) -> Iterator[server_checks.Fault]:
    """Yield what has to be changed before an opted-in set can work; not all of it was always
    looked at, so a set may have been accepted with it."""
    template = statefulset["spec"]["template"]
    metadata = template.get("metadata") or {}
    server, port = server_of(statefulset, found), found.settings.postgres_port
    yield from map(server_checks.Fault, _set_label(statefulset))
    yield from server_checks.faults(server)
    if not neighbours.may_bring_files(metadata):  # or else `advice` warns
        yield from volume_checks.unseen_files(server, _pod_spec(statefulset))
    yield from volume_checks.unreadable_files(server, _pod_spec(statefulset))
    yield from volume_checks.folders_of_another_name(server, _pod_spec(statefulset))
    yield from volume_checks.shared_directory(server, statefulset)
    yield from volume_checks.read_only_above(server, _pod_spec(statefulset))
    yield from map(server_checks.Fault, neighbours.meshes_in_the_way(template, port))


def stamp(statefulset: Json, found: database.Database) -> Patch:
    """Return the operations that make the template carry the set's label and settings."""
    metadata = statefulset["spec"]["template"].get("metadata")
    template = metadata or {}
    annotations = _stamp(statefulset, found)
    return [
        *([add(TEMPLATE, {})] if metadata is None else []),
        *_stale(template, keep=annotations),
        *set_members(
            (*TEMPLATE, "labels"),
            template.get("labels"),
            {contract.SET_LABEL: found.settings.set_name},
        ),
        *set_members((*TEMPLATE, "annotations"), template.get("annotations"), annotations),
    ]


def unstamp(statefulset: Json) -> Patch:
    """Return the operations that take every stamp off the template."""
    template = statefulset["spec"]["template"].get("metadata") or {}
    if not is_stamped(statefulset):
        return []
    return [
        *_stale(template, keep={}),
        remove((*TEMPLATE, "labels", contract.SET_LABEL)),
    ]


def is_stamped(statefulset: Json) -> bool:
    """Return whether the template carries the set's label."""
    template = statefulset["spec"]["template"].get("metadata") or {}
    return contract.SET_LABEL in (template.get("labels") or {})


def annotations_of(statefulset: Json) -> dict[str, str]:
    """Return the StatefulSet's annotations; empty if it has none."""
    return statefulset["metadata"].get("annotations") or {}


def _name(statefulset: Json) -> str:
    name = statefulset["metadata"].get("name")
    if not name:
        raise DeniedError(
            "metadata.name is missing: a set's Services and Lease are named after it; "
            "allowed: a StatefulSet with a name of its own, not a generateName"
        )
    return str(name)


def _pod_spec(statefulset: Json) -> Json:
    spec: Json = statefulset["spec"]["template"].get("spec") or {}
    return spec


def _stamp(statefulset: Json, found: database.Database) -> dict[str, str]:
    present = annotations_of(statefulset)
    stamped = {name: present[name] for name in SETTINGS if name in present}
    # Resolved here, while only the user's containers are there: other webhooks may add some
    # to the pod, and then one container without a name would have become several.
    stamped[contract.CONTAINER] = str(found.settings.container)
    start = (statefulset["spec"].get("ordinals") or {}).get("start", 0)
    if start != 0:
        stamped[contract.FIRST_ORDINAL] = str(start)
    return stamped


def _stale(template: Json, keep: dict[str, str]) -> Patch:
    return [
        remove((*TEMPLATE, "annotations", name))
        for name in template.get("annotations") or {}
        if name in STAMPED_ANNOTATIONS and name not in keep
    ]


# ── What an opted-in StatefulSet must not have ────────────────────────────────────────────


def _check_annotations(statefulset: Json) -> None:
    for name, value in annotations_of(statefulset).items():
        if name.startswith(f"{contract.DOMAIN}/") and name not in (
            *contract.STATEFULSET_ANNOTATIONS,
            contract.OPTED_IN_BY,
        ):
            raise DeniedError(
                f'annotation {name}: "{value}" is unknown; '
                f"allowed: {', '.join(contract.STATEFULSET_ANNOTATIONS)}",
                "annotation",
            )


def _template_annotations(statefulset: Json, _: database.Database) -> Iterator[str]:
    template = statefulset["spec"]["template"].get("metadata") or {}
    for name, value in (template.get("annotations") or {}).items():
        if name.startswith(f"{contract.DOMAIN}/") and name not in STAMPED_ANNOTATIONS:
            yield (
                f'annotation {name}: "{value}" is in the pod template, where pgset writes it '
                "itself; allowed: a template without it"
            )


def _role_label(statefulset: Json, found: database.Database) -> Iterator[str]:
    key = found.settings.role_label
    if key in _selected(statefulset):
        yield (
            f'annotation {contract.ROLE_LABEL}: "{key}" is in the StatefulSet\'s own '
            "spec.selector, which would lose the pods when their role changes; "
            "allowed: a label key that the selector does not contain"
        )
    if key in CONTROLLER_LABELS:
        yield (
            f'annotation {contract.ROLE_LABEL}: "{key}" is written by the StatefulSet '
            f"controller; allowed: any label key except {', '.join(CONTROLLER_LABELS)}"
        )


def _set_label(statefulset: Json) -> Iterator[str]:
    if contract.SET_LABEL in _selected(statefulset):
        yield (
            f"spec.selector has the label {contract.SET_LABEL}, which pgset takes off the template "
            "when the set is opted out, and a selector can't be changed; allowed: a selector "
            "without it"
        )


def _selected(statefulset: Json) -> set[str]:
    """Return the labels that the StatefulSet's own selector speaks of."""
    selector = statefulset["spec"].get("selector") or {}
    rules = selector.get("matchExpressions") or []
    return {*(selector.get("matchLabels") or {}), *(rule["key"] for rule in rules)}


def _process_namespace(statefulset: Json, _: database.Database) -> Iterator[str]:
    spec = _pod_spec(statefulset)
    if spec.get("hostPID"):
        yield (
            "spec.template.spec.hostPID: true is not allowed; the sidecar signals PostgreSQL "
            "through the pod's own process namespace, so leave it out"
        )
    if spec.get("shareProcessNamespace") is False:
        yield (
            "spec.template.spec.shareProcessNamespace: false is not allowed; the sidecar "
            "signals PostgreSQL through it, so leave it out or set it to true"
        )


def _names(statefulset: Json, _: database.Database) -> Iterator[str]:
    spec = _pod_spec(statefulset)
    claims = statefulset["spec"].get("volumeClaimTemplates") or []
    containers = (contract.SIDECAR_CONTAINER, contract.BOOTSTRAP_CONTAINER)
    volumes = (contract.HANDSHAKE_VOLUME, contract.TOKEN_VOLUME)
    named = {
        "containers": ([c["name"] for c in spec.get("containers") or []], containers),
        "initContainers": ([c["name"] for c in spec.get("initContainers") or []], containers),
        "volumes": ([v["name"] for v in spec.get("volumes") or []], volumes),
        "volumeClaimTemplates": ([c["metadata"]["name"] for c in claims], volumes),
    }
    for where, (names, reserved) in named.items():
        for name in names:
            if name in reserved:
                yield (
                    f'{where}: the name "{name}" is reserved for what pgset injects; '
                    f"allowed: any name except {', '.join(reserved)}"
                )


def _ports(statefulset: Json, _: database.Database) -> Iterator[str]:
    spec = _pod_spec(statefulset)
    for container in (spec.get("containers") or []) + (spec.get("initContainers") or []):
        if contract.SIDECAR_PORT in (
            port["containerPort"] for port in container.get("ports") or []
        ):
            yield (
                f'container "{container["name"]}": containerPort {contract.SIDECAR_PORT} is used '
                "by the sidecar; allowed: any other port"
            )


def _mounts(_: Json, found: database.Database) -> Iterator[str]:
    for mount in found.mounts:
        if image_data.is_under(mount["mountPath"], contract.HANDSHAKE_DIRECTORY):
            yield (
                f'container "{found.settings.container}": mountPath "{mount["mountPath"]}" is '
                "reserved for pgset; "
                f"allowed: any path that is not under {contract.HANDSHAKE_DIRECTORY}"
            )


_Check = Callable[[Json, database.Database], Iterator[str]]

_CHECKS: Final[tuple[_Check, ...]] = (
    _template_annotations,
    _role_label,
    _process_namespace,
    _names,
    _ports,
    _mounts,
)
"""Each yields one sentence for every thing that it refuses."""
