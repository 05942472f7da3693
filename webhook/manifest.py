"""What the webhook does to a set and to its pods, done to the StatefulSet's manifest: for clusters
where nobody may install a webhook.

A template is the same for all of its pods, so each begins as a replica; the sidecar of the one that
leads makes its own a primary.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sidecar import contract
from sidecar.settings import InvalidSettingError, Settings
from webhook import advice, injection, opt_in, own_account, shape, template_opt_in
from webhook.errors import DeniedError
from webhook.initial_role import Role
from webhook.json_patch import Json, applied
from webhook.port import service_port
from webhook.settings import SidecarImage

ROLE: Final = "pgset-sidecar"

RULES: Final[tuple[Json, ...]] = (
    {
        "apiGroups": [""],
        "resources": ["pods"],
        "verbs": ["list", "watch", "patch", "delete"],
    },
    {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "verbs": ["get", "list", "watch", "create", "update"],
    },
    {"apiGroups": ["apps"], "resources": ["statefulsets"], "verbs": ["list", "watch"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
)
"""Those of ClusterRole `pgset-sidecar` (deploy/base), without the mark by which policies know a
sidecar: there are none without an install, and nobody may give what she does not have herself."""


@dataclass(frozen=True, slots=True)
class Injected:
    """A StatefulSet's manifest as it would have been admitted."""

    statefulset: Json
    needs: tuple[Json, ...]
    """What it needs in its namespace: the Services by which replicas find the primary and clients
    both, Role and RoleBinding, and the service account where the template names none."""
    warnings: tuple[str, ...]


def inject(statefulset: Json, image: SidecarImage) -> Injected | None:
    """Return what an opted-in StatefulSet becomes; None for any other.

    Raises DeniedError with the sentence for the user where the webhook would refuse it.
    """
    shape.check(statefulset, shape.REVIEWED["StatefulSet"], "")
    try:
        taken, copied = template_opt_in.taken_over(statefulset, None)
        if not opt_in.opted_in(taken):
            return None
        return _injected(applied(statefulset, copied), image)
    except InvalidSettingError as error:
        raise DeniedError(str(error), "annotation") from error


def _injected(statefulset: Json, image: SidecarImage) -> Injected:
    found = opt_in.check(statefulset)
    for fault in opt_in.faults(statefulset, found):
        raise DeniedError(fault.sentence)
    stamped = applied(statefulset, opt_in.stamp(statefulset, found))
    name, template = str(statefulset["metadata"]["name"]), _with_account(stamped)
    pod = applied(template, own_account.patch(template["spec"], name))
    settings = Settings.from_annotations(name, template["metadata"]["annotations"])
    member = applied(pod, injection.inject(pod, settings, image, Role.REPLICA))
    account = member["spec"]["serviceAccountName"]
    namespace = statefulset["metadata"].get("namespace")
    return Injected(
        statefulset={**stamped, "spec": {**stamped["spec"], "template": member}},
        needs=(
            *_services(found.settings, namespace),
            *_grant(account, namespace, makes=pod != template),
        ),
        warnings=advice.warnings(statefulset, found),
    )


def _with_account(statefulset: Json) -> Json:
    """Return the template, where an account by its older name alone has its present one as well:
    the API server does that before it calls the webhook."""
    template: Json = statefulset["spec"]["template"]
    spec = template["spec"]
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    return {**template, "spec": {**spec, "serviceAccountName": account}} if account else template


def _services(settings: Settings, namespace: str | None) -> Iterator[Json]:
    """Yield those that the caretaker would make."""
    for name, role, also_unready in (
        (contract.primary_service(settings.set_name), settings.primary_value, True),
        (contract.replica_service(settings.set_name), settings.replica_value, False),
    ):
        selector = {contract.SET_LABEL: settings.set_name, settings.role_label: role}
        spec: Json = {"selector": selector, "ports": [service_port(settings.postgres_port)]}
        if also_unready:
            spec["publishNotReadyAddresses"] = True
        yield _of_ours(("v1", "Service"), name, namespace, spec=spec)


def _grant(account: str, namespace: str | None, *, makes: bool) -> Iterator[Json]:
    if makes:
        yield _of_ours(("v1", "ServiceAccount"), account, namespace)
    rbac = "rbac.authorization.k8s.io"
    yield _of_ours((f"{rbac}/v1", "Role"), ROLE, namespace, rules=list(RULES))
    # Without a namespace the subject's is the one that the RoleBinding is applied to.
    subject = {"kind": "ServiceAccount", "name": account}
    if namespace is not None:
        subject["namespace"] = namespace
    yield _of_ours(
        (f"{rbac}/v1", "RoleBinding"),
        f"pgset-{account}",
        namespace,
        roleRef={"apiGroup": rbac, "kind": "Role", "name": ROLE},
        subjects=[subject],
    )


def _of_ours(kind: tuple[str, str], name: str, namespace: str | None, **fields: object) -> Json:
    where = {} if namespace is None else {"namespace": namespace}
    metadata = {"name": name, **where, "labels": dict(contract.LABELS)}
    return {"apiVersion": kind[0], "kind": kind[1], "metadata": metadata, **fields}
